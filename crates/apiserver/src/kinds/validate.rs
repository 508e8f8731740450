//! Validation of the built-in kinds, and of `metadata` for all kinds.

use serde_json::{Value, json};

use super::names;
use crate::catalog::Resource;
use crate::core::Core;
use crate::rest::{name_of, strings};
use crate::status::Cause;

/// The rules on `metadata` that hold for every kind: causes and warnings.
pub(crate) fn metadata(resource: &Resource, value: &Value) -> (Vec<Cause>, Vec<String>) {
    let mut causes = Vec::new();
    let warnings = Vec::new();
    let name = name_of(value);
    let metadata = &value["metadata"];
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let check = match (resource.group.as_str(), resource.kind.as_str()) {
            ("", "Namespace") => names::label(name),
            ("", "Service") => names::label_1035(name),
            ("rbac.authorization.k8s.io", _) => names::path_segment(name),
            _ => names::subdomain(name),
        };
        for why in check.err().unwrap_or_default() {
            causes.push(Cause::invalid("metadata.name", &json!(name), &why));
        }
    }
    for (key, label) in metadata["labels"].as_object().into_iter().flatten() {
        for why in names::qualified_name(key).err().unwrap_or_default() {
            causes.push(Cause::invalid("metadata.labels", &json!(key), &why));
        }
        for why in names::label_value(label.as_str().unwrap_or_default()).err().unwrap_or_default() {
            causes.push(Cause::invalid("metadata.labels", label, &why));
        }
    }
    for key in metadata["annotations"].as_object().into_iter().flatten().map(|(k, _)| k) {
        for why in names::qualified_name(&key.to_lowercase()).err().unwrap_or_default() {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), &why));
        }
    }
    let _ = strings(&metadata["finalizers"]);
    (causes, warnings)
}

/// The rules of the kind on a new object.
pub(crate) fn create(_core: &Core, _resource: &Resource, _value: &Value) -> Vec<Cause> {
    Vec::new()
}

/// The rules of the kind on a changed object.
pub(crate) fn update(_core: &Core, _resource: &Resource, _value: &Value, _old: &Value, _status: bool) -> Vec<Cause> {
    Vec::new()
}
