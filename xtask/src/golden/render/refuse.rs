//! What an API server refuses of children, as far as a recording shows it.

use serde_json::Value;

/// Longest value of a label, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// Why `child` is refused, if it is.
pub(super) fn refusal(child: &Value, present: Option<&Value>) -> Option<String> {
    let kind = child["kind"].as_str().unwrap_or_default();
    let name = child["metadata"]["name"].as_str().unwrap_or_default();
    let too_long = child["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .find(|(_, value)| value.as_str().is_some_and(|value| value.len() > MAX_LABEL_BYTES));
    if let Some((label, _)) = too_long {
        return Some(format!(
            "{kind} {name:?} is invalid: metadata.labels[{label}]: must be no more than 63 bytes"
        ));
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if kind == "Service" && (name.contains('.') || !starts_well) {
        return Some(format!(
            "Service {name:?} is invalid: metadata.name: a DNS-1035 label must start with a letter"
        ));
    }
    if let Some(present) = present {
        let immutable = match kind {
            "Deployment" => "/spec/selector",
            "ResourceClaimTemplate" => "/spec",
            _ => "/metadata/name",
        };
        if present.pointer(immutable) != child.pointer(immutable) {
            return Some(format!("{kind} {name:?} is invalid: {immutable}: field is immutable"));
        }
    }
    let pod = child.pointer("/spec/template/spec")?;
    let list = |field: &str| pod[field].as_array().cloned().unwrap_or_default();
    if list("containers").iter().any(|container| container["name"].as_str().is_none_or(str::is_empty)) {
        return Some(format!(
            "{kind} {name:?} is invalid: spec.template.spec.containers: name: Required value"
        ));
    }
    let two_sources =
        list("volumes").iter().any(|volume| volume.as_object().is_some_and(|volume| volume.len() > 2));
    two_sources
        .then(|| format!("{kind} {name:?} is invalid: volumes: may not specify more than 1 volume type"))
}
