//! A ScaledObject: KEDA with the user's triggers, or following the workload variant autoscaler.

use api::v1alpha2::KEDAScalingSpec;
use serde_json::{Value, json};

use super::{DESIRED_REPLICAS, Scaled, annotations, labels};
use crate::subject::Subject;

/// Label that KEDA itself puts on a ScaledObject.
const KEDA_LABEL: &str = "scaledobject.keda.sh/name";
/// What `fallback.behavior` is where nobody says it.
const DEFAULT_FALLBACK: &str = "static";

/// Why a ScaledObject cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "autoscaling-wva-controller-config.prometheus.url is required in inferenceservice-config when using KEDA"
    )]
    SetPrometheusUrl,
    #[error(
        "autoscaling-wva-controller-config.prometheus.authModes and triggerAuthName must be set together"
    )]
    SetBothAuthFields,
}

/// The ScaledObject.
pub(super) fn object(subject: &Subject, scaled: &Scaled) -> Result<Value, Error> {
    let (settings, triggers) = match (&scaled.scaling.wva, &scaled.scaling.keda) {
        (Some(wva), _) => {
            (wva.keda.clone().unwrap_or_default(), json!([prometheus_trigger(subject, scaled)?]))
        }
        (None, Some(keda)) => (keda.settings.clone(), json!(keda.triggers)),
        (None, None) => (KEDAScalingSpec::default(), json!([])),
    };
    let mut spec = json!(settings);
    spec["scaleTargetRef"] = scaled.target.clone();
    spec["minReplicaCount"] = json!(scaled.scaling.min_replicas.unwrap_or(1));
    spec["maxReplicaCount"] = json!(scaled.scaling.max_replicas);
    spec["triggers"] = triggers;
    // The default is what every KEDA does; those that do not know the field yet would refuse it.
    if spec["fallback"]["behavior"] == DEFAULT_FALLBACK
        && let Some(fallback) = spec["fallback"].as_object_mut()
    {
        fallback.remove("behavior");
    }
    let mut labels = labels(subject, scaled);
    let live = subject.live(kinds::keda::API_VERSION, "ScaledObject", &scaled.keda_name);
    if let Some(value) = live.and_then(|live| live["metadata"]["labels"][KEDA_LABEL].as_str()) {
        labels.insert(KEDA_LABEL.to_owned(), value.to_owned());
    }
    Ok(subject.annotated_object(
        kinds::keda::API_VERSION,
        "ScaledObject",
        &scaled.keda_name,
        labels,
        annotations(subject, scaled),
        json!({"spec": spec}),
    ))
}

fn prometheus_trigger(subject: &Subject, scaled: &Scaled) -> Result<Value, Error> {
    let autoscaling = subject.facts.settings.autoscaling.clone().unwrap_or_default();
    let prometheus = autoscaling.prometheus;
    if prometheus.url.is_empty() {
        return Err(Error::SetPrometheusUrl);
    }
    if prometheus.auth_modes.is_empty() != prometheus.trigger_auth_name.is_empty() {
        return Err(Error::SetBothAuthFields);
    }
    let mut trigger = json!({
        "type": "prometheus",
        "name": "wva-desired-replicas",
        "metadata": {
            "serverAddress": prometheus.url,
            "query": format!(
                "{DESIRED_REPLICAS}{{variant_name=\"{}\",exported_namespace=\"{}\"}}",
                scaled.keda_name, subject.namespace
            ),
            "threshold": "1",
            "unsafeSsl": prometheus.tls_insecure_skip_verify.to_string(),
        },
    });
    if !prometheus.auth_modes.is_empty() {
        let kind = Some(prometheus.trigger_auth_kind).filter(|kind| !kind.is_empty());
        trigger["metadata"]["authModes"] = json!(prometheus.auth_modes);
        trigger["authenticationRef"] = json!({
            "kind": kind.unwrap_or_else(|| "TriggerAuthentication".to_owned()),
            "name": prometheus.trigger_auth_name,
        });
    }
    Ok(trigger)
}
