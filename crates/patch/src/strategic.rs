//! Strategic merge patch: objects merge, lists merge by key where the table says so, directives steer both.
//!
//! Directives: `$patch: replace|delete` in an object or a list item, `$deleteFromPrimitiveList/FIELD`,
//! `$setElementOrder/FIELD` and `$retainKeys`. Order of a merged list as kube-apiserver makes it: patched items keep the
//! patch's order, the others keep theirs, and an item of the base comes before a patched one only if that one is also in
//! the base and comes later there.

mod diff;
mod order;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::keys::{ListKeys, Strategic};
pub use diff::diff;

pub(crate) const PATCH: &str = "$patch";
pub(crate) const RETAIN_KEYS: &str = "$retainKeys";
pub(crate) const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
pub(crate) const SET_ORDER: &str = "$setElementOrder/";

/// Why a strategic merge patch does not apply. Texts as kube-apiserver gives them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An item of a keyed list lacks the key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item as Go prints it.
        item: String,
        /// The missing key.
        key: String,
    },
    /// `$patch` is neither `replace` nor `delete`.
    #[error("unknown patch type: {directive} in map: {item}")]
    UnknownDirective {
        /// What `$patch` says.
        directive: String,
        /// The object as Go prints it.
        item: String,
    },
    /// `$patch: merge` in a list item.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// `$deleteFromPrimitiveList`, `$setElementOrder` or `$retainKeys` holds something other than a list.
    #[error("invalid patch format of {0}")]
    Format(&'static str),
    /// The patch sets a field that its own `$retainKeys` leaves out.
    #[error("patch content doesn't match retainKeys list")]
    RetainKeys,
    /// The items come in another order than `$setElementOrder` has them.
    #[error("The order in patch list:\n{items}\n doesn't match {SET_ORDER_NAME} list:\n{order}\n")]
    Order {
        /// The items as Go prints them.
        items: String,
        /// The order as Go prints it.
        order: String,
    },
    /// A list of objects and scalars, or one that merges by key and holds scalars.
    #[error("list element types are not identical")]
    MixedList,
    /// A list is to be merged whose items have no key.
    #[error("cannot merge lists without merge key for {0}")]
    ListWithoutKey(&'static str),
    /// Both sides hold an object or list inside free-form data, which strategic merge cannot merge.
    #[error("unable to find api field in struct {type_name} for the json field {field:?}")]
    FreeForm {
        /// The Go type of the free-form data.
        type_name: &'static str,
        /// The field in it.
        field: String,
    },
    /// The patch is no object.
    #[error("expected a map, but received a {0}")]
    NotAMap(&'static str),
}

const SET_ORDER_NAME: &str = "$setElementOrder";

/// The document with the patch merged in.
///
/// # Errors
/// What the patch asks for cannot be done; see [`Error`].
pub fn apply(base: &Value, patch: &Value, keys: &'static ListKeys) -> Result<Value, Error> {
    let Value::Object(patch) = patch else { return Err(Error::NotAMap(go_type(patch))) };
    let base = match base {
        Value::Object(base) => base.clone(),
        _ => Map::new(),
    };
    merge_map(base, patch.clone(), keys).map(Value::Object)
}

fn merge_map(
    mut base: Map<String, Value>,
    mut patch: Map<String, Value>,
    keys: &'static ListKeys,
) -> Result<Map<String, Value>, Error> {
    if let Some(directive) = patch.get(PATCH) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut base, &mut patch)?;
    reorder(&mut base, &mut patch, keys)?;
    for (key, value) in patch {
        let (key, deletes) = match key.strip_prefix(DELETE_FROM) {
            Some(field) => (field.to_owned(), true),
            None => (key, false),
        };
        if value.is_null() {
            base.remove(&key);
            continue;
        }
        let Some(old) = base.get_mut(&key) else {
            if !deletes && let Some(value) = cleaned(value) {
                base.insert(key, value);
            }
            continue;
        };
        let field = keys.field(&key);
        match (old.take(), value) {
            (Value::Object(old), Value::Object(new)) => {
                free_form(keys, &key)?;
                *old_slot(&mut base, &key) = Value::Object(match field.map(|field| field.strategic) {
                    Some(Strategic::Replace) => new,
                    _ => merge_map(old, new, below(keys, &key))?,
                });
            }
            (Value::Array(old), Value::Array(new)) => {
                free_form(keys, &key)?;
                *old_slot(&mut base, &key) = Value::Array(merge_list(old, new, keys, &key, deletes)?);
            }
            (old, new) => {
                if deletes {
                    *old_slot(&mut base, &key) = old;
                } else if let Some(new) = cleaned(new) {
                    *old_slot(&mut base, &key) = new;
                } else {
                    base.remove(&key);
                }
            }
        }
    }
    Ok(base)
}

/// The place of a key that is known to be there; its value was taken to be merged.
fn old_slot<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Value {
    map.entry(key).or_insert(Value::Null)
}

/// The type below a field; maps and lists without an entry in the table hold plain objects.
fn below(keys: &'static ListKeys, key: &str) -> &'static ListKeys {
    static PLAIN: ListKeys = ListKeys { name: "object", fields: &[], atomic: false, opaque: false };
    keys.field(key).map_or(&PLAIN, |field| field.of)
}

fn free_form(keys: &'static ListKeys, key: &str) -> Result<(), Error> {
    if keys.opaque {
        return Err(Error::FreeForm { type_name: keys.name, field: key.to_owned() });
    }
    Ok(())
}

fn merge_list(
    base: Vec<Value>,
    patch: Vec<Value>,
    keys: &'static ListKeys,
    field: &str,
    deletes: bool,
) -> Result<Vec<Value>, Error> {
    let strategic = keys.field(field).map_or(Strategic::Default, |field| field.strategic);
    let key = match strategic {
        _ if deletes => return Ok(base.into_iter().filter(|item| !patch.contains(item)).collect()),
        Strategic::Default | Strategic::Replace => return Ok(clean_items(patch)),
        Strategic::Union => None,
        Strategic::By(key) => Some(key),
    };
    if base.is_empty() && patch.is_empty() {
        return Ok(base);
    }
    let Some(key) = key else {
        if base.iter().chain(&patch).any(|item| item.is_object() || item.is_array()) {
            return Err(Error::ListWithoutKey(keys.name));
        }
        let mut merged: Vec<Value> = Vec::with_capacity(base.len() + patch.len());
        for item in base.iter().chain(&patch) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(order::arrange(merged, &patch, &base, None));
    };
    if !base.iter().chain(&patch).all(Value::is_object) {
        return Err(Error::MixedList);
    }
    let (base, patch) = directed_items(base, patch, key)?;
    let mut merged = base.clone();
    for item in &patch {
        let wanted = item.get(key).ok_or_else(|| no_merge_key(item, key))?;
        match merged.iter_mut().find(|old| old.get(key) == Some(wanted)) {
            Some(old) => {
                if let (Value::Object(was), Value::Object(new)) = (old.take(), item) {
                    *old = Value::Object(merge_map(was, new.clone(), below(keys, field))?);
                }
            }
            None => merged.extend(cleaned(item.clone())),
        }
    }
    if let Some(item) = merged.iter().find(|item| item.get(key).is_none()) {
        return Err(no_merge_key(item, key));
    }
    Ok(order::arrange(merged, &patch, &base, Some(key)))
}

/// Carries out `$patch` in list items: what remains of the base, and the items that are to be merged.
fn directed_items(
    mut base: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        match item.get(PATCH) {
            None => plain.push(item),
            Some(Value::String(directive)) if directive == "delete" => {
                let wanted = item.get(key).ok_or_else(|| no_merge_key(&item, key))?;
                base.retain(|old| old.get(key) != Some(wanted));
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => return Err(Error::MergeInList),
            Some(directive) => {
                return Err(Error::UnknownDirective { directive: go(directive), item: go(&item) });
            }
        }
    }
    Ok(if replace { (plain, Vec::new()) } else { (base, plain) })
}

fn retain_keys(base: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(retained) = retained else { return Err(Error::Format("retainKeys")) };
    let kept = |key: &str| retained.iter().any(|name| name.as_str() == Some(key));
    let set = patch.iter().filter(|(key, value)| !value.is_null() && !key.starts_with('$'));
    if set.into_iter().any(|(key, _)| !kept(key)) {
        return Err(Error::RetainKeys);
    }
    base.retain(|key, _| kept(key));
    Ok(())
}

/// Merges the lists that have a `$setElementOrder` and puts them in that order.
fn reorder(
    base: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    keys: &'static ListKeys,
) -> Result<(), Error> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(wanted)) = patch.remove(&directive) else {
            return Err(Error::Format("setElementOrder list"));
        };
        let field = &directive[SET_ORDER.len()..];
        let key = match keys.field(field).map(|field| field.strategic) {
            Some(Strategic::By(key)) => Some(key),
            _ => None,
        };
        let old = match base.get(field) {
            None => None,
            Some(Value::Array(list)) => Some(list.clone()),
            Some(other) => return Err(Error::NotAMap(go_type(other))),
        };
        let new = match patch.get(field) {
            None => None,
            Some(Value::Array(list)) => Some(list.clone()),
            Some(_) => continue,
        };
        order::check(new.as_deref().unwrap_or_default(), &wanted, key)?;
        let merged = match (old.clone(), new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => clean_items(new),
            (Some(old), Some(new)) => merge_list(old, new, keys, field, false)?,
        };
        if let Some(key) = key {
            for item in merged.iter().chain(&wanted) {
                if item.get(key).is_none() {
                    return Err(no_merge_key(item, key));
                }
            }
        }
        let old = old.unwrap_or_default();
        base.insert(field.to_owned(), Value::Array(order::arrange(merged, &wanted, &old, key)));
        patch.remove(field);
    }
    Ok(())
}

/// A value that nothing in the base corresponds to: without nulls and directives. None if it carries `$patch` itself.
fn cleaned(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, value)| {
                !value.is_null()
                    && key != RETAIN_KEYS
                    && !key.starts_with(DELETE_FROM)
                    && !key.starts_with(SET_ORDER)
            });
            Some(Value::Object(kept.filter_map(|(key, value)| Some((key, cleaned(value)?))).collect()))
        }
        Value::Array(list) => Some(Value::Array(clean_items(list))),
        other => Some(other),
    }
}

fn clean_items(list: Vec<Value>) -> Vec<Value> {
    list.into_iter().filter_map(cleaned).collect()
}

fn no_merge_key(item: &Value, key: &str) -> Error {
    Error::NoMergeKey { item: go(item), key: key.to_owned() }
}

fn unknown_directive(directive: &Value, map: &Map<String, Value>) -> Error {
    Error::UnknownDirective { directive: go(directive), item: go(&Value::Object(map.clone())) }
}

/// A value as Go's `%v` prints it.
pub(crate) fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let members: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", go(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}
