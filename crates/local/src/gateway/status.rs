//! What a gateway reports in the status of Gateways, HTTPRoutes and InferencePools, and whether it says so already.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kinds::gateway::{Listener, ParentReference};
use kinds::inference::PoolParentStatus;
use serde_json::{Value, json};

use super::watch::{GatewayObject, Key, RouteObject, Seen};

/// A status to be written.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) kind: WishKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The object it was made from; a newer one refuses it.
    pub(crate) resource_version: String,
    /// Fields of the status that are to be replaced.
    pub(crate) status: Value,
    /// Only a count changed: it can wait until there is quiet, as each write wakes all who watch.
    pub(crate) can_wait: bool,
}

/// The kinds whose status a gateway writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WishKind {
    Gateway,
    Route,
    Pool,
    OldPool,
}

/// A condition without its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) is_true: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    pub(crate) fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { is_true: true, reason, message: message.into() }
    }

    pub(crate) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { is_true: false, reason, message: message.into() }
    }

    /// The condition, with the time of the one before it if that said the same.
    fn condition(&self, kind: &str, meta: &ObjectMeta, before: &[Condition], now: Timestamp) -> Condition {
        let status = if self.is_true { "True" } else { "False" };
        let before = before.iter().find(|condition| condition.type_ == kind && condition.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.clone(),
            observed_generation: meta.generation,
            last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
        }
    }
}

/// What one parent of a route is told.
pub(crate) struct RouteOutcome {
    pub(crate) parent: ParentReference,
    pub(crate) accepted: Verdict,
    pub(crate) resolved: Verdict,
}

/// The status of a route, if it is not the one that it has. Entries of other controllers stay.
pub(crate) fn of_route(
    route: &RouteObject,
    controller_name: &str,
    outcomes: Vec<RouteOutcome>,
    now: Timestamp,
) -> Option<Wish> {
    let present = route.status.as_ref().map(|status| status.parents.as_slice()).unwrap_or_default();
    let (ours, others): (Vec<_>, Vec<_>) =
        present.iter().partition(|parent| parent.controller_name == controller_name);
    let mut parents: Vec<Value> = others.into_iter().map(|parent| json!(parent)).collect();
    let kept = parents.len();
    let mut is_same = ours.len() == outcomes.len();
    for outcome in outcomes {
        let before = ours.iter().find(|parent| parent.parent_ref == outcome.parent);
        let known = before.map(|parent| parent.conditions.as_slice()).unwrap_or_default();
        let conditions = vec![
            outcome.accepted.condition("Accepted", &route.metadata, known, now),
            outcome.resolved.condition("ResolvedRefs", &route.metadata, known, now),
        ];
        is_same &= before.is_some_and(|before| before.conditions == conditions);
        parents.push(json!({
            "parentRef": outcome.parent, "controllerName": controller_name, "conditions": conditions,
        }));
    }
    // A route that nobody here answers for keeps a status that nobody here has written.
    let nothing_to_say = parents.len() == kept && ours.is_empty();
    if is_same || nothing_to_say {
        return None;
    }
    wish(WishKind::Route, &route.metadata, json!({ "parents": parents }), false)
}

/// What is wrong with a pool.
#[derive(Debug, Default)]
pub(crate) struct PoolTrouble {
    /// Its picker does not exist or is misconfigured.
    pub(crate) picker: Option<String>,
}

/// The status of a pool, if it is not the one that it has. Entries of other gateways stay.
pub(crate) fn of_pool(
    seen: &Seen,
    (namespace, name): &Key,
    is_old: bool,
    gateways: &BTreeSet<Key>,
    trouble: &PoolTrouble,
    controller_name: &str,
    now: Timestamp,
) -> Option<Wish> {
    let (meta, status) = if is_old {
        let pool = seen.old_pools.get(namespace, name)?;
        (&pool.metadata, pool.status.as_ref())
    } else {
        let pool = seen.pools.get(namespace, name)?;
        (&pool.metadata, pool.status.as_ref())
    };
    let accepted = Verdict::yes("Accepted", "a route that the Gateway serves leads to the pool");
    let resolved = match &trouble.picker {
        Some(words) => Verdict::no("InvalidExtensionRef", words.clone()),
        None => Verdict::yes("ResolvedRefs", "the picker's configuration is known"),
    };
    let present = status.map(|status| status.parents.as_slice()).unwrap_or_default();
    let gateway_of = |parent: &PoolParentStatus| {
        let reference = &parent.parent_ref;
        (reference.namespace.clone().unwrap_or_else(|| namespace.clone()), reference.name.clone())
    };
    // A Gateway that is here is ours; an entry of one that is not is stale, unless it is somebody else's.
    let is_ours = |parent: &&PoolParentStatus| {
        let gateway = gateway_of(parent);
        gateways.contains(&gateway) || seen.gateways.get(&gateway.0, &gateway.1).is_some()
    };
    let (ours, others): (Vec<_>, Vec<_>) = present.iter().partition(is_ours);
    let mut is_same = ours.len() == gateways.len();
    let mut parents: Vec<Value> = others.into_iter().map(|parent| json!(parent)).collect();
    for gateway in gateways {
        let before = ours.iter().find(|parent| gateway_of(parent) == *gateway);
        let known = before.map(|parent| parent.conditions.as_slice()).unwrap_or_default();
        let conditions = vec![
            accepted.condition("Accepted", meta, known, now),
            resolved.condition("ResolvedRefs", meta, known, now),
        ];
        is_same &= before.is_some_and(|before| before.conditions == conditions);
        let mut parent = json!({
            "parentRef": {
                "group": kinds::gateway::GROUP, "kind": "Gateway", "namespace": gateway.0, "name": gateway.1,
            },
            "conditions": conditions,
        });
        if !is_old {
            parent["controllerName"] = json!(controller_name);
        }
        parents.push(parent);
    }
    if is_same {
        return None;
    }
    let (kind, field) = if is_old { (WishKind::OldPool, "parent") } else { (WishKind::Pool, "parents") };
    wish(kind, meta, json!({ field: parents }), false)
}

