//! How long a composition takes. `cargo bench -p compose` prints processor time for services of several sizes, and
//! fails if the largest, 12 presets and 3 baseRefs, takes more than the millisecond that it should in the median. What is
//! merged once for all services that share it is not part of that, but of the last line.

// A bench speaks through its output.
#![allow(clippy::print_stdout)]

use std::{borrow::Cow, hint::black_box, process::ExitCode, sync::Arc};

use api::admission::{self, Request};
use compose::{Facts, presets};
use kinds::Objects;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the median of the largest composition should be, in microseconds.
const AIM_US: f64 = 1000.0;

const BATCHES: usize = 30;
const BATCH: usize = 20;

fn main() -> ExitCode {
    let again = |what, configs, facts: Facts| (what, configs, vec![facts; BATCH]);
    let cases = [
        again("a model alone", 1, facts(small(), &[], false)),
        again("all that one service selects", 10, facts(large(), &[], false)),
        again("the same, presets as objects", 10, facts(large(), &[], true)),
        again("12 presets and 3 baseRefs", 15, facts(large(), FURTHER, false)),
        again("the same, presets as objects", 15, facts(large(), FURTHER, true)),
        ("the same, objects never seen", 15, Vec::new()),
    ];
    let mut largest = 0.0_f64;
    for (what, configs, facts) in &cases {
        match measure(facts, *configs) {
            Ok(took) => {
                let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
                println!(
                    "{what:<30} {configs:>2} configs: {:>7.1} µs (least {:>7.1}, most {:>7.1})",
                    at(0.5),
                    at(0.0),
                    at(1.0)
                );
                if !facts.is_empty() {
                    largest = largest.max(at(0.5));
                }
            }
            Err(problem) => {
                println!("{what}: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    if largest > AIM_US {
        println!("the median is above the aim of {AIM_US} µs");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Microseconds of processor time for one composition, in each of many batches, sorted. What else the machine does is not
/// its affair. Without `facts` each composition is of the largest service, with objects of its own.
fn measure(facts: &[Facts], configs: usize) -> Result<Vec<f64>, String> {
    let fresh = || (0..BATCH).map(|_| self::facts(large(), FURTHER, true)).collect::<Vec<Facts>>();
    // What is made once in a process is not part of it.
    drop(facts.first().map(compose::compose));
    let mut took = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let batch = if facts.is_empty() { Cow::Owned(fresh()) } else { Cow::Borrowed(facts) };
        let begun_us = cpu_us();
        for facts in &*batch {
            let merged = compose::compose(black_box(facts)).map_err(|error| error.to_string())?;
            if black_box(merged).applied_configs.len() != configs {
                return Err(format!("did not take {configs} configs"));
            }
        }
        took.push((cpu_us() - begun_us) / batch.len() as f64);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// What this thread has used of a processor.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// No service selects more than seven presets; these are named by it.
const FURTHER: &[&str] = &[
    "kserve-config-llm-template",
    "kserve-config-llm-decode-template",
    "kserve-config-llm-prefill-template",
    "kserve-config-llm-worker-data-parallel",
    "kserve-config-llm-worker-pipeline-parallel",
];

fn small() -> Value {
    json!({"model": {"uri": "hf://org/model", "name": "org/model"}})
}

/// Everything that brings a preset: prefill and decode in groups, router, scheduler, tokenizer, predictor, tracing.
fn large() -> Value {
    let group = json!({"tensor": 8, "data": 16, "dataLocal": 8, "expert": true});
    json!({
        "model": {"uri": "hf://org/model", "name": "org/model"},
        "replicas": 2,
        "parallelism": group,
        "template": {"containers": [{
            "name": "main",
            "args": ["--max-model-len=32768", "--enable-prefix-caching", "--block-size=64"],
            "env": [{"name": "VLLM_USE_V1", "value": "1"}, {"name": "NCCL_DEBUG", "value": "WARN"}],
        }]},
        "worker": {"containers": []},
        "prefill": {"replicas": 3, "parallelism": group, "worker": {"containers": []}},
        "router": {
            "route": {}, "gateway": {},
            "scheduler": {"tokenizer": {}, "config": {"inline": {
                "apiVersion": "inference.networking.x-k8s.io/v1alpha1",
                "kind": "EndpointPickerConfig",
                "plugins": [
                    {"type": "predicted-latency-producer"},
                    {"type": "token-producer"},
                    {"type": "queue-scorer"},
                    {"type": "max-score-picker"},
                ],
                "schedulingProfiles": [{"name": "default", "plugins": [
                    {"pluginRef": "queue-scorer"}, {"pluginRef": "max-score-picker"},
                ]}],
            }}},
        },
        "tracing": {},
        "baseRefs": [{"name": "hardware"}, {"name": "placement"}, {"name": "labels"}],
    })
}

/// What users share among services.
fn shared() -> [Value; 3] {
    let config = |name: &str, spec: Value| {
        json!({
            "apiVersion": "serving.kserve.io/v1alpha2",
            "kind": "LLMInferenceServiceConfig",
            "metadata": {"name": name, "namespace": "team"},
            "spec": spec,
        })
    };
    let resources = json!({"containers": [{"name": "main", "resources": {
        "requests": {"cpu": "16", "memory": "256Gi", "nvidia.com/gpu": "8", "rdma/ib": "1"},
        "limits": {"cpu": "16", "memory": "256Gi", "nvidia.com/gpu": "8", "rdma/ib": "1"},
    }}]});
    let placement = json!({
        "containers": [],
        "nodeSelector": {"node.example.com/pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "gpu.example.com/model", "operator": "In", "values": ["H200", "B200"]}]},
        ]}}},
    });
    [
        config(
            "hardware",
            json!({"template": resources, "worker": resources, "prefill": {"template": resources}}),
        ),
        config(
            "placement",
            json!({"template": placement, "worker": placement, "prefill": {"template": placement}}),
        ),
        config(
            "labels",
            json!({
                "labels": {"team": "search", "cost-center": "4711"},
                "annotations": {"example.com/owner": "{{ .Namespace }}/{{ .Name }}"},
            }),
        ),
    ]
}

/// A service of that spec, which also names `further` configs. With `stored` a cluster holds the presets, as it would
/// after an installation; otherwise the embedded ones stand in.
fn facts(mut spec: Value, further: &[&str], stored: bool) -> Facts {
    if let Some(refs) = spec["baseRefs"].as_array_mut() {
        let named = further.iter().map(|name| json!({"name": name}));
        refs.splice(0..0, named);
    }
    let mut objects = Objects::new();
    let presets = presets::all()
        .iter()
        .filter(|_| stored)
        .filter_map(|preset| Some(admission::admit(&preset.document, Request::default()).ok()?.object));
    for object in presets.chain(shared()) {
        // All of them have a name and a kind.
        let _ = objects.insert(object);
    }
    let service = json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": "chat", "namespace": "team", "uid": "u-1", "generation": 1},
        "spec": spec,
    });
    Facts { service: Arc::new(service), objects, ..Facts::default() }
}
