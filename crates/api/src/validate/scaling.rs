//! Autoscaling.

use serde_json::Value;

use super::{Verdict, is_filled, is_set, workloads};

const MODIFIERS: [&str; 4] = ["formula", "target", "activationTarget", "metricType"];

pub(super) fn all(spec: &Value, verdict: &mut Verdict) {
    for (base, workload) in workloads(spec) {
        if is_set(&workload["scaling"]) {
            one(base, workload, verdict);
        }
    }
    same_mode(spec, verdict);
}

fn one(base: &str, workload: &Value, verdict: &mut Verdict) {
    let scaling = &workload["scaling"];
    let path = format!("{base}.scaling");
    if is_set(&workload["replicas"]) {
        verdict.invalid(
            "scaling-and-replicas",
            &path,
            scaling,
            "scaling and replicas are mutually exclusive; use scaling for autoscaled deployments or replicas for static deployments",
        );
    }
    let (min, max) = (scaling["minReplicas"].as_i64(), scaling["maxReplicas"].as_i64().unwrap_or(0));
    if let Some(min) = min.filter(|min| *min > max) {
        let words = format!("minReplicas ({min}) cannot exceed maxReplicas ({max})");
        verdict.invalid("min-above-max", &format!("{path}.minReplicas"), &min.into(), &words);
    }
    let (wva, keda) = (&scaling["wva"], &scaling["keda"]);
    match (is_set(wva), is_set(keda)) {
        (true, true) => verdict.invalid(
            "wva-and-keda",
            &path,
            scaling,
            "wva and keda are mutually exclusive; choose one scaling mechanism",
        ),
        (false, false) => verdict.required(
            "neither-wva-nor-keda",
            &path,
            "either wva or keda must be specified when scaling is configured",
        ),
        (true, false) => by_wva(&path, scaling, verdict),
        (false, true) => {
            let path = format!("{path}.keda");
            if !is_filled(&keda["triggers"]) {
                verdict.required(
                    "keda-without-triggers",
                    &format!("{path}.triggers"),
                    "at least one trigger is required when using direct KEDA scaling",
                );
            }
            keda_settings(&path, base, scaling, keda, verdict);
        }
    }
}

fn by_wva(path: &str, scaling: &Value, verdict: &mut Verdict) {
    let wva = &scaling["wva"];
    let base = path;
    let path = format!("{path}.wva");
    match (is_set(&wva["hpa"]), is_set(&wva["keda"])) {
        (true, true) => verdict.invalid(
            "hpa-and-keda",
            &path,
            wva,
            "hpa and keda are mutually exclusive; choose one actuator backend",
        ),
        (false, false) => verdict.required(
            "neither-hpa-nor-keda",
            &path,
            "either hpa or keda must be specified as the actuator backend",
        ),
        _ => {}
    }
    let cost = wva["variantCost"].as_str().unwrap_or_default();
    if !cost.is_empty() && !is_decimal(cost) {
        let words = "must be a non-negative numeric string (e.g., \"10\", \"10.0\", \"0.5\")";
        verdict.invalid("variant-cost", &format!("{path}.variantCost"), &cost.into(), words);
    }
    let keda = &wva["keda"];
    if is_set(keda) {
        let path = format!("{path}.keda");
        let modifiers = &keda["advanced"]["scalingModifiers"];
        if MODIFIERS.iter().any(|name| !modifiers[*name].as_str().unwrap_or_default().is_empty()) {
            verdict.forbidden(
                "wva-scaling-modifiers",
                &format!("{path}.advanced.scalingModifiers"),
                "scalingModifiers must not be set; WVA controls the scaling metric formula and logic",
            );
        }
        keda_settings(&path, base.trim_end_matches(".scaling"), scaling, keda, verdict);
    }
}

fn keda_settings(path: &str, base: &str, scaling: &Value, keda: &Value, verdict: &mut Verdict) {
    let name = &keda["advanced"]["horizontalPodAutoscalerConfig"]["name"];
    if !name.as_str().unwrap_or_default().is_empty() {
        verdict.forbidden(
            "hpa-name",
            &format!("{path}.advanced.horizontalPodAutoscalerConfig.name"),
            "horizontalPodAutoscalerConfig.name must not be set; the controller manages the HPA name",
        );
    }
    let Some(idle) = keda["idleReplicaCount"].as_i64() else { return };
    match scaling["minReplicas"].as_i64() {
        None => verdict.required(
            "idle-without-min",
            &format!("{base}.scaling.minReplicas"),
            "minReplicas is required when idleReplicaCount is set; idleReplicaCount must be less than minReplicas",
        ),
        Some(min) if idle >= min => {
            let words = format!("idleReplicaCount ({idle}) must be less than minReplicas ({min})");
            verdict.invalid("idle-not-below-min", &format!("{path}.idleReplicaCount"), &idle.into(), &words);
        }
        Some(_) => {}
    }
}

fn same_mode(spec: &Value, verdict: &mut Verdict) {
    let (decode, prefill) = (&spec["scaling"], &spec["prefill"]["scaling"]);
    let mode = |scaling: &Value| match (is_set(&scaling["wva"]), is_set(&scaling["keda"])) {
        (true, false) => Some("wva"),
        (false, true) => Some("direct keda"),
        _ => None,
    };
    let (Some(of_decode), Some(of_prefill)) = (mode(decode), mode(prefill)) else { return };
    if of_decode != of_prefill {
        let words = format!(
            "decode and prefill must use the same scaling mode; decode uses {of_decode} but prefill uses {of_prefill}"
        );
        verdict.invalid("scaling-modes-differ", "spec.prefill.scaling", prefill, &words);
        return;
    }
    let actuator = |wva: &Value| match (is_set(&wva["hpa"]), is_set(&wva["keda"])) {
        (true, false) => Some("hpa"),
        (false, true) => Some("keda"),
        _ => None,
    };
    if let (Some(of_decode), Some(of_prefill)) = (actuator(&decode["wva"]), actuator(&prefill["wva"]))
        && of_decode != of_prefill
    {
        let words = format!(
            "decode and prefill must use the same actuator backend; decode uses {of_decode} but prefill uses {of_prefill} \u{2014} mixing backends requires two separate metric pipelines and leads to independent, unsynchronised scaling decisions"
        );
        verdict.invalid("actuators-differ", "spec.prefill.scaling.wva", &prefill["wva"], &words);
    }
}

/// Digits, and perhaps a point and more digits.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}
