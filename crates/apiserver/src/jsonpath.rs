//! The JSON paths of printer columns: `.a.b`, `['a']`, `[0]`, `[*]` and `[?(@.type=="Ready")]`.

use std::borrow::Cow;

use serde_json::Value;

/// The first value at `path`; `None` if there is none or the path is not understood.
pub(crate) fn first<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = closing(inside)?;
            found = select(&found, inside[..end].trim());
            rest = &inside[end + 1..];
        } else {
            let (name, after) = name(rest.strip_prefix('.').unwrap_or(rest));
            if name == "*" {
                found = found.into_iter().flat_map(children).collect();
            } else if !name.is_empty() {
                found = found.into_iter().filter_map(|v| v.get(&name)).collect();
            }
            rest = after;
        }
    }
    found.into_iter().next()
}

/// A name up to the next `.` or `[`; a backslash takes the next letter as it is.
fn name(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' => return (out, &text[at..]),
            '\\' => out.extend(letters.next().map(|(_, c)| c)),
            letter => out.push(letter),
        }
    }
    (out, "")
}

fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn select<'a>(found: &[&'a Value], inside: &str) -> Vec<&'a Value> {
    if inside == "*" {
        return found.iter().flat_map(|v| children(v)).collect();
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        let Some((path, wanted)) = filter.split_once("==") else { return Vec::new() };
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        let path = path.trim().trim_start_matches('@');
        return found
            .iter()
            .flat_map(|v| children(v))
            .filter(|v| {
                first(v, path).is_some_and(|x| {
                    x.as_str().map_or_else(|| Cow::Owned(x.to_string()), Cow::Borrowed) == wanted
                })
            })
            .collect();
    }
    if let Ok(index) = inside.parse::<i64>() {
        return found
            .iter()
            .filter_map(|v| {
                let list = v.as_array()?;
                let at = if index < 0 { i64::try_from(list.len()).ok()? + index } else { index };
                list.get(usize::try_from(at).ok()?)
            })
            .collect();
    }
    let key = inside.trim_matches(['"', '\'']);
    found.iter().filter_map(|v| v.get(key)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::first;

    #[test]
    fn paths_of_printer_columns_lead_to_values() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "A", "status": "no"}, {"type": "Ready", "status": "True"}], "urls": [{"url": "u"}]},
        });
        for (path, wanted) in [
            (".status.conditions[?(@.type==\"Ready\")].status", Some("True")),
            (".status.conditions[?(@.type=='A')].status", Some("no")),
            (".status.conditions[?(@.type=='B')].status", None),
            (".status.urls[*].url", Some("u")),
            (".status.urls[0].url", Some("u")),
            (".metadata.annotations.a\\.b/c", Some("x")),
            (".metadata.annotations['a.b/c']", Some("x")),
        ] {
            assert_eq!(first(&object, path).and_then(|v| v.as_str()), wanted, "{path}");
        }
    }
}
