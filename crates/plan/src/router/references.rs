//! Whether what the route refers to exists.

use kinds::gateway::API_VERSION;
use serde_json::Value;

use super::{route, route_refs};
use crate::subject::Subject;

/// A reference to something that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The condition that says so.
    pub(crate) condition: &'static str,
    /// All of the missing things of that condition.
    pub(crate) message: String,
}

/// The first kind of reference that does not hold.
pub(crate) fn missing(subject: &Subject) -> Option<Missing> {
    let router = subject.spec.router.as_ref()?;
    let gateways = router.gateway.iter().flat_map(|gateway| &gateway.refs).filter_map(|reference| {
        let namespace =
            Some(reference.namespace.as_str()).filter(|text| !text.is_empty()).unwrap_or(subject.namespace);
        missing_gateway(subject, namespace, &reference.name)
            .map(|gateway| format!("Gateway {gateway} does not exist"))
    });
    if let Some(missing) = join("GatewaysReady", gateways) {
        return Some(missing);
    }
    let routes = route_refs(router).filter(|name| subject.live(API_VERSION, "HTTPRoute", name).is_none());
    let routes = routes.map(|name| format!("HTTPRoute {}/{name} does not exist", subject.namespace));
    if let Some(missing) = join("HTTPRoutesReady", routes) {
        return Some(missing);
    }
    if let Some(spec) = route::managed_spec(subject) {
        let parents = spec.parent_refs.iter().filter_map(|parent| {
            let namespace = parent.namespace.as_deref().unwrap_or(subject.namespace);
            missing_gateway(subject, namespace, &parent.name)
                .map(|gateway| format!("Managed HTTPRoute references non-existent Gateway {gateway}"))
        });
        if let Some(missing) = join("HTTPRoutesReady", parents) {
            return Some(missing);
        }
    }
    let targets = route_refs(router).filter_map(|name| {
        let referenced = subject.live(API_VERSION, "HTTPRoute", name)?;
        let route = format!("{}/{name}", subject.namespace);
        let parents = referenced["spec"]["parentRefs"].as_array().map(Vec::as_slice).unwrap_or_default();
        if parents.is_empty() {
            return Some(format!("HTTPRoute {route} has no parent gateway references"));
        }
        parents.iter().find_map(|parent| {
            let namespace = parent["namespace"].as_str().unwrap_or(subject.namespace);
            missing_gateway(subject, namespace, parent["name"].as_str().unwrap_or_default())
                .map(|gateway| format!("HTTPRoute {route} references non-existent Gateway {gateway}"))
        })
    });
    join("HTTPRoutesReady", targets).map(|missing| Missing {
        message: format!("HTTPRoute target validation failed: {}", missing.message),
        ..missing
    })
}

fn missing_gateway(subject: &Subject, namespace: &str, name: &str) -> Option<String> {
    let found: Option<&Value> =
        subject.facts.objects.get(API_VERSION, "Gateway", Some(namespace), name).map(|gateway| &**gateway);
    found.is_none().then(|| format!("{namespace}/{name}"))
}

fn join(condition: &'static str, messages: impl Iterator<Item = String>) -> Option<Missing> {
    let messages: Vec<String> = messages.collect();
    (!messages.is_empty()).then(|| Missing { condition, message: messages.join("; ") })
}
