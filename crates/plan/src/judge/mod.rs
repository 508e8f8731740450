//! What was seen becomes the status to publish and the events to record.
//!
//! Conditions are marked in the order in which KServe's controller reaches them, since the last one to fail names the
//! cause in `Ready`. A part that could not be planned or applied ends the pass: what comes after keeps what was said.

mod conditions;
mod config;
mod events;
mod pods;
mod router;
mod scaling;
mod urls;
mod workloads;

use api::v1alpha2::{AppliedConfig, ConfigSource, LLMInferenceServiceStatus};
use compose::{Facts, Merged, Source};
use jiff::Timestamp;
use kinds::ObjectKey;
use serde_json::Value;

use crate::subject::{Subject, is_stopped};
use crate::{Failure, Judged, Part, Plan, Seen};
use conditions::Ledger;

pub(crate) use conditions::names;
pub use config::{ConfigJudged, Reach, judge_config};

/// The status to publish and the events to record, from what was seen.
///
/// `previous` is the status as last published; what a pass does not reach keeps its value from there, and a condition that
/// does not change keeps its time.
pub fn judge(
    facts: &Facts,
    composed: Result<&Merged, &compose::Error>,
    plan: &Plan,
    seen: &Seen,
    previous: Option<&LLMInferenceServiceStatus>,
    now: Timestamp,
) -> Judged {
    let before = previous.cloned().unwrap_or_default();
    let mut status = before.clone();
    let generation = facts.service.pointer("/metadata/generation").and_then(Value::as_i64);
    let mut ledger = Ledger::new(&before.conditions, now);
    if before.observed_generation.is_some() && before.observed_generation != generation {
        ledger.observe_new_generation();
    }
    ledger.clear(names::OCI_IMAGE_VOLUME_COMPATIBLE);
    let sight = Sight { facts, seen };
    status.annotations = compose::pins(facts);
    match composed {
        Ok(merged) => {
            status.applied_configs = merged.applied_configs.iter().map(applied).collect();
            ledger.mark_true(names::PRESETS_COMBINED);
            if is_stopped(facts) {
                stop(facts, &mut ledger, &mut status);
            } else {
                let subject = Subject::new(merged, facts);
                run(&subject, sight, plan, &mut ledger, &mut status);
            }
        }
        Err(error) if is_stopped(facts) => {
            let message = format!("Service is stopped with warning: {error}");
            ledger.mark_false(names::PRESETS_COMBINED, "Stopped", &message);
            stop(facts, &mut ledger, &mut status);
        }
        Err(error) => {
            status.applied_configs = error.applied_configs().iter().map(applied).collect();
            ledger.mark_false(names::PRESETS_COMBINED, error.reason(), &error.to_string());
        }
    }
    status.address = None;
    status.observed_generation = generation.or(before.observed_generation);
    status.conditions = ledger.finish();
    let events = events::events(facts, plan, seen, composed.err(), &before, &status);
    Judged { status, events }
}

/// The status of a service that is being deleted and waits for a member of its group to take it out of its route.
pub fn judge_awaiting(
    facts: &Facts,
    member: &str,
    previous: Option<&LLMInferenceServiceStatus>,
    now: Timestamp,
) -> LLMInferenceServiceStatus {
    let mut status = previous.cloned().unwrap_or_default();
    let mut ledger = Ledger::new(&status.conditions, now);
    ledger.mark_false(
        names::GROUP_READY,
        "FinalizationPending",
        &format!("waiting for member {member} to remove backendRef before deletion"),
    );
    let generation = facts.service.pointer("/metadata/generation").and_then(Value::as_i64);
    status.observed_generation = generation.or(status.observed_generation);
    status.conditions = ledger.finish();
    status
}

/// Where live objects are looked up: what was seen, then the facts.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    facts: &'a Facts,
    seen: &'a Seen,
}

impl<'a> Sight<'a> {
    /// The live object of an identity.
    pub(crate) fn get(
        self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&'a Value> {
        self.key(&ObjectKey::new(api_version, kind, namespace, name))
    }

    fn key(self, key: &ObjectKey) -> Option<&'a Value> {
        self.seen.objects.get_key(key).or_else(|| self.facts.objects.get_key(key)).map(|object| &**object)
    }

    /// The live objects of a kind in a namespace.
    pub(crate) fn of_kind_in(self, api_version: &str, kind: &str, namespace: &str) -> Vec<&'a Value> {
        let mut found: Vec<(&ObjectKey, &Value)> = self
            .seen
            .objects
            .of_kind_in(api_version, kind, namespace)
            .map(|(key, object)| (key, &**object))
            .collect();
        for (key, object) in self.facts.objects.of_kind_in(api_version, kind, namespace) {
            if !self.seen.objects.contains(key) {
                found.push((key, object));
            }
        }
        found.sort_by_key(|(key, _)| *key);
        found.into_iter().map(|(_, object)| object).collect()
    }
}

fn applied(config: &compose::AppliedConfig) -> AppliedConfig {
    AppliedConfig {
        name: config.name.clone(),
        namespace: config.namespace.clone(),
        source: match config.source {
            Source::Preset => ConfigSource::Preset,
            Source::UserRef => ConfigSource::UserRef,
        },
    }
}

