//! The Service in front of the pods that receive requests.

use serde_json::{Value, json};

use super::COMPONENT;
use super::pod::spec_annotations;
use crate::subject::{SERVING_PORT, Subject};

/// The Service. It selects prefill pods too, as the pool does: the picker tells them apart.
pub(crate) fn object(subject: &Subject) -> Value {
    let scheme = if subject.tls() { "https" } else { "http" };
    let mut labels = subject.component_labels(COMPONENT);
    labels.extend(subject.workload().labels.clone());
    subject.annotated_object(
        "v1",
        "Service",
        &api::names::workload_service(subject.name),
        labels,
        spec_annotations(subject.workload()),
        json!({"spec": {
            "type": "ClusterIP",
            "selector": subject.serving_selector(),
            "ports": [{
                "name": scheme,
                "appProtocol": scheme,
                "port": SERVING_PORT,
                "protocol": "TCP",
                "targetPort": SERVING_PORT,
            }],
        }}),
    )
}
