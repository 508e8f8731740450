//! What a phase of a case came to.

use std::collections::BTreeMap;

use kinds::ObjectKey;
use serde_json::{Value, json};

use super::refusals::Refused;
use crate::golden::difference::leaves;
use crate::golden::document::normal;
use crate::golden::mends::{Fact, text};
use crate::golden::path_of;

/// What is there at the end of a phase, and what was done in it. Documents are in the recordings' form.
#[derive(Default)]
pub(super) struct State {
    /// Every child as it was last built, before an API server's defaults.
    pub(super) children: BTreeMap<ObjectKey, Value>,
    /// Status of every service and config.
    pub(super) statuses: Vec<Value>,
    /// Events of each service, in order, each once: `type`, `reason`, `message`.
    pub(super) events: Vec<(String, Vec<Value>)>,
    /// What the certificate Secrets say.
    pub(super) certificates: Vec<Value>,
    /// The writes: `create KEY`, `update KEY`, `delete KEY`.
    pub(super) changes: Vec<String>,
    /// Objects after a real update, with an API server's defaults; `None` where there is no API server.
    pub(super) updated: Option<Vec<Value>>,
    /// The services as stored.
    pub(super) stored: Vec<Value>,
    /// The spec of each service after presets, baseRefs and templates; `None` where it cannot be seen.
    pub(super) merged: Option<Vec<Value>>,
    /// What was refused.
    pub(super) refused: Vec<Refused>,
    /// What rules over differences may ask about.
    pub(super) facts: Vec<Fact>,
}

/// A key as lists of changes print it: objects without a namespace begin with a slash.
pub(super) fn listed(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{} {} {namespace}/{}", key.api_version, key.kind, key.name)
}

/// The recorded controller had put its finalizer on, and so written the service back, when it was looked at.
pub(super) fn finalized(service: &Value) -> Value {
    let mut service = api::admission::written_back(service);
    service["metadata"]["finalizers"] = json!([api::keys::SERVICE_FINALIZER]);
    service
}

/// An object's status alone.
pub(super) fn report_of(object: &Value, status: Value) -> Value {
    normal(json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": {"name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"]},
        "status": status,
    }))
}

/// Adds what a document says, leaf by leaf, as `apiVersion/kind/namespace/name.field.path=value`.
pub(super) fn add_facts(prefix: &str, document: &Value, facts: &mut Vec<Fact>) {
    let Ok(key) = ObjectKey::of(document) else { return };
    let service = (key.kind == "LLMInferenceService").then(|| key.name.clone());
    let path = format!("{prefix}{}", path_of(&key));
    leaves(document, &path, &mut |path, leaf| {
        facts.push(Fact { service: service.clone(), line: format!("{path}={}", text(Some(leaf))) });
    });
}
