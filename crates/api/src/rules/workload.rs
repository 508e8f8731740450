//! Rules about workloads, autoscaling and pools.

use serde_json::Value;

use super::{CelRule, has, items, number, rule};

const IDLE_NEEDS_MIN: &str = "minReplicas is required when idleReplicaCount is set";
const IDLE_BELOW_MIN: &str = "idleReplicaCount must be less than minReplicas; idleReplicaCount defines the replica floor when no triggers are active";

pub(super) fn rules() -> Vec<CelRule> {
    let modifiers = ["formula", "target", "activationTarget", "metricType"].map(|field| {
        let path = format!("self.keda.advanced.scalingModifiers.{field}");
        format!("(!has({path}) || size({path}) == 0)")
    });
    vec![
        rule(
            "replicas-or-scaling",
            "!(has(self.replicas) && has(self.scaling))",
            "replicas and scaling are mutually exclusive; use scaling for autoscaled deployments or replicas for static deployments",
            |spec| !(has(spec, "replicas") && has(spec, "scaling")),
        ),
        rule(
            "scaling-by-wva-or-keda",
            "has(self.wva) || has(self.keda)",
            "either wva or keda must be specified when scaling is configured",
            |scaling| has(scaling, "wva") || has(scaling, "keda"),
        ),
        rule(
            "scaling-not-by-both",
            "!(has(self.wva) && has(self.keda))",
            "wva and keda are mutually exclusive",
            |scaling| !(has(scaling, "wva") && has(scaling, "keda")),
        ),
        rule(
            "keda-needs-triggers",
            "!has(self.keda) || size(self.keda.triggers) > 0",
            "at least one trigger is required when using direct KEDA scaling",
            |scaling| !has(scaling, "keda") || items(&scaling["keda"]["triggers"]).next().is_some(),
        ),
        rule(
            "min-not-above-max",
            "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas cannot exceed maxReplicas",
            |scaling| {
                number(scaling, "minReplicas").is_none_or(|min| number(scaling, "maxReplicas") >= Some(min))
            },
        ),
        rule(
            "wva-idle-needs-min",
            "!has(self.wva) || !has(self.wva.keda) || !has(self.wva.keda.idleReplicaCount) || has(self.minReplicas)",
            IDLE_NEEDS_MIN,
            |scaling| idle(&scaling["wva"]["keda"]).is_none() || has(scaling, "minReplicas"),
        ),
        rule(
            "wva-idle-below-min",
            "!has(self.wva) || !has(self.wva.keda) || !has(self.wva.keda.idleReplicaCount) || !has(self.minReplicas) || self.wva.keda.idleReplicaCount < self.minReplicas",
            IDLE_BELOW_MIN,
            |scaling| below_min(scaling, idle(&scaling["wva"]["keda"])),
        ),
        rule(
            "keda-idle-needs-min",
            "!has(self.keda) || !has(self.keda.idleReplicaCount) || has(self.minReplicas)",
            IDLE_NEEDS_MIN,
            |scaling| idle(&scaling["keda"]).is_none() || has(scaling, "minReplicas"),
        ),
        rule(
            "keda-idle-below-min",
            "!has(self.keda) || !has(self.keda.idleReplicaCount) || !has(self.minReplicas) || self.keda.idleReplicaCount < self.minReplicas",
            IDLE_BELOW_MIN,
            |scaling| below_min(scaling, idle(&scaling["keda"])),
        ),
        rule(
            "wva-owns-modifiers",
            format!(
                "!has(self.keda) || !has(self.keda.advanced) || !has(self.keda.advanced.scalingModifiers) || ({})",
                modifiers.join(" && ")
            ),
            "scalingModifiers must not be set; WVA controls the scaling metric formula and logic",
            |wva| {
                let modifiers = &wva["keda"]["advanced"]["scalingModifiers"];
                ["formula", "target", "activationTarget", "metricType"]
                    .iter()
                    .all(|field| is_blank(&modifiers[*field]))
            },
        ),
        rule(
            "one-actuator",
            "!(has(self.hpa) && has(self.keda))",
            "hpa and keda are mutually exclusive; choose one actuator backend",
            |wva| !(has(wva, "hpa") && has(wva, "keda")),
        ),
        rule(
            "some-actuator",
            "has(self.hpa) || has(self.keda)",
            "either hpa or keda must be specified as the actuator backend",
            |wva| has(wva, "hpa") || has(wva, "keda"),
        ),
        rule(
            "hpa-name-is-ours",
            "!has(self.advanced) || !has(self.advanced.horizontalPodAutoscalerConfig) || !has(self.advanced.horizontalPodAutoscalerConfig.name) || size(self.advanced.horizontalPodAutoscalerConfig.name) == 0",
            "horizontalPodAutoscalerConfig.name must not be set; the controller manages the HPA name",
            |keda| is_blank(&keda["advanced"]["horizontalPodAutoscalerConfig"]["name"]),
        ),
        rule(
            "ports-differ",
            "self.all(p1, self.exists_one(p2, p1.number==p2.number))",
            "port number must be unique",
            |ports| {
                items(ports)
                    .all(|port| items(ports).filter(|other| other["number"] == port["number"]).count() == 1)
            },
        ),
        rule(
            "picker-port",
            "self.kind != 'Service' || has(self.port)",
            "port is required when kind is 'Service' or unspecified (defaults to 'Service')",
            |picker| picker.get("kind").is_some_and(|kind| kind != "Service") || has(picker, "port"),
        ),
    ]
}

fn idle(keda: &Value) -> Option<i64> {
    number(keda, "idleReplicaCount")
}

fn below_min(scaling: &Value, idle: Option<i64>) -> bool {
    match (idle, number(scaling, "minReplicas")) {
        (Some(idle), Some(min)) => idle < min,
        _ => true,
    }
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_none_or(str::is_empty)
}
