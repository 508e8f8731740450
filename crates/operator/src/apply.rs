//! Carries a plan out: server-side apply step by step, then the deletions.
//!
//! One field manager, so that what we no longer want is taken away by the API server. An object that is already as
//! wanted costs no request: the operator remembers what it last applied and what the server made of it, and what it does
//! not remember it reads off the object ([`crate::held`]).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use kinds::{ObjectKey, Objects};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use plan::{Change, Verb};
use serde_json::Value;

use crate::affected::controlling_service;
use crate::held::is_held;
use crate::stores::Stores;
use crate::watched::WATCHED;

/// How the server's message begins when a field belongs to another manager and force was not asked for.
const FIELD_CONFLICT: &str = "Apply failed with ";

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The objects as the server has them now.
    pub(crate) objects: Objects,
    /// What could not be written, and why, in the server's words.
    pub(crate) errors: Vec<(ObjectKey, ApplyError)>,
    /// What was really written, in order.
    pub(crate) changes: Vec<Change>,
}

/// Why an object is not as wanted.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ApplyError {
    /// An object of that name belongs to somebody else: rename the service or remove that object.
    #[error("it exists and is not controlled by the service")]
    NotOurs,
    /// The API does not serve the kind: install its CRD.
    #[error("no matches for kind {kind:?} in version {api_version:?}")]
    KindNotServed {
        /// Kind of the object.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// The server refused the object: correct the field it names.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// The server's reason, such as `Invalid`.
        reason: String,
        /// The server's message.
        message: String,
    },
    /// The certificate that pods would wait for cannot be issued: choose other names.
    #[error("the certificate cannot be issued: {0}")]
    Unissuable(String),
    /// The server could not be asked; it will be tried again.
    #[error("{0}")]
    Unreachable(String),
}

impl ApplyError {
    /// Whether the same write may work later without a change that a watch would tell of: a quota is raised, a webhook
    /// is back, an object without our labels is removed. KServe tries every failed write again, too.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Self::Unissuable(_))
    }
}

/// What was last applied, by object. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<HashMap<ObjectKey, Remembered>>>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Remembered {
    wanted: u64,
    live: u64,
}

impl Memory {
    fn holds(&self, key: &ObjectKey, wanted: &Value, live: &Value) -> bool {
        let remembered = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).copied();
        remembered == Some(Remembered { wanted: fingerprint(wanted), live: fingerprint(live) })
    }

    fn keep(&self, key: &ObjectKey, wanted: &Value, live: &Value) {
        let remembered = Remembered { wanted: fingerprint(wanted), live: fingerprint(live) };
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key.clone(), remembered);
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(key);
    }
}

/// Applies `steps` in order (the objects of one step together), then deletes what `absent` names and we control.
/// After a step with an error the later ones are left out, as KServe stops at its first error: a Deployment must not
/// run without the ServiceAccount it needs.
pub(crate) async fn apply(
    client: &kube::Client,
    stores: &Stores,
    memory: &Memory,
    steps: &[&[Value]],
    absent: &[ObjectKey],
) -> Applied {
    let mut applied = Applied::default();
    for step in steps {
        let outcomes = join_all(step.iter().map(|object| apply_one(client, stores, memory, object))).await;
        for (key, outcome) in outcomes.into_iter().flatten() {
            match outcome {
                Ok((object, verb)) => {
                    let _ = applied.objects.insert(object);
                    applied.changes.extend(verb.map(|verb| Change { verb, key }));
                }
                Err(error) => {
                    tracing::warn!(object = %key, %error, "not applied");
                    applied.errors.push((key, error));
                }
            }
        }
        if !applied.errors.is_empty() {
            return applied;
        }
    }
    for key in absent {
        match delete_one(client, stores, memory, key).await {
            Ok(true) => applied.changes.push(Change { verb: Verb::Delete, key: key.clone() }),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(object = %key, %error, "not deleted");
                applied.errors.push((key.clone(), error));
            }
        }
    }
    applied
}

type Outcome = Result<(Arc<Value>, Option<Verb>), ApplyError>;

