//! Events on the service: what was written, what became of it, what a user should know.

use api::conditions::ConditionStatus;
use api::v1alpha2::LLMInferenceServiceStatus;
use compose::Facts;
use kinds::ObjectKey;

use super::conditions::names;
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
        .map(|change| {
            let reason = match change.verb {
                Verb::Create => "Created",
                Verb::Update => "Updated",
                Verb::Delete => "Deleted",
            };
            normal(reason, format!("{reason} {}", go_name(&change.key)))
        })
        .collect();
    events.extend(plan.findings.iter().map(|finding| warning(&finding.reason, finding.message.clone())));
    if let Some(error) = error {
        events.push(warning("Error", format!("Reconciliation failed: {error}")));
    } else if let Some(failure) = &plan.failure {
        events.push(warning("Error", format!("Reconciliation failed: {}", failure.message)));
    }
    for (key, message) in &seen.errors {
        events.push(warning("Error", format!("Reconciliation failed: {key}: {message}")));
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
                .filter(|condition| condition.status == ConditionStatus::False && condition.type_ != names::READY)
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

/// A kind as KServe's events name it, with the object.
fn go_name(key: &ObjectKey) -> String {
    let kind = if key.api_version == kinds::inference::OLD_API_VERSION { "v1alpha2pool".to_owned() } else { key.version().to_owned() };
    format!("{kind}.{} {}/{}", key.kind, key.namespace.as_deref().unwrap_or_default(), key.name)
}

fn normal(reason: &str, message: String) -> Event {
    Event { type_: EventType::Normal, reason: reason.to_owned(), message }
}

fn warning(reason: &str, message: String) -> Event {
    Event { type_: EventType::Warning, reason: reason.to_owned(), message }
}
