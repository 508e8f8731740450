//! Fields that nobody knows, and the known name that was probably meant.

use serde_json::Value;

use super::{Struct, Type};

/// A field that the type does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// Where it stands, in dots and brackets (`spec.template.containers[0].comand`).
    pub path: String,
    /// Where it stands, as a JSON pointer.
    pub pointer: String,
    /// Its name.
    pub name: String,
    /// The known name that is nearest, if one is near.
    pub nearest: Option<&'static str>,
}

/// All fields of `value` that the struct does not have, in the order of the document's sorted keys. `apiVersion` and
/// `kind` of an object are known.
pub fn unknown_fields(type_: &Struct, value: &Value) -> Vec<UnknownField> {
    let mut found = Vec::new();
    let mut at = At { path: String::new(), pointer: String::new() };
    in_struct(type_, value, &mut at, true, &mut found);
    found
}

/// The candidate most like `name`: at most a third of its letters differ.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

struct At {
    path: String,
    pointer: String,
}

impl At {
    fn within<T>(&mut self, step: &str, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let lengths = (self.path.len(), self.pointer.len());
        self.path.push_str(if self.path.is_empty() { step.trim_start_matches('.') } else { step });
        self.pointer.push('/');
        self.pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        let done = work(self);
        self.path.truncate(lengths.0);
        self.pointer.truncate(lengths.1);
        done
    }
}

fn in_struct(type_: &Struct, value: &Value, at: &mut At, is_object: bool, found: &mut Vec<UnknownField>) {
    let Some(fields) = value.as_object() else { return };
    for (name, child) in fields {
        if is_object && matches!(name.as_str(), "apiVersion" | "kind") {
            continue;
        }
        at.within(&format!(".{name}"), name, |at| match type_.field(name) {
            Some(field) => in_type(&field.type_, child, at, found),
            None => found.push(UnknownField {
                path: at.path.clone(),
                pointer: at.pointer.clone(),
                name: name.clone(),
                nearest: nearest(name, type_.fields.keys().copied()),
            }),
        });
    }
}

fn in_type(type_: &Type, value: &Value, at: &mut At, found: &mut Vec<UnknownField>) {
    match (type_, value) {
        (Type::Pointer(inner), _) => in_type(inner, value, at, found),
        (Type::Struct(_), _) => {
            if let Some(of) = type_.as_struct() {
                in_struct(of, value, at, false, found);
            }
        }
        (Type::List(element), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                at.within(&format!("[{index}]"), &index.to_string(), |at| in_type(element, item, at, found));
            }
        }
        (Type::Map(element), Value::Object(entries)) => {
            for (key, entry) in entries {
                at.within(&format!("[{key}]"), key, |at| in_type(element, entry, at, found));
            }
        }
        _ => {}
    }
}
