//! JSON values to text, as kubectl prints them.

use serde_json::{Map, Value};

use crate::scalar::resolve_plain;

/// A longer key gets a `? ` in front and a line of its own, as the Go emitter does; a reader need not look further than
/// 1024 characters for the `:` behind a key.
const MAX_SIMPLE_KEY_BYTES: usize = 128;

/// The value as one YAML document without a `---` line: keys sorted, two spaces a level, lists at the level of
/// their key, strings of several lines as literal blocks, no line folded.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(entries) if !entries.is_empty() => mapping(&mut out, entries, 0, false),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0, false),
        scalar => {
            inline(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

/// Several documents, separated by `---` lines.
pub fn write_documents<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    values.into_iter().map(write).collect::<Vec<_>>().join("---\n")
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// `continued`: the first entry stands behind a `- ` on the same line.
fn mapping(out: &mut String, entries: &Map<String, Value>, level: usize, continued: bool) {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 || !continued {
            indent(out, level);
        }
        let is_simple = name.len() <= MAX_SIMPLE_KEY_BYTES && !name.contains('\n');
        if !is_simple {
            out.push_str("? ");
            string(out, name, level + 1);
            out.push('\n');
            indent(out, level);
        } else {
            string(out, name, level);
        }
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() && !is_simple => {
                out.push(' ');
                mapping(out, inner, level + 1, true);
            }
            Value::Array(items) if !items.is_empty() && !is_simple => {
                out.push(' ');
                sequence(out, items, level + 1, true);
            }
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, level + 1, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, level, false);
            }
            other => {
                out.push(' ');
                inline(out, other, level + 1);
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Value], level: usize, continued: bool) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !continued {
            indent(out, level);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(out, inner, level + 1, true),
            Value::Array(inner) if !inner.is_empty() => sequence(out, inner, level + 1, true),
            other => {
                inline(out, other, level + 1);
                out.push('\n');
            }
        }
    }
}

fn inline(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => string(out, s, level),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// The style that the Go emitter chooses: a literal block for several lines, plain where that reads back as the
/// same string, else single quotes, and double quotes where a character needs an escape or the plain text
/// would be another type.
fn string(out: &mut String, text: &str, level: usize) {
    let escapes = text.chars().any(needs_escape);
    if text.contains('\n') && !escapes && literal_allowed(text, level) {
        return literal(out, text, level);
    }
    if escapes || text.contains('\n') {
        return double_quoted(out, text);
    }
    let is_string = matches!(resolve_plain(text), Value::String(_)) && !is_base_60(text);
    if !is_string {
        double_quoted(out, text);
    } else if plain_allowed(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

/// Readers of YAML 1.1 take `12:30:45` for a number in base 60 and `.inf` for a float, so they are quoted.
fn is_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan") || text == "<<" {
        return true;
    }
    digits.contains(':')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'_' | b'.'))
        && digits.split(':').skip(1).all(|part| {
            let whole = part.split('.').next().unwrap_or(part);
            !whole.is_empty() && whole.len() <= 2 && whole.parse::<u8>().is_ok_and(|n| n < 60)
        })
        || looks_like_date(text)
}

fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[5].is_ascii_digit()
        && text[5..].split_once('-').is_some_and(|(month, day)| {
            (1..=2).contains(&month.len()) && day.starts_with(|c: char| c.is_ascii_digit())
        })
}

fn needs_escape(c: char) -> bool {
    match c {
        '\n' => false,
        '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => {
            matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
        }
        '\u{10000}'..='\u{10ffff}' => false,
        _ => true,
    }
}

fn literal_allowed(text: &str, level: usize) -> bool {
    // A whole document of empty lines ends where the next one begins, which our parser takes for a line that is
    // not indented enough.
    let is_document_of_nothing = level == 0 && text.bytes().all(|b| b == b'\n');
    !text.contains(" \n") && !text.ends_with(' ') && text != "\n" && !is_document_of_nothing
}

