//! What an API server, or the webhook of a kind, fills into objects of the kinds that we make.
//!
//! Only asked where nobody recorded who wrote a field: a default is then nobody's wish.

use serde_json::{Map, Value, json};

/// Whether `name`, at `path`, has the value that the server would have given it. `siblings` is the mapping it stands in.
pub(super) fn is_default(
    kind: &str,
    path: &[String],
    name: &str,
    value: &Value,
    siblings: &Map<String, Value>,
) -> bool {
    let fields: Vec<&str> = path.iter().map(String::as_str).filter(|step| !step.starts_with('[')).collect();
    let parent = fields.last().copied().unwrap_or_default();
    let is = |default: Value| *value == default;
    match kind {
        "Deployment" if fields == ["spec"] => return deployment(name, value),
        "LeaderWorkerSet" if fields == ["spec"] || parent == "leaderWorkerTemplate" => {
            return match name {
                "size" => is(json!(1)),
                "restartPolicy" => is(json!("RecreateGroupOnPodRestart")),
                "startupPolicy" => is(json!("LeaderCreated")),
                "networkConfig" => is(json!({"subdomainPolicy": "Shared"})),
                _ => false,
            };
        }
        "Service" => return service(&fields, name, value),
        "HorizontalPodAutoscaler" => return autoscaler(&fields, name, value),
        "HTTPRoute" => return route(parent, name, value),
        "InferencePool" => {
            return match name {
                "appProtocol" => is(json!("http")),
                "failureMode" => is(json!("FailClose")),
                "kind" => is(json!("Service")),
                "group" => is(json!("")),
                _ => false,
            };
        }
        "ResourceClaimTemplate" => {
            return match name {
                "allocationMode" => is(json!("ExactCount")),
                "count" => is(json!(1)),
                _ => false,
            };
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            return match (parent, name) {
                ("roleRef", "apiGroup") => is(json!("rbac.authorization.k8s.io")),
                ("subjects", "apiGroup") => is(json!("")),
                _ => false,
            };
        }
        _ => {}
    }
    match parent {
        "rollingUpdateConfiguration" => match name {
            "maxUnavailable" => is(json!(1)),
            "maxSurge" | "partition" => is(json!(0)),
            _ => false,
        },
        "rolloutStrategy" => {
            name == "rollingUpdateConfiguration" && mapping_of_defaults(kind, path, name, value)
        }
        "strategy" => {
            name == "rollingUpdate" && *value == json!({"maxSurge": "25%", "maxUnavailable": "25%"})
        }
        "rollingUpdate" => matches!(name, "maxSurge" | "maxUnavailable") && is(json!("25%")),
        "containers" | "initContainers" => container(name, value, siblings),
        "ports" => name == "protocol" && is(json!("TCP")),
        "fieldRef" => name == "apiVersion" && is(json!("v1")),
        "livenessProbe" | "readinessProbe" | "startupProbe" => match name {
            "timeoutSeconds" | "successThreshold" => is(json!(1)),
            "periodSeconds" => is(json!(10)),
            "failureThreshold" => is(json!(3)),
            _ => false,
        },
        "httpGet" => match name {
            "path" => is(json!("/")),
            "scheme" => is(json!("HTTP")),
            _ => false,
        },
        "secret" | "configMap" | "downwardAPI" | "projected" => name == "defaultMode" && is(json!(420)),
        "serviceAccountToken" => name == "expirationSeconds" && is(json!(3600)),
        "volumes" => name == "emptyDir" && is(json!({})) && siblings.len() == 2,
        "image" => name == "pullPolicy" && matches!(value.as_str(), Some("Always" | "IfNotPresent")),
        "spec" => match name {
            "restartPolicy" => is(json!("Always")),
            "terminationGracePeriodSeconds" => is(json!(30)),
            "dnsPolicy" => is(json!("ClusterFirst")),
            "schedulerName" => is(json!("default-scheduler")),
            // The old name of the same field.
            "serviceAccount" => siblings.get("serviceAccountName") == Some(value),
            "volumeMode" => is(json!("Filesystem")),
            _ => false,
        },
        _ => false,
    }
}

fn mapping_of_defaults(kind: &str, path: &[String], name: &str, value: &Value) -> bool {
    let mut inner = path.to_vec();
    inner.push(name.to_owned());
    value.as_object().is_some_and(|fields| {
        fields.iter().all(|(name, value)| is_default(kind, &inner, name, value, fields))
    })
}

fn deployment(name: &str, value: &Value) -> bool {
    match name {
        "revisionHistoryLimit" => *value == json!(10),
        "progressDeadlineSeconds" => *value == json!(600),
        "strategy" => {
            *value
                == json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        }
        _ => false,
    }
}

fn container(name: &str, value: &Value, siblings: &Map<String, Value>) -> bool {
    match name {
        "terminationMessagePath" => *value == json!("/dev/termination-log"),
        "terminationMessagePolicy" => *value == json!("File"),
        "imagePullPolicy" => {
            let image = siblings.get("image").and_then(Value::as_str).unwrap_or_default();
            let last = image.rsplit('/').next().unwrap_or_default();
            let is_latest =
                !last.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
            *value == json!(if is_latest { "Always" } else { "IfNotPresent" })
        }
        _ => false,
    }
}

/// A Service's addresses and node ports are allocated.
fn service(fields: &[&str], name: &str, value: &Value) -> bool {
    match (fields, name) {
        (["spec"], "clusterIP" | "clusterIPs" | "ipFamilies" | "ipFamilyPolicy" | "healthCheckNodePort") => {
            true
        }
        (["spec"], "type") => *value == json!("ClusterIP"),
        (["spec"], "sessionAffinity") => *value == json!("None"),
        (["spec"], "internalTrafficPolicy") => *value == json!("Cluster"),
        (["spec", "ports"], "protocol") => *value == json!("TCP"),
        (["spec", "ports"], "nodePort") => true,
        _ => false,
    }
}

fn autoscaler(fields: &[&str], name: &str, value: &Value) -> bool {
    match (fields.last().copied().unwrap_or_default(), name) {
        ("spec", "minReplicas") => *value == json!(1),
        ("scaleUp", "stabilizationWindowSeconds") => *value == json!(0),
        ("scaleUp" | "scaleDown", "selectPolicy") => *value == json!("Max"),
        ("scaleUp" | "scaleDown", "policies") | ("behavior", "scaleUp" | "scaleDown") => true,
        _ => false,
    }
}

fn route(parent: &str, name: &str, value: &Value) -> bool {
    match (parent, name) {
        ("parentRefs", "group") => *value == json!("gateway.networking.k8s.io"),
        ("parentRefs", "kind") => *value == json!("Gateway"),
        ("backendRefs", "group") => *value == json!(""),
        ("backendRefs", "kind") => *value == json!("Service"),
        ("backendRefs", "weight") => *value == json!(1),
        ("rules", "matches") => *value == json!([{"path": {"type": "PathPrefix", "value": "/"}}]),
        ("matches", "path") => *value == json!({"type": "PathPrefix", "value": "/"}),
        ("path", "type") => *value == json!("PathPrefix"),
        ("path", "value") => *value == json!("/"),
        ("headers" | "queryParams", "type") => *value == json!("Exact"),
        _ => false,
    }
}
