//! What a change would do before it is done: writes with their fields, pods that restart, devices that are needed.
//!
//! Two plans are compared with [`diff`], a plan and what a cluster holds with [`diff_live`]. A live object says more than
//! what was applied: defaults of the server, fields of other managers, its status. None of that is a difference.

mod defaults;
mod fields;
mod pods;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use kinds::{ObjectKey, Objects};
use serde_json::Value;

use crate::{Plan, Verdict};
use fields::Record;

pub use fields::FieldChange;
pub use pods::{Devices, Pods};

/// The owner of every field that the operator writes. It never changes: a new name would leave the old one's fields
/// behind for ever.
pub const FIELD_MANAGER: &str = "llmisvc";

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

/// `create apps/v1 Deployment team/demo-kserve`; an object without a namespace is `/NAME`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey { api_version, kind, namespace, name } = &self.key;
        let namespace = namespace.as_deref().unwrap_or_default();
        write!(f, "{} {api_version} {kind} {namespace}/{name}", self.verb.as_str())
    }
}

/// A write with what it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The write.
    pub change: Change,
    /// The fields that an update changes, in the order of the object; none for the other verbs.
    pub fields: Vec<FieldChange>,
    /// Why, where no field tells: the reason for a new certificate.
    pub reason: Option<&'static str>,
}

/// What carrying out a plan would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// The writes: certificates, then the rest in the plan's order, deletions last.
    pub writes: Vec<Write>,
    /// Objects of that name that belong to somebody else. They are left alone and the plan cannot be carried out.
    pub foreign: Vec<ObjectKey>,
    /// Workloads whose pods change in number or restart.
    pub pods: Vec<Pods>,
    /// Devices (`nvidia.com/gpu`, …) by resource name, where their number changes.
    pub devices: BTreeMap<String, Devices>,
}

impl Diff {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.foreign.is_empty()
    }
}

/// What going from one plan to another would do to a cluster that has all of the first.
pub fn diff(before: &Plan, after: &Plan) -> Diff {
    let mut present = Objects::new();
    for object in objects(before) {
        let _ = present.insert(object.clone());
    }
    let mut diff = Diff::default();
    for order in &after.certificates {
        let key = order.key();
        let old = before.certificates.iter().find(|old| old.key() == key);
        match old {
            None => diff.write(Verb::Create, key, Vec::new(), None),
            Some(old) if old.dns_names != order.dns_names || old.ip_addresses != order.ip_addresses => {
                diff.write(Verb::Update, key, Vec::new(), Some("it does not cover a name or an address"));
            }
            Some(old) => diff.compare(key, &order.secret, &old.secret, Record::All),
        }
    }
    let mut wanted = Objects::new();
    for object in objects(after) {
        let Ok(key) = ObjectKey::of(object) else { continue };
        match present.get_key(&key) {
            None => diff.write(Verb::Create, key, Vec::new(), None),
            Some(old) => diff.compare(key, object, old, Record::All),
        }
        let _ = wanted.insert(object.clone());
    }
    let orders = before.certificates.iter().map(|order| order.key());
    for key in orders.filter(|key| after.certificates.iter().all(|order| order.key() != *key)) {
        diff.write(Verb::Delete, key, Vec::new(), None);
    }
    let gone = present.iter().map(|(key, _)| key).filter(|key| !wanted.contains(key) && !is_shared(key));
    for key in gone.cloned().collect::<Vec<_>>() {
        diff.write(Verb::Delete, key, Vec::new(), None);
    }
    pods::count(&mut diff, &present, &wanted);
    diff
}

/// What carrying out a plan would do to a cluster that holds `live`. `now` decides whether a certificate is due.
///
/// Where an object's managed fields are known they tell which fields were ours and are to go. Where they are not (kubectl
/// leaves them out), a field that we do not want and that is no default of a server counts as ours.
pub fn diff_live(plan: &Plan, live: &Objects, now: Timestamp) -> Diff {
    let mut diff = Diff::default();
    for order in &plan.certificates {
        let key = order.key();
        let present = live.get_key(&key).map(|present| &**present);
        match (present, order.verdict_of_dump(present, now)) {
            (None, _) => diff.write(Verb::Create, key, Vec::new(), None),
            (Some(present), _) if !is_ours(&order.secret, present) => diff.foreign.push(key),
            (Some(_), Verdict::Issue(reason)) => diff.write(Verb::Update, key, Vec::new(), Some(reason)),
            (Some(present), Verdict::Keep) => {
                diff.compare(key, &order.keeping(present), present, Record::of(present));
            }
        }
    }
    // What stays as it is counts for the devices as well as what is written.
    let mut before = Objects::new();
    let mut after = Objects::new();
    for wanted in objects(plan) {
        let Ok(key) = ObjectKey::of(wanted) else { continue };
        let _ = after.insert(wanted.clone());
        let Some(present) = live.get_key(&key) else {
            diff.write(Verb::Create, key, Vec::new(), None);
            continue;
        };
        let _ = before.insert(present.clone());
        if is_ours(wanted, present) {
            diff.compare(key, wanted, present, Record::of(present));
        } else {
            diff.foreign.push(key);
        }
    }
    for key in &plan.absent {
        let Some(present) = live.get_key(key) else { continue };
        if present["metadata"]["deletionTimestamp"].is_null() {
            let _ = before.insert(present.clone());
            diff.write(Verb::Delete, key.clone(), Vec::new(), None);
        }
    }
    pods::count(&mut diff, &before, &after);
    diff
}

impl Diff {
    fn write(&mut self, verb: Verb, key: ObjectKey, fields: Vec<FieldChange>, reason: Option<&'static str>) {
        self.writes.push(Write { change: Change { verb, key }, fields, reason });
    }

    fn compare(&mut self, key: ObjectKey, wanted: &Value, present: &Value, record: Record) {
        let fields = fields::compare(wanted, present, record);
        if !fields.is_empty() {
            self.write(Verb::Update, key, fields, None);
        }
    }
}

fn objects(plan: &Plan) -> impl Iterator<Item = &Value> {
    plan.steps.iter().flat_map(|step| &step.objects)
}

/// The bundle of authorities belongs to the namespace and stays.
fn is_shared(key: &ObjectKey) -> bool {
    key.kind == "ConfigMap"
}

/// Whether the operator may write `present`: it has the controller that `wanted` has, if that has one. Without a uid, as
/// in a service that is only a file, the name has to do.
fn is_ours(wanted: &Value, present: &Value) -> bool {
    let controller = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().find(|owner| owner["controller"] == true).cloned()
    };
    let Some(wanted) = controller(wanted) else { return true };
    controller(present).is_some_and(|present| {
        present["kind"] == wanted["kind"]
            && present["name"] == wanted["name"]
            && (wanted["uid"] == "" || present["uid"] == wanted["uid"])
    })
}
