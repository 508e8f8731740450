//! Events on the service: what was written, what became of it, what a user should know.

use api::conditions::ConditionStatus;
use api::v1alpha2::LLMInferenceServiceStatus;
use compose::Facts;
use kinds::ObjectKey;
use serde_json::Value;

use super::conditions::names;
use crate::subject::is_stopped;
use crate::{Event, EventType, Plan, Seen, Verb};

/// All events of a pass, in order.
pub(super) fn events(
    facts: &Facts,
    plan: &Plan,
    seen: &Seen,
    error: Option<&compose::Error>,
    before: &LLMInferenceServiceStatus,
    after: &LLMInferenceServiceStatus,
) -> Vec<Event> {
    let mut events: Vec<Event> = seen
        .changes
        .iter()
        // The bundle belongs to the namespace, not to the service.
        .filter(|change| change.key.kind != "ConfigMap")
        .map(|change| {
            let reason = match change.verb {
                Verb::Create => "Created",
                Verb::Update => "Updated",
                Verb::Delete => "Deleted",
            };
            normal(reason, format!("{reason} {}", go_name(&change.key)))
        })
        .collect();
    // Said once for a generation, and again whenever something is written; not on every look.
    let is_new = before.observed_generation != after.observed_generation || !seen.changes.is_empty();
    if is_new {
        events.extend(plan.findings.iter().map(|finding| warning(&finding.reason, finding.message.clone())));
    }
    // A stopped service that cannot be composed is stopped all the same.
    let failure = error
        .filter(|_| !is_stopped(facts))
        .map(ToString::to_string)
        .or_else(|| plan.failure.as_ref().map(|failure| failure.message.clone()))
        .or_else(|| seen.errors.first().map(|(key, message)| format!("{key}: {message}")))
        .or_else(|| unreadable(after));
    if let Some(failure) = failure
        && (is_new || message_of(before, names::READY) != message_of(after, names::READY))
    {
        events.push(warning("Error", format!("Reconciliation failed: {failure}")));
    }
    let lacking = lacking_autoscaler(after);
    if lacking.is_some() && (is_new || lacking != lacking_autoscaler(before)) {
        events.push(warning("ScalingCRDNotFound", lacking.unwrap_or_default()));
    }
    let diverges = message_of(after, names::GROUP_DEGRADED);
    if diverges.is_some() && diverges != message_of(before, names::GROUP_DEGRADED) {
        let group =
            facts.service.pointer("/spec/router/route/group").and_then(Value::as_str).unwrap_or_default();
        let words = format!("Group {group:?} has members with divergent model.name or LoRA adapter sets");
        events.push(warning("MemberDivergence", words));
    }
    let is_ready = |status: &LLMInferenceServiceStatus| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == names::READY)
            .map(|condition| condition.status)
            .unwrap_or_default()
    };
    let name = facts.name();
    match (is_ready(before), is_ready(after)) {
        (ConditionStatus::True, ConditionStatus::False) => {
            let failed: Vec<&str> = after
                .conditions
                .iter()
                .filter(|condition| {
                    condition.status == ConditionStatus::False && condition.type_ != names::READY
                })
                .map(|condition| condition.type_.as_str())
                .collect();
            events.push(warning(
                "LLMInferenceServiceNotReady",
                format!("LLMInferenceService [{name}] is no longer Ready because of: {}", failed.join(", ")),
            ));
        }
        (ConditionStatus::False | ConditionStatus::Unknown, ConditionStatus::True) => {
            events.push(normal("LLMInferenceServiceReady", format!("LLMInferenceService [{name}] is Ready")));
        }
        _ => {}
    }
    events
}

/// What could not be read of the cluster, so that the pass ended.
fn unreadable(after: &LLMInferenceServiceStatus) -> Option<String> {
    let reasons = ["InferencePoolFetchError", "HTTPRouteReconcileError"];
    let condition = after
        .conditions
        .iter()
        .find(|condition| condition.reason.as_deref().is_some_and(|reason| reasons.contains(&reason)))?;
    condition.message.clone()
}

/// What is said of an autoscaler whose kind the cluster does not have.
fn lacking_autoscaler(status: &LLMInferenceServiceStatus) -> Option<String> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.reason.as_deref() == Some("ScalingCRDNotFound"))?;
    found.message.clone()
}

fn message_of<'s>(status: &'s LLMInferenceServiceStatus, name: &str) -> Option<&'s str> {
    status.conditions.iter().find(|condition| condition.type_ == name)?.message.as_deref()
}

/// A kind as KServe's events name it, with the object.
fn go_name(key: &ObjectKey) -> String {
    let kind = if key.api_version == kinds::inference::OLD_API_VERSION {
        "v1alpha2pool".to_owned()
    } else {
        key.version().to_owned()
    };
    format!("{kind}.{} {}/{}", key.kind, key.namespace.as_deref().unwrap_or_default(), key.name)
}

fn normal(reason: &str, message: String) -> Event {
    Event { type_: EventType::Normal, reason: reason.to_owned(), message }
}

fn warning(reason: &str, message: String) -> Event {
    Event { type_: EventType::Warning, reason: reason.to_owned(), message }
}
