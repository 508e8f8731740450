//! The managed HTTPRoute.

use api::keys;
use kinds::gateway::{API_VERSION, HTTPRouteSpec, ParentReference};
use kinds::inference::{GROUP, OLD_GROUP};
use serde_json::{Value, json};

use super::{group, managed_scheduler, model_routing};
use crate::subject::{Labels, Subject};

/// Component of the route.
const COMPONENT: &str = "llminferenceservice-router";
/// Annotation of a route that stays with the pool's current API group.
const MIGRATED: &str = "serving.kserve.io/inference-pool-migrated";

/// Name of the managed route.
pub(crate) fn name(subject: &Subject) -> String {
    api::names::route(subject.name)
}

/// The spec of the route that we manage, if we do: the user has no routes of their own.
pub(crate) fn managed_spec<'a>(subject: &Subject<'a>) -> Option<&'a HTTPRouteSpec> {
    let http = subject.spec.router.as_ref()?.route.as_ref()?.http.as_ref()?;
    if http.refs.is_empty() { http.spec.as_ref() } else { None }
}

/// The route, if it is ours to make.
pub(crate) fn object(subject: &Subject) -> Option<Value> {
    let name = name(subject);
    let live = subject.live(API_VERSION, "HTTPRoute", &name);
    let mut spec = managed_spec(subject)?.clone();
    model_routing::apply(&mut spec, subject);
    let mut labels = subject.component_labels(COMPONENT);
    let mut annotations = Labels::new();
    if managed_scheduler(subject).is_some() {
        let migrated = is_migrated(&spec, live, subject);
        if migrated {
            annotations.insert(MIGRATED.to_owned(), "v1".to_owned());
        }
        let pool = api::names::inference_pool(subject.name);
        for backend in spec.rules.iter_mut().flat_map(|rule| &mut rule.backend_refs) {
            if backend.kind.as_deref() == Some("InferencePool") && backend.name == pool {
                backend.group = Some(if migrated { GROUP } else { OLD_GROUP }.to_owned());
            }
        }
    }
    if let Some(group) = group::name(subject) {
        labels.insert(keys::ROUTING_GROUP.to_owned(), group.to_owned());
        group::share_backends(&mut spec, subject);
    }
    let spec = serde_json::to_value(&spec).unwrap_or_default();
    Some(subject.annotated_object(
        API_VERSION,
        "HTTPRoute",
        &name,
        labels,
        annotations,
        json!({"spec": spec}),
    ))
}

/// Whether the route uses the pool's current API group. A new route begins with the older one, which more gateways
/// know; it moves once a gateway refuses that, and never back.
fn is_migrated(spec: &HTTPRouteSpec, live: Option<&Value>, subject: &Subject) -> bool {
    let Some(live) = live else { return false };
    if live["metadata"]["annotations"][MIGRATED] == "v1" {
        return true;
    }
    let pool = super::pool::name(subject);
    let uses = |group: &str| {
        live["spec"]["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten())
            .any(|backend| {
                backend["kind"] == "InferencePool"
                    && backend["name"] == pool.as_str()
                    && backend["group"] == group
            })
    };
    match support(spec, live, subject.namespace) {
        Some(true) => uses(GROUP),
        Some(false) => uses(OLD_GROUP),
        None => false,
    }
}

/// Whether the gateways know the back-ends of the live route; `None` until one has said.
fn support(spec: &HTTPRouteSpec, live: &Value, namespace: &str) -> Option<bool> {
    let mut refused = false;
    for parent in live["status"]["parents"].as_array().into_iter().flatten() {
        if spec.parent_refs.iter().all(|reference| !is_parent(reference, &parent["parentRef"], namespace)) {
            continue;
        }
        let resolved = parent["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "ResolvedRefs");
        let Some(resolved) = resolved else { continue };
        if resolved["status"] == "False" && resolved["reason"] == "InvalidKind" {
            refused = true;
        } else {
            return Some(true);
        }
    }
    refused.then_some(false)
}

/// Whether a parent that a status names is the one that a spec asks for.
pub(crate) fn is_parent(wanted: &ParentReference, reported: &Value, namespace: &str) -> bool {
    let text = |field: &str, default: &str| {
        reported[field].as_str().filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
    };
    let wanted_port = wanted.port.map(i64::from);
    wanted.name == text("name", "")
        && wanted.group.as_deref().unwrap_or(kinds::gateway::GROUP) == text("group", kinds::gateway::GROUP)
        && wanted.kind.as_deref().unwrap_or("Gateway") == text("kind", "Gateway")
        && wanted.namespace.as_deref().unwrap_or(namespace) == text("namespace", namespace)
        && wanted.section_name.as_deref().unwrap_or_default() == text("sectionName", "")
        && wanted_port == reported["port"].as_i64()
}
