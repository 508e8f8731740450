//! Validation of the built-in kinds, and of `metadata` for all kinds.

use serde_json::{Map, Value, json};

use super::names;
use crate::catalog::Resource;
use crate::rest::{name_of, strings};
use crate::status::{Cause, quoted};

const ANNOTATIONS_LIMIT_BYTES: usize = 256 * 1024;
const SECRET_LIMIT_BYTES: usize = 1024 * 1024;
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// The rules on `metadata` that hold for every kind: causes and warnings.
pub(crate) fn metadata(resource: &Resource, value: &Value) -> (Vec<Cause>, Vec<String>) {
    let mut causes = Vec::new();
    let mut warnings = Vec::new();
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
    labels(&metadata["labels"], "metadata.labels", &mut causes);
    let mut size = 0;
    for (key, annotation) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + annotation.as_str().map_or(0, str::len);
        for why in names::qualified_name(&key.to_lowercase()).err().unwrap_or_default() {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), &why));
        }
    }
    if size > ANNOTATIONS_LIMIT_BYTES {
        let why = format!("Too long: may not be more than {ANNOTATIONS_LIMIT_BYTES} bytes");
        causes.push(Cause::new("metadata.annotations", "FieldValueTooLong", why));
    }
    owners(&metadata["ownerReferences"], &mut causes);
    for (index, finalizer) in strings(&metadata["finalizers"]).into_iter().enumerate() {
        let field = format!("metadata.finalizers[{index}]");
        for why in names::qualified_name(finalizer).err().unwrap_or_default() {
            causes.push(Cause::invalid("metadata.finalizers", &json!(finalizer), &why));
        }
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
            if resource.custom().is_some() {
                warnings.push(format!(
                    "metadata.finalizers: {}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers",
                    quoted(finalizer)
                ));
            } else if resource.built_in().is_some_and(|b| b.group.is_empty()) {
                let why = "name is neither a standard finalizer name nor is it fully qualified";
                causes.push(Cause::invalid(field, &json!(finalizer), why));
            }
        }
    }
    (causes, warnings)
}

fn labels(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, label) in value.as_object().into_iter().flatten() {
        for why in names::qualified_name(key).err().unwrap_or_default() {
            causes.push(Cause::invalid(field, &json!(key), &why));
        }
        for why in names::label_value(label.as_str().unwrap_or_default()).err().unwrap_or_default() {
            causes.push(Cause::invalid(field, label, &why));
        }
    }
}

fn owners(value: &Value, causes: &mut Vec<Cause>) {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    for owner in list {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::invalid(
                    format!("metadata.ownerReferences.{field}"),
                    &json!(""),
                    "must not be empty",
                ));
            }
        }
    }
    let controllers: Vec<&Value> = list.iter().filter(|o| o["controller"] == true).collect();
    if let [first, second, ..] = controllers.as_slice() {
        let shown = |o: &Value| {
            format!("{}/{}", o["kind"].as_str().unwrap_or_default(), o["name"].as_str().unwrap_or_default())
        };
        // Printed in the order of Go's fields.
        let printed: Vec<String> = list.iter().map(printed_owner).collect();
        let message = format!(
            "Invalid value: [{}]: Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            printed.join(","),
            shown(first),
            shown(second),
        );
        causes.push(Cause::new("metadata.ownerReferences", "FieldValueInvalid", message));
    }
}

fn printed_owner(owner: &Value) -> String {
    let parts: Vec<String> = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]
        .iter()
        .filter(|f| !owner[**f].is_null())
        .map(|f| format!("\"{f}\":{}", owner[*f]))
        .collect();
    format!("{{{}}}", parts.join(","))
}

/// The rules of the kind on a new object. `before` is what is wrong already.
pub(crate) fn create(resource: &Resource, value: &Value, before: &[Cause]) -> Vec<Cause> {
    if let Some(custom) = resource.custom() {
        return crate::crd::validate::object(custom, value, None, before);
    }
    let mut causes = both(resource, value);
    if resource.is("apps", "Deployment")
        || resource.is("apps", "ReplicaSet")
        || resource.is("apps", "StatefulSet")
        || resource.is("apps", "DaemonSet")
    {
        causes.extend(workload(value));
    }
    causes
}

