//! The tokenizer: a service of its own that turns text into tokens for the picker.

use serde_json::{Value, json};

use super::{external_pool, managed_scheduler, picker_config};
use crate::storage::{Attachment, TOKENIZER_MODEL_PATH, attach};
use crate::subject::{CLUSTER_DOMAIN, Labels, SERVING_PORT, Subject};
use crate::workload::pod::template;

/// Component of the tokenizer.
pub(crate) const COMPONENT: &str = "tokenizer";

/// Name of the Deployment and the Service.
pub(crate) fn name(subject: &Subject) -> String {
    subject.child("-tokenizer")
}

/// Whether the service has one: it asks for it, or its picker has a plugin that needs it.
pub(crate) fn is_wanted(subject: &Subject) -> bool {
    if external_pool(subject).is_some() {
        return false;
    }
    let Some(scheduler) = managed_scheduler(subject) else { return false };
    scheduler.tokenizer.is_some() || picker_config::needs_tokenizer(subject)
}

/// URL by which the picker reaches it.
pub(crate) fn url(subject: &Subject) -> String {
    let scheme = if subject.tls() { "https" } else { "http" };
    format!("{scheme}://{}.{}.svc.{CLUSTER_DOMAIN}:{SERVING_PORT}", name(subject), subject.namespace)
}

/// Deployment and Service, if the service has a tokenizer.
pub(crate) fn objects(
    subject: &Subject,
    account: Option<&Value>,
) -> Result<Vec<Value>, crate::storage::Error> {
    if !is_wanted(subject) {
        return Ok(Vec::new());
    }
    let spec = managed_scheduler(subject).and_then(|scheduler| scheduler.tokenizer.as_ref());
    let mut pod = spec.and_then(|tokenizer| tokenizer.template.clone()).unwrap_or_default();
    let name = name(subject);
    let live = subject.live("apps/v1", "Deployment", &name);
    let attachment = Attachment {
        path: TOKENIZER_MODEL_PATH,
        with_adapters: false,
        account,
        live_pod: live.and_then(|live| live.pointer("/spec/template/spec")),
    };
    attach(&mut pod, subject, &attachment)?;
    let labels = subject.component_labels(COMPONENT);
    let deployment = subject.object(
        "apps/v1",
        "Deployment",
        &name,
        labels.clone(),
        json!({"spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": template(&labels, &Labels::new(), &pod),
        }}),
    );
    let service = subject.object(
        "v1",
        "Service",
        &name,
        labels.clone(),
        json!({"spec": {
            "selector": labels,
            "ports": [
                {"name": "render-http", "port": SERVING_PORT, "protocol": "TCP", "targetPort": "render-http"},
            ],
        }}),
    );
    Ok(vec![deployment, service])
}
