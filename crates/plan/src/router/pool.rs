//! The InferencePool, in the version of today and in the one before it.

use kinds::inference::{API_VERSION, InferencePoolSpec, OLD_API_VERSION};
use serde_json::{Value, json};

use super::{external_pool, scheduler};
use crate::subject::Subject;

/// Labels of picker, pool and all that belongs to them.
pub(crate) const COMPONENT: &str = "llminferenceservice-router-scheduler";

/// Name of the pool that the service uses.
pub(crate) fn name(subject: &Subject) -> String {
    external_pool(subject).map_or_else(|| api::names::inference_pool(subject.name), str::to_owned)
}

/// Both pools. Gateways read one or the other.
pub(crate) fn objects(subject: &Subject) -> Vec<Value> {
    let Some(spec) =
        scheduler(subject).and_then(|scheduler| scheduler.pool.as_ref()).and_then(|pool| pool.spec.as_ref())
    else {
        return Vec::new();
    };
    let name = api::names::inference_pool(subject.name);
    let labels = subject.component_labels(COMPONENT);
    let mut current = serde_json::to_value(spec).unwrap_or_default();
    default_group(&mut current);
    vec![
        subject.object(API_VERSION, "InferencePool", &name, labels.clone(), json!({"spec": current})),
        subject.object(OLD_API_VERSION, "InferencePool", &name, labels, json!({"spec": old_spec(spec)})),
    ]
}

/// What the API server would default; the older version needs it spelled out.
fn default_group(spec: &mut Value) {
    if let Some(reference) = spec.get_mut("endpointPickerRef").and_then(Value::as_object_mut) {
        reference.entry("group").or_insert_with(|| json!(""));
        reference.entry("kind").or_insert_with(|| json!("Service"));
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.entry("appProtocol").or_insert_with(|| json!("http"));
    }
}

/// The older version knows one port and a flat selector.
fn old_spec(spec: &InferencePoolSpec) -> Value {
    let reference = &spec.endpoint_picker_ref;
    let mut extension = json!({
        "group": reference.group.clone().unwrap_or_default(),
        "kind": reference.kind.clone().unwrap_or_else(|| "Service".to_owned()),
        "name": reference.name,
    });
    if let Some(port) = &reference.port {
        extension["portNumber"] = json!(port.number);
    }
    if let Some(mode) = &reference.failure_mode {
        extension["failureMode"] = json!(mode);
    }
    let mut old = json!({"selector": spec.selector.match_labels, "extensionRef": extension});
    if let Some(port) = spec.target_ports.first() {
        old["targetPortNumber"] = json!(port.number);
    }
    old
}