/// The status of a Gateway, if it is not the one that it has.
pub(crate) fn of_gateway(
    gateway: &GatewayObject,
    address: SocketAddr,
    attached: impl Fn(&Listener) -> i32,
    now: Timestamp,
) -> Option<Wish> {
    let meta = &gateway.metadata;
    let present = gateway.status.as_ref();
    let known = present.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let accepted = Verdict::yes("Accepted", "the Gateway is served by this process");
    let programmed = Verdict::yes("Programmed", format!("its routes are served at {address}"));
    let conditions = vec![
        accepted.condition("Accepted", meta, known, now),
        programmed.condition("Programmed", meta, known, now),
    ];
    let addresses = json!([{ "type": "IPAddress", "value": reachable(address).to_string() }]);
    let empty = Vec::new();
    let known_listeners =
        present.and_then(|status| status.rest.get("listeners")?.as_array()).unwrap_or(&empty);
    let mut counts_differ = false;
    let mut rest_differs = known_listeners.len() != gateway.spec.listeners.len();
    let mut listeners = Vec::new();
    for listener in &gateway.spec.listeners {
        let before = known_listeners.iter().find(|known| known["name"] == listener.name.as_str());
        let known: Vec<Condition> = before
            .and_then(|before| serde_json::from_value(before["conditions"].clone()).ok())
            .unwrap_or_default();
        let verdicts = listener_verdicts(listener);
        let conditions: Vec<Condition> =
            verdicts.iter().map(|(kind, verdict)| verdict.condition(kind, meta, &known, now)).collect();
        let count = attached(listener);
        counts_differ |= before.is_none_or(|before| before["attachedRoutes"] != count);
        rest_differs |= known != conditions;
        listeners.push(json!({
            "name": listener.name,
            "attachedRoutes": count,
            "supportedKinds": [{ "group": kinds::gateway::GROUP, "kind": "HTTPRoute" }],
            "conditions": conditions,
        }));
    }
    rest_differs |=
        present.is_none_or(|status| status.conditions != conditions || json!(status.addresses) != addresses);
    if !rest_differs && !counts_differ {
        return None;
    }
    let status = json!({ "addresses": addresses, "conditions": conditions, "listeners": listeners });
    wish(WishKind::Gateway, meta, status, !rest_differs)
}

fn listener_verdicts(listener: &Listener) -> [(&'static str, Verdict); 3] {
    let (accepted, programmed) = match listener.protocol.as_str() {
        "HTTP" => (Verdict::yes("Accepted", ""), Verdict::yes("Programmed", "")),
        "HTTPS" => {
            // TLS of a Gateway ends at the edge; on this machine the edge is the loopback.
            let words = "served without TLS on this machine";
            (Verdict::yes("Accepted", words), Verdict::yes("Programmed", words))
        }
        other => {
            let words = format!("this gateway serves HTTP, not {other}");
            (Verdict::no("UnsupportedProtocol", words.clone()), Verdict::no("Invalid", words))
        }
    };
    let resolved = Verdict::yes("ResolvedRefs", "");
    [("Accepted", accepted), ("Programmed", programmed), ("ResolvedRefs", resolved)]
}

/// The address that clients on this machine use: all addresses are reached through the loopback.
fn reachable(listen: SocketAddr) -> std::net::IpAddr {
    match listen {
        SocketAddr::V4(listen) if listen.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(listen) if listen.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        listen => listen.ip(),
    }
}

fn wish(kind: WishKind, meta: &ObjectMeta, status: Value, can_wait: bool) -> Option<Wish> {
    Some(Wish {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone()?,
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        status,
        can_wait,
    })
}
