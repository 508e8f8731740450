//! What a value contains, and whether it fits its schema.

use serde_json::Value;

use super::Atom;
use crate::fields::{PathSet, Scalar, Step, display};
use crate::schema::{List, ListKind, ScalarType, Schema};

/// All fields that are set, as an applier owns them: leaves, keyed items, keys of free maps, empty objects.
pub(crate) fn fields(value: &Value, schema: &Schema) -> PathSet {
    let mut set = PathSet::default();
    collect(value, schema, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, schema: &Schema, path: &mut Vec<Step>, set: &mut PathSet) {
    match Atom::of(schema, value) {
        Atom::Scalar(_) => set.insert(path),
        Atom::List(list) if list.kind == ListKind::Atomic => set.insert(path),
        Atom::List(list) => {
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                path.push(item_step(item, list).unwrap_or(Step::Index(index)));
                collect(item, &list.items, path, set);
                set.insert(path);
                path.pop();
            }
        }
        Atom::Map(map) if map.atomic => set.insert(path),
        Atom::Map(map) => {
            for (key, child) in value.as_object().into_iter().flatten() {
                let Some(of) = map.child(key) else { continue };
                path.push(Step::Field(key.clone()));
                collect(child, of, path, set);
                let empty = child.is_null() || child.as_object().is_some_and(serde_json::Map::is_empty);
                if empty || !map.fields.contains_key(key) {
                    set.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// The name of a list item: its key fields or its value. The error says what it lacks.
pub(crate) fn item_step(item: &Value, list: &List) -> Result<Step, String> {
    match &list.kind {
        ListKind::Atomic => Err("atomic lists have no named items".to_owned()),
        ListKind::Set => match item {
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supporting lists in associative lists without keys".to_owned()),
            _ => Ok(Step::Value(Scalar(item.clone()))),
        },
        ListKind::Keyed(names) => {
            if item.is_null() {
                return Err("associative list with keys may not have a null element".to_owned());
            }
            let Value::Object(map) = item else {
                return Err("associative list with keys may not have non-map elements".to_owned());
            };
            let mut fields: Vec<(String, Scalar)> = names
                .iter()
                .filter_map(|(name, default)| {
                    let value = map.get(name).or(default.as_ref())?;
                    Some((name.clone(), Scalar(value.clone())))
                })
                .collect();
            if fields.is_empty() {
                let names: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                ));
            }
            fields.sort();
            Ok(Step::Key(fields))
        }
    }
}

/// What does not fit, each with its path; `duplicates` tolerates items of the same name, as live objects may have.
pub(crate) fn validate(value: &Value, schema: &Schema, duplicates: bool) -> Vec<String> {
    let mut errors = Vec::new();
    check(value, schema, duplicates, &mut Vec::new(), &mut errors);
    errors
}

fn check(value: &Value, schema: &Schema, duplicates: bool, path: &mut Vec<Step>, errors: &mut Vec<String>) {
    let mut say = |path: &[Step], why: String| {
        errors.push(if path.is_empty() { why } else { format!("{}: {why}", display(path)) });
    };
    if value.is_null() {
        return;
    }
    match Atom::of(schema, value) {
        Atom::Scalar(kind) => {
            if let Some(why) = wrong_scalar(kind, value) {
                say(path, why);
            }
        }
        Atom::List(list) => {
            let Value::Array(items) = value else {
                return say(path, format!("expected list, got {}", go_pointer(value)));
            };
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let step = if list.kind == ListKind::Atomic {
                    Step::Index(index)
                } else {
                    match item_step(item, list) {
                        Ok(step) => step,
                        Err(why) => {
                            errors.push(format!("{}: element {index}: {why}", display(path)));
                            return;
                        }
                    }
                };
                if !seen.insert(step.clone()) && !duplicates {
                    errors.push(format!("{}: duplicate entries for key {step}", display(path)));
                }
                path.push(step);
                check(item, &list.items, duplicates, path, errors);
                path.pop();
            }
        }
        Atom::Map(map) => {
            let Value::Object(members) = value else {
                return say(path, format!("expected map, got {}", go_pointer(value)));
            };
            for (key, child) in members {
                path.push(Step::Field(key.clone()));
                match map.child(key) {
                    Some(of) => check(child, of, duplicates, path, errors),
                    None => errors.push(format!("{}: field not declared in schema", display(path))),
                }
                path.pop();
            }
        }
    }
}

fn wrong_scalar(kind: ScalarType, value: &Value) -> Option<String> {
    match kind {
        ScalarType::Number if !value.is_number() => {
            Some(format!("expected numeric (int or float), got {}", go_type(value)))
        }
        ScalarType::Text if !value.is_string() => Some(format!("expected string, got {}", go_struct(value))),
        ScalarType::Bool if !value.is_boolean() => {
            Some(format!("expected boolean, got {}", go_struct(value)))
        }
        ScalarType::Any if value.is_object() || value.is_array() => {
            Some(format!("expected any scalar, got {}", go_pointer(value)))
        }
        _ => None,
    }
}

/// As Go prints the type that it decoded.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn go_pointer(value: &Value) -> String {
    format!("&{{{}}}", crate::strategic::go(value))
}

fn go_struct(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{}}}", go_syntax(value))
}

/// As Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(list) => {
            format!("[]interface {{}}{{{}}}", list.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let members: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), go_syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
