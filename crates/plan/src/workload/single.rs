//! Single-node workloads: a Deployment each for the main workload and for prefill, and the account of the sidecar.

use api::v1alpha2::{RolloutStrategy, WorkloadSpec};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use super::pod::{Completion, has_sidecar, passed_annotations, passed_labels, spec_annotations, template};
use super::tracing::Role as TraceRole;
use super::{COMPONENT, Error, PREFILL_COMPONENT, user_account};
use crate::diff::FIELD_MANAGER;
use crate::subject::{Labels, ROLE, Subject, WORKLOAD_LABEL, string_map};
use crate::{machine, rbac};

/// Accounts and Deployments of single-node workloads, in order.
pub(crate) fn objects(subject: &Subject) -> Result<Vec<Value>, Error> {
    let mut objects = accounts(subject)?;
    if subject.workload().worker.is_none() {
        objects.push(main_deployment(subject)?);
    }
    if let Some(prefill) = &subject.spec.prefill
        && prefill.worker.is_none()
    {
        objects.push(prefill_deployment(subject, prefill)?);
    }
    Ok(objects)
}

/// Name of the main workload's Deployment.
pub(crate) fn main_name(subject: &Subject) -> String {
    subject.child("-kserve")
}

/// Name of prefill's Deployment.
pub(crate) fn prefill_name(subject: &Subject) -> String {
    subject.child("-kserve-prefill")
}

/// The account under which the sidecar reads pods and pools. KServe makes it for multi-node leaders too.
fn accounts(subject: &Subject) -> Result<Vec<Value>, Error> {
    let Some(pod) = &subject.workload().template else { return Ok(Vec::new()) };
    if !has_sidecar(Some(pod)) {
        return Ok(Vec::new());
    }
    let labels = subject.component_labels(COMPONENT);
    let mut objects = Vec::new();
    let account = match user_account_name(pod) {
        Some(name) => {
            user_account(subject, name, "single node main")?;
            name.to_owned()
        }
        None => {
            let name = subject.child("-kserve");
            objects.push(rbac::workload_account(subject, &name, labels.clone()));
            name
        }
    };
    let role = subject.child("-kserve-role");
    objects.push(rbac::sidecar_role(subject, &role, labels.clone()));
    objects.push(rbac::role_binding(subject, &subject.child("-kserve-rb"), &role, &account, labels));
    Ok(objects)
}

/// The account that a template names.
pub(crate) fn user_account_name(pod: &PodSpec) -> Option<&str> {
    pod.service_account_name.as_deref().filter(|name| !name.is_empty())
}

/// The role label of the main workload.
pub(crate) fn main_role(subject: &Subject) -> &'static str {
    if subject.spec.prefill.is_some() { "decode" } else { "both" }
}

fn main_deployment(subject: &Subject) -> Result<Value, Error> {
    let workload = subject.workload();
    let name = main_name(subject);
    let live = subject.live("apps/v1", "Deployment", &name);
    let template_pod = workload.template.clone().unwrap_or_default();
    let user_name = user_account_name(&template_pod);
    let managed = subject.child("-kserve");
    // Without the sidecar the pod runs as whom the template says; credentials then come from that account or `default`.
    let (account_name, account) = match (has_sidecar(Some(&template_pod)), user_name) {
        (_, Some(name)) => (None, Some(user_account(subject, name, "single node main")?)),
        (true, None) => (Some(managed.as_str()), subject.core("ServiceAccount", "default")),
        (false, None) => (None, subject.core("ServiceAccount", "default")),
    };
    let pod = Completion {
        what: "main deployment",
        workload,
        account_name,
        account,
        live_pod: live.and_then(|live| live.pointer("/spec/template/spec")),
        trace_role: TraceRole::Decode,
    }
    .apply(&template_pod, subject)?;
    let mut base = subject.component_labels(COMPONENT);
    base.insert(WORKLOAD_LABEL.0.to_owned(), WORKLOAD_LABEL.1.to_owned());
    base.insert(ROLE.to_owned(), main_role(subject).to_owned());
    let mut labels = base.clone();
    labels.extend(passed_labels(subject));
    labels.extend(workload.labels.clone());
    let annotations = passed_annotations(subject, false);
    let mut pod_annotations = annotations.clone();
    pod_annotations.extend(spec_annotations(workload));
    Ok(deployment(
        subject,
        &Shape { name: &name, base, labels, annotations, pod_annotations, workload, live },
        &pod,
    ))
}