/// A stopped service says so on every condition, even of parts it never had. Its URL stays.
fn stop(facts: &Facts, ledger: &mut Ledger, status: &mut LLMInferenceServiceStatus) {
    for name in names::STOPPABLE {
        ledger.mark_false(name, "Stopped", "Service is stopped");
    }
    for name in [
        names::SCALING_READY,
        names::PREFILL_SCALING_READY,
        names::GROUP_READY,
        names::GROUP_DEGRADED,
        names::MONITORS_READY,
    ] {
        ledger.clear(name);
    }
    workloads::roll_up(ledger, facts.one_machine);
    router::roll_up(ledger);
    status.router = None;
    status.workloads = None;
    status.addresses = Vec::new();
}

fn run(
    subject: &Subject,
    sight: Sight,
    plan: &Plan,
    ledger: &mut Ledger,
    status: &mut LLMInferenceServiceStatus,
) {
    let failure = first_failure(plan, sight.seen);
    let failed = failure.as_ref().map(|failure| failure.part);
    let reached = |part: Part| failed.is_none_or(|failed| part < failed);
    workloads::judge(subject, sight, ledger, &reached);
    if reached(Part::Scaling) {
        scaling::judge(subject, sight, ledger);
    }
    if let Some(failure) = failure.as_ref().filter(|failure| failure.part < Part::Scheduler) {
        ledger.mark_false(&failure.condition, &failure.reason, &failure.message);
    }
    workloads::roll_up(ledger, subject.facts.one_machine);
    if failed.is_some_and(|failed| failed < Part::Scheduler) {
        return;
    }
    let judged = router::judge(subject, sight, ledger, status, failure.as_ref());
    router::roll_up(ledger);
    // A service without monitors serves all the same.
    match failure.as_ref().filter(|failure| failure.part == Part::Monitors) {
        Some(failure) => ledger.mark_false(&failure.condition, &failure.reason, &failure.message),
        None => ledger.clear(names::MONITORS_READY),
    }
    if judged {
        status.workloads = Some(workloads::observe(subject, sight));
    }
}

/// The part that the plan could not make, or the first that could not be applied.
fn first_failure(plan: &Plan, seen: &Seen) -> Option<Failure> {
    let applied =
        seen.errors.iter().map(|(key, message)| apply_failure(plan, key, message)).min_by_key(|f| f.part);
    match (applied, &plan.failure) {
        (Some(applied), Some(planned)) => {
            Some(if applied.part <= planned.part { applied } else { planned.clone() })
        }
        (applied, planned) => applied.or_else(|| planned.clone()),
    }
}

fn apply_failure(plan: &Plan, key: &ObjectKey, message: &str) -> Failure {
    let part = if plan.certificates.iter().any(|order| order.key() == *key) {
        Part::Certificate
    } else {
        plan.steps
            .iter()
            .find(|step| step.objects.iter().any(|object| ObjectKey::of(object).as_ref() == Ok(key)))
            .map_or(Part::SingleNode, |step| step.part)
    };
    let what = match &key.namespace {
        Some(namespace) => format!("{} {namespace}/{}", key.kind, key.name),
        None => format!("{} {}", key.kind, key.name),
    };
    let text = format!("failed to apply {what}: {message}");
    let (condition, reason, message) = match part {
        Part::CaBundle | Part::Certificate => (
            names::MAIN_WORKLOAD_READY,
            "ReconcileCertsError",
            format!("failed to reconcile self-signed TLS certificate: {text}"),
        ),
        Part::MultiNode => (
            names::WORKER_WORKLOAD_READY,
            "ReconcileMultiNodeWorkloadError",
            format!("failed to reconcile multi-node workload: {text}"),
        ),
        Part::SingleNode => (
            names::MAIN_WORKLOAD_READY,
            "ReconcileSingleNodeWorkloadError",
            format!("failed to reconcile main workload: {text}"),
        ),
        Part::WorkloadService => (names::MAIN_WORKLOAD_READY, "ReconcileWorkloadServiceError", text),
        Part::Scaling
            if message.contains("not find the requested resource")
                || message.contains("no matches for kind") =>
        {
            (names::MAIN_WORKLOAD_READY, "ScalingCRDNotFound", text)
        }
        Part::Scaling => (names::MAIN_WORKLOAD_READY, "ReconcileScalingError", text),
        Part::Scheduler => (
            names::SCHEDULER_WORKLOAD_READY,
            "SchedulerReconcileError",
            format!("Failed to reconcile scheduler: {text}"),
        ),
        Part::Route => (
            names::HTTP_ROUTES_READY,
            "HTTPRouteReconcileError",
            format!("Failed to reconcile HTTPRoute: {text}"),
        ),
        Part::Monitors => (names::MONITORS_READY, "ReconcileMonitorsError", text),
    };
    Failure {
        part,
        condition: condition.to_owned(),
        reason: reason.to_owned(),
        message,
        field: None,
        hint: None,
    }
}
