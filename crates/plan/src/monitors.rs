//! What Prometheus scrapes: the engines, and the picker if there is one. Only for services that ask for it.
//!
//! KServe makes no monitors for this kind of service, so a cluster that is taken over gets none unasked. The annotation is
//! the one by which KServe's InferenceServices ask for being scraped.

use kinds::monitoring::API_VERSION;
use serde_json::{Value, json};

use crate::router::{managed_scheduler, pool};
use crate::subject::{ROLE, SERVING_PORT, Subject};
use crate::workload::COMPONENT;

/// Annotation of a service: `"true"` asks for monitors.
pub(crate) const ENABLE_SCRAPING: &str = "serving.kserve.io/enable-prometheus-scraping";

/// Whether the service asks for monitors.
pub(crate) fn are_wanted(subject: &Subject) -> bool {
    subject.annotations().get(ENABLE_SCRAPING).is_some_and(|value| value == "true")
}

/// Whether the cluster has both kinds.
pub(crate) fn are_known(subject: &Subject) -> bool {
    ["podmonitors", "servicemonitors"].iter().all(|plural| {
        let name = format!("{plural}.monitoring.coreos.com");
        let objects = &subject.facts.objects;
        objects.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, &name).is_some()
    })
}

/// A PodMonitor of the engines and a ServiceMonitor of the picker.
pub(crate) fn objects(subject: &Subject) -> Vec<Value> {
    if !are_wanted(subject) || !are_known(subject) {
        return Vec::new();
    }
    let mut engine = json!({"path": "/metrics", "targetPort": SERVING_PORT, "scheme": "http"});
    if subject.tls() {
        // The certificate is the service's own and names no pod.
        engine["scheme"] = json!("https");
        engine["tlsConfig"] = json!({"insecureSkipVerify": true});
    }
    let mut objects = vec![subject.object(
        API_VERSION,
        "PodMonitor",
        &subject.child("-kserve-engine"),
        subject.component_labels(COMPONENT),
        json!({"spec": {
            "selector": {"matchLabels": subject.serving_selector()},
            "podTargetLabels": [api::keys::APP_NAME, api::keys::APP_COMPONENT, ROLE],
            "podMetricsEndpoints": [engine],
        }}),
    )];
    if managed_scheduler(subject).is_some() {
        let labels = subject.component_labels(pool::COMPONENT);
        // The picker asks who reads its metrics, so Prometheus shows its own token.
        objects.push(subject.object(
            API_VERSION,
            "ServiceMonitor",
            &subject.child("-kserve-picker"),
            labels.clone(),
            json!({"spec": {
                "selector": {"matchLabels": labels},
                "targetLabels": [api::keys::APP_NAME],
                "endpoints": [{
                    "path": "/metrics", "port": "metrics", "scheme": "http",
                    "bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
                }],
            }}),
        ));
    }
    objects
}
