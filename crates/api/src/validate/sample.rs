//! The service that KServe's webhook renders a config's templates for, to see whether they render at all.
//!
//! It has no tracing, no adapters and no KV-cache offloading, so a template that works only with those is refused, and one
//! that works only without them is accepted.

use serde_json::{Value, json};

/// The sample, in v1alpha2.
pub fn sample_service() -> Value {
    let pod = json!({"containers": [{"name": "kserve-container"}]});
    json!({
        "apiVersion": crate::v1alpha2::API_VERSION,
        "kind": crate::v1alpha2::SERVICE_KIND,
        "metadata": {
            "name": "test-llm-preset",
            "namespace": "test-llm-preset-test",
            "labels": {
                "app.kubernetes.io/name": "test-llm-preset", "app.kubernetes.io/instance": "test-llm-preset",
                "app.kubernetes.io/component": "llm",
            },
            "annotations": {"serving.kserve.io/model-uri": "llama"},
        },
        "spec": {
            "model": {"name": "llama", "uri": "llama"},
            "replicas": 2,
            "parallelism": {"data": 4, "dataLocal": 2, "tensor": 1, "expert": true},
            "template": pod,
            "worker": pod,
            "prefill": {"replicas": 1, "parallelism": {"tensor": 1, "pipeline": 1}, "template": pod},
            "router": {
                "route": {"http": {"refs": [{"name": "custom-route"}]}},
                "gateway": {"refs": [{"name": "kserve-ingress-gateway", "namespace": "kserve"}]},
                "scheduler": {
                    "pool": {"ref": {"name": "custom-inference-pool"}},
                    "template": {"containers": [{"name": "scheduler"}]},
                },
            },
        },
    })
}
