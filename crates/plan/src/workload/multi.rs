//! Multi-node workloads: a LeaderWorkerSet each for the main workload and for prefill, with their accounts.

use api::v1alpha2::{RolloutStrategy, WorkloadSpec};
use k8s_openapi::api::core::v1::PodSpec;
use kinds::leaderworkerset::API_VERSION;
use serde_json::{Map, Value, json};

use super::pod::{Completion, has_sidecar, passed_annotations, passed_labels, spec_annotations, template};
use super::single::{main_role, replicas, user_account_name};
use super::tracing::Role as TraceRole;
use super::{Error, user_account};
use crate::rbac;
use crate::subject::{Labels, ROLE, Subject, WORKLOAD_LABEL};

/// What differs between the main workload and prefill.
struct Half<'a> {
    workload: &'a WorkloadSpec,
    name: String,
    account_name: String,
    what: &'static str,
    leader_component: &'static str,
    worker_component: &'static str,
    role: &'static str,
    trace_role: TraceRole,
    /// Prefill's groups are one subgroup each if they run data-parallel; the main workload's never are.
    has_subgroups: bool,
}

/// Accounts and LeaderWorkerSets, in order.
pub(crate) fn objects(subject: &Subject) -> Result<Vec<Value>, Error> {
    let mut objects = Vec::new();
    // KServe looks the named account up here for single-node services too.
    if let Some(name) = user_name(subject.workload()) {
        user_account(subject, name, "multi node main")?;
    }
    let main = main_half(subject);
    let prefill = prefill_half(subject);
    if let Some(half) = &main {
        objects.extend(accounts(subject, half)?);
    }
    if let Some(half) = &prefill
        && user_name(half.workload).is_none()
    {
        objects.push(rbac::workload_account(subject, &half.account_name, subject.name_labels()));
    }
    for half in main.iter().chain(&prefill) {
        objects.push(leader_worker_set(subject, half)?);
    }
    Ok(objects)
}

/// Name of the main workload's LeaderWorkerSet.
pub(crate) fn main_name(subject: &Subject) -> String {
    subject.child("-kserve-mn")
}

/// Name of prefill's LeaderWorkerSet.
pub(crate) fn prefill_name(subject: &Subject) -> String {
    subject.child("-kserve-mn-prefill")
}

fn main_half<'a>(subject: &Subject<'a>) -> Option<Half<'a>> {
    let workload = subject.workload();
    workload.worker.as_ref()?;
    Some(Half {
        workload,
        name: main_name(subject),
        account_name: subject.child("-kserve-mn"),
        what: "multi node main",
        leader_component: "llminferenceservice-workload-leader",
        worker_component: "llminferenceservice-workload-worker",
        role: main_role(subject),
        trace_role: TraceRole::Decode,
        has_subgroups: false,
    })
}

fn prefill_half<'a>(subject: &Subject<'a>) -> Option<Half<'a>> {
    let workload = subject.spec.prefill.as_ref()?;
    workload.worker.as_ref()?;
    Some(Half {
        workload,
        name: prefill_name(subject),
        account_name: subject.child("-kserve-mn-prefill"),
        what: "multi node prefill",
        leader_component: "llminferenceservice-workload-leader-prefill",
        worker_component: "llminferenceservice-workload-worker-prefill",
        role: "prefill",
        trace_role: TraceRole::Prefill,
        has_subgroups: workload
            .parallelism
            .as_ref()
            .is_some_and(|parallelism| parallelism.is_data_parallel()),
    })
}

/// The account that leader or worker names.
fn user_name(workload: &WorkloadSpec) -> Option<&str> {
    workload.template.iter().chain(&workload.worker).find_map(user_account_name)
}

