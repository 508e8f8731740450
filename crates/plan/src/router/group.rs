//! Traffic groups: services of one namespace that share the requests for a model by weight.

use std::collections::BTreeSet;

use compose::Facts;
use kinds::gateway::{API_VERSION as ROUTES, HTTPBackendRef, HTTPRouteRule, HTTPRouteSpec};
use serde_json::Value;

use super::managed_scheduler;
use crate::storage::{adapters, published_name};
use crate::subject::{SERVING_PORT, Subject, is_deleted, is_marked_stopped};

/// One member of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) weight: i32,
    pub(crate) stopped: bool,
    /// Names of models that it serves.
    pub(crate) models: BTreeSet<String>,
    pub(crate) backend: HTTPBackendRef,
}

/// The group of a service.
pub(crate) fn name<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    group_of(&subject.facts.service)
}

fn group_of(service: &Value) -> Option<&str> {
    service.pointer("/spec/router/route/group").and_then(Value::as_str).filter(|group| !group.is_empty())
}

/// All members that take part, the service itself among them, by name.
pub(crate) fn members(subject: &Subject) -> Vec<Member> {
    let Some(group) = name(subject) else { return Vec::new() };
    let mut members: Vec<Member> = subject
        .facts
        .objects
        .of_kind_in(api::v1alpha2::API_VERSION, "LLMInferenceService", subject.namespace)
        .map(|(_, service)| &**service)
        .filter(|service| service["metadata"]["name"] != subject.name)
        .filter(|service| group_of(service) == Some(group) && !is_deleted(service))
        .filter_map(|service| other_member(subject, service))
        .collect();
    members.push(own_member(subject));
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

/// The members that serve the same models as the service, and so share its requests.
pub(crate) fn matching(subject: &Subject, members: &[Member]) -> Vec<Member> {
    let own = own_models(subject);
    let own_name = published_name(subject.namespace, subject.model_name());
    members
        .iter()
        .filter(|member| {
            member.name == subject.name
                || member.models == own
                || (member.stopped && member.models.contains(&own_name))
        })
        .cloned()
        .collect()
}

/// The sets of models that other members serve and the service does not share, if there are any.
pub(crate) fn divergence(subject: &Subject, members: &[Member]) -> Option<String> {
    let matching = matching(subject, members);
    let mut sets: Vec<String> = members
        .iter()
        .filter(|member| !matching.contains(member))
        .map(|member| {
            let names: Vec<&str> = member.models.iter().map(String::as_str).collect();
            names.join("+")
        })
        .collect();
    sets.sort();
    sets.dedup();
    (!sets.is_empty()).then(|| format!("group has members with different model sets: {}", sets.join(", ")))
}

/// Gives every rule that is not about this member alone the back-ends of all members.
pub(crate) fn share_backends(spec: &mut HTTPRouteSpec, subject: &Subject) {
    let members = members(subject);
    let backends: Vec<HTTPBackendRef> = matching(subject, &members)
        .into_iter()
        .filter(|member| !member.stopped)
        .map(|member| HTTPBackendRef { weight: Some(member.weight), ..member.backend })
        .collect();
    let own_path = format!("/{}/{}", subject.namespace, subject.name);
    let pool = api::names::inference_pool(subject.name);
    let service = api::names::workload_service(subject.name);
    for rule in &mut spec.rules {
        let is_managed =
            rule.backend_refs.iter().any(|backend| backend.name == pool || backend.name == service);
        if is_managed && !is_own(rule, &own_path) {
            rule.backend_refs = backends.clone();
        }
    }
}

/// The first other member whose route still sends requests to a service that is being deleted. Until it has changed its
/// route, ending the service would break a part of its requests. Members that are themselves being deleted do not count,
/// or two would wait for each other.
///
/// The group is read from the service as written: it also holds for a service that cannot be composed.
pub(crate) fn awaited(facts: &Facts) -> Option<String> {
    let group = group_of(&facts.service)?;
    let own = facts.name();
    let backends = [api::names::inference_pool(own), api::names::workload_service(own)];
    facts
        .objects
        .of_kind_in(api::v1alpha2::API_VERSION, api::v1alpha2::SERVICE_KIND, facts.namespace())
        .map(|(_, service)| &**service)
        .filter(|service| group_of(service) == Some(group) && !is_deleted(service))
        .filter_map(|service| service["metadata"]["name"].as_str())
        .filter(|name| *name != own)
        .find(|name| {
            let route = api::names::route(name);
            let route = facts.objects.get(ROUTES, "HTTPRoute", Some(facts.namespace()), &route);
            let rules = route.and_then(|route| route["spec"]["rules"].as_array());
            rules
                .into_iter()
                .flatten()
                .flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten())
                .any(|backend| backends.iter().any(|own| backend["name"] == own.as_str()))
        })
        .map(str::to_owned)
}

