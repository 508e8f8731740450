//! The strategic merge patch that turns one document into another.

use serde_json::{Map, Value, json};

use super::{DELETE_FROM, PATCH, RETAIN_KEYS, SET_ORDER, below};
use crate::keys::{ListKeys, Strategic};

/// The two-way patch from one document to another, as kubectl makes it: only what changed, nulls for what is gone,
/// `$patch: delete` for items that are gone, `$setElementOrder` for every merged list that changed, `$retainKeys` where
/// the type has that strategy. Empty if nothing changed.
#[must_use]
pub fn diff(from: &Value, to: &Value, keys: &'static ListKeys) -> Value {
    let empty = Map::new();
    let from = from.as_object().unwrap_or(&empty);
    let to = to.as_object().unwrap_or(&empty);
    Value::Object(diff_maps(from, to, keys, false))
}

fn diff_maps(
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    keys: &'static ListKeys,
    retain: bool,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, new) in to {
        let Some(old) = from.get(name) else {
            patch.insert(name.clone(), new.clone());
            continue;
        };
        if old == new {
            continue;
        }
        let field = keys.field(name);
        let strategic = field.map_or(Strategic::Default, |field| field.strategic);
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if strategic != Strategic::Replace && !keys.opaque => {
                let retain = field.is_some_and(|field| field.retain_keys);
                let inner = diff_maps(old, new, below(keys, name), retain);
                if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
            }
            (Value::Object(_), Value::Object(new_map)) if strategic != Strategic::Replace => {
                let mut replaced = new_map.clone();
                replaced.insert(PATCH.into(), json!("replace"));
                patch.insert(name.clone(), Value::Object(replaced));
            }
            (Value::Array(old), Value::Array(new)) => match strategic {
                Strategic::Union => union_lists(name, old, new, &mut patch),
                Strategic::By(key) if has_key(old, key) && has_key(new, key) => {
                    let retain = field.is_some_and(|field| field.retain_keys);
                    keyed_lists(name, old, new, (key, below(keys, name), retain), &mut patch);
                }
                _ => {
                    patch.insert(name.clone(), Value::Array(new.clone()));
                }
            },
            _ => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    if retain && !patch.is_empty() {
        let names: Vec<Value> = to.keys().map(|name| json!(name)).collect();
        patch.insert(RETAIN_KEYS.into(), Value::Array(names));
    }
    patch
}

fn union_lists(name: &str, old: &[Value], new: &[Value], patch: &mut Map<String, Value>) {
    let added: Vec<Value> = new.iter().filter(|item| !old.contains(item)).cloned().collect();
    let gone: Vec<Value> = old.iter().filter(|item| !new.contains(item)).cloned().collect();
    if !added.is_empty() {
        patch.insert(name.to_owned(), Value::Array(added));
    }
    if !gone.is_empty() {
        patch.insert(format!("{DELETE_FROM}{name}"), Value::Array(gone));
    }
    patch.insert(format!("{SET_ORDER}{name}"), Value::Array(new.to_vec()));
}

fn keyed_lists(
    name: &str,
    old: &[Value],
    new: &[Value],
    (key, of, retain): (&str, &'static ListKeys, bool),
    patch: &mut Map<String, Value>,
) {
    let find =
        |list: &[Value], wanted: &Value| list.iter().find(|item| item.get(key) == Some(wanted)).cloned();
    let mut items = Vec::new();
    for item in new {
        let Some(wanted) = item.get(key) else { continue };
        match (find(old, wanted), item) {
            (Some(Value::Object(was)), Value::Object(now)) => {
                let mut inner = diff_maps(&was, now, of, retain);
                if !inner.is_empty() {
                    inner.insert(key.to_owned(), wanted.clone());
                    items.push(Value::Object(inner));
                }
            }
            _ => items.push(item.clone()),
        }
    }
    for item in old {
        if let Some(wanted) = item.get(key)
            && find(new, wanted).is_none()
        {
            items.push(json!({PATCH: "delete", key: wanted}));
        }
    }
    if !items.is_empty() {
        patch.insert(name.to_owned(), Value::Array(items));
    }
    let order: Vec<Value> = new.iter().filter_map(|item| Some(json!({key: item.get(key)?}))).collect();
    patch.insert(format!("{SET_ORDER}{name}"), Value::Array(order));
}

fn has_key(list: &[Value], key: &str) -> bool {
    list.iter().all(|item| item.get(key).is_some())
}
