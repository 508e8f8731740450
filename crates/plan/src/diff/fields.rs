//! What two objects say differently, field by field.
//!
//! Lists whose items have names (containers, variables, ports) are compared by name, and a new order counts once, on the
//! list. Other lists are compared by place.

use std::collections::BTreeSet;

use kinds::quantity::canonical;
use serde_json::{Map, Value};

use super::FIELD_MANAGER;
use super::defaults::is_default;

/// A field that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// `spec.template.spec.containers[main].image`
    pub field: String,
    /// What it says now; `None` if it is not there.
    pub from: Option<Value>,
    /// What it will say; `None` if it goes.
    pub to: Option<Value>,
}

/// What is known of who wrote a part of a live object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Record<'a> {
    /// Everything is ours: what is not wanted goes.
    All,
    /// Nothing is ours: what is not wanted stays.
    Nothing,
    /// These fields are ours, as `metadata.managedFields` writes it.
    Fields(&'a Map<String, Value>),
    /// It was not recorded: what is neither wanted nor a default goes.
    Unknown,
}

impl<'a> Record<'a> {
    /// What a live object tells.
    pub(super) fn of(live: &'a Value) -> Self {
        let Some(entries) = live["metadata"]["managedFields"].as_array().filter(|all| !all.is_empty()) else {
            return Record::Unknown;
        };
        entries
            .iter()
            .find(|entry| {
                entry["manager"] == FIELD_MANAGER
                    && entry["operation"] == "Apply"
                    && entry["subresource"].as_str().unwrap_or_default().is_empty()
            })
            .and_then(|entry| entry["fieldsV1"].as_object())
            .map_or(Record::Nothing, Record::Fields)
    }

    fn field(self, name: &str) -> Self {
        self.step(|fields| fields.get(&format!("f:{name}")))
    }

    fn item(self, item: &Value) -> Self {
        self.step(|fields| {
            fields.iter().find_map(|(step, below)| {
                let matches = if let Some(value) = step.strip_prefix("v:") {
                    serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item)
                } else {
                    let key = serde_json::from_str::<Map<String, Value>>(step.strip_prefix("k:")?).ok()?;
                    key.iter().all(|(name, value)| item.get(name) == Some(value))
                };
                matches.then_some(below)
            })
        })
    }

    fn step(self, below: impl FnOnce(&'a Map<String, Value>) -> Option<&'a Value>) -> Self {
        match self {
            Record::Fields(fields) => match below(fields).and_then(Value::as_object) {
                None => Record::Nothing,
                // Owned as a whole, with the defaults that the server filled in.
                Some(below) if below.is_empty() => Record::Unknown,
                Some(below) => Record::Fields(below),
            },
            other => other,
        }
    }
}

/// The differences of a wanted object from the present one, except in its status and what the server keeps.
pub(super) fn compare(wanted: &Value, present: &Value, record: Record) -> Vec<FieldChange> {
    let kind = wanted["kind"].as_str().unwrap_or_default();
    let mut walk = Walk { kind, path: Vec::new(), found: Vec::new() };
    walk.value(wanted, present, record);
    walk.found
}

/// Whether a change is one of `field` or of something below it.
pub(super) fn is_below(change: &FieldChange, field: &str) -> bool {
    change.field.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
}

struct Walk<'k> {
    kind: &'k str,
    path: Vec<String>,
    found: Vec<FieldChange>,
}

