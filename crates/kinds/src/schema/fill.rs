//! What an API server takes out of a document and puts into it before anyone looks at it.

use std::fmt::Write as _;

use serde_json::Value;

use super::Schema;

/// Takes out every field that `schema` does not know, and gives the paths of what went, sorted (`spec.tmplate`).
/// apiVersion and kind of the document and of objects inside it stay; their metadata is held against `metadata`, or left
/// alone without it.
pub fn prune(schema: &Schema, document: &mut Value, metadata: Option<&Schema>) -> Vec<String> {
    let mut gone = Vec::new();
    prune_at(schema, document, &mut String::new(), true, metadata, &mut gone);
    gone.sort();
    gone
}

fn prune_at(
    schema: &Schema,
    value: &mut Value,
    path: &mut String,
    is_object: bool,
    metadata: Option<&Schema>,
    gone: &mut Vec<String>,
) {
    match value {
        Value::Object(fields) => {
            let is_object = is_object || schema.embedded;
            let takes_all = schema.takes_all();
            fields.retain(|name, child| {
                if is_object && matches!(name.as_str(), "apiVersion" | "kind") {
                    return true;
                }
                let is_metadata = is_object && name == "metadata";
                let known = if is_metadata { metadata } else { schema.child(name) };
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                let keep = match known {
                    Some(known) => {
                        prune_at(known, child, path, false, metadata, gone);
                        true
                    }
                    None if takes_all || is_metadata => true,
                    None => {
                        gone.push(path.clone());
                        false
                    }
                };
                path.truncate(length);
                keep
            });
        }
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                for (index, item) in items.iter_mut().enumerate() {
                    let length = path.len();
                    let _ = write!(path, "[{index}]");
                    prune_at(known, item, path, false, metadata, gone);
                    path.truncate(length);
                }
            }
        }
        _ => {}
    }
}

/// Takes out `null` where it is no value, unless a default will replace it. An API server does so when it reads a
/// request, and not again after its webhooks.
pub fn drop_nulls(schema: &Schema, document: &mut Value) {
    match document {
        Value::Object(fields) => fields.retain(|name, child| {
            let Some(known) = schema.child(name) else { return true };
            if child.is_null() && !known.nullable && known.default.is_none() {
                return false;
            }
            drop_nulls(known, child);
            true
        }),
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                items.iter_mut().for_each(|item| drop_nulls(known, item));
            }
        }
        _ => {}
    }
}

/// Puts the default in wherever a field is absent, also in what a default itself brings.
pub fn apply_defaults(schema: &Schema, document: &mut Value) {
    if !schema.has_defaults {
        return;
    }
    match document {
        Value::Object(fields) => {
            for (name, known) in schema.properties.iter().filter(|(_, known)| known.has_defaults) {
                if let Some(default) = &known.default {
                    let absent = fields.get(name).is_none_or(|value| value.is_null() && !known.nullable);
                    if absent {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                if let Some(child) = fields.get_mut(name) {
                    apply_defaults(known, child);
                }
            }
            if let Some(known) = &schema.additional {
                for (name, child) in fields.iter_mut() {
                    if !schema.properties.contains_key(name) {
                        replace_null(known, child);
                        apply_defaults(known, child);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                for item in items {
                    replace_null(known, item);
                    apply_defaults(known, item);
                }
            }
        }
        _ => {}
    }
}

fn replace_null(schema: &Schema, value: &mut Value) {
    if let (true, Some(default)) = (value.is_null() && !schema.nullable, &schema.default) {
        *value = default.clone();
    }
}
