//! What one machine without a cluster does not do, said at once instead of half done.

use crate::subject::Subject;
use crate::{Failure, Part};

/// Reason of the condition.
const REASON: &str = "NotOnOneMachine";

/// Why the service as a whole cannot be served by `llmisvc up`; `None` if it can.
pub(crate) fn beyond(subject: &Subject) -> Option<Failure> {
    let workload = subject.workload();
    let prefill = subject.spec.prefill.as_ref();
    let has_adapters = subject.spec.model.lora.as_ref().is_some_and(|lora| !lora.adapters.is_empty());
    let (condition, pointer, field, needs) = if workload.worker.is_some() {
        ("WorkerWorkloadReady", "/spec/worker", "spec.worker", "a LeaderWorkerSet over several machines")
    } else if prefill.is_some() {
        ("PrefillWorkloadReady", "/spec/prefill", "spec.prefill", "a prefill and a decode workload")
    } else if workload.scaling.is_some() {
        ("ScalingReady", "/spec/scaling", "spec.scaling", "an autoscaler")
    } else if has_adapters {
        (
            "MainWorkloadReady",
            "/spec/model/lora/adapters",
            "spec.model.lora.adapters",
            "LoRA adapters to be fetched and loaded",
        )
    } else {
        return None;
    };
    Some(Failure {
        part: Part::CaBundle,
        condition: condition.to_owned(),
        reason: REASON.to_owned(),
        message: format!("{field} asks for {needs}, which `llmisvc up` does not run yet"),
        field: Some(pointer),
        hint: Some(format!(
            "remove {field} to serve the model on this machine, or apply the service to a cluster; `llmisvc render` shows \
             what a cluster would run"
        )),
    })
}
