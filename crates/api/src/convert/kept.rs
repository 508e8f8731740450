//! What the other version has no field for, kept in an annotation until the object comes back.
//!
//! The annotation holds JSON: the version the values come from, and values by JSON pointer. A value whose parent has gone
//! meanwhile, or whose place is taken, is not put back: the newer word counts. Adapters are found again by their name.

use serde_json::{Map, Value};

use crate::crd::Version;
use crate::keys;
use crate::shape::{self, Struct};

/// Takes every field out of `object` that `target` does not have, and puts it under its pointer into `lost`. Metadata is
/// not touched.
pub(super) fn take_unknown(target: &Struct, object: &mut Value, lost: &mut Map<String, Value>) {
    let unknown = shape::unknown_fields(target, object);
    for field in unknown.iter().filter(|field| !field.pointer.starts_with("/metadata")) {
        if let Some(value) = remove(object, &field.pointer) {
            let pointer = by_name(object, &field.pointer);
            lost.insert(pointer, value);
        }
    }
}

/// Writes `lost` into the annotation, together with what it keeps for the other version already.
pub(super) fn store(object: &mut Value, from: Version, lost: Map<String, Value>) {
    let mut kept = read(object);
    if !lost.is_empty() {
        kept.insert(from.as_str().to_owned(), Value::Object(lost));
    }
    if kept.is_empty() {
        if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        {
            annotations.remove(keys::CONVERSION);
        }
    } else {
        super::annotate(object, keys::CONVERSION, Value::Object(kept).to_string());
    }
}

/// Puts back what was kept for the version that `object` is in now.
pub(super) fn restore(object: &mut Value) {
    let Some(version) = object["apiVersion"].as_str().and_then(Version::of) else { return };
    let mut kept = read(object);
    let Some(values) = kept.remove(version.as_str()) else { return };
    for (pointer, value) in values.as_object().into_iter().flatten() {
        match pointer.as_str() {
            super::pool::SPEC => super::pool::leave_out(object, value),
            super::pool::PORTS => super::pool::restore_ports(object, value),
            _ => put(object, &by_index(object, pointer), value.clone()),
        }
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        if kept.is_empty() {
            annotations.remove(keys::CONVERSION);
        } else {
            annotations.insert(keys::CONVERSION.to_owned(), Value::Object(kept).to_string().into());
        }
    }
}

fn read(object: &Value) -> Map<String, Value> {
    let text =
        object["metadata"]["annotations"].get(keys::CONVERSION).and_then(Value::as_str).unwrap_or_default();
    match serde_json::from_str(text) {
        Ok(Value::Object(kept)) => kept,
        _ => Map::new(),
    }
}

fn remove(object: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    object.pointer_mut(parent)?.as_object_mut()?.remove(&unescape(name))
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.entry(unescape(name)).or_insert(value);
    }
}

/// `/spec/model/lora/adapters/1/x` → `/spec/model/lora/adapters/name=b/x`, so that it is found after a reordering. An item
/// without a name of its own keeps its index.
fn by_name(object: &Value, pointer: &str) -> String {
    walk(object, pointer, |items, step| {
        let index: usize = step.parse().ok()?;
        let name = items.get(index)?["name"]
            .as_str()
            .filter(|name| !name.is_empty() && !name.contains(['/', '~']))?;
        let is_only = items.iter().filter(|item| item["name"] == name).count() == 1;
        is_only.then(|| (format!("name={name}"), index))
    })
}

fn by_index(object: &Value, pointer: &str) -> String {
    walk(object, pointer, |items, step| {
        let name = step.strip_prefix("name=")?;
        let index = items.iter().position(|item| item["name"] == name)?;
        Some((index.to_string(), index))
    })
}

/// Rewrites the steps of a pointer that lead into lists.
fn walk(
    object: &Value,
    pointer: &str,
    rewrite: impl Fn(&[Value], &str) -> Option<(String, usize)>,
) -> String {
    let mut rewritten = String::new();
    let mut at = Some(object);
    for step in pointer.split('/').skip(1) {
        rewritten.push('/');
        match at {
            Some(Value::Array(items)) => match rewrite(items, step) {
                Some((word, index)) => {
                    rewritten.push_str(&word);
                    at = items.get(index);
                }
                None => {
                    rewritten.push_str(step);
                    at = step.parse().ok().and_then(|index: usize| items.get(index));
                }
            },
            other => {
                rewritten.push_str(step);
                at = other.and_then(|value| value.get(unescape(step)));
            }
        }
    }
    rewritten
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Keeps `value` for a later conversion back under a pointer of its own.
pub(super) fn keep(lost: &mut Map<String, Value>, pointer: &str, value: Value) {
    lost.insert(pointer.to_owned(), value);
}
