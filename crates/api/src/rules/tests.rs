use serde_json::{Value, json};

use super::find;

fn holds(id: &str, value: Value) -> bool {
    find(id).unwrap().holds.of(&value)
}

#[test]
fn keda_settings_that_kserve_could_not_take_are_taken() {
    assert!(holds(
        "wva-owns-modifiers",
        json!({"keda": {"advanced": {"restoreToOriginalReplicaCount": true}}})
    ));
    assert!(holds(
        "wva-owns-modifiers",
        json!({"keda": {"advanced": {"scalingModifiers": {"formula": ""}}}})
    ));
    assert!(!holds(
        "wva-owns-modifiers",
        json!({"keda": {"advanced": {"scalingModifiers": {"target": "2"}}}})
    ));
    assert!(holds(
        "hpa-name-is-ours",
        json!({"advanced": {"horizontalPodAutoscalerConfig": {"behavior": {}}}})
    ));
    assert!(!holds(
        "hpa-name-is-ours",
        json!({"advanced": {"horizontalPodAutoscalerConfig": {"name": "x"}}})
    ));
}

#[test]
fn idle_replicas_stay_below_the_minimum() {
    assert!(holds("wva-idle-below-min", json!({"minReplicas": 2, "wva": {"keda": {"idleReplicaCount": 1}}})));
    assert!(!holds(
        "wva-idle-below-min",
        json!({"minReplicas": 1, "wva": {"keda": {"idleReplicaCount": 1}}})
    ));
    assert!(!holds("keda-idle-needs-min", json!({"keda": {"idleReplicaCount": 1}})));
}

#[test]
fn paths_are_absolute_and_plain_unless_they_are_expressions() {
    assert!(holds("path-absolute", json!({"type": "PathPrefix", "value": "/v1"})));
    assert!(!holds("path-absolute", json!({"type": "PathPrefix", "value": "v1"})));
    assert!(holds("path-absolute", json!({"type": "RegularExpression", "value": "v1.*"})));
    assert!(!holds("path-no-dot-dot", json!({"type": "Exact", "value": "/a/../b"})));
    assert!(!holds("path-characters", json!({"type": "Exact", "value": "/a b"})));
}

#[test]
fn a_filter_has_the_field_of_its_type_and_no_other() {
    assert!(holds("rewrite-given", json!({"type": "URLRewrite", "urlRewrite": {}})));
    assert!(!holds("rewrite-given", json!({"type": "URLRewrite"})));
    assert!(!holds("cors-only", json!({"type": "URLRewrite", "cors": {}})));
    assert!(!holds("rewrite-once", json!([{"type": "URLRewrite"}, {"type": "URLRewrite"}])));
}

#[test]
fn replacing_a_prefix_needs_exactly_one_prefix_match() {
    let rewrite = json!([{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}]);
    assert!(holds(
        "rewrite-prefix",
        json!({"matches": [{"path": {"type": "PathPrefix"}}], "filters": rewrite})
    ));
    assert!(!holds("rewrite-prefix", json!({"matches": [{"path": {"type": "Exact"}}], "filters": rewrite})));
    assert!(!holds("rewrite-prefix", json!({"matches": [], "filters": rewrite})));
}

#[test]
fn the_time_of_one_try_fits_into_the_time_of_the_request() {
    assert!(holds("timeouts", json!({"request": "1h30m", "backendRequest": "90m"})));
    assert!(!holds("timeouts", json!({"request": "1s", "backendRequest": "1001ms"})));
    assert!(holds("timeouts", json!({"request": "0s", "backendRequest": "5s"})));
}

#[test]
fn ports_of_a_pool_differ_and_a_service_picker_has_one() {
    assert!(!holds("ports-differ", json!([{"number": 1}, {"number": 1}])));
    assert!(!holds("picker-port", json!({"kind": "Service", "name": "x"})));
    assert!(holds("picker-port", json!({"kind": "Other", "name": "x"})));
}
