//! Managed devices: the claim template that pods of all patterns share.

use api::keys::{DRA_CEL_SELECTOR, DRA_DEVICE_CLASS, DRA_DEVICE_COUNT};
use serde_json::{Value, json};

use crate::subject::{Labels, Subject};

/// The `apiVersion` of claim templates.
pub(crate) const API_VERSION: &str = "resource.k8s.io/v1";

/// The ResourceClaimTemplate, if the service asks for managed devices. KServe gives it no labels.
pub(crate) fn object(subject: &Subject) -> Option<Value> {
    let annotations = subject.annotations();
    let class = annotations.get(DRA_DEVICE_CLASS)?.trim();
    if class.is_empty() {
        return None;
    }
    let mut exactly = json!({"deviceClassName": class});
    let count =
        annotations.get(DRA_DEVICE_COUNT).and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(1);
    if count > 1 {
        exactly["count"] = json!(count);
    }
    let selectors: Vec<Value> = annotations
        .get(DRA_CEL_SELECTOR)
        .into_iter()
        .flat_map(|text| text.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| json!({"cel": {"expression": line}}))
        .collect();
    if !selectors.is_empty() {
        exactly["selectors"] = json!(selectors);
    }
    Some(subject.object(
        API_VERSION,
        "ResourceClaimTemplate",
        &api::names::managed_dra(subject.name),
        Labels::new(),
        json!({"spec": {
            "metadata": {},
            "spec": {"devices": {"requests": [{"name": "device", "exactly": exactly}]}},
        }}),
    ))
}