/// The rules of the kind on a changed object.
pub(crate) fn update(
    resource: &Resource,
    value: &Value,
    old: &Value,
    status: bool,
    before: &[Cause],
) -> Vec<Cause> {
    if let Some(custom) = resource.custom() {
        return crate::crd::validate::object(custom, value, Some(old), before);
    }
    if status {
        return if resource.is("apps", "Deployment") { deployment_status(value) } else { Vec::new() };
    }
    let mut causes = both(resource, value);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => {
            immutable("type", &value["type"], &old["type"], &mut causes);
        }
        ("resource.k8s.io", "ResourceClaimTemplate") => {
            immutable("spec", &value["spec"], &old["spec"], &mut causes);
        }
        ("", "Service") => service_update(value, old, &mut causes),
        ("", "Pod") => super::pod::update(value, old, &mut causes),
        ("apps", kind) => {
            causes.extend(workload(value));
            if kind != "StatefulSet" {
                immutable("spec.selector", &value["spec"]["selector"], &old["spec"]["selector"], &mut causes);
            }
        }
        _ => {}
    }
    if matches!(resource.kind.as_str(), "ConfigMap" | "Secret") && old["immutable"] == true {
        for field in ["data", "binaryData", "immutable"] {
            if value[field] != old[field] {
                causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
    causes
}

fn immutable(field: &str, new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if new != old {
        causes.push(Cause::invalid(field, new, "field is immutable"));
    }
}

fn both(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap" | "Secret") => data(resource, value, &mut causes),
        ("", "Service") => service(value, &mut causes),
        ("", "Pod") => super::pod::spec(&value["spec"], "spec", &mut causes),
        _ => {}
    }
    causes
}

fn data(resource: &Resource, value: &Value, causes: &mut Vec<Cause>) {
    let empty = Map::new();
    let texts = value["data"].as_object().unwrap_or(&empty);
    let size: usize = texts.values().filter_map(Value::as_str).map(str::len).sum();
    let size = if resource.kind == "Secret" { size / 4 * 3 } else { size };
    if size > SECRET_LIMIT_BYTES {
        let field = if resource.kind == "Secret" { "data" } else { "[]" };
        let why = format!("Too long: may not be more than {SECRET_LIMIT_BYTES} bytes");
        causes.push(Cause::new(field, "FieldValueTooLong", why));
    }
    let needed: &[&str] = match value["type"].as_str() {
        Some("kubernetes.io/tls") => &["tls.crt", "tls.key"],
        Some("kubernetes.io/dockerconfigjson") => &[".dockerconfigjson"],
        Some("kubernetes.io/ssh-auth") => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed {
        if !texts.contains_key(*key) {
            causes.push(Cause::required(format!("data[{key}]"), ""));
        }
    }
}

fn service(value: &Value, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut seen = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        match port["name"].as_str().filter(|n| !n.is_empty()) {
            None if ports.len() > 1 => causes.push(Cause::required(format!("{field}.name"), "")),
            None => {}
            Some(name) => {
                for why in names::label(name).err().unwrap_or_default() {
                    causes.push(Cause::invalid(format!("{field}.name"), &port["name"], &why));
                }
                if seen.contains(&name) {
                    causes.push(Cause::duplicate(format!("{field}.name"), &port["name"]));
                }
                seen.push(name);
            }
        }
        super::pod::port_number(&port["port"], &format!("{field}.port"), causes);
    }
}

fn service_update(value: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let (new, was) = (&value["spec"], &old["spec"]);
    if was["type"] == "ExternalName" || new["type"] == "ExternalName" {
        return;
    }
    if new["clusterIP"] != was["clusterIP"] && !was["clusterIP"].is_null() {
        causes.push(Cause::invalid("spec.clusterIPs[0]", &new["clusterIPs"], "may not change once set"));
    }
}

fn deployment_status(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let status = &value["status"];
    let count = |name: &str| status[name].as_i64().unwrap_or(0);
    for name in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        if count(name) < 0 {
            causes.push(Cause::invalid(
                format!("status.{name}"),
                &status[name],
                "must be greater than or equal to 0",
            ));
        }
    }
    for (name, most) in [
        ("updatedReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ] {
        if count(name) > count(most) {
            let why = format!("cannot be greater than status.{most}");
            causes.push(Cause::invalid(format!("status.{name}"), &json!(count(name)), &why));
        }
    }
    causes
}

fn workload(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &value["spec"];
    if spec["replicas"].as_i64().is_some_and(|r| r < 0) {
        causes.push(Cause::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    let wanted = spec["selector"]["matchLabels"].as_object();
    if spec["selector"].is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if wanted.is_none_or(Map::is_empty) && spec["selector"]["matchExpressions"].is_null() {
        causes.push(Cause::invalid(
            "spec.selector",
            &spec["selector"],
            "empty selector is invalid for deployment",
        ));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if wanted.into_iter().flatten().any(|(key, label)| labels[key] != *label) {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
    }
    super::pod::spec(&spec["template"]["spec"], "spec.template.spec", &mut causes);
    causes
}
