//! Routes, traffic groups, scheduler.

use serde_json::{Value, json};

use super::{Verdict, is_filled, is_set};

pub(super) fn routes(spec: &Value, is_v1alpha1: bool, verdict: &mut Verdict) {
    let router = &spec["router"];
    let http = &router["route"]["http"];
    let (refs, route, gateway) = (&http["refs"], &http["spec"], &router["gateway"]);
    if is_filled(refs) && is_set(route) {
        verdict.invalid(
            "route-refs-and-spec",
            "spec.router.route.http",
            http,
            "unsupported configuration: cannot use both custom HTTPRoute refs ('spec.router.route.http.refs') and an inline route spec ('spec.router.route.http.spec'); choose one",
        );
    }
    if is_filled(refs) && is_set(gateway) && !is_filled(&gateway["refs"]) {
        verdict.invalid(
            "route-refs-and-managed-gateway",
            "spec.router.route.http.refs",
            refs,
            "unsupported configuration: custom HTTP routes ('spec.router.route.http.refs') cannot be used with a managed gateway ('spec.router.gateway'); either remove 'spec.router.route.http.refs' or set 'spec.router.gateway.refs'",
        );
    }
    if is_filled(&route["parentRefs"]) && is_filled(&gateway["refs"]) {
        if !is_v1alpha1 && targets(&route["parentRefs"]) == targets(&gateway["refs"]) {
            verdict.warnings.push(
                "spec.router.route.http.spec.parentRefs can be omitted when spec.router.gateway.refs is set; parentRefs will be derived automatically from gateway refs"
                    .to_owned(),
            );
        } else {
            verdict.invalid(
                "route-parents-and-gateway-refs",
                "spec.router.route.http.spec",
                route,
                "unsupported configuration: managed HTTP route spec ('spec.router.route.http.spec') has parentRefs that conflict with custom gateway refs ('spec.router.gateway.refs'); either remove 'spec.router.gateway.refs' or 'spec.router.route.http.spec.parentRefs'",
            );
        }
    }
}

/// Namespace, name and section of each reference, in an order of their own: both lists may be sorted differently.
fn targets(references: &Value) -> Vec<[String; 3]> {
    let word = |reference: &Value, name: &str| reference[name].as_str().unwrap_or_default().to_owned();
    let mut targets: Vec<_> = references
        .as_array()
        .into_iter()
        .flatten()
        .map(|reference| ["namespace", "name", "sectionName"].map(|name| word(reference, name)))
        .collect();
    targets.sort();
    targets
}

pub(super) fn traffic(spec: &Value, verdict: &mut Verdict) {
    let router = &spec["router"];
    let route = &router["route"];
    let (group, weight) = (&route["group"], &route["weight"]);
    if !is_set(group) && !is_set(weight) {
        return;
    }
    const GROUP: &str = "spec.router.route.group";
    if is_set(&router["ingress"]) {
        verdict.invalid(
            "group-and-ingress",
            GROUP,
            group,
            "traffic splitting requires Gateway API routing; the controller manages HTTPRoutes, not Ingress resources",
        );
        return;
    }
    if !is_set(group) {
        verdict.required("weight-without-group", GROUP, "weight requires group");
    }
    if !is_set(weight) {
        verdict.required("group-without-weight", "spec.router.route.weight", "group requires weight");
    }
    if is_set(group) && is_set(weight) && is_filled(&route["http"]["refs"]) {
        verdict.invalid(
            "group-and-route-refs",
            GROUP,
            group,
            "traffic splitting cannot be used with custom HTTPRoute refs; controller-managed routes (route.http.spec or route.http: {}) are required",
        );
    }
}

pub(super) fn scheduler_replicas(spec: &Value, verdict: &mut Verdict) {
    let replicas = &spec["router"]["scheduler"]["replicas"];
    if replicas.as_i64().is_some_and(|replicas| replicas <= 0) {
        verdict.invalid(
            "scheduler-replicas",
            "spec.router.scheduler.replicas",
            replicas,
            "scheduler replicas must be greater than zero",
        );
    }
}

pub(super) fn scheduler(spec: &Value, verdict: &mut Verdict) {
    scheduler_replicas(spec, verdict);
    let config = &spec["router"]["scheduler"]["config"];
    if !is_set(config) {
        return;
    }
    const CONFIG: &str = "spec.router.scheduler.config";
    let (inline, reference) = (&config["inline"], &config["ref"]);
    match (is_set(inline), is_set(reference)) {
        (false, false) => {
            verdict.invalid("scheduler-config-empty", CONFIG, config, "either inline or ref is required");
        }
        (true, true) => verdict.invalid(
            "scheduler-config-twice",
            CONFIG,
            config,
            "both inline and ref are set, either specify inline or ref",
        ),
        (true, false) if *inline == json!({}) => verdict.invalid(
            "scheduler-config-inline",
            "spec.router.scheduler.config.inline",
            inline,
            "inline configuration is invalid",
        ),
        (false, true) if reference["name"].as_str().unwrap_or_default().is_empty() => {
            verdict.invalid(
                "scheduler-config-ref",
                "spec.router.scheduler.config.ref.name",
                reference,
                "name is empty",
            );
        }
        _ => {}
    }
}
