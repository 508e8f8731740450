//! What carrying out a plan would change.

use std::fmt;

use kinds::{ObjectKey, Objects};
use serde_json::Value;

use crate::Plan;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What is done.
    pub verb: Verb,
    /// To which object.
    pub key: ObjectKey,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It was not there.
    Create,
    /// It is different.
    Update,
    /// It is no longer wanted.
    Delete,
}

impl Verb {
    /// As change lists print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.key)
    }
}

/// The writes that take `live` to what `plan` wants, in the plan's order, deletions last.
///
/// An object counts as different if a field that we write has another value; what others added to it does not count.
/// Certificates are not compared: whether one is issued anew is the order's verdict.
pub fn changes(plan: &Plan, live: &Objects) -> Vec<Change> {
    let mut changes = Vec::new();
    for object in plan.steps.iter().flat_map(|step| &step.objects) {
        let Ok(key) = ObjectKey::of(object) else { continue };
        match live.get_key(&key) {
            None => changes.push(Change { verb: Verb::Create, key }),
            Some(present) if !is_contained(object, present, &mut Vec::new()) => {
                changes.push(Change { verb: Verb::Update, key });
            }
            Some(_) => {}
        }
    }
    let deletions = plan.absent.iter().filter(|key| live.contains(key));
    changes.extend(deletions.map(|key| Change { verb: Verb::Delete, key: key.clone() }));
    changes
}

/// Whether every field of `wanted` has its value in `live`. Lists must be as long; pods' lists have no fields that are
/// not ours except in their items.
fn is_contained<'w>(wanted: &'w Value, live: &Value, path: &mut Vec<&'w str>) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().all(|(name, value)| {
            if path.is_empty() && name == "status" {
                return true;
            }
            path.push(name);
            let same = match live.get(name) {
                Some(present) => is_contained(value, present, path),
                None => is_empty(value),
            };
            path.pop();
            same
        }),
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(a, b)| is_contained(a, b, path))
        }
        (wanted, live) => wanted == live || (wanted.is_null() && is_empty(live)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
