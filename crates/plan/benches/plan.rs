//! How long it takes to plan a thousand services, from the merged spec to the children, and with composition before it.
//! `cargo bench -p plan` prints seconds of processor time; it fails if planning alone takes more than one.

// A bench speaks through its output.
#![allow(clippy::print_stdout)]

use std::{hint::black_box, process::ExitCode, sync::Arc};

use compose::{Facts, Merged};
use kinds::Objects;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The bound on planning all services, in seconds.
const BOUND_S: f64 = 1.0;

const SERVICES: usize = 1_000;

fn main() -> ExitCode {
    let objects = cluster();
    let facts: Vec<Facts> = (0..SERVICES).map(|number| facts(number, &objects)).collect();
    // What is made once in a process is not part of it.
    let warm: Result<Vec<Merged>, _> = facts.iter().take(4).map(compose::compose).collect();
    if let Err(error) = warm {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    let begun_s = cpu_s();
    let merged: Result<Vec<Merged>, _> = facts.iter().map(compose::compose).collect();
    let compose_s = cpu_s() - begun_s;
    let Ok(merged) = merged else {
        println!("a service does not compose");
        return ExitCode::FAILURE;
    };
    // The best of three: what else the machine does is not the plan's affair.
    let mut plan_s = f64::INFINITY;
    let mut children = 0;
    for _ in 0..3 {
        let begun_s = cpu_s();
        let plans: Vec<plan::Plan> = merged
            .iter()
            .zip(&facts)
            .map(|(merged, facts)| plan::build(black_box(merged), black_box(facts)))
            .collect();
        plan_s = plan_s.min(cpu_s() - begun_s);
        if let Some(failure) = plans.iter().find_map(|plan| plan.failure.as_ref()) {
            println!("{}", failure.message);
            return ExitCode::FAILURE;
        }
        children = plans.iter().flat_map(|plan| &plan.steps).map(|step| step.objects.len()).sum();
    }
    println!("{SERVICES} services, {children} children: plan {plan_s:.2} s, compose {compose_s:.2} s");
    if plan_s > BOUND_S {
        println!("planning takes more than {BOUND_S} s");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What this thread has used of a processor.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What a cluster shows to every service.
fn cluster() -> Objects {
    let mut objects = Objects::new();
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"}}),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "class"},
            "spec": {"controllerName": "example.com/gateway"},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
            "spec": {"gatewayClassName": "class", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
            "status": {"addresses": [{"type": "IPAddress", "value": "203.0.113.7"}]},
        }),
    ] {
        // All of them have a name and a kind.
        let _ = objects.insert(object);
    }
    objects
}

/// A service with route, gateway and picker; every fourth prefills on its own, every fourth is a group of pods.
fn facts(number: usize, objects: &Objects) -> Facts {
    let name = format!("service-{number}");
    let group = json!({"tensor": 8, "data": 16, "dataLocal": 8, "expert": true});
    let mut spec = json!({
        "model": {"uri": "hf://org/model", "name": "org/model"},
        "replicas": 2,
        "template": {"containers": [{"name": "main", "args": ["--max-model-len=32768"]}]},
        "router": {"route": {}, "gateway": {}, "scheduler": {}},
    });
    match number % 4 {
        1 => spec["prefill"] = json!({"replicas": 1}),
        2 => {
            spec["worker"] = json!({"containers": []});
            spec["parallelism"] = group;
        }
        _ => {}
    }
    let service: Value = json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": name, "namespace": "team", "uid": format!("u-{number}"), "generation": 1},
        "spec": spec,
    });
    let mut facts = Facts { service: Arc::new(service), objects: objects.clone(), ..Facts::default() };
    facts.settings.ingress.gateway_namespace = "kserve".to_owned();
    facts.settings.ingress.gateway_name = "kserve-ingress-gateway".to_owned();
    facts
}
