//! Conditions and figures of the workloads.

use api::v1alpha2::{TypedLocalObjectReference, WorkloadStatus, WorkloadsStatus};
use kinds::leaderworkerset;
use serde_json::Value;

use super::conditions::{Ledger, names};
use super::{Sight, pods};
use crate::Part;
use crate::router::{managed_scheduler, picker};
use crate::subject::Subject;
use crate::workload::{COMPONENT, PREFILL_COMPONENT, multi, single};

/// Marks the conditions of the workloads that the pass reached.
pub(crate) fn judge(subject: &Subject, sight: Sight, ledger: &mut Ledger, reached: &impl Fn(Part) -> bool) {
    let prefill = subject.spec.prefill.as_ref();
    if reached(Part::MultiNode) {
        let main = subject.workload().worker.is_some().then(|| multi::main_name(subject));
        let prefill =
            prefill.filter(|prefill| prefill.worker.is_some()).map(|_| multi::prefill_name(subject));
        for (condition, name, components) in [
            (
                names::WORKER_WORKLOAD_READY,
                main,
                ["llminferenceservice-workload-leader", "llminferenceservice-workload-worker"],
            ),
            (
                names::PREFILL_WORKER_WORKLOAD_READY,
                prefill,
                [
                    "llminferenceservice-workload-leader-prefill",
                    "llminferenceservice-workload-worker-prefill",
                ],
            ),
        ] {
            match name {
                Some(name) => {
                    let live = sight.get(
                        leaderworkerset::API_VERSION,
                        "LeaderWorkerSet",
                        Some(subject.namespace),
                        &name,
                    );
                    let verdict = group_verdict(live);
                    mark(ledger, condition, explained(verdict, subject, sight, &components));
                }
                None => ledger.clear(condition),
            }
        }
    }
    if reached(Part::SingleNode) {
        let main = subject.workload().worker.is_none().then(|| single::main_name(subject));
        let prefill =
            prefill.filter(|prefill| prefill.worker.is_none()).map(|_| single::prefill_name(subject));
        for (condition, name, component) in [
            (names::MAIN_WORKLOAD_READY, main, COMPONENT),
            (names::PREFILL_WORKLOAD_READY, prefill, PREFILL_COMPONENT),
        ] {
            match name {
                Some(name) => {
                    let live = sight.get("apps/v1", "Deployment", Some(subject.namespace), &name);
                    let verdict = deployment_verdict(live, "");
                    mark(ledger, condition, explained(verdict, subject, sight, &[component]));
                }
                None => ledger.clear(condition),
            }
        }
    }
}

/// `WorkloadsReady` from its parts. On one machine workloads serve without an autoscaler.
pub(crate) fn roll_up(ledger: &mut Ledger, one_machine: bool) {
    let parts = if one_machine { names::UNSCALED_WORKLOADS } else { &names::WORKLOADS };
    ledger.roll_up(names::WORKLOADS_READY, parts);
}

/// Why something is not ready: reason and message.
pub(crate) type Verdict = Result<(), (String, String)>;

/// Marks a condition by a verdict.
pub(crate) fn mark(ledger: &mut Ledger, condition: &str, verdict: Verdict) {
    match verdict {
        Ok(()) => ledger.mark_true(condition),
        Err((reason, message)) => ledger.mark_false(condition, &reason, &message),
    }
}

/// Whether a Deployment's pods answer: it is available, for its present generation.
pub(crate) fn deployment_verdict(live: Option<&Value>, waiting: &str) -> Verdict {
    let progressing = || ("Progressing".to_owned(), waiting.to_owned());
    let Some(live) = live.filter(|live| !is_outdated(live)) else { return Err(progressing()) };
    let mut available = false;
    let mut stuck = None;
    for condition in conditions(live) {
        match condition["type"].as_str() {
            Some("Progressing") if condition["status"] == "False" => stuck = Some(reason_of(condition)),
            Some("Available") if condition["status"] == "True" => available = true,
            Some("Available") => return Err(reason_of(condition)),
            _ => {}
        }
    }
    // Old pods may go on answering while a rollout hangs; what was asked for is not what is served.
    match stuck {
        None if available => Ok(()),
        stuck => Err(stuck.unwrap_or_else(progressing)),
    }
}