fn accounts(subject: &Subject, half: &Half) -> Result<Vec<Value>, Error> {
    let labels = subject.name_labels();
    let mut objects = Vec::new();
    let account = match user_name(half.workload) {
        Some(name) => {
            user_account(subject, name, half.what)?;
            name.to_owned()
        }
        None => {
            objects.push(rbac::workload_account(subject, &half.account_name, labels.clone()));
            half.account_name.clone()
        }
    };
    if has_sidecar(half.workload.template.as_ref()) || has_sidecar(half.workload.worker.as_ref()) {
        let role = subject.child("-kserve-mn-role");
        objects.push(rbac::sidecar_role(subject, &role, labels.clone()));
        objects.push(rbac::role_binding(subject, &subject.child("-kserve-mn-rb"), &role, &account, labels));
    }
    Ok(objects)
}

fn leader_worker_set(subject: &Subject, half: &Half) -> Result<Value, Error> {
    let workload = half.workload;
    let live = subject.live(API_VERSION, "LeaderWorkerSet", &half.name);
    let user = user_name(workload);
    let account_name = user.unwrap_or(&half.account_name);
    let account = match user {
        Some(name) => Some(user_account(subject, name, half.what)?),
        None => subject.core("ServiceAccount", "default"),
    };
    let complete = |pod: &PodSpec, pointer: &str| {
        Completion {
            what: half.what,
            workload,
            account_name: Some(account_name),
            account,
            live_pod: live.and_then(|live| live.pointer(pointer)),
            trace_role: half.trace_role,
        }
        .apply(pod, subject)
    };
    let annotations = passed_annotations(subject, true);
    let mut pod_annotations = annotations.clone();
    pod_annotations.extend(spec_annotations(workload));
    let serving = Labels::from([
        (WORKLOAD_LABEL.0.to_owned(), WORKLOAD_LABEL.1.to_owned()),
        (ROLE.to_owned(), half.role.to_owned()),
    ]);
    let mut labels = subject.component_labels(half.worker_component);
    if workload.template.is_none() {
        labels.extend(serving.clone());
    }
    labels.extend(passed_labels(subject));
    labels.extend(workload.labels.clone());
    let mut group = Map::new();
    if let Some(pod) = &workload.template {
        let mut leader_labels = subject.component_labels(half.leader_component);
        leader_labels.extend(serving);
        leader_labels.extend(passed_labels(subject));
        leader_labels.extend(workload.labels.clone());
        let pod = complete(pod, "/spec/leaderWorkerTemplate/leaderTemplate/spec")?;
        group.insert("leaderTemplate".to_owned(), template(&leader_labels, &pod_annotations, &pod));
    }
    let worker = workload.worker.clone().unwrap_or_default();
    let worker = complete(&worker, "/spec/leaderWorkerTemplate/workerTemplate/spec")?;
    group.insert("workerTemplate".to_owned(), template(&labels, &pod_annotations, &worker));
    group.insert("restartPolicy".to_owned(), json!("RecreateGroupOnPodRestart"));
    let size = workload.parallelism.as_ref().and_then(|parallelism| parallelism.size());
    if let Some(size) = size {
        group.insert("size".to_owned(), json!(size));
        if half.has_subgroups {
            group.insert("subGroupPolicy".to_owned(), json!({"subGroupSize": size}));
        }
    }
    let mut spec = Map::new();
    if let Some(replicas) = replicas(subject, workload, live) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    spec.insert("leaderWorkerTemplate".to_owned(), Value::Object(group));
    spec.insert("rolloutStrategy".to_owned(), rollout(workload.rollout_strategy.as_ref()));
    spec.insert("startupPolicy".to_owned(), json!("LeaderCreated"));
    Ok(subject.annotated_object(
        API_VERSION,
        "LeaderWorkerSet",
        &half.name,
        labels,
        annotations,
        json!({"spec": spec}),
    ))
}

/// A rollout that says one limit has the other at LeaderWorkerSet's default.
fn rollout(rollout: Option<&RolloutStrategy>) -> Value {
    let Some(rollout) = rollout else { return json!({"type": "RollingUpdate"}) };
    let limit =
        |value: &Option<_>, default: i32| value.as_ref().map_or_else(|| json!(default), |value| json!(value));
    json!({
        "type": "RollingUpdate",
        "rollingUpdateConfiguration": {
            "maxUnavailable": limit(&rollout.max_unavailable, 1),
            "maxSurge": limit(&rollout.max_surge, 0),
        },
    })
}
