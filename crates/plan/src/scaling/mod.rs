//! Autoscalers: an HPA or a ScaledObject for the main workload, and one for prefill.

mod hpa;
mod keda;

use api::v1alpha2::{ScalingSpec, WorkloadSpec};
use kinds::leaderworkerset;
use serde_json::{Value, json};

use crate::subject::{Labels, Subject};
use crate::workload::{COMPONENT, multi, single};

/// Label that says which accelerator a variant runs on.
const ACCELERATOR: &str = "inference.optimization/acceleratorName";
/// Metric by which the workload variant autoscaler says how many replicas it wants.
const DESIRED_REPLICAS: &str = "wva_desired_replicas";

/// Why an autoscaler cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to reconcile {what} workload scaling: failed to reconcile {what} actuator: {source}")]
    FixScaling { what: &'static str, source: keda::Error },
}

/// A workload and what scales it.
pub(crate) struct Scaled<'a> {
    pub(crate) what: &'static str,
    pub(crate) workload: &'a WorkloadSpec,
    pub(crate) scaling: &'a ScalingSpec,
    pub(crate) hpa_name: String,
    pub(crate) keda_name: String,
    /// What is scaled, as a `scaleTargetRef`.
    pub(crate) target: Value,
}

/// The workloads that scale.
pub(crate) fn scaled<'a>(subject: &Subject<'a>) -> Vec<Scaled<'a>> {
    let mut scaled = Vec::new();
    let mut add = |what, workload: &'a WorkloadSpec, hpa: &str, keda: &str, multi: String, single: String| {
        let Some(scaling) = &workload.scaling else { return };
        let target = if workload.worker.is_some() {
            json!({"apiVersion": leaderworkerset::API_VERSION, "kind": "LeaderWorkerSet", "name": multi})
        } else {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": single})
        };
        scaled.push(Scaled {
            what,
            workload,
            scaling,
            hpa_name: subject.child(hpa),
            keda_name: subject.child(keda),
            target,
        });
    };
    add(
        "main",
        subject.workload(),
        "-kserve-hpa",
        "-kserve-keda",
        multi::main_name(subject),
        single::main_name(subject),
    );
    if let Some(prefill) = &subject.spec.prefill {
        add(
            "prefill",
            prefill,
            "-kserve-prefill-hpa",
            "-kserve-prefill-keda",
            multi::prefill_name(subject),
            single::prefill_name(subject),
        );
    }
    scaled
}

/// The autoscalers of a service; none on one machine, where nobody would act on them.
pub(crate) fn objects(subject: &Subject) -> Result<Vec<Value>, Error> {
    scaled(subject)
        .iter()
        .filter(|_| !subject.facts.one_machine)
        .map(|scaled| match (&scaled.scaling.wva, &scaled.scaling.keda) {
            (Some(wva), _) if wva.hpa.is_some() => Ok(hpa::object(subject, scaled, wva)),
            _ => keda::object(subject, scaled)
                .map_err(|source| Error::FixScaling { what: scaled.what, source }),
        })
        .collect()
}

fn labels(subject: &Subject, scaled: &Scaled) -> Labels {
    let mut labels = subject.component_labels(COMPONENT);
    if scaled.scaling.wva.is_some() {
        let accelerator =
            scaled.workload.labels.get(ACCELERATOR).cloned().unwrap_or_else(|| "unknown".to_owned());
        labels.insert(ACCELERATOR.to_owned(), accelerator);
    }
    labels
}

/// What the workload variant autoscaler reads; none without it.
fn annotations(subject: &Subject, scaled: &Scaled) -> Labels {
    let Some(wva) = &scaled.scaling.wva else { return Labels::new() };
    let cost = wva.variant_cost.clone().filter(|cost| !cost.is_empty()).unwrap_or_else(|| "10.0".to_owned());
    let model = subject.spec.model.name.clone().unwrap_or_else(|| subject.spec.model.uri.clone());
    Labels::from([
        ("llm-d.ai/managed".to_owned(), "true".to_owned()),
        ("llm-d.ai/model-id".to_owned(), model),
        ("llm-d.ai/variant-cost".to_owned(), cost),
    ])
}
