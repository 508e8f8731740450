//! How long it takes to compose one service: `cargo run --release -p compose --example compose_time`.
#![allow(clippy::print_stdout, reason = "prints a figure")]

use std::sync::Arc;
use std::time::Instant;

use compose::Facts;
use kinds::Objects;
use serde_json::json;

const ROUNDS: u32 = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut objects = Objects::new();
    for name in ["a", "b", "c"] {
        objects.add_document(json!({
            "apiVersion": "serving.kserve.io/v1alpha2",
            "kind": "LLMInferenceServiceConfig",
            "metadata": {"name": name, "namespace": "team"},
            "spec": {"labels": {"layer": name}, "template": {"containers": [
                {"name": "main", "env": [{"name": name, "value": "1"}], "resources": {"limits": {"nvidia.com/gpu": "1"}}}
            ]}},
        }))?;
    }
    let service = json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": "llm", "namespace": "team"},
        "spec": {
            "model": {"uri": "hf://acme/tiny", "name": "acme/tiny"},
            "baseRefs": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
            "parallelism": {"data": 4, "dataLocal": 2, "tensor": 2, "expert": true},
            "worker": {"containers": []},
            "prefill": {"parallelism": {"data": 2, "dataLocal": 1}, "worker": {"containers": []}},
            "tracing": {},
            "router": {"route": {}, "gateway": {}, "scheduler": {"tokenizer": {}, "config": {"inline": {
                "plugins": [{"type": "predicted-latency-producer"}]
            }}}},
        },
    });
    let facts = Facts { service: Arc::new(service), objects, ..Facts::default() };
    let merged = compose::compose(&facts)?;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        compose::combine(&facts)?;
    }
    let combine = start.elapsed() / ROUNDS;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        compose::compose(&facts)?;
    }
    println!(
        "{} configs: combine {combine:?}, with validation {:?}",
        merged.applied_configs.len(),
        start.elapsed() / ROUNDS
    );
    Ok(())
}
