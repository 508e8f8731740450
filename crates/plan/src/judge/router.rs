//! Conditions of route, gateways, pool, picker and tokenizer, and where clients reach the service.

use std::collections::{BTreeMap, BTreeSet};

use api::v1alpha2::{
    BackendReference, GatewayStatus, GroupMemberStatus, GroupStatus, LLMInferenceServiceStatus,
    ListenerStatus, ObjectReference, RouterStatus, SchedulerStatus,
};
use kinds::gateway::{API_VERSION, GROUP, HTTPBackendRef, HTTPRouteSpec, ParentReference};
use kinds::inference;
use serde_json::Value;

use super::conditions::{Ledger, names};
use super::workloads::{conditions, explained, is_outdated, is_stale, mark, rollout_verdict};
use super::{Sight, urls};
use crate::router::{
    external_pool, group, managed_scheduler, picker, pool, route, route_refs, scheduler, tokenizer,
};
use crate::subject::Subject;
use crate::{Failure, Part};

/// Words of a pool or gateway that has not answered yet.
const ROLLING_OUT: &str = "Deployment rollout in progress";

/// A route that leads to the service.
pub(super) struct Route<'a> {
    pub(super) name: String,
    pub(super) spec: HTTPRouteSpec,
    live: Option<&'a Value>,
}

/// `RouterReady` from its parts.
pub(super) fn roll_up(ledger: &mut Ledger) {
    ledger.roll_up(names::ROUTER_READY, &names::ROUTER);
}

/// Marks the router's conditions and fills in addresses. `false` if the pass ends here.
pub(super) fn judge(
    subject: &Subject,
    sight: Sight,
    ledger: &mut Ledger,
    status: &mut LLMInferenceServiceStatus,
    failure: Option<&Failure>,
) -> bool {
    let failure_of = |part: Part| failure.filter(|failure| failure.part == part);
    if let Some(failure) = failure_of(Part::Scheduler) {
        if failure.reason == "RefsInvalid" {
            if failure.condition != names::GATEWAYS_READY {
                ledger.clear(names::GATEWAYS_READY);
            }
        } else {
            ledger.clear(names::GATEWAYS_READY);
            ledger.clear(names::HTTP_ROUTES_READY);
        }
        ledger.mark_false(&failure.condition, &failure.reason, &failure.message);
        return false;
    }
    ledger.clear(names::GATEWAYS_READY);
    ledger.clear(names::HTTP_ROUTES_READY);
    judge_picker(subject, sight, ledger);
    let routes = routes(subject, sight);
    let discovered = match failure_of(Part::Route) {
        Some(failure) => Err(failure.message.clone()),
        None => discover(subject, sight, &routes, status),
    };
    if let Err(message) = discovered {
        ledger.mark_false(names::HTTP_ROUTES_READY, "HTTPRouteReconcileError", &message);
        return false;
    }
    judge_group(subject, ledger, status);
    judge_pool(subject, sight, ledger, &routes) && {
        if let Some(router) = &mut status.router {
            router.scheduler = scheduler_status(subject);
        }
        judge_gateways(subject, sight, ledger, &routes);
        judge_routes(subject, ledger, &routes);
        true
    }
}

fn judge_picker(subject: &Subject, sight: Sight, ledger: &mut Ledger) {
    let parts = [
        (
            names::SCHEDULER_WORKLOAD_READY,
            managed_scheduler(subject).map(|_| picker::deployment_name(subject)),
            pool::COMPONENT,
        ),
        (
            names::TOKENIZER_READY,
            tokenizer::is_wanted(subject).then(|| tokenizer::name(subject)),
            tokenizer::COMPONENT,
        ),
    ];
    for (condition, name, component) in parts {
        let Some(name) = name else {
            ledger.clear(condition);
            continue;
        };
        let live = sight.get("apps/v1", "Deployment", Some(subject.namespace), &name);
        // Standby pickers are never ready, so one that answers is enough.
        let present = live.filter(|live| !is_outdated(live));
        let available =
            present.and_then(|live| live["status"]["availableReplicas"].as_i64()).unwrap_or(0) > 0;
        let verdict = if available { Ok(()) } else { rollout_verdict(live, ROLLING_OUT) };
        mark(ledger, condition, explained(verdict, subject, sight, &[component]));
    }
}

