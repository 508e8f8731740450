//! What remains of a value without some of its fields.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Atom, item_step};
use crate::fields::{PathSet, Step};
use crate::schema::{ListKind, Schema};

/// The value without these fields. A map or list that loses all it has becomes null, which counts as absent.
pub(crate) fn remove(value: &Value, gone: &PathSet, schema: &Schema) -> Value {
    match (Atom::of(schema, value), value) {
        (Atom::Scalar(_), _) => value.clone(),
        (Atom::List(list), Value::Array(items)) if list.kind != ListKind::Atomic => {
            let mut kept = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let step = item_step(item, list).unwrap_or(Step::Index(index));
                if gone.members.contains(&step) {
                    continue;
                }
                kept.push(
                    gone.below(&step).map_or_else(|| item.clone(), |below| remove(item, below, &list.items)),
                );
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        (Atom::Map(map), Value::Object(members)) if !map.atomic => {
            let mut kept = serde_json::Map::new();
            for (key, child) in members {
                let step = Step::Field(key.clone());
                if gone.members.contains(&step) {
                    continue;
                }
                let rest = match (gone.below(&step), map.child(key)) {
                    (Some(below), Some(of)) => remove(child, below, of),
                    _ => child.clone(),
                };
                kept.insert(key.clone(), rest);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        _ => value.clone(),
    }
}

/// The set with every declared field in it that leads to a member: such fields go when all below them goes.
pub(crate) fn with_named_fields(set: &PathSet, schema: Option<&Schema>) -> PathSet {
    let atom = schema.map(|schema| {
        // A schema that leaves the kind to the value: the steps tell.
        let sample = match set.children.keys().next() {
            Some(Step::Field(_)) => Value::Object(serde_json::Map::new()),
            _ => Value::Array(Vec::new()),
        };
        Atom::of(schema, &sample)
    });
    let mut members = set.members.clone();
    let mut children = BTreeMap::new();
    for (step, child) in &set.children {
        let below = match (step, atom) {
            (Step::Field(name), Some(Atom::Map(map))) => {
                if map.fields.contains_key(name) {
                    members.insert(step.clone());
                }
                map.child(name)
            }
            (Step::Key(_), Some(Atom::List(list))) => Some(&list.items),
            _ => None,
        };
        children.insert(step.clone(), with_named_fields(child, below));
    }
    PathSet { members, children }
}
