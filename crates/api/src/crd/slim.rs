//! Takes out of a schema what does not fit into an annotation. What is taken out is still checked: by the webhook, against
//! the full schema.

use serde_json::{Value, json};

use super::Version;

/// Parts of a container whose inside is left to the webhook.
const CONTAINER_PARTS: [&str; 5] =
    ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "securityContext"];

pub(super) fn slim(schema: &mut Value, version: Version) {
    let Some(spec) = schema.pointer_mut("/properties/spec") else { return };
    for pointer in [
        "/properties/template",
        "/properties/worker",
        "/properties/prefill/properties/template",
        "/properties/prefill/properties/worker",
        "/properties/router/properties/scheduler/properties/template",
        "/properties/router/properties/scheduler/properties/tokenizer/properties/template",
    ] {
        if let Some(pod) = spec.pointer_mut(pointer) {
            match version {
                Version::V1alpha1 => open(pod),
                Version::V1alpha2 => slim_pod(pod),
            }
        }
    }
    if version == Version::V1alpha1
        && let Some(route) =
            spec.pointer_mut("/properties/router/properties/route/properties/http/properties/spec")
    {
        open(route);
    }
}

fn slim_pod(pod: &mut Value) {
    for name in ["affinity", "securityContext"] {
        if let Some(part) = pod.pointer_mut(&format!("/properties/{name}")) {
            open(part);
        }
    }
    for name in ["containers", "initContainers"] {
        for part in CONTAINER_PARTS {
            if let Some(part) = pod.pointer_mut(&format!("/properties/{name}/items/properties/{part}")) {
                open(part);
            }
        }
    }
    if let Some(container) = pod.pointer_mut("/properties/ephemeralContainers/items") {
        *container = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}},
            "x-kubernetes-preserve-unknown-fields": true});
    }
    if let Some(sources) =
        pod.pointer_mut("/properties/volumes/items/properties").and_then(Value::as_object_mut)
    {
        sources.iter_mut().filter(|(name, _)| *name != "name").for_each(|(_, source)| open(source));
    }
}

/// Lets anything of the same type stand there.
fn open(node: &mut Value) {
    *node = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
}