impl Walk<'_> {
    fn value(&mut self, wanted: &Value, present: &Value, record: Record) {
        match (wanted, present) {
            (Value::Object(wanted), Value::Object(present)) => self.mapping(wanted, present, record),
            (Value::Array(wanted), Value::Array(present)) => self.list(wanted, present, record),
            (wanted, present) if self.is_same(wanted, present) => {}
            (wanted, present) => self.note(Some(present), Some(wanted)),
        }
    }

    fn mapping(&mut self, wanted: &Map<String, Value>, present: &Map<String, Value>, record: Record) {
        for (name, value) in wanted {
            if self.is_servers_own(name) {
                continue;
            }
            self.path.push(name.clone());
            match present.get(name) {
                Some(present) => self.value(value, present, record.field(name)),
                None if is_nothing(name, value) => {}
                None => self.note(None, Some(value)),
            }
            self.path.pop();
        }
        for (name, value) in present {
            if wanted.contains_key(name) || self.is_servers_own(name) || is_nothing(name, value) {
                continue;
            }
            let goes = match record {
                Record::All => true,
                Record::Nothing => false,
                Record::Fields(fields) => fields.contains_key(&format!("f:{name}")),
                Record::Unknown => {
                    !self.may_be_anothers(name) && !is_default(self.kind, &self.path, name, value, present)
                }
            };
            if goes {
                self.path.push(name.clone());
                self.note(Some(value), None);
                self.path.pop();
            }
        }
    }

    fn list(&mut self, wanted: &[Value], present: &[Value], record: Record) {
        let (Some(wanted_names), Some(present_names)) = (names(wanted), names(present)) else {
            return self.places(wanted, present, record);
        };
        let common = |names: &[String], others: &[String]| -> Vec<String> {
            names.iter().filter(|name| others.contains(name)).cloned().collect()
        };
        let order = common(&wanted_names, &present_names);
        let present_order = common(&present_names, &wanted_names);
        for (name, item) in wanted_names.iter().zip(wanted) {
            let known = present_names.iter().position(|known| known == name).map(|at| &present[at]);
            self.in_item(name, |walk| match known {
                Some(known) => walk.value(item, known, record.item(known)),
                None => walk.note(None, Some(item)),
            });
        }
        for (name, item) in present_names.iter().zip(present) {
            let goes = match record {
                Record::All => true,
                Record::Nothing => false,
                Record::Fields(_) => !matches!(record.item(item), Record::Nothing),
                // Token controllers put Secrets into accounts, and others may own an object too.
                Record::Unknown => {
                    self.kind != "ServiceAccount" && self.path.first().is_none_or(|first| first != "metadata")
                }
            };
            if goes && !wanted_names.contains(name) {
                self.in_item(name, |walk| walk.note(Some(item), None));
            }
        }
        if order != present_order {
            let list = |names: Vec<String>| Some(Value::from(names));
            let field = format!("{} (order)", self.field());
            self.found.push(FieldChange { field, from: list(present_order), to: list(order) });
        }
    }

    /// Lists without names: arguments, finalizers, rules.
    fn places(&mut self, wanted: &[Value], present: &[Value], record: Record) {
        let is_plain = |items: &[Value]| items.iter().all(|item| !item.is_object());
        if wanted.len() != present.len() || is_plain(wanted) || is_plain(present) {
            let differs = wanted.len() != present.len()
                || wanted.iter().zip(present).any(|(wanted, present)| wanted != present);
            if differs {
                let list = |items: &[Value]| Some(Value::from(items.to_vec()));
                let field = self.field();
                self.found.push(FieldChange { field, from: list(present), to: list(wanted) });
            }
            return;
        }
        for (at, (wanted, present)) in wanted.iter().zip(present).enumerate() {
            self.in_item(&at.to_string(), |walk| walk.value(wanted, present, record));
        }
    }

    fn in_item(&mut self, name: &str, then: impl FnOnce(&mut Self)) {
        self.path.push(format!("[{name}]"));
        then(self);
        self.path.pop();
    }

    fn note(&mut self, from: Option<&Value>, to: Option<&Value>) {
        let field = self.field();
        self.found.push(FieldChange { field, from: from.cloned(), to: to.cloned() });
    }

    fn field(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            if step.starts_with('[') {
                text.push_str(step);
            } else if step.contains(['.', '/']) {
                text.push_str(&format!("[{step}]"));
            } else {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(step);
            }
        }
        text
    }

    /// What nobody applies.
    fn is_servers_own(&self, name: &str) -> bool {
        match self.path.as_slice() {
            [] => name == "status",
            [metadata] if metadata == "metadata" => matches!(
                name,
                "uid"
                    | "resourceVersion"
                    | "generation"
                    | "creationTimestamp"
                    | "managedFields"
                    | "selfLink"
                    | "finalizers"
                    | "deletionTimestamp"
                    | "deletionGracePeriodSeconds"
            ),
            // A service that is only a file has no uid yet.
            [metadata, owners, _] if metadata == "metadata" && owners == "ownerReferences" => name == "uid",
            _ => name == "creationTimestamp",
        }
    }

    /// Whether two values that are not both mappings or both lists say the same.
    fn is_same(&self, wanted: &Value, present: &Value) -> bool {
        let field = self.path.last().map(String::as_str).unwrap_or_default();
        wanted == present
            || (is_nothing(field, wanted) && is_nothing(field, present))
            || (self.is_quantity() && is_same_quantity(wanted, present))
    }

    fn is_quantity(&self) -> bool {
        match self.path.as_slice() {
            [.., parent, _] if matches!(parent.as_str(), "limits" | "requests" | "capacity") => true,
            [.., field] => matches!(field.as_str(), "sizeLimit" | "averageValue"),
            [] => false,
        }
    }

    /// Fields that others may add to what we apply, where no record says who did: labels and annotations of the object,
    /// and the number of replicas, which an autoscaler sets.
    fn may_be_anothers(&self, name: &str) -> bool {
        match self.path.as_slice() {
            [metadata, map] if metadata == "metadata" => {
                matches!(map.as_str(), "labels" | "annotations") && name != api::keys::ROUTING_GROUP
            }
            [metadata] if metadata == "metadata" => matches!(name, "labels" | "annotations"),
            [spec] if spec == "spec" => name == "replicas",
            [.., annotations] if annotations == "annotations" => name.starts_with("kubectl.kubernetes.io/"),
            _ => self.kind == "ServiceAccount",
        }
    }
}

/// The names of a list's items, if each has one of its own.
fn names(items: &[Value]) -> Option<Vec<String>> {
    let name = |item: &Value| -> Option<String> {
        let text = |field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
        // Mounts of one volume differ in their path.
        text("mountPath").or_else(|| text("name"))
    };
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

/// The server writes a quantity in its own way: `1Gi` for `1024Mi`. It may also stand as a number.
fn is_same_quantity(wanted: &Value, present: &Value) -> bool {
    let amount = |value: &Value| match value {
        Value::String(text) => canonical(text).ok(),
        Value::Number(number) => canonical(&number.to_string()).ok(),
        _ => None,
    };
    amount(wanted).is_some_and(|wanted| Some(wanted) == amount(present))
}

/// Values that Go leaves out where it writes an object, so that their absence says the same.
fn is_nothing(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => {
            fields.iter().all(|(name, value)| is_nothing(name, value)) && !is_choice(field)
        }
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(false) => {
            matches!(
                field,
                "readOnly" | "hostNetwork" | "hostPID" | "hostIPC" | "stdin" | "stdinOnce" | "tty"
            )
        }
        Value::Number(number) => {
            number.as_i64() == Some(0) && matches!(field, "initialDelaySeconds" | "hostPort")
        }
        Value::Bool(true) => false,
    }
}

/// Empty mappings that say something by being there.
fn is_choice(field: &str) -> bool {
    matches!(field, "emptyDir" | "podSelector" | "namespaceSelector")
}
