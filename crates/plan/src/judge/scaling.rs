//! Conditions of autoscalers.

use api::v1alpha2::ScalingSpec;
use serde_json::Value;

use super::Sight;
use super::conditions::{Ledger, names};
use super::workloads::{Verdict, conditions, is_outdated, mark, reason_of};
use crate::machine;
use crate::scaling::scaled;
use crate::subject::Subject;

/// Marks the conditions of the autoscalers that the service has, and clears those of others.
pub(super) fn judge(subject: &Subject, sight: Sight, ledger: &mut Ledger) {
    let scaled = scaled(subject);
    for (condition, what) in [(names::SCALING_READY, "main"), (names::PREFILL_SCALING_READY, "prefill")] {
        let Some(scaled) = scaled.iter().find(|scaled| scaled.what == what) else {
            ledger.clear(condition);
            continue;
        };
        if let Some(message) = machine::unscaled(subject, scaled.workload) {
            ledger.mark_false(condition, machine::REASON, &message);
            continue;
        }
        let namespace = Some(subject.namespace);
        let verdict = if uses_hpa(scaled.scaling) {
            hpa_verdict(sight.get("autoscaling/v2", "HorizontalPodAutoscaler", namespace, &scaled.hpa_name))
        } else {
            keda_verdict(sight.get(kinds::keda::API_VERSION, "ScaledObject", namespace, &scaled.keda_name))
        };
        mark(ledger, condition, verdict);
    }
}

fn uses_hpa(scaling: &ScalingSpec) -> bool {
    scaling.wva.as_ref().is_some_and(|wva| wva.hpa.is_some())
}

fn hpa_verdict(live: Option<&Value>) -> Verdict {
    let progressing = |message: &str| Err(("HPAProgressing".to_owned(), message.to_owned()));
    let Some(live) = live else { return progressing("HPA not yet visible in cache") };
    if is_outdated(live) {
        return progressing("HPA conditions not yet available");
    }
    let mut found = false;
    for condition in conditions(live) {
        if matches!(condition["type"].as_str(), Some("AbleToScale" | "ScalingActive")) {
            found = true;
            if condition["status"] == "False" {
                return Err(reason_of(condition));
            }
        }
    }
    if found { Ok(()) } else { progressing("HPA conditions not yet available") }
}

fn keda_verdict(live: Option<&Value>) -> Verdict {
    let progressing = |message: &str| Err(("ScaledObjectProgressing".to_owned(), message.to_owned()));
    let Some(live) = live else { return progressing("ScaledObject not yet visible in cache") };
    // KEDA writes all four at once; before that none of them means anything.
    let complete = ["Ready", "Active", "Fallback", "Paused"]
        .iter()
        .all(|name| conditions(live).any(|condition| condition["type"] == *name));
    if !complete {
        return progressing("ScaledObject conditions not yet available");
    }
    match conditions(live).find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] == "True" => Ok(()),
        Some(ready) if ready["status"] == "False" => Err(reason_of(ready)),
        _ => progressing("ScaledObject readiness is not yet known"),
    }
}
