//! Services that no route leads to. On a cluster only programs inside it reach them, by the Service in front of their pods. This
//! machine has no inside, so the gateway takes their own path, `/NAMESPACE/NAME`, and picks among the same pods as it would
//! with a scheduler that the service left to its defaults.

use std::borrow::Cow;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use relay::{Backend, Filter, Match, PathMatch, PathRewrite, Rewrite, Route, Rule, Target};
use sched::Scheduler;
use serde_json::{Value, json};

use super::endpoints::Pods;
use super::watch::{Key, Seen, ServiceObject};

/// The port of the Service in front of the pods.
pub(crate) const PORT: i32 = 8000;

/// A service that no route leads to.
pub(crate) struct Unrouted<'a> {
    pub(crate) key: &'a Key,
    pub(crate) object: &'a ServiceObject,
    /// The pool that it has even so, for its scheduler: with the picker that it asks for.
    pub(crate) pool: Option<Key>,
}

/// The services that need a route from here: those that ask for none, or for one whose rules name no back-end, unless a
/// route of somebody takes their path.
pub(crate) fn unrouted<'a>(
    seen: &'a Seen,
    reached: &BTreeSet<(&str, &str)>,
    is_taken: impl Fn(&Key) -> bool,
) -> Vec<Unrouted<'a>> {
    let services = seen.inference_services.iter();
    services
        .filter(|((namespace, name), _)| !reached.contains(&(namespace.as_str(), name.as_str())))
        .filter(|(_, service)| !is_routed(&service.spec))
        .map(|(key, object)| {
            let pool = (key.0.clone(), api::names::inference_pool(&key.1));
            let exists = seen.pools.get(&pool.0, &pool.1).is_some();
            Unrouted { key, object, pool: (exists && !is_taken(&pool)).then_some(pool) }
        })
        .collect()
}

/// Name of the pool of a service without one: that of its Service.
pub(crate) fn pool_name((namespace, name): &Key) -> String {
    format!("{namespace}/{}", api::names::workload_service(name))
}

/// The Service, finding pods that the service labels otherwise. With such labels they join the pool of another service, of
/// other devices for instance; on a cluster that one alone leads to them.
pub(crate) fn with_labels_of<'a>(service: &'a Service, object: &ServiceObject) -> Cow<'a, Service> {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let given = |label: &String| object.spec["labels"][label].as_str();
    let is_other = |(label, value): (&String, &String)| given(label).is_some_and(|given| given != value);
    if !selector.is_some_and(|selector| selector.iter().any(is_other)) {
        return Cow::Borrowed(service);
    }
    let mut service = service.clone();
    for (label, value) in service.spec.iter_mut().flat_map(|spec| &mut spec.selector).flatten() {
        if let Some(given) = given(label) {
            given.clone_into(value);
        }
    }
    Cow::Owned(service)
}

/// The route to a service's pool.
pub(crate) fn route(key: &Key, pool: String, created_s: Option<i64>) -> Route {
    let (namespace, name) = key.clone();
    let path = PathMatch::Prefix(format!("/{namespace}/{name}"));
    let rewrite = Rewrite { hostname: None, path: Some(PathRewrite::Prefix("/".to_owned())) };
    let rule = Rule {
        matches: vec![Match { path, method: None, headers: Vec::new(), query: Vec::new() }],
        filters: vec![Filter::Rewrite(rewrite)],
        backends: vec![Backend { weight: 1, filters: Vec::new(), target: Target::Pool(pool) }],
        ..Rule::default()
    };
    let created_s = created_s.unwrap_or(i64::MAX);
    Route { namespace, name, created_s, hostnames: Vec::new(), rules: vec![rule] }
}

/// Whether the service has a route of its own that leads to its pods, once it is made.
fn is_routed(spec: &Value) -> bool {
    !spec["router"]["route"].is_null() && !leads_nowhere(spec)
}

/// Whether the service asks for a route of which no rule names a back-end: requests that match it get an error.
pub(crate) fn leads_nowhere(spec: &Value) -> bool {
    let leads = |rule: &Value| rule["backendRefs"].as_array().is_some_and(|backends| !backends.is_empty());
    let rules = spec["router"]["route"]["http"]["spec"]["rules"].as_array();
    rules.is_some_and(|rules| !rules.iter().any(leads))
}

/// The names that the pods of a service give the model on their command line.
pub(crate) fn names_of_engines(
    seen: &Seen,
    (namespace, name): &Key,
    object: &ServiceObject,
    pods: &Pods<'_>,
) -> Vec<String> {
    let Some(service) = seen.services.get(namespace, &api::names::workload_service(name)) else {
        return Vec::new();
    };
    let service = with_labels_of(service, object);
    let Some(selector) = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
        return Vec::new();
    };
    pods.first(namespace, selector).map(crate::model::names_of_engine).unwrap_or_default()
}

/// Whether prompts and answers of a service are computed apart.
pub(crate) fn has_stages(service: &ServiceObject) -> bool {
    service.spec.get("prefill").is_some_and(|prefill| !prefill.is_null())
}

/// Who picks for a service with stages where nobody said how.
pub(crate) fn in_stages() -> Result<Scheduler, sched::ConfigError> {
    let scorers = |filter: &str| {
        json!([
            {"pluginRef": filter}, {"pluginRef": "queue-scorer", "weight": 2},
            {"pluginRef": "kv-cache-utilization-scorer", "weight": 2}, {"pluginRef": "prefix-cache-scorer", "weight": 3},
        ])
    };
    Scheduler::from_config(&json!({
        "plugins": [
            {"type": "prefill-filter"}, {"type": "decode-filter"}, {"type": "queue-scorer"},
            {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"}, {"type": "always-disagg-pd-decider"},
            {"type": "disagg-profile-handler", "parameters": {"deciders": {"prefill": "always-disagg-pd-decider"}}},
        ],
        "schedulingProfiles": [
            {"name": "prefill", "plugins": scorers("prefill-filter")},
            {"name": "decode", "plugins": scorers("decode-filter")},
        ],
    }))
}
