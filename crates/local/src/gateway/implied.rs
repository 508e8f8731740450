//! Services that no route leads to. On a cluster only programs inside it reach them, by the Service in front of their pods. This
//! machine has no inside, so the gateway takes their own path, `/NAMESPACE/NAME`, and picks among the same pods as it would
//! with a scheduler that the service left to its defaults.

use relay::{Backend, Filter, Match, PathMatch, PathRewrite, Rewrite, Route, Rule, Target};
use sched::Scheduler;
use serde_json::{Value, json};

use super::watch::{Key, ServiceObject};

/// The port of the Service in front of the pods.
pub(crate) const PORT: i32 = 8000;

/// Name of the pool of such a service: that of its Service.
pub(crate) fn pool_name((namespace, name): &Key) -> String {
    format!("{namespace}/{}", api::names::workload_service(name))
}

/// The route of a service that asks for none, or for one whose rules name no back-end.
pub(crate) fn route(key: &Key, service: &ServiceObject, created_s: Option<i64>) -> Option<Route> {
    if is_routed(&service.spec) {
        return None;
    }
    let (namespace, name) = key.clone();
    let path = PathMatch::Prefix(format!("/{namespace}/{name}"));
    let rewrite = Rewrite { hostname: None, path: Some(PathRewrite::Prefix("/".to_owned())) };
    let rule = Rule {
        matches: vec![Match { path, method: None, headers: Vec::new(), query: Vec::new() }],
        filters: vec![Filter::Rewrite(rewrite)],
        backends: vec![Backend { weight: 1, filters: Vec::new(), target: Target::Pool(pool_name(key)) }],
        ..Rule::default()
    };
    let created_s = created_s.unwrap_or(i64::MAX);
    Some(Route { namespace, name, created_s, hostnames: Vec::new(), rules: vec![rule] })
}

/// Whether the service has a route of its own that leads to its pods, once it is made.
fn is_routed(spec: &Value) -> bool {
    let route = &spec["router"]["route"];
    let rules = route["http"]["spec"]["rules"].as_array();
    let leads = |rule: &Value| rule["backendRefs"].as_array().is_some_and(|backends| !backends.is_empty());
    !route.is_null() && rules.is_none_or(|rules| rules.iter().any(leads))
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
