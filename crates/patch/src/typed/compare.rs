//! How two values differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Atom, as_list, as_map, item_step, same};
use crate::fields::{PathSet, Step};
use crate::schema::{List, ListKind, Map, Schema};

/// The fields that a change touches.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: PathSet,
    pub(crate) modified: PathSet,
    pub(crate) removed: PathSet,
}

impl Comparison {
    pub(crate) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Forgets these fields and all below them.
    pub(crate) fn without(self, ignored: &PathSet) -> Self {
        Self {
            added: self.added.without(ignored),
            modified: self.modified.without(ignored),
            removed: self.removed.without(ignored),
        }
    }
}

pub(crate) fn compare(old: &Value, new: &Value, schema: &Schema) -> Comparison {
    let mut out = Comparison::default();
    walk(Some(old), Some(new), schema, &mut Vec::new(), &mut out);
    out
}

fn walk(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: &Schema,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    if old.is_none() && new.is_none() {
        return;
    }
    let (was, is) = Atom::of_pair(schema, old, new);
    let mut leaf = false;
    if !was.same_kind(&is) {
        // The value changed its kind: what the old one held is gone, what the new one holds is new.
        leaf |= step_into(old, new, was, path, out);
    }
    leaf |= step_into(old, new, is, path, out);
    if leaf {
        match (old, new) {
            (None, Some(_)) => out.added.insert(path),
            (Some(_), None) => out.removed.insert(path),
            (Some(old), Some(new)) if !same(old, new) => out.modified.insert(path),
            _ => {}
        }
    } else if old.is_none() {
        out.added.insert(path);
    } else if new.is_none() {
        out.removed.insert(path);
    }
}

/// Goes into lists and maps; true if the value is a leaf instead.
fn step_into(
    old: Option<&Value>,
    new: Option<&Value>,
    atom: Atom<'_>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) -> bool {
    match atom {
        Atom::Scalar(_) => true,
        Atom::List(list) => {
            let (old, new) = (as_list(old).unwrap_or_default(), as_list(new).unwrap_or_default());
            if list.kind == ListKind::Atomic || old.is_empty() && new.is_empty() {
                return true;
            }
            lists(old, new, list, path, out);
            false
        }
        Atom::Map(map) => {
            let (old, new) = (as_map(old), as_map(new));
            let empty =
                |map: Option<&serde_json::Map<String, Value>>| map.is_none_or(serde_json::Map::is_empty);
            if map.atomic || empty(old) && empty(new) {
                return true;
            }
            maps(old, new, map, path, out);
            false
        }
    }
}

fn maps(
    old: Option<&serde_json::Map<String, Value>>,
    new: Option<&serde_json::Map<String, Value>>,
    map: &Map,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    let keys: BTreeSet<&String> = old.into_iter().chain(new).flat_map(serde_json::Map::keys).collect();
    for key in keys {
        let Some(schema) = map.child(key) else { continue };
        path.push(Step::Field(key.clone()));
        walk(old.and_then(|map| map.get(key)), new.and_then(|map| map.get(key)), schema, path, out);
        path.pop();
    }
}

fn lists(old: &[Value], new: &[Value], list: &List, path: &mut Vec<Step>, out: &mut Comparison) {
    let mut items: BTreeMap<Step, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in old {
        if let Ok(step) = item_step(item, list) {
            items.entry(step).or_default().0.push(item);
        }
    }
    for item in new {
        if let Ok(step) = item_step(item, list) {
            items.entry(step).or_default().1.push(item);
        }
    }
    for (step, (old, new)) in items {
        path.push(step);
        match (old.as_slice(), new.as_slice()) {
            ([], [_]) | ([_], [] | [_]) => {
                walk(old.first().copied(), new.first().copied(), &list.items, path, out);
            }
            ([], _) => out.added.insert(path),
            (_, []) => out.removed.insert(path),
            (old, new) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b));
                if !equal {
                    out.modified.insert(path);
                }
            }
        }
        path.pop();
    }
}
