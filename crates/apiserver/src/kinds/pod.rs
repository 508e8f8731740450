//! Validation of pods and of the pods inside workloads.

use serde_json::{Value, json};

use super::{names, quantity};
use crate::status::Cause;

/// Rules on a pod's spec at `field`.
pub(super) fn spec(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    let volumes: Vec<&str> =
        value["volumes"].as_array().into_iter().flatten().filter_map(|v| v["name"].as_str()).collect();
    let mut seen: Vec<&str> = Vec::new();
    for (index, volume) in value["volumes"].as_array().into_iter().flatten().enumerate() {
        let sources = volume.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
        for (source, _) in sources.skip(1) {
            let at = format!("{field}.volumes[{index}].{source}");
            causes.push(Cause::forbidden(at, "may not specify more than 1 volume type"));
        }
        let at = format!("{field}.volumes[{index}].name");
        match volume["name"].as_str().filter(|n| !n.is_empty()) {
            None => causes.push(Cause::required(at, "")),
            Some(name) => {
                if seen.contains(&name) {
                    causes.push(Cause::duplicate(at.clone(), &json!(name)));
                }
                seen.push(name);
                for why in names::label(name).err().unwrap_or_default() {
                    causes.push(Cause::invalid(at.clone(), &json!(name), &why));
                }
            }
        }
    }
    if value["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{field}.containers"), ""));
    }
    let mut seen = Vec::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in value[list].as_array().into_iter().flatten().enumerate() {
            let at = format!("{field}.{list}[{index}]");
            if let Some(name) = container["name"].as_str() {
                if seen.contains(&name) {
                    causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
                }
                seen.push(name);
            }
            check_container(container, &at, &volumes, causes);
        }
    }
    if let Some(policy) = value["restartPolicy"].as_str()
        && !matches!(policy, "Always" | "OnFailure" | "Never")
    {
        causes.push(Cause::unsupported(
            format!("{field}.restartPolicy"),
            &json!(policy),
            &["Always", "OnFailure", "Never"],
        ));
    }
}

fn check_container(container: &Value, at: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    match container["name"].as_str().filter(|n| !n.is_empty()) {
        None => causes.push(Cause::required(format!("{at}.name"), "")),
        Some(name) => {
            for why in names::label(name).err().unwrap_or_default() {
                causes.push(Cause::invalid(format!("{at}.name"), &json!(name), &why));
            }
        }
    }
    if container["image"].as_str().unwrap_or_default().is_empty() {
        causes.push(Cause::required(format!("{at}.image"), ""));
    }
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let field = format!("{at}.ports[{index}].containerPort");
        match port["containerPort"].as_i64() {
            None | Some(0) => causes.push(Cause::required(field, "")),
            Some(_) => port_number(&port["containerPort"], &field, causes),
        }
    }
    for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        if variable["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{at}.env[{index}].name"), ""));
        }
        let from = variable["valueFrom"].as_object();
        if from.is_some_and(|f| !f.is_empty()) && variable["value"].as_str().is_some_and(|v| !v.is_empty()) {
            let why = "may not be specified when `value` is not empty";
            causes.push(Cause::invalid(format!("{at}.env[{index}].valueFrom"), &json!(""), why));
        }
    }
    let mut paths = Vec::new();
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let field = format!("{at}.volumeMounts[{index}]");
        let name = mount["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required(format!("{field}.name"), ""));
        }
        if !volumes.contains(&name) {
            causes.push(Cause::not_found(format!("{field}.name"), &json!(name)));
        }
        let path = mount["mountPath"].as_str().unwrap_or_default();
        if path.is_empty() {
            causes.push(Cause::required(format!("{field}.mountPath"), ""));
        } else if paths.contains(&path) {
            causes.push(Cause::invalid(format!("{field}.mountPath"), &json!(path), "must be unique"));
        }
        paths.push(path);
    }
    for hook in ["postStart", "preStop"] {
        for (handler, _) in container["lifecycle"][hook].as_object().into_iter().flatten().skip(1) {
            let field = format!("{at}.lifecycle.{hook}.{handler}");
            causes.push(Cause::forbidden(field, "may not specify more than 1 handler type"));
        }
    }
    let resources = &container["resources"];
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let (Some(request), Some(limit)) = (request.as_str(), resources["limits"][name].as_str()) else {
            continue;
        };
        if quantity::exceeds(request, limit) {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            causes.push(Cause::invalid(format!("{at}.resources.requests"), &json!(request), &why));
        }
    }
}

pub(super) fn port_number(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    if !value.as_i64().is_some_and(|n| (1..=65_535).contains(&n)) {
        causes.push(Cause::invalid(field, value, "must be between 1 and 65535, inclusive"));
    }
}

/// What may not change in a pod.
pub(super) fn update(value: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let (mut new, mut was) = (value["spec"].clone(), old["spec"].clone());
    for spec in [&mut new, &mut was] {
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
                // The pull policy follows the image only in new pods.
                container["imagePullPolicy"] = Value::Null;
            }
        }
        if let Some(map) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
                "ephemeralContainers",
                "nodeName",
            ] {
                map.remove(field);
            }
            map.retain(|_, v| !v.is_null());
        }
    }
    if new == was {
        return;
    }
    let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";
    let changes = super::podspec_diff::unified(&was, &new);
    causes.push(Cause::forbidden("spec", &format!("{why}{changes}")));
}