fn prefill_deployment(subject: &Subject, workload: &WorkloadSpec) -> Result<Value, Error> {
    let name = prefill_name(subject);
    let live = subject.live("apps/v1", "Deployment", &name);
    let template_pod = workload.template.clone().unwrap_or_default();
    let account = match user_account_name(&template_pod) {
        Some(name) => Some(user_account(subject, name, "single node prefill")?),
        None => subject.core("ServiceAccount", "default"),
    };
    let pod = Completion {
        what: "prefill deployment",
        workload,
        account_name: None,
        account,
        live_pod: live.and_then(|live| live.pointer("/spec/template/spec")),
        trace_role: TraceRole::Prefill,
    }
    .apply(&template_pod, subject)?;
    let mut base = subject.component_labels(PREFILL_COMPONENT);
    base.insert(WORKLOAD_LABEL.0.to_owned(), WORKLOAD_LABEL.1.to_owned());
    base.insert(ROLE.to_owned(), "prefill".to_owned());
    let mut labels = base.clone();
    labels.extend(passed_labels(subject));
    labels.extend(workload.labels.clone());
    let annotations = passed_annotations(subject, false);
    let mut pod_annotations = annotations.clone();
    pod_annotations.extend(spec_annotations(workload));
    Ok(deployment(
        subject,
        &Shape { name: &name, base, labels, annotations, pod_annotations, workload, live },
        &pod,
    ))
}

/// A Deployment without its pod.
pub(crate) struct Shape<'a> {
    pub(crate) name: &'a str,
    /// Our own labels; they select the pods.
    pub(crate) base: Labels,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) pod_annotations: Labels,
    pub(crate) workload: &'a WorkloadSpec,
    pub(crate) live: Option<&'a Value>,
}

fn deployment(subject: &Subject, shape: &Shape, pod: &PodSpec) -> Value {
    let (selector, pod_labels) = selector(&shape.base, &shape.labels, shape.live);
    let mut spec = Map::new();
    if let Some(replicas) = replicas(subject, shape.workload, shape.live) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    spec.insert("selector".to_owned(), json!({"matchLabels": selector}));
    if let Some(strategy) = strategy(shape.workload.rollout_strategy.as_ref()) {
        spec.insert("strategy".to_owned(), strategy);
    }
    spec.insert("template".to_owned(), template(&pod_labels, &shape.pod_annotations, pod));
    subject.annotated_object(
        "apps/v1",
        "Deployment",
        shape.name,
        shape.labels.clone(),
        shape.annotations.clone(),
        json!({"spec": spec}),
    )
}

/// Selector and pod labels. A selector cannot be changed, so the live one stays, and pods keep the labels that it asks
/// for; a new one asks for our own labels alone, never for a user's.
pub(crate) fn selector(base: &Labels, pod_labels: &Labels, live: Option<&Value>) -> (Labels, Labels) {
    let live =
        live.map(|live| string_map(live, "/spec/selector/matchLabels")).filter(|labels| !labels.is_empty());
    match live {
        Some(selector) => {
            let mut pod_labels = pod_labels.clone();
            pod_labels.extend(selector.clone());
            (selector, pod_labels)
        }
        None => {
            let selector = base
                .iter()
                .map(|(key, value)| (key.clone(), pod_labels.get(key).unwrap_or(value).clone()))
                .collect();
            (selector, pod_labels.clone())
        }
    }
}

/// Replicas to ask for; `None` leaves them to whoever sets them.
pub(crate) fn replicas(subject: &Subject, workload: &WorkloadSpec, live: Option<&Value>) -> Option<i32> {
    workload.replicas.or_else(|| {
        let fixed = machine::fixed_replicas(subject, workload).filter(|_| !is_scaled_by_others(live));
        fixed.or_else(|| kept_replicas(live))
    })
}

/// Replicas to go on asking for although the spec names none: those that we alone have set so far. If another manager, an
/// autoscaler or a person, has set them too, the number is theirs and we say nothing.
pub(crate) fn kept_replicas(live: Option<&Value>) -> Option<i32> {
    owners_of_replicas(live).next().filter(|_| !is_scaled_by_others(live))?;
    live?.pointer("/spec/replicas").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok())
}

fn is_scaled_by_others(live: Option<&Value>) -> bool {
    owners_of_replicas(live).any(|entry| entry["manager"] != FIELD_MANAGER)
}

/// Entries of managed fields that own `spec.replicas`.
fn owners_of_replicas(live: Option<&Value>) -> impl Iterator<Item = &Value> {
    live.and_then(|live| live["metadata"]["managedFields"].as_array())
        .into_iter()
        .flatten()
        .filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
}

fn strategy(rollout: Option<&RolloutStrategy>) -> Option<Value> {
    let rollout = rollout?;
    let mut limits = Map::new();
    if let Some(value) = &rollout.max_unavailable {
        limits.insert("maxUnavailable".to_owned(), json!(value));
    }
    if let Some(value) = &rollout.max_surge {
        limits.insert("maxSurge".to_owned(), json!(value));
    }
    if limits.is_empty() {
        return None;
    }
    Some(json!({"type": "RollingUpdate", "rollingUpdate": limits}))
}
