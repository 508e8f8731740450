//! A HorizontalPodAutoscaler that follows the workload variant autoscaler.

use api::v1alpha2::WVASpec;
use serde_json::{Value, json};

use super::{DESIRED_REPLICAS, Scaled, annotations, labels};
use crate::subject::Subject;

/// The HPA. Its metric is a wanted number of replicas, so the target is an average of 1; KServe asks for the value 1,
/// with which an HPA multiplies the wanted number by the present one.
pub(super) fn object(subject: &Subject, scaled: &Scaled, wva: &WVASpec) -> Value {
    let mut spec = json!({
        "scaleTargetRef": scaled.target,
        "minReplicas": scaled.scaling.min_replicas.unwrap_or(1),
        "maxReplicas": scaled.scaling.max_replicas,
        "metrics": [{
            "type": "External",
            "external": {
                "metric": {
                    "name": DESIRED_REPLICAS,
                    "selector": {"matchLabels": {"variant_name": scaled.hpa_name}},
                },
                "target": {"type": "AverageValue", "averageValue": "1"},
            },
        }],
    });
    if let Some(behavior) = wva.hpa.as_ref().and_then(|hpa| hpa.behavior.as_ref()) {
        spec["behavior"] = json!(behavior);
    }
    subject.annotated_object(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        &scaled.hpa_name,
        labels(subject, scaled),
        annotations(subject, scaled),
        json!({"spec": spec}),
    )
}
