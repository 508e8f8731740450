//! LeaderWorkerSet and ScaledObject.

use serde_json::{Value, json};

use super::{Definition, conditions, list, number, object, open, text};

pub(super) fn crds() -> Vec<Value> {
    vec![leader_worker_set(), scaled_object()]
}

fn leader_worker_set() -> Value {
    // Pods are checked when they are made; here they are only passed on.
    let template = || object(json!({"metadata": open(), "spec": open()}), &[]);
    let amount = |default: i64| json!({"x-kubernetes-int-or-string": true, "default": default});
    let group = object(
        json!({
            "leaderTemplate": template(), "workerTemplate": template(),
            "size": {"type": "integer", "format": "int32", "default": 1},
            "restartPolicy": {
                "type": "string", "default": "RecreateGroupOnPodRestart",
                "enum": ["Default", "RecreateGroupOnPodRestart", "None"],
            },
            "subGroupPolicy": open(),
        }),
        &["workerTemplate"],
    );
    let rollout = object(
        json!({
            "type": {"type": "string", "default": "RollingUpdate", "enum": ["RollingUpdate"]},
            "rollingUpdateConfiguration": object(
                json!({"partition": number(), "maxUnavailable": amount(1), "maxSurge": amount(0)}), &[]),
        }),
        &["type"],
    );
    Definition {
        group: "leaderworkerset.x-k8s.io",
        version: "v1",
        kind: "LeaderWorkerSet",
        plural: "leaderworkersets",
        short: &["lws"],
        is_namespaced: true,
        columns: &[("Ready", "integer", ".status.readyReplicas"), ("Desired", "integer", ".spec.replicas")],
        spec: object(
            json!({
                "replicas": {"type": "integer", "format": "int32", "default": 1, "minimum": 0},
                "leaderWorkerTemplate": group,
                "rolloutStrategy": rollout,
                "startupPolicy": {"type": "string", "default": "LeaderCreated", "enum": ["LeaderCreated", "LeaderReady"]},
                "networkConfig": open(),
            }),
            &["leaderWorkerTemplate"],
        ),
        status: object(
            json!({
                "conditions": conditions(), "readyReplicas": number(), "updatedReplicas": number(), "replicas": number(),
                "hpaPodSelector": text(),
            }),
            &[],
        ),
        scale: Some(json!({
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.hpaPodSelector",
        })),
    }
    .crd()
}

fn scaled_object() -> Value {
    let trigger = object(
        json!({
            "type": text(), "name": text(), "metricType": text(), "useCachedMetrics": {"type": "boolean"},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "authenticationRef": object(json!({"name": text(), "kind": text()}), &["name"]),
        }),
        &["type", "metadata"],
    );
    let fallback = object(
        json!({"failureThreshold": number(), "replicas": number(), "behavior": text()}),
        &["failureThreshold", "replicas"],
    );
    Definition {
        group: "keda.sh",
        version: "v1alpha1",
        kind: "ScaledObject",
        plural: "scaledobjects",
        short: &["so"],
        is_namespaced: true,
        columns: &[
            ("ScaleTargetName", "string", ".spec.scaleTargetRef.name"),
            ("Min", "integer", ".spec.minReplicaCount"),
            ("Max", "integer", ".spec.maxReplicaCount"),
            ("Triggers", "string", ".spec.triggers[*].type"),
            ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
            ("Active", "string", ".status.conditions[?(@.type==\"Active\")].status"),
        ],
        spec: object(
            json!({
                "scaleTargetRef": object(json!({"apiVersion": text(), "kind": text(), "name": text()}), &["name"]),
                "pollingInterval": number(), "cooldownPeriod": number(), "initialCooldownPeriod": number(),
                "idleReplicaCount": number(), "minReplicaCount": number(), "maxReplicaCount": number(),
                "fallback": fallback, "advanced": open(), "triggers": list(trigger),
            }),
            &["scaleTargetRef", "triggers"],
        ),
        // KEDA's conditions have no time and no key.
        status: object(json!({"conditions": list(open())}), &[]),
        scale: None,
    }
    .crd()
}
