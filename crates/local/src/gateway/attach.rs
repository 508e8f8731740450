//! Which Gateways and listeners take a route, and for which host names.

use kinds::gateway::{Listener, ParentReference};
use serde_json::Value;

use super::status::Verdict;
use super::watch::{GatewayObject, Key, Seen};

/// The Gateway that a parent reference means; `None` for other kinds and for a Gateway that does not exist, of which
/// nobody reports.
pub(crate) fn parent_gateway<'a>(
    seen: &'a Seen,
    parent: &ParentReference,
    route_namespace: &str,
) -> Option<(Key, &'a GatewayObject)> {
    let is_gateway = parent.kind.as_deref().is_none_or(|kind| kind == "Gateway")
        && parent.group.as_deref().is_none_or(|group| group == kinds::gateway::GROUP);
    let namespace = parent.namespace.as_deref().unwrap_or(route_namespace);
    let gateway = seen.gateways.get(namespace, &parent.name).filter(|_| is_gateway)?;
    Some(((namespace.to_owned(), parent.name.clone()), gateway))
}

/// The part of a Gateway that a route is served at.
pub(crate) struct Attachment {
    /// Names of the listeners.
    pub(crate) listeners: Vec<String>,
    /// Empty: every host.
    pub(crate) hostnames: Vec<String>,
}

/// The listeners of a Gateway that take a route.
pub(crate) fn attach(
    gateway: &GatewayObject,
    gateway_key: &Key,
    parent: &ParentReference,
    route_namespace: &str,
    route_hosts: &[String],
) -> Result<Attachment, Verdict> {
    let meant: Vec<&Listener> = gateway
        .spec
        .listeners
        .iter()
        .filter(|listener| parent.section_name.as_ref().is_none_or(|section| *section == listener.name))
        .filter(|listener| parent.port.is_none_or(|port| port == listener.port))
        .collect();
    if meant.is_empty() {
        let names: Vec<&str> = gateway.spec.listeners.iter().map(|listener| listener.name.as_str()).collect();
        let words = format!("the Gateway has no such listener, only {}", names.join(", "));
        return Err(Verdict::no("NoMatchingParent", words));
    }
    let allowed: Vec<&Listener> =
        meant.into_iter().filter(|listener| allows(listener, &gateway_key.0, route_namespace)).collect();
    if allowed.is_empty() {
        let words = format!("no listener of the Gateway takes routes of namespace {route_namespace}");
        return Err(Verdict::no("NotAllowedByListeners", words));
    }
    let mut attachment = Attachment { listeners: Vec::new(), hostnames: Vec::new() };
    let mut takes_any_host = false;
    for listener in allowed {
        let hosts = match listener.hostname.as_deref().filter(|host| !host.is_empty()) {
            None if route_hosts.is_empty() => {
                takes_any_host = true;
                Vec::new()
            }
            None => route_hosts.to_vec(),
            Some(listens) if route_hosts.is_empty() => vec![listens.to_owned()],
            Some(listens) => route_hosts.iter().filter_map(|host| intersection(listens, host)).collect(),
        };
        if takes_any_host || !hosts.is_empty() {
            attachment.listeners.push(listener.name.clone());
            attachment.hostnames.extend(hosts.into_iter().map(|host| host.to_ascii_lowercase()));
        }
    }
    if attachment.listeners.is_empty() {
        let words = "no listener of the Gateway has one of the route's host names".to_owned();
        return Err(Verdict::no("NoMatchingListenerHostname", words));
    }
    if takes_any_host {
        attachment.hostnames.clear();
    }
    Ok(attachment)
}

/// `allowedRoutes.namespaces.from`: `Same` when absent. A selector is taken to select: this machine is one tenant's.
fn allows(listener: &Listener, gateway_namespace: &str, route_namespace: &str) -> bool {
    let from = listener.rest.get("allowedRoutes").and_then(|allowed| allowed.pointer("/namespaces/from"));
    match from.and_then(Value::as_str).unwrap_or("Same") {
        "All" | "Selector" => true,
        "Same" => gateway_namespace == route_namespace,
        _ => false,
    }
}

/// What two host names, each perhaps with `*.` before it, have in common.
fn intersection(a: &str, b: &str) -> Option<String> {
    let covers = |wide: &str, host: &str| match wide.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => wide == host,
    };
    if covers(a, b) || a == b {
        Some(b.to_owned())
    } else if covers(b, a) {
        Some(a.to_owned())
    } else {
        None
    }
}
