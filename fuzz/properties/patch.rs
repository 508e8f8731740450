//! Every form of PATCH on whatever two documents the input holds: one JSON value a line, the object and the patch.
//!
//! Nothing may panic; merge and JSON patch do what a naive model does; a diff applied gives the other document wherever it
//! can be expressed; applying the same again changes nothing.

use patch::apply::{Kind, Writer};
use patch::fields::PathSet;
use patch::{ListKeys, Schema, apply, json, keys, merge, strategic};
use serde_json::{Value, json};

pub(crate) fn hold(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n').map(serde_json::from_slice::<Value>);
    let (Some(Ok(object)), Some(Ok(patch))) = (lines.next(), lines.next()) else { return };
    merging(&object, &patch);
    operations(&object, &patch);
    by_key(&object, &patch);
    on_the_server(&object, &patch);
}

fn merging(object: &Value, patch: &Value) {
    assert_eq!(merge::apply(object, patch), merged(object, patch));
    if !has_null(patch) {
        assert_eq!(merge::apply(object, &merge::diff(object, patch)), *patch);
    }
}

/// RFC 7386, as its text puts it.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            let below = fields.get(name).cloned().unwrap_or(Value::Null);
            fields.insert(name.clone(), merged(&below, value));
        }
    }
    Value::Object(fields)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

fn operations(object: &Value, patch: &Value) {
    if let Ok(patched) = json::apply(object, patch) {
        // One after the other is the same as all at once.
        let mut at = object.clone();
        for operation in patch.as_array().into_iter().flatten() {
            match json::apply(&at, &json!([operation])) {
                Ok(next) => at = next,
                Err(error) => panic!("{operation}: {error}"),
            }
        }
        assert_eq!(at, patched);
    }
}

fn by_key(object: &Value, patch: &Value) {
    let keys = ListKeys::of_kind("apps", "Deployment");
    let _ = strategic::apply(object, patch, keys);
    let diff = strategic::diff(object, patch, keys);
    let patched = strategic::apply(object, &diff, keys);
    if object.is_object() && patch.is_object() && is_plain(object) && is_plain(patch) {
        assert_eq!(patched.as_ref(), Ok(patch), "by way of {diff}");
    }
    // Without lists a strategic merge is a merge.
    if object.is_object() && patch.is_object() && !has_special(object) && !has_special(patch) {
        assert_eq!(strategic::apply(object, patch, keys).as_ref(), Ok(&merged(object, patch)));
    }
}

/// Documents between which a diff can say everything: no nulls, no directives, and no lists but of plain values.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(_) => false,
        Value::Object(fields) => fields.iter().all(|(name, value)| !name.starts_with('$') && is_plain(value)),
        _ => true,
    }
}

fn has_special(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.starts_with('$') || has_special(value))
        }
        _ => false,
    }
}

fn on_the_server(object: &Value, patch: &Value) {
    let list_keys = ListKeys::of_kind("apps", "Deployment");
    let schema = Schema::built_in(&Value::Null, list_keys);
    let at_version =
        |value: &Value, version: &str| (version == "apps/v1").then(|| (value.clone(), schema.clone()));
    let kind = Kind {
        api_version: "apps/v1",
        schema: &schema,
        zero: &keys::zero("apps", "Deployment"),
        ignored: &PathSet::default(),
        at_version: &at_version,
    };
    let writer = Writer { manager: "fuzz", subresource: None, now: None };
    if let Ok(once) = apply::apply(Some(object), patch, &kind, &writer, true) {
        match apply::apply(Some(&once), patch, &kind, &writer, false) {
            Ok(twice) => assert_eq!(twice, once, "applied again"),
            Err(error) => panic!("applied again: {error}"),
        }
    }
    let _ = apply::update(Some(object), patch, &kind, &writer);
}
