//! The `vllm serve …` call inside a shell script, for the simulated engine: KServe's presets build the
//! call in bash. Variables that the script itself would set are empty here. Pure.

use std::collections::BTreeMap;

/// The words after the last `vllm serve` of `script`; `positional` are the script's `$0 $1 …`.
/// `None` if the script does not call it.
pub(crate) fn serve_arguments(
    script: &str,
    positional: &[String],
    env: &BTreeMap<String, String>,
) -> Option<Vec<String>> {
    let at = script.rfind("vllm serve")?;
    let joined = script[at + "vllm serve".len()..].replace("\\\n", " ");
    let mut call = joined.split('\n').next().unwrap_or("").trim_end();
    let line_start = script[..at].rfind('\n').map_or(0, |newline| newline + 1);
    if script[line_start..at].contains("eval \"") {
        call = call.strip_suffix('"').unwrap_or(call);
    }
    let rest = positional.get(1..).unwrap_or_default();
    Some(split(&substitute(call, rest, env)))
}

fn substitute(text: &str, positional: &[String], env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('@').or_else(|| tail.strip_prefix('*')) {
            out.push_str(&positional.join(" "));
            rest = after;
        } else if let Some(inner) = tail.strip_prefix('{') {
            let (body, after) = inner.split_once('}').unwrap_or((inner, ""));
            let end = body.find(|c: char| !is_name(c)).unwrap_or(body.len());
            let default =
                body[end..].strip_prefix(":-").or_else(|| body[end..].strip_prefix('-')).unwrap_or("");
            let value = env.get(&body[..end]).filter(|value| !value.is_empty());
            out.push_str(value.map_or(default.trim_matches('"'), String::as_str));
            rest = after;
        } else if let Some(inner) = tail.strip_prefix('(') {
            // A command or an arithmetic expression: nothing runs here.
            rest = inner.split_once(')').map_or("", |(_, after)| after.trim_start_matches(')'));
        } else {
            let end = tail.find(|c: char| !is_name(c)).unwrap_or(tail.len());
            out.push_str(env.get(&tail[..end]).map_or("", String::as_str));
            rest = &tail[end..];
        }
    }
    out.push_str(rest);
    out
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits as a shell does: blanks separate, quotes join, a backslash takes the next character as it is.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_of_a_preset_script_is_read_with_its_variables_and_arguments() {
        let script = "echo hi\neval \"exec vllm serve /mnt/models \\\n  --served-model-name \"demo\" \"pub/demo\" \\\n  \
                      --port 8000 ${ACCESS_LOG} ${EXTRA} \\\n  $@\"";
        let env = BTreeMap::from([("EXTRA".to_owned(), "--max-model-len 100".to_owned())]);
        let positional = ["--".to_owned(), "--json='{\"a\": 1}'".to_owned()];
        let words = serve_arguments(script, &positional, &env).expect("a call");
        assert_eq!(
            words,
            [
                "/mnt/models",
                "--served-model-name",
                "demo",
                "pub/demo",
                "--port",
                "8000",
                "--max-model-len",
                "100",
                "--json={\"a\": 1}"
            ]
        );
    }

    #[test]
    fn defaults_apply_and_expressions_are_dropped() {
        let words =
            serve_arguments("vllm serve m --port ${PORT:-8001} --rank $((A*2)) x", &[], &BTreeMap::new());
        assert_eq!(words.expect("a call"), ["m", "--port", "8001", "--rank", "x"]);
        assert_eq!(serve_arguments("echo", &[], &BTreeMap::new()), None);
    }
}
