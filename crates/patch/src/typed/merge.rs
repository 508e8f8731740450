//! The live value with the applied one on top.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Atom, as_list, as_map, item_step};
use crate::fields::Step;
use crate::schema::{List, ListKind, Map, Schema};

/// Both values united; where both have a leaf, the applied one wins.
pub(crate) fn merge(live: &Value, applied: &Value, schema: &Schema) -> Value {
    walk(Some(live), Some(applied), schema).unwrap_or(Value::Null)
}

fn walk(live: Option<&Value>, applied: Option<&Value>, schema: &Schema) -> Option<Value> {
    let leaf = || applied.or(live).cloned();
    let (_, atom) = Atom::of_pair(schema, live, applied);
    match atom {
        Atom::Scalar(_) => leaf(),
        Atom::List(list) => {
            let (old, new) = (as_list(live).unwrap_or_default(), as_list(applied).unwrap_or_default());
            if list.kind == ListKind::Atomic || old.is_empty() && new.is_empty() {
                return leaf();
            }
            Some(Value::Array(lists(old, new, list)))
        }
        Atom::Map(map) => {
            let (old, new) = (as_map(live), as_map(applied));
            let empty =
                |map: Option<&serde_json::Map<String, Value>>| map.is_none_or(serde_json::Map::is_empty);
            if map.atomic || empty(old) && empty(new) {
                return leaf();
            }
            Some(Value::Object(maps(old, new, map)))
        }
    }
}

fn maps(
    live: Option<&serde_json::Map<String, Value>>,
    applied: Option<&serde_json::Map<String, Value>>,
    map: &Map,
) -> serde_json::Map<String, Value> {
    let keys: BTreeSet<&String> = live.into_iter().chain(applied).flat_map(serde_json::Map::keys).collect();
    let mut out = serde_json::Map::new();
    for key in keys {
        let (old, new) = (live.and_then(|map| map.get(key)), applied.and_then(|map| map.get(key)));
        let merged = match map.child(key) {
            Some(schema) => walk(old, new, schema),
            None => new.or(old).cloned(),
        };
        out.extend(merged.map(|value| (key.clone(), value)));
    }
    out
}

/// Items of both lists. What only the live list has keeps its place before the next shared item; shared items come in
/// the applied order.
fn lists(live: &[Value], applied: &[Value], list: &List) -> Vec<Value> {
    let steps = |items: &[Value]| -> Vec<Step> {
        let step = |(index, item)| item_step(item, list).unwrap_or(Step::Index(index));
        items.iter().enumerate().map(step).collect()
    };
    let (left, right) = (steps(live), steps(applied));
    // The first of several items of one name in the live list; an applied list has no two.
    let mut live_at: BTreeMap<&Step, usize> = BTreeMap::new();
    for (index, step) in left.iter().enumerate() {
        live_at.entry(step).or_insert(index);
    }
    let applied_at: BTreeMap<&Step, usize> =
        right.iter().enumerate().map(|(index, step)| (step, index)).collect();
    let mut shared = right.iter().filter(|step| live_at.contains_key(step));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&Step> = BTreeSet::new();
    let mut out = Vec::new();
    let both = |step: &Step| {
        let old = live_at.get(step).map(|index| &live[*index]);
        walk(old, applied_at.get(step).map(|index| &applied[*index]), &list.items)
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                done.insert(&left[l]);
                out.extend(both(&left[l]));
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if applied_at.contains_key(&left[l]) && next_shared.is_some_and(|next| *next != left[l]) {
                // Shared, but another one is due first.
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !applied_at.contains_key(&left[l]) {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if done.contains(&left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            done.insert(&right[r]);
            out.extend(both(&right[r]));
            if next_shared == Some(&right[r]) {
                next_shared = shared.next();
            }
            r += 1;
        } else if l < left.len() && applied_at.contains_key(&left[l]) {
            // Nothing more was applied: what is left of the shared items has its place already.
            l += 1;
        }
    }
    out
}
