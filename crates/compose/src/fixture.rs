//! Services for tests.

use std::sync::Arc;

use kinds::Objects;
use serde_json::{Value, json};

use crate::{Facts, Merged, compose};

/// A service that says this beside its model, composed beside these objects.
pub(crate) fn composed(spec: Value, objects: Vec<Value>) -> Merged {
    let mut whole = json!({"model": {"uri": "hf://a/b", "name": "m"}});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let service = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
        "metadata": {"name": "chat", "namespace": "team"}, "spec": whole,
    });
    let objects = Objects::from_documents(objects).unwrap();
    compose(&Facts { service: Arc::new(service), objects, ..Facts::default() })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A pod whose container `main` says this.
pub(crate) fn main(part: Value) -> Value {
    let mut container = part;
    container["name"] = "main".into();
    json!({"containers": [container]})
}