/// The routes in use: ours, or those that the user named.
fn routes<'a>(subject: &Subject, sight: Sight<'a>) -> Vec<Route<'a>> {
    let find = |name: &str| sight.get(API_VERSION, "HTTPRoute", Some(subject.namespace), name);
    let Some(router) = &subject.spec.router else { return Vec::new() };
    if let Some(spec) = route::managed_spec(subject) {
        let name = route::name(subject);
        let live = find(&name);
        let spec = live.and_then(parsed_spec).unwrap_or_else(|| spec.clone());
        return vec![Route { name, spec, live }];
    }
    route_refs(router)
        .filter_map(|name| {
            let live = find(name)?;
            Some(Route { name: name.to_owned(), spec: parsed_spec(live)?, live: Some(live) })
        })
        .collect()
}

fn parsed_spec(route: &Value) -> Option<HTTPRouteSpec> {
    serde_json::from_value(route.get("spec")?.clone()).ok()
}

/// URL, addresses and gateways. An error is the message of `HTTPRoutesReady`.
fn discover(
    subject: &Subject,
    sight: Sight,
    routes: &[Route],
    status: &mut LLMInferenceServiceStatus,
) -> Result<(), String> {
    if routes.is_empty() {
        status.router = None;
        status.addresses = vec![urls::internal_address(subject)];
        return Ok(());
    }
    let mut found = Vec::new();
    for route in routes {
        urls::discover(subject, sight, route, &mut found).map_err(|error| {
            format!(
                "Failed to reconcile HTTPRoute: failed to discover URL for route {}/{}: {error}",
                subject.namespace, route.name
            )
        })?;
    }
    status.url = urls::preferred(subject, &found);
    status.addresses = urls::addresses(subject, &found);
    let mut gateways: BTreeMap<(String, String), (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for route in routes {
        for parent in &route.spec.parent_refs {
            let entry = gateways.entry(gateway_key(parent, subject.namespace)).or_default();
            entry.0.extend(parent.section_name.clone().filter(|name| !name.is_empty()));
            entry.1.insert(route.name.clone());
        }
    }
    let reference = |kind: &str, namespace: &str, name: &str| ObjectReference {
        group: GROUP.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
    };
    status.router = Some(RouterStatus {
        gateways: gateways
            .iter()
            .map(|((namespace, name), (listeners, routes))| GatewayStatus {
                gateway: reference("Gateway", namespace, name),
                listeners: listeners.iter().map(|name| ListenerStatus { name: name.clone() }).collect(),
                http_routes: routes
                    .iter()
                    .map(|name| reference("HTTPRoute", subject.namespace, name))
                    .collect(),
            })
            .collect(),
        scheduler: None,
        group: None,
    });
    Ok(())
}

fn scheduler_status(subject: &Subject) -> Option<SchedulerStatus> {
    scheduler(subject)?;
    let reference = |group: &str, kind: &str, name: String| ObjectReference {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name,
        namespace: None,
    };
    Some(SchedulerStatus {
        inference_pool: Some(reference(inference::GROUP, "InferencePool", pool::name(subject))),
        service: Some(reference("", "Service", picker::service_name(subject))),
    })
}

/// Namespace and name of a parent.
pub(super) fn gateway_key(parent: &ParentReference, namespace: &str) -> (String, String) {
    let namespace = parent.namespace.as_deref().filter(|text| !text.is_empty()).unwrap_or(namespace);
    (namespace.to_owned(), parent.name.clone())
}

fn judge_group(subject: &Subject, ledger: &mut Ledger, status: &mut LLMInferenceServiceStatus) {
    let Some(name) = group::name(subject) else {
        ledger.clear(names::GROUP_READY);
        ledger.clear(names::GROUP_DEGRADED);
        return;
    };
    let members = group::members(subject);
    if let Some(router) = &mut status.router {
        router.group = Some(GroupStatus {
            name: name.to_owned(),
            members: group::matching(subject, &members)
                .into_iter()
                .map(|member| GroupMemberStatus {
                    name: member.name,
                    weight: member.weight,
                    stopped: member.stopped,
                    backend_ref: Some(backend(member.backend)),
                })
                .collect(),
        });
    }
    ledger.mark_true(names::GROUP_READY);
    match group::divergence(subject, &members) {
        Some(message) => ledger.mark_true_because(names::GROUP_DEGRADED, "MemberDivergence", &message),
        None => ledger.clear(names::GROUP_DEGRADED),
    }
}

fn backend(backend: HTTPBackendRef) -> BackendReference {
    BackendReference {
        group: Some(backend.group.unwrap_or_default()),
        kind: backend.kind,
        name: backend.name,
        namespace: backend.namespace,
        port: backend.port,
    }
}

/// `InferencePoolReady`. `false` if the pool that the service names cannot be read.
fn judge_pool(subject: &Subject, sight: Sight, ledger: &mut Ledger, routes: &[Route]) -> bool {
    if scheduler(subject).is_none() {
        ledger.clear(names::INFERENCE_POOL_READY);
        return true;
    }
    let name = pool::name(subject);
    let full = format!("{}/{name}", subject.namespace);
    let mut gateways: BTreeSet<(String, String)> = routes
        .iter()
        .flat_map(|route| &route.spec.parent_refs)
        .map(|parent| gateway_key(parent, subject.namespace))
        .collect();
    let find = |version: &str| sight.get(version, "InferencePool", Some(subject.namespace), &name);
    let current = find(inference::API_VERSION);
    if routes.is_empty() && subject.facts.one_machine {
        // The gateway of one machine leads to a pool without a route too, and reports so.
        let told = current.and_then(|pool| pool["status"]["parents"].as_array()).into_iter().flatten();
        gateways.extend(told.filter_map(|parent| {
            let word = |field: &str| parent["parentRef"][field].as_str().map(str::to_owned);
            Some((word("namespace").unwrap_or_else(|| subject.namespace.to_owned()), word("name")?))
        }));
    }
    let is_external = external_pool(subject).is_some();
    let old = if is_external { None } else { find(inference::OLD_API_VERSION) };
    let Some(shown) = current.or(old) else {
        let message = if is_external {
            format!(
                "failed to fetch referenced Inference Pool {full}: InferencePool.inference.networking.k8s.io \"{name}\" not found"
            )
        } else {
            format!("failed to fetch Inference Pool {full}")
        };
        ledger.mark_false(names::INFERENCE_POOL_READY, "InferencePoolFetchError", &message);
        return !is_external;
    };
    if [current, old]
        .into_iter()
        .flatten()
        .any(|pool| pool_problem(pool, &gateways, subject.namespace).is_ok())
    {
        ledger.mark_true(names::INFERENCE_POOL_READY);
        return true;
    }
    match pool_problem(shown, &gateways, subject.namespace) {
        Err(Some(text)) => {
            ledger.mark_false(
                names::INFERENCE_POOL_READY,
                "InferencePoolNotReady",
                &format!("{full}: {text}"),
            );
        }
        _ => ledger.mark_false(
            names::INFERENCE_POOL_READY,
            "WaitingForGateway",
            &format!("Inference Pool {full} exists but no Gateway controller has accepted it yet"),
        ),
    }
    true
}

/// What keeps a pool from being accepted by all gateways; nothing said means that one has not spoken.
fn pool_problem(
    pool: &Value,
    gateways: &BTreeSet<(String, String)>,
    namespace: &str,
) -> Result<(), Option<String>> {
    let parents = pool["status"]["parents"].as_array().or_else(|| pool["status"]["parent"].as_array());
    let parents = parents.map(Vec::as_slice).unwrap_or_default();
    if gateways.is_empty() {
        return Err(None);
    }
    let mut problem = None;
    for (gateway_namespace, gateway) in gateways {
        let parent = parents.iter().find(|parent| {
            let reference = &parent["parentRef"];
            reference["name"] == gateway.as_str()
                && reference["namespace"].as_str().filter(|text| !text.is_empty()).unwrap_or(namespace)
                    == gateway_namespace
        });
        let Some(parent) = parent else { return Err(None) };
        let accepted = parent["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Accepted");
        let Some(accepted) = accepted else { return Err(None) };
        if accepted["status"] != "True" || is_stale(accepted, pool) {
            problem = problem.or(Some(format!("Accepted={}", described(accepted))));
        }
    }
    problem.map_or(Ok(()), |problem| Err(Some(problem)))
}

fn judge_gateways(subject: &Subject, sight: Sight, ledger: &mut Ledger, routes: &[Route]) {
    let names_gateways =
        subject.spec.router.iter().flat_map(|router| &router.gateway).any(|gateway| !gateway.refs.is_empty());
    if !names_gateways {
        ledger.clear(names::GATEWAYS_READY);
        return;
    }
    let mut gateways: Vec<(String, String)> = Vec::new();
    for parent in routes.iter().flat_map(|route| &route.spec.parent_refs) {
        let key = gateway_key(parent, subject.namespace);
        if !gateways.contains(&key) {
            gateways.push(key);
        }
    }
    let waiting: Vec<String> = gateways
        .iter()
        .filter(|(namespace, name)| {
            let gateway = sight.get(API_VERSION, "Gateway", Some(namespace), name);
            !gateway.is_some_and(|gateway| {
                conditions(gateway).any(|condition| {
                    condition["type"] == "Programmed"
                        && condition["status"] == "True"
                        && !is_stale(condition, gateway)
                })
            })
        })
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    if waiting.is_empty() {
        ledger.mark_true(names::GATEWAYS_READY);
    } else {
        let message = format!("The following Gateways are not ready: [{}]", waiting.join(" "));
        ledger.mark_false(names::GATEWAYS_READY, "GatewaysNotReady", &message);
    }
}

fn judge_routes(subject: &Subject, ledger: &mut Ledger, routes: &[Route]) {
    let has_routes =
        subject.spec.router.iter().flat_map(|router| &router.route).any(|route| route.http.is_some());
    if !has_routes {
        ledger.clear(names::HTTP_ROUTES_READY);
        return;
    }
    let problems: Vec<String> = routes
        .iter()
        .filter_map(|route| {
            let problem = route_problem(route, subject.namespace)?;
            Some(format!("{}/{}: {problem}", subject.namespace, route.name))
        })
        .collect();
    if problems.is_empty() {
        ledger.mark_true(names::HTTP_ROUTES_READY);
    } else {
        let message = format!("The following HTTPRoutes are not ready: [{}]", problems.join(" "));
        ledger.mark_false(names::HTTP_ROUTES_READY, "HTTPRoutesNotReady", &message);
    }
}

/// What keeps a route from working. Reports of policy controllers, which accept nothing, do not count.
fn route_problem(route: &Route, namespace: &str) -> Option<String> {
    let live = route.live.unwrap_or(&Value::Null);
    let parents = route
        .live
        .and_then(|live| live.pointer("/status/parents"))
        .and_then(Value::as_array)
        .map(Vec::as_slice);
    let parents = parents.unwrap_or_default();
    if route.spec.parent_refs.is_empty() {
        return Some("it names no gateway".to_owned());
    }
    let find = |parent: &Value, name: &str| {
        parent["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == name)
            .cloned()
    };
    for parent in parents {
        let Some(accepted) = find(parent, "Accepted") else { continue };
        if accepted["status"] != "True" || is_stale(&accepted, live) {
            return Some(described(&accepted));
        }
        match find(parent, "ResolvedRefs") {
            Some(resolved) if resolved["status"] != "True" || is_stale(&resolved, live) => {
                return Some(described(&resolved));
            }
            Some(_) => {}
            None => {
                return Some(
                    "\"Unknown\" (reason \"ConditionMissing\", message \"ResolvedRefs\")".to_owned(),
                );
            }
        }
    }
    let silent: Vec<String> = route
        .spec
        .parent_refs
        .iter()
        .filter(|wanted| {
            !parents.iter().any(|parent| {
                route::is_parent(wanted, &parent["parentRef"], namespace)
                    && find(parent, "Accepted").is_some()
            })
        })
        .map(|wanted| {
            let (namespace, name) = gateway_key(wanted, namespace);
            format!("{namespace}/{name}")
        })
        .collect();
    (!silent.is_empty()).then(|| format!("no report yet of gateway {}", silent.join(", ")))
}

fn described(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    format!("{:?} (reason {:?}, message {:?})", text("status"), text("reason"), text("message"))
}
