//! One difference between what was recorded and what we made, and how documents are searched for them.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

/// What differs, where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// The recorded file, with its phase: `want.yaml`, `edit-1/status.yaml`.
    pub(crate) file: String,
    /// `apiVersion/kind/namespace/name.field.path`, or an entry of a list (see `docs/testing.md`).
    pub(crate) path: String,
    /// What was recorded there; `None` for nothing.
    pub(crate) wanted: Option<Value>,
    /// What we have there; `None` for nothing.
    pub(crate) ours: Option<Value>,
    /// The service whose child or event differs, as far as it is known.
    pub(crate) service: Option<String>,
}

impl Difference {
    /// A difference of text that has no structure.
    pub(crate) fn of_text(file: &str, path: impl Into<String>, wanted: &str, ours: &str) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| json!(text));
        Self {
            file: file.to_owned(),
            path: path.into(),
            wanted: text(wanted),
            ours: text(ours),
            service: None,
        }
    }

    /// The phase of the file; empty for the first state.
    pub(crate) fn phase(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(phase, _)| phase)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.file, self.path)?;
        match (&self.wanted, &self.ours) {
            (Some(wanted), Some(ours)) => write!(f, ": {}, wanted {}", short(ours), short(wanted)),
            (Some(wanted), None) => write!(f, ": missing {}", short(wanted)),
            (None, Some(ours)) => write!(f, ": not wanted {}", short(ours)),
            (None, None) => Ok(()),
        }
    }
}

/// Adds the differences of two values at `path`. A missing or superfluous part is one difference for each of its leaves, so
/// that a rule over paths sees what is in it.
pub(crate) fn differ(wanted: &Value, ours: &Value, path: &str, found: &mut Vec<Difference>) {
    match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(ours.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                match (wanted.get(name), ours.get(name)) {
                    (Some(wanted), Some(ours)) => differ(wanted, ours, &path, found),
                    (Some(wanted), None) => one_side(wanted, true, &path, found),
                    (None, Some(ours)) => one_side(ours, false, &path, found),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(wanted_items), Value::Array(our_items)) => {
            match (keys(wanted_items), keys(our_items)) {
                (Some(wanted_keys), Some(our_keys)) => {
                    for (item, key) in wanted_items.iter().zip(&wanted_keys) {
                        let path = format!("{path}.{key}");
                        match our_keys.iter().position(|known| known == key) {
                            Some(at) => differ(item, &our_items[at], &path, found),
                            None => one_side(item, true, &path, found),
                        }
                    }
                    for (item, key) in our_items.iter().zip(&our_keys) {
                        if !wanted_keys.contains(key) {
                            one_side(item, false, &format!("{path}.{key}"), found);
                        }
                    }
                    let common = |all: &[String], others: &[String]| -> Vec<String> {
                        all.iter().filter(|key| others.contains(key)).cloned().collect()
                    };
                    let (theirs, own) = (common(&wanted_keys, &our_keys), common(&our_keys, &wanted_keys));
                    if theirs != own {
                        push(path, Some(json!(theirs)), Some(json!(own)), found);
                    }
                }
                _ if wanted_items.len() == our_items.len() => {
                    for (index, (wanted, ours)) in wanted_items.iter().zip(our_items).enumerate() {
                        differ(wanted, ours, &format!("{path}.{index}"), found);
                    }
                }
                _ => push(path, Some(wanted.clone()), Some(ours.clone()), found),
            }
        }
        (wanted, ours) if same(wanted, ours) => {}
        (wanted, ours) => push(path, Some(wanted.clone()), Some(ours.clone()), found),
    }
}

/// The leaves of what only one side has.
pub(crate) fn one_side(value: &Value, is_wanted: bool, path: &str, found: &mut Vec<Difference>) {
    leaves(value, path, &mut |path, leaf| {
        let leaf = Some(leaf.clone());
        if is_wanted { push(path, leaf, None, found) } else { push(path, None, leaf, found) }
    });
}

/// Calls `visit` with every scalar or empty container below `value`, and its path.
pub(crate) fn leaves(value: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, &format!("{path}.{name}"), visit);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let keys = keys(items);
            for (index, item) in items.iter().enumerate() {
                let step = keys.as_ref().map_or_else(|| index.to_string(), |keys| keys[index].clone());
                leaves(item, &format!("{path}.{step}"), visit);
            }
        }
        leaf => visit(path, leaf),
    }
}

/// What tells the items of a list apart, if anything does: their names, or else their types.
fn keys(items: &[Value]) -> Option<Vec<String>> {
    ["name", "type"].iter().find_map(|field| {
        let keys: Option<Vec<String>> =
            items.iter().map(|item| Some(item.get(field)?.as_str()?.to_owned())).collect();
        keys.filter(|keys| keys.iter().collect::<BTreeSet<_>>().len() == keys.len())
    })
}

fn push(path: &str, wanted: Option<Value>, ours: Option<Value>, found: &mut Vec<Difference>) {
    found.push(Difference { file: String::new(), path: path.to_owned(), wanted, ours, service: None });
}

/// Numbers are equal by value: 1 is 1.0.
fn same(wanted: &Value, ours: &Value) -> bool {
    wanted == ours || matches!((wanted.as_f64(), ours.as_f64()), (Some(a), Some(b)) if a == b)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 300 { text } else { format!("{}…", &text[..text.floor_char_boundary(300)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(wanted: &Value, ours: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differ(wanted, ours, "x", &mut found);
        found.iter().map(ToString::to_string).map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn items_with_names_are_told_apart_by_them() {
        let wanted = json!({"l": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]});
        let ours = json!({"l": [{"name": "b", "v": 3}]});
        assert_eq!(
            paths(&wanted, &ours),
            ["x.l.a.name: missing \"a\"", "x.l.a.v: missing 1", "x.l.b.v: 3, wanted 2"]
        );
        let swapped = json!({"l": [{"name": "b", "v": 2}, {"name": "a", "v": 1}]});
        assert_eq!(
            paths(&wanted, &swapped),
            ["x.l: [\"b\",\"a\"], wanted [\"a\",\"b\"]"],
            "the order counts"
        );
    }

    #[test]
    fn lists_of_texts_differ_as_a_whole_if_their_lengths_do() {
        assert_eq!(paths(&json!(["a", "b"]), &json!(["a"])), ["x: [\"a\"], wanted [\"a\",\"b\"]"]);
        assert_eq!(paths(&json!(["a", "b"]), &json!(["a", "c"])), ["x.1: \"c\", wanted \"b\""]);
    }
}