fn plain_allowed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if *first == b' ' || *last == b' ' || text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    let starts_badly = match first {
        b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%'
        | b'@' | b'`' => true,
        b'-' | b'?' | b':' => bytes.get(1).is_none_or(|b| *b == b' '),
        _ => false,
    };
    !starts_badly && !text.contains(": ") && !text.contains(" #") && *last != b':'
}

fn literal(out: &mut String, text: &str, level: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = match text.strip_suffix('\n') {
        None => {
            out.push('-');
            text
        }
        Some(body) if body.ends_with('\n') => {
            out.push('+');
            body
        }
        Some(body) => body,
    };
    let level = level.max(1);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, level);
            out.push_str(line);
        }
    }
}

fn double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{1b}' => out.push_str("\\e"),
            c if needs_escape(c) => match u32::from(c) {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02X}")),
                code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04X}")),
                code => out.push_str(&format!("\\U{code:08X}")),
            },
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_value;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn objects_print_as_kubectl_prints_them() {
        let value = json!({
            "kind": "Pod",
            "spec": {"containers": [{"name": "main", "args": ["--port", "8000", "", "yes", "a: b", "- x"],
                     "env": [], "script": "a\n  b\n"}], "nodeSelector": {}},
            "number": 1.5, "none": null, "word": "plain text",
        });
        let want = "kind: Pod\nnone: null\nnumber: 1.5\nspec:\n  containers:\n  - args:\n    - --port\n    - \"8000\"\n    \
                    - \"\"\n    - \"yes\"\n    - 'a: b'\n    - '- x'\n    env: []\n    name: main\n    script: |\n      a\n        \
                    b\n  nodeSelector: {}\nword: plain text\n";
        assert_eq!(write(&value), want);
    }

    #[test]
    fn keys_that_are_long_or_have_lines_stand_alone() {
        let long = "k".repeat(129);
        let value = json!({
            "x": [{&long: [1, {"c": 2, "d": 3}], "e": {&long: {"q": "r", "s": {}}}}],
            "k".repeat(128): 1, "m\nn": "c\nd",
        });
        let text = write(&value);
        let want = "kk: 1\n? |-\n  m\n  n\n: |-\n  c\n  d\nx:\n- e:\n    ? Kk\n    : q: r\n      s: {}\n  ? Kk\n  : - 1\n    - c: 2\n      \
                    d: 3\n";
        assert_eq!(text.replace(&long, "Kk").replace(&"k".repeat(128), "kk"), want);
        assert_eq!(read_value(&text), Ok(value));
    }

    #[test]
    fn a_document_of_line_ends_is_told_from_the_next_one() {
        let values = [json!("\n\n\n"), json!({"a": ["\n\n\n", "b"]}), json!("\n\nc\n\n")];
        let text = write_documents(&values);
        assert!(text.starts_with("\"\\n\\n\\n\"\n---\na:\n- |2+\n\n\n\n- b\n---\n|2+\n"), "{text}");
        let read: Vec<_> = crate::read_documents(&text).unwrap().into_iter().map(|d| d.value).collect();
        assert_eq!(read, values);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\n\t\u{e9}\u{2028}]{0,12}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes", "0644", "1e3", "12:30", "- a", "a: b", "#", " x", "x ", "\n", "a\n\n"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(
                    prop_oneof!["[a-z0-9 :#\n]{0,6}", "[a \n]{120,140}"],
                    inner,
                    0..4
                )
                .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(value in any_value()) {
            let text = write(&value);
            prop_assert_eq!(read_value(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?, value);
        }

        #[test]
        fn documents_that_are_written_read_back_the_same(values in prop::collection::vec(any_value(), 0..4)) {
            let text = write_documents(&values);
            let read = crate::read_documents(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            // A document that holds nothing is none.
            let wanted: Vec<_> = values.into_iter().filter(|value| !value.is_null()).collect();
            prop_assert_eq!(read.into_iter().map(|d| d.value).collect::<Vec<_>>(), wanted);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\n\t]{0,60}") {
            let _ = crate::read_documents(&text);
        }
    }
}
