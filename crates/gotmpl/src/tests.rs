//! Behaviour that users of templates see.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn render(text: &str, data: &serde_json::Value) -> Result<String, Error> {
    Template::parse("t", text, &[])?.render(&Value::from_json(data), &Functions::new(), MissingKey::Error)
}

#[test]
fn actions_pipelines_and_control_structures_render() {
    let data = json!({"a": "x", "list": [1, 2, 3], "map": {"k": "v"}, "yes": true, "nil": null});
    let cases = BTreeMap::from([
        ("{{ .a }}", "x"),
        ("a {{- .a -}} b", "axb"),
        ("{{/* nothing */}}b", "b"),
        ("{{ if .yes }}1{{ else }}2{{ end }}", "1"),
        ("{{ range $i, $e := .list }}{{ $i }}={{ $e }};{{ end }}", "0=1;1=2;2=3;"),
        ("{{ range .list }}{{ if eq . 2.0 }}{{ break }}{{ end }}{{ . }}{{ end }}", "1"),
        ("{{ range .list }}{{ if eq . 2.0 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "13"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ with .map }}{{ .k }}{{ end }}", "v"),
        ("{{ with .nil }}a{{ else with .a }}{{ . }}{{ end }}", "x"),
        ("{{ define `x` }}[{{ . }}]{{ end }}{{ template `x` .a }}", "[x]"),
        ("{{ block `y` .a }}<{{ . }}>{{ end }}", "<x>"),
        ("{{ $v := .a }}{{ $v = `z` }}{{ $v }}", "z"),
        ("{{ printf `%05d|%-4s|%q|%.2f|%x` 42 `ab` `c` 1.5 `hi` }}", "00042|ab  |\"c\"|1.50|6869"),
        ("{{ and .yes .a }} {{ or .nil `d` }} {{ not .nil }}", "x d true"),
        ("{{ index .map `k` }} {{ index .list 1 }} {{ len .list }}", "v 2 3"),
        ("{{ slice .a 0 1 }}{{ html `<` }}{{ js `'` }}{{ urlquery `a b` }}", "x&lt;\\'a+b"),
        ("{{ print 1 2 `a` 3 }}", "1 2a3"),
        ("{{ .nil }}", "<no value>"),
        ("{{ .map }} {{ .list }}", "map[k:v] [1 2 3]"),
    ]);
    for (text, want) in cases {
        assert_eq!(render(text, &data).unwrap_or_else(|e| panic!("{text}: {e}")), want, "{text}");
    }
}

#[test]
fn errors_are_worded_as_go_words_them() {
    let data = json!({"a": "x", "map": {}});
    let cases = [
        ("{{ .b }}", "template: t:1:3: executing \"t\" at <.b>: map has no entry for key \"b\""),
        (
            "{{ .a.b }}",
            "template: t:1:5: executing \"t\" at <.a.b>: can't evaluate field b in type interface {}",
        ),
        ("{{ upper .a }}", "template: t:1: function \"upper\" not defined"),
        ("{{ \"a }}", "template: t:1: unterminated quoted string"),
        ("\n{{ if .a }}", "template: t:2: unexpected EOF"),
        ("{{ .a", "template: t:1: unclosed action"),
        ("{{ $x }}", "template: t:1: undefined variable \"$x\""),
        ("{{ a\\n }}", "template: t:1: bad character U+005C '\\'"),
        (
            "{{ lt 1 `a` }}",
            "template: t:1:3: executing \"t\" at <lt 1 `a`>: error calling lt: incompatible types for comparison: int and string",
        ),
        ("{{ len 3 }}", "template: t:1:3: executing \"t\" at <len 3>: error calling len: len of type int"),
        (
            "{{ template `q` }}",
            "template: t:1:12: executing \"t\" at <{{template \"q\"}}>: template \"q\" not defined",
        ),
    ];
    for (text, want) in cases {
        assert_eq!(render(text, &data).expect_err(text).message, want, "{text}");
    }
}

#[test]
fn a_template_can_neither_loop_for_ever_nor_fill_the_memory() {
    let data = json!({"list": [1, 2, 3]});
    let deep = format!("{}{}", "{{ if true }}".repeat(150), "{{ end }}".repeat(150));
    let cases = [
        ("{{ range 999999999999 }}{{ end }}".to_owned(), "steps"),
        ("{{ define `a` }}{{ template `a` }}{{ template `a` }}{{ end }}{{ template `a` }}".to_owned(), "depth"),
        (
            "{{ define `a` }}{{ if . }}{{ template `a` (slice . 1) }}{{ template `a` (slice . 1) }}{{ end }}{{ end }}\
             {{ template `a` `0123456789012345678901234567890123456789` }}"
                .to_owned(),
            "steps",
        ),
        ("{{ $x := `ab` }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}".to_owned(), "length"),
        ("{{ range 999 }}{{ printf `%999999d` 1 }}{{ end }}".to_owned(), "length"),
        (format!("{{{{ printf `{}` 1 }}}}", "%999999[1]d".repeat(9999)), "length"),
        ("{{ printf `%999999v` .list | len }}".to_owned(), ""),
        ("{{ $x := printf `%999999d` 1 }}{{ range 999999 }}{{ $x | len }}{{ end }}".to_owned(), "length"),
        (format!("{{{{ define `a` }}}}{deep}{{{{ end }}}}{{{{ template `a` }}}}"), ""),
        (format!("{{{{ define `a` }}}}{}{{{{ template `a` }}}}{}{{{{ end }}}}{{{{ template `a` }}}}",
            "{{ if true }}".repeat(150), "{{ end }}".repeat(150)), "depth"),
        ("{{ $v := 1 }}".repeat(1_001), "variables"),
    ];
    for (text, limit) in cases {
        let shown = &text[..text.len().min(80)];
        match render(&text, &data) {
            Ok(_) => assert_eq!(limit, "", "{shown}"),
            Err(error) => {
                assert!(!limit.is_empty() && error.message.contains(limit), "{shown}: {}", error.message);
            }
        }
    }
}
