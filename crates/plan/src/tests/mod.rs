//! Plans and judgements of small services, with the embedded presets.

mod addresses;
mod certificates;
mod changes;
mod children;
mod configs;
mod edits;
mod facts;
mod groups;
mod patterns;
mod properties;
mod routing;
mod scaling;
mod statuses;

use std::sync::Arc;

use compose::{Facts, Settings};
use kinds::Objects;
use serde_json::{Value, json};

use crate::{Plan, build};

/// A service of that name and spec.
fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["model"].is_null() {
        spec["model"] = json!({"uri": "hf://org/tiny", "name": "org/tiny"});
    }
    if spec["model"]["name"].is_null() {
        // Admission does the same.
        spec["model"]["name"] = json!(name);
    }
    json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": name, "namespace": "team", "uid": "u-1", "generation": 1},
        "spec": spec,
    })
}

/// A route, the default gateway and a picker of our own.
fn routed() -> Value {
    json!({"route": {}, "gateway": {}, "scheduler": {}})
}

/// What a cluster with one gateway shows of a service, and `objects` besides.
fn facts(service: Value, objects: &[Value]) -> Facts {
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"}}),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "class"},
            "spec": {"controllerName": "example.com/gateway"},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
            "spec": {
                "gatewayClassName": "class",
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
            "status": {"addresses": [{"type": "IPAddress", "value": "203.0.113.7"}]},
        }),
    ];
    all.extend(objects.iter().cloned());
    let objects = Objects::from_documents(all).unwrap();
    let mut settings = Settings::default();
    settings.ingress.gateway_namespace = "kserve".to_owned();
    settings.ingress.gateway_name = "kserve-ingress-gateway".to_owned();
    Facts { service: Arc::new(service), objects, settings, ..Facts::default() }
}

fn plan(facts: &Facts) -> Plan {
    build(&compose::compose(facts).unwrap(), facts)
}

/// The facts of a cluster in which the plan was carried out.
fn carried_out(facts: &Facts, plan: &Plan) -> Facts {
    let mut after = facts.clone();
    for key in &plan.absent {
        after.objects.remove(key);
    }
    for order in &plan.certificates {
        after.objects.insert(order.secret.clone()).unwrap();
    }
    for object in plan.steps.iter().flat_map(|step| &step.objects) {
        after.objects.insert(object.clone()).unwrap();
    }
    after
}

fn find<'p>(plan: &'p Plan, kind: &str, name: &str) -> &'p Value {
    objects(plan)
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name} among {:?}", keys(plan)))
}

fn objects(plan: &Plan) -> impl Iterator<Item = &Value> {
    plan.steps.iter().flat_map(|step| &step.objects)
}

fn keys(plan: &Plan) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    objects(plan)
        .map(|object| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])))
        .collect()
}

fn pod(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]
}

fn container<'p>(pod: &'p Value, list: &str, name: &str) -> &'p Value {
    pod[list]
        .as_array()
        .into_iter()
        .flatten()
        .find(|container| container["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {}", pod[list]))
}