fn is_own(rule: &HTTPRouteRule, own_path: &str) -> bool {
    !rule.matches.is_empty()
        && rule.matches.iter().all(|matched| {
            let path = matched.path.as_ref().and_then(|path| path.value.as_deref()).unwrap_or("/");
            path.strip_prefix(own_path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

fn own_member(subject: &Subject) -> Member {
    let external = super::external_pool(subject);
    let backend = match (external, managed_scheduler(subject)) {
        (Some(pool), _) => pool_backend(kinds::inference::OLD_GROUP, pool),
        (None, Some(_)) => pool_backend(kinds::inference::GROUP, &api::names::inference_pool(subject.name)),
        (None, None) => service_backend(subject.name),
    };
    Member {
        name: subject.name.to_owned(),
        weight: weight(&subject.facts.service),
        stopped: false,
        models: own_models(subject),
        backend,
    }
}

fn own_models(subject: &Subject) -> BTreeSet<String> {
    std::iter::once(subject.model_name().to_owned())
        .chain(adapters(subject.spec).into_iter().map(|adapter| adapter.name))
        .flat_map(|name| [published_name(subject.namespace, &name), name])
        .collect()
}

/// A member other than the service, if it can take requests or is only stopped.
fn other_member(subject: &Subject, service: &Value) -> Option<Member> {
    let name = service["metadata"]["name"].as_str()?;
    let stopped = is_marked_stopped(service);
    if !stopped && !is_routable(service) {
        return None;
    }
    let backend =
        if let Some(pool) = service.pointer("/spec/router/scheduler/pool/ref/name").and_then(Value::as_str) {
            pool_backend(kinds::inference::OLD_GROUP, pool)
        } else if let Some(pool) =
            service.pointer("/status/router/scheduler/inferencePool/name").and_then(Value::as_str)
        {
            pool_backend(kinds::inference::GROUP, pool)
        } else {
            service_backend(name)
        };
    Some(Member {
        name: name.to_owned(),
        weight: weight(service),
        stopped,
        models: models(subject, service),
        backend,
    })
}

/// Whether the route works and every part that runs has a ready replica.
fn is_routable(service: &Value) -> bool {
    let ready = service["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "RouterReady" && condition["status"] == "True");
    ready
        && ["primary", "prefill", "scheduler"].iter().all(|part| {
            let part = &service["status"]["workloads"][part];
            part.is_null() || part["readyReplicas"].as_i64().is_some_and(|replicas| replicas > 0)
        })
}

/// Names of models that a service says it serves, or asks to.
pub(crate) fn models(subject: &Subject, service: &Value) -> BTreeSet<String> {
    let reported: BTreeSet<String> = service["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|address| address["models"].as_array().into_iter().flatten())
        .filter_map(|model| model["name"].as_str().map(str::to_owned))
        .collect();
    if !reported.is_empty() {
        return reported;
    }
    let model = &service["spec"]["model"];
    let adapters = model["lora"]["adapters"].as_array().into_iter().flatten();
    std::iter::once(model)
        .chain(adapters)
        .filter_map(|model| model["name"].as_str())
        .flat_map(|name| [published_name(subject.namespace, name), name.to_owned()])
        .collect()
}

fn weight(service: &Value) -> i32 {
    let weight = service.pointer("/spec/router/route/weight").and_then(Value::as_i64).unwrap_or(0);
    i32::try_from(weight).unwrap_or(0)
}

fn pool_backend(group: &str, name: &str) -> HTTPBackendRef {
    backend(group, "InferencePool", name)
}

fn service_backend(service: &str) -> HTTPBackendRef {
    backend("", "Service", &api::names::workload_service(service))
}

fn backend(group: &str, kind: &str, name: &str) -> HTTPBackendRef {
    HTTPBackendRef {
        group: Some(group.to_owned()).filter(|group| !group.is_empty()),
        kind: Some(kind.to_owned()),
        name: name.to_owned(),
        port: Some(SERVING_PORT),
        ..HTTPBackendRef::default()
    }
}
