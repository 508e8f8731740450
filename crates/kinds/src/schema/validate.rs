//! The walk through a document and its schema.
//!
//! What an update does not touch is not validated again, so that an object that was valid once can still be changed
//! elsewhere after its CRD was tightened.

use serde_json::{Map, Value};

use super::{Kind, ListType, Schema, Violation, ViolationType, combine, printed, values};

/// All violations of `schema` by `document`, CEL rules apart. `old` is the document before an update. apiVersion, kind and
/// metadata of objects are not looked at. Fields come in alphabetical order.
pub fn validate(schema: &Schema, document: &Value, old: Option<&Value>) -> Vec<Violation> {
    let mut found = Vec::new();
    check(schema, document, old, &mut String::new(), true, &mut found);
    found
}

pub(super) fn check(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &mut String,
    is_object: bool,
    found: &mut Vec<Violation>,
) {
    if old == Some(value) || value.is_null() && schema.nullable {
        return;
    }
    if !has_type(schema, value) {
        let wanted =
            if schema.int_or_string { "integer,string" } else { schema.kind.map_or("", Kind::as_str) };
        let given = json_type(value);
        found.push(Violation::new(
            ViolationType::TypeInvalid,
            path,
            format!("Invalid value: {given:?}: {path} in body must be of type {wanted}: {given:?}"),
        ));
        values::allowed(schema, value, path, found);
        if !schema.int_or_string || value.is_null() {
            return;
        }
    } else {
        values::check(schema, value, path, found);
    }
    match value {
        Value::Object(fields) => {
            required(schema, fields, path, found);
            for (name, child) in fields {
                if (is_object || schema.embedded)
                    && matches!(name.as_str(), "apiVersion" | "kind" | "metadata")
                {
                    continue;
                }
                let Some(known) = schema.child(name) else { continue };
                let length = push_member(path, name);
                check(known, child, old.and_then(|old| old.get(name)), path, false, found);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    let length = path.len();
                    path.push_str(&format!("[{index}]"));
                    check(known, item, schema.same_item(old, item), path, false, found);
                    path.truncate(length);
                }
            }
            duplicates(schema, items, path, found);
        }
        _ => {}
    }
    combine::check(schema, value, path, found);
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || value.as_i64().is_some() || value.as_u64().is_some();
    }
    match schema.kind {
        None => true,
        Some(Kind::Object) => value.is_object(),
        Some(Kind::Array) => value.is_array(),
        Some(Kind::String) => value.is_string(),
        Some(Kind::Boolean) => value.is_boolean(),
        Some(Kind::Number) => value.is_number(),
        // A float without a fraction is an integer, as in JSON schema.
        Some(Kind::Integer) => value.as_f64().is_some_and(|number| number.fract() == 0.0),
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn required(schema: &Schema, fields: &Map<String, Value>, path: &str, found: &mut Vec<Violation>) {
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.push(Violation::new(ViolationType::Required, &field, "Required value".to_owned()));
    }
}

/// Appends a member to the path and gives the length of before. A kube-apiserver writes keys of maps with a dot too.
fn push_member(path: &mut String, name: &str) -> usize {
    let length = path.len();
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
    length
}

fn duplicates(schema: &Schema, items: &[Value], path: &str, found: &mut Vec<Violation>) {
    let is_set = schema.limits.as_ref().is_some_and(|limits| limits.unique_items);
    let keyed: Vec<Value> = match &schema.list {
        ListType::Atomic if !is_set => return,
        ListType::Atomic | ListType::Set => items.to_vec(),
        ListType::Map(keys) => items
            .iter()
            .map(|item| {
                let default = |key: &String| schema.items.as_ref()?.properties.get(key)?.default.clone();
                keys.iter()
                    .filter_map(|key| Some((key.clone(), item.get(key).cloned().or_else(|| default(key))?)))
                    .collect()
            })
            .collect(),
    };
    for (index, item) in keyed.iter().enumerate() {
        if keyed[..index].contains(item) {
            let detail = format!("Duplicate value: {}", printed(item));
            found.push(Violation::new(ViolationType::Duplicate, &format!("{path}[{index}]"), detail));
        }
    }
}

impl Schema {
    /// What an item of a list was before: the item with its keys, or with its value; items of other lists cannot be told
    /// apart.
    pub(super) fn same_item<'a>(&self, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
        let old = old?.as_array()?;
        match &self.list {
            ListType::Map(keys) => {
                old.iter().find(|was| keys.iter().all(|key| was.get(key) == item.get(key)))
            }
            ListType::Set => old.iter().find(|was| *was == item),
            ListType::Atomic => None,
        }
    }
}