/// Whether a controller has not yet seen the present generation. What it says of an older one does not hold.
pub(crate) fn is_outdated(live: &Value) -> bool {
    let observed = live.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let generation = live.pointer("/metadata/generation").and_then(Value::as_i64);
    observed.is_some_and(|observed| generation.is_some_and(|generation| observed < generation))
}

/// Whether a condition was reported of an older generation. Reporters that do not count leave it out or write 0.
pub(crate) fn is_stale(condition: &Value, live: &Value) -> bool {
    let observed = condition["observedGeneration"].as_i64().unwrap_or(0);
    let generation = live.pointer("/metadata/generation").and_then(Value::as_i64);
    observed > 0 && generation.is_some_and(|generation| observed < generation)
}

/// [`deployment_verdict`] for one whose stuck rollout counts although its older pods still answer.
pub(crate) fn rollout_verdict(live: Option<&Value>, waiting: &str) -> Verdict {
    let stuck = live
        .filter(|live| !is_outdated(live))
        .into_iter()
        .flat_map(conditions)
        .find(|condition| condition["type"] == "Progressing" && condition["status"] == "False");
    stuck.map_or_else(|| deployment_verdict(live, waiting), |condition| Err(reason_of(condition)))
}

fn group_verdict(live: Option<&Value>) -> Verdict {
    let live = live.filter(|live| !is_outdated(live));
    let available = live.and_then(|live| {
        let mut trusted = conditions(live).filter(|condition| !is_stale(condition, live));
        trusted.find(|condition| condition["type"] == "Available")
    });
    match available {
        Some(condition) if condition["status"] == "True" => Ok(()),
        Some(condition) => Err(reason_of(condition)),
        None => Err(("Progressing".to_owned(), "LWS is progressing".to_owned())),
    }
}

/// A cause that the pods show is better than one that their controller shows.
pub(crate) fn explained(verdict: Verdict, subject: &Subject, sight: Sight, components: &[&str]) -> Verdict {
    verdict.map_err(|reason| pods::cause(subject, sight, components).unwrap_or(reason))
}

/// The conditions of a live object, in its order.
pub(crate) fn conditions(live: &Value) -> impl Iterator<Item = &Value> {
    live.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

/// Reason and message of a condition.
pub(crate) fn reason_of(condition: &Value) -> (String, String) {
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// `status.workloads`.
pub(crate) fn observe(subject: &Subject, sight: Sight) -> WorkloadsStatus {
    let namespace = Some(subject.namespace);
    let workload = |group: &str, kind: &str, api_version: &str, name: String, field: &str| {
        let live = sight.get(api_version, kind, namespace, &name);
        let replicas = live.and_then(|live| live["status"][field].as_i64()).unwrap_or(0);
        WorkloadStatus {
            workload: TypedLocalObjectReference {
                api_group: Some(group.to_owned()),
                kind: kind.to_owned(),
                name,
            },
            ready_replicas: i32::try_from(replicas).ok(),
        }
    };
    let deployment = |name| workload("apps", "Deployment", "apps/v1", name, "availableReplicas");
    let group = |name| {
        workload(
            "leaderworkerset.x-k8s.io",
            "LeaderWorkerSet",
            leaderworkerset::API_VERSION,
            name,
            "readyReplicas",
        )
    };
    WorkloadsStatus {
        primary: Some(if subject.workload().worker.is_some() {
            group(multi::main_name(subject))
        } else {
            deployment(single::main_name(subject))
        }),
        prefill: subject.spec.prefill.as_ref().map(|prefill| {
            if prefill.worker.is_some() {
                group(multi::prefill_name(subject))
            } else {
                deployment(single::prefill_name(subject))
            }
        }),
        scheduler: managed_scheduler(subject).map(|_| deployment(picker::deployment_name(subject))),
        service: Some(TypedLocalObjectReference {
            api_group: None,
            kind: "Service".to_owned(),
            name: api::names::workload_service(subject.name),
        }),
    }
}