async fn apply_one(
    client: &kube::Client,
    stores: &Stores,
    memory: &Memory,
    wanted: &Value,
) -> Option<(ObjectKey, Outcome)> {
    let key = ObjectKey::of(wanted).ok()?;
    let live = stores.read().get_key(&key).cloned();
    if let Some(live) = &live {
        if memory.holds(&key, wanted, live) {
            return Some((key, Ok((live.clone(), None))));
        }
        if controlling_service(wanted).is_some() && controller_uid(live) != controller_uid(wanted) {
            return Some((key, Err(ApplyError::NotOurs)));
        }
        if stores.record(&key).is_some_and(|record| is_held(wanted, live, &record)) {
            memory.keep(&key, wanted, live);
            return Some((key, Ok((live.clone(), None))));
        }
    }
    let params = PatchParams::apply(plan::FIELD_MANAGER);
    // Watches leave out what has not our labels, so what looks absent may be somebody else's. Without force the server
    // refuses to take it over.
    let params = if live.is_some() { params.force() } else { params };
    let answer = api(client, &key).patch(&key.name, &params, &Patch::Apply(wanted)).await;
    let outcome = answer.map_err(|error| refusal(error, &key)).map(|object| {
        let object = serde_json::to_value(object).unwrap_or_default();
        memory.keep(&key, wanted, &object);
        let verb = match &live {
            None => Some(Verb::Create),
            Some(live) if live["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => {
                Some(Verb::Update)
            }
            Some(_) => None,
        };
        (stores.note_written(object), verb)
    });
    Some((key, outcome))
}

/// `true` if the object was there and is on its way out.
pub(crate) async fn delete_one(
    client: &kube::Client,
    stores: &Stores,
    memory: &Memory,
    key: &ObjectKey,
) -> Result<bool, ApplyError> {
    memory.forget(key);
    let Some(live) = stores.read().get_key(key).cloned() else { return Ok(false) };
    if !live["metadata"]["deletionTimestamp"].is_null() {
        return Ok(false);
    }
    let uid = live["metadata"]["uid"].as_str().map(str::to_owned);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::background()
    };
    match api(client, key).delete(&key.name, &params).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(refusal(error, key)),
    }
}

/// The API of an object's kind.
pub(crate) fn api(client: &kube::Client, key: &ObjectKey) -> Api<DynamicObject> {
    let known = WATCHED.iter().find(|w| w.kind == key.kind && w.api_version() == key.api_version);
    let resource = known.map_or_else(
        || ApiResource::from_gvk(&GroupVersionKind::gvk(key.group(), key.version(), &key.kind)),
        |watched| watched.resource(),
    );
    match &key.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

fn controller_uid(object: &Value) -> Option<&str> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["controller"] == true)
        .and_then(|owner| owner["uid"].as_str())
}

fn refusal(error: kube::Error, key: &ObjectKey) -> ApplyError {
    match error {
        kube::Error::Api(status)
            if status.code == 404 && status.details.as_ref().is_none_or(|d| d.name.is_empty()) =>
        {
            ApplyError::KindNotServed { kind: key.kind.clone(), api_version: key.api_version.clone() }
        }
        kube::Error::Api(status) if status.code == 409 && status.message.starts_with(FIELD_CONFLICT) => {
            ApplyError::NotOurs
        }
        kube::Error::Api(status) => ApplyError::Refused {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
        },
        other => ApplyError::Unreachable(other.to_string()),
    }
}

/// A hash of what somebody could have changed: everything but the status and the server's own bookkeeping.
fn fingerprint(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Value::Object(fields) = object {
        for (name, value) in fields {
            match name.as_str() {
                "status" => {}
                "metadata" => hash_metadata(value, &mut hasher),
                _ => {
                    name.hash(&mut hasher);
                    hash_value(value, &mut hasher);
                }
            }
        }
    }
    hasher.finish()
}

fn hash_metadata(metadata: &Value, hasher: &mut DefaultHasher) {
    for (name, value) in metadata.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "resourceVersion" | "generation" | "managedFields" | "creationTimestamp")
        {
            name.hash(hasher);
            hash_value(value, hasher);
        }
    }
}

fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(b) => b.hash(hasher),
        Value::Number(n) => n.to_string().hash(hasher),
        Value::String(s) => s.hash(hasher),
        Value::Array(items) => items.iter().for_each(|item| hash_value(item, hasher)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            name.hash(hasher);
            hash_value(value, hasher);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_report_is_no_change_but_a_label_is() {
        let object = json!({"metadata": {"name": "x", "resourceVersion": "1"}, "spec": {"replicas": 1}});
        let mut reported = object.clone();
        reported["status"] = json!({"replicas": 1});
        reported["metadata"]["resourceVersion"] = json!("2");
        assert_eq!(fingerprint(&object), fingerprint(&reported));
        let mut labelled = object.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_ne!(fingerprint(&object), fingerprint(&labelled));
    }
}
