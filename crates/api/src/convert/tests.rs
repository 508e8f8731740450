use proptest::prelude::*;
use serde_json::{Value, json};

use super::convert;
use crate::crd::Version::{V1alpha1, V1alpha2};
use crate::shape;

fn object(version: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("serving.kserve.io/{version}"), "kind": "LLMInferenceService",
           "metadata": {"name": "x", "namespace": "a"}, "spec": spec})
}

fn there_and_back(start: &Value) -> Value {
    let (there, back) = match start["apiVersion"].as_str() {
        Some("serving.kserve.io/v1alpha1") => (V1alpha2, V1alpha1),
        _ => (V1alpha1, V1alpha2),
    };
    convert(&convert(start, there), back)
}

#[test]
fn what_the_older_version_cannot_say_comes_back() {
    let start = object(
        "v1alpha2",
        json!({
            "model": {"uri": "hf://a/b", "confidential": {"enabled": true}, "lora": {"adapters": [
                {"name": "q", "uri": "hf://a/q", "confidential": {"enabled": false}}]}},
            "kvCacheOffloading": {"cpu": "1Gi"},
            "prefill": {"kvCacheOffloading": {"cpu": "2Gi"}},
            "router": {"scheduler": {"pool": {"spec": {
                "selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{"number": 1}, {"number": 2}],
                "appProtocol": "kubernetes.io/h2c",
                "endpointPickerRef": {"name": "e", "kind": "Service", "port": {"number": 9}, "failureMode": "FailOpen"}}}}}
        }),
    );
    let older = convert(&start, V1alpha1);
    assert_eq!(
        shape::unknown_fields(
            shape::root("serving.kserve.io/v1alpha1", "LLMInferenceService").unwrap(),
            &older
        ),
        []
    );
    assert_eq!(older["spec"]["router"]["scheduler"]["pool"]["spec"]["targetPortNumber"], 1);
    assert_eq!(convert(&older, V1alpha2), start);
}

#[test]
fn numbers_that_an_annotation_keeps_come_back_to_the_last_digit() {
    let numbers = json!([5.555555555555555e51, 0.1, 1e-7, 1.7976931348623157e308, u64::MAX, i64::MIN]);
    let start = object(
        "v1alpha2",
        json!({"model": {"uri": "hf://a/b", "confidential": {"enabled": true, "unknown": numbers}}}),
    );
    assert_eq!(there_and_back(&start), start);
}

#[test]
fn what_a_pool_leaves_out_is_left_out_again_unless_it_was_said_meanwhile() {
    const POOL: &str = "/spec/router/scheduler/pool/spec";
    let parts = [
        json!({}),
        json!({"appProtocol": "http", "targetPorts": [{"number": 1}, {"number": 2}]}),
        json!({"appProtocol": "http", "selector": {"matchLabels": {"a": "b"}}}),
        json!({"selector": {}, "targetPorts": []}),
        json!({"endpointPickerRef": {"name": "e", "kind": "Service", "port": {"number": 9}}, "unknown": 1}),
    ];
    for part in parts {
        let mut start = object("v1alpha2", json!({"router": {"scheduler": {"pool": {"spec": part}}}}));
        start["kind"] = "LLMInferenceServiceConfig".into();
        assert_eq!(there_and_back(&start), start);
        let mut older = convert(&start, V1alpha1);
        older.pointer_mut(POOL).unwrap()["selector"] = json!({"a": "c"});
        let mut changed = start.clone();
        changed.pointer_mut(POOL).unwrap()["selector"] = json!({"matchLabels": {"a": "c"}});
        assert_eq!(convert(&older, V1alpha2), changed);
    }
}

#[test]
fn a_change_made_in_the_older_version_counts() {
    let start = object(
        "v1alpha2",
        json!({"model": {"uri": "hf://a/b"}, "prefill": {"kvCacheOffloading": {"cpu": "2Gi"}},
               "router": {"scheduler": {"pool": {"spec": {"selector": {"matchLabels": {"a": "b"}},
                   "targetPorts": [{"number": 1}, {"number": 2}], "endpointPickerRef": {"name": "e", "failureMode": "FailOpen"}}}}}}),
    );
    let mut older = convert(&start, V1alpha1);
    older["spec"].as_object_mut().unwrap().remove("prefill");
    older["spec"]["router"]["scheduler"]["pool"]["spec"]["targetPortNumber"] = json!(3);
    let newer = convert(&older, V1alpha2);
    assert_eq!(newer["spec"]["prefill"], Value::Null);
    assert_eq!(newer["spec"]["router"]["scheduler"]["pool"]["spec"]["targetPorts"], json!([{"number": 3}]));
    assert_eq!(newer["metadata"], start["metadata"]);
}

#[test]
fn values_of_adapters_follow_their_adapter_when_the_list_is_reordered() {
    let adapter = |name: &str, enabled: bool| json!({"name": name, "uri": "hf://a/b", "confidential": {"enabled": enabled}});
    let start = object(
        "v1alpha2",
        json!({"model": {"uri": "x", "lora": {"adapters": [adapter("p", true), adapter("q", false)]}}}),
    );
    let mut older = convert(&start, V1alpha1);
    older["spec"]["model"]["lora"]["adapters"].as_array_mut().unwrap().reverse();
    assert_eq!(
        convert(&older, V1alpha2)["spec"]["model"]["lora"]["adapters"],
        json!([adapter("q", false), adapter("p", true)])
    );
}

#[test]
fn criticality_travels_in_the_annotations_that_kserve_uses() {
    let start = object(
        "v1alpha1",
        json!({"model": {"uri": "x", "criticality": "Critical", "lora": {"adapters": [
            {"name": "p", "uri": "y"}, {"name": "q", "uri": "y", "criticality": "Sheddable"}]}}}),
    );
    let newer = convert(&start, V1alpha2);
    assert_eq!(
        newer["metadata"]["annotations"],
        json!({"internal.serving.kserve.io/model-criticality": "Critical",
               "internal.serving.kserve.io/lora-criticalities": "{\"1\":\"Sheddable\"}"})
    );
    assert_eq!(convert(&newer, V1alpha1), start);
}

#[test]
fn a_field_of_the_other_version_is_a_stranger() {
    let start = object("v1alpha2", json!({"model": {"uri": "x", "criticality": "Critical"}}));
    let older = convert(&start, V1alpha1);
    assert_eq!(older["spec"]["model"], json!({"uri": "x"}));
    assert_eq!(convert(&older, V1alpha2), start);
    let start = object("v1alpha1", json!({"model": {"uri": "x"}, "kvCacheOffloading": {"cpu": "1Gi"}}));
    let newer = convert(&start, V1alpha2);
    assert_eq!(newer["spec"], json!({"model": {"uri": "x"}}));
    assert_eq!(convert(&newer, V1alpha1), start);
}

#[test]
fn a_pool_without_ports_is_no_reason_to_panic() {
    let start = object(
        "v1alpha2",
        json!({"model": {"uri": "x"}, "router": {"scheduler": {"pool": {"spec": {
            "selector": {"matchLabels": {}}, "targetPorts": [], "endpointPickerRef": {"name": "e", "kind": "Other"}}}}}}),
    );
    assert_eq!(there_and_back(&start), start);
}

#[test]
fn a_status_keeps_what_only_the_newer_version_has() {
    let mut start = object("v1alpha2", json!({"model": {"uri": "x"}}));
    start["status"] = json!({"url": "http://x", "workloads": {"primary": {"kind": "Deployment", "name": "d"}},
        "addresses": [{"url": "http://x", "models": [{"name": "m"}]}],
        "router": {"group": {"name": "g"}, "gateways": [{"group": "", "kind": "G", "name": "g"}]}});
    assert_eq!(there_and_back(&start), start);
}

/// Any JSON at all, so that nothing in an object can make conversion panic.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z/~=]{0,6}".prop_map(Value::from)
    ];
    let key = prop_oneof![
        Just("metadata"),
        Just("annotations"),
        Just("spec"),
        Just("model"),
        Just("lora"),
        Just("adapters"),
        Just("router"),
        Just("scheduler"),
        Just("pool"),
        Just("selector"),
        Just("targetPorts"),
        Just("endpointPickerRef"),
        Just("extensionRef"),
        Just("criticality"),
        Just("name"),
        Just("status"),
        Just("kvCacheOffloading")
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Specs of v1alpha2 with the fields that the versions do not share, present or not.
fn any_spec() -> impl Strategy<Value = Value> {
    let adapter = ("[a-d]{1,2}", prop::option::of(any::<bool>())).prop_map(|(name, enabled)| {
        let mut adapter = json!({"name": name, "uri": "hf://a/b"});
        if let Some(enabled) = enabled {
            adapter["confidential"] = json!({"enabled": enabled});
        }
        adapter
    });
    let pool = (
        prop::collection::vec(1..9i32, 0..3),
        prop::option::of(Just("http")),
        prop::option::of(1..9i32),
        0..8u8,
    )
        .prop_map(|(ports, protocol, picker, left_out)| {
            let ports: Vec<Value> = ports.into_iter().map(|number| json!({"number": number})).collect();
            let mut pool = json!({"selector": {"matchLabels": {"a": "b"}}, "targetPorts": ports,
                "endpointPickerRef": {"name": "e", "kind": "Other", "failureMode": "FailOpen"}});
            if let Some(protocol) = protocol {
                pool["appProtocol"] = protocol.into();
            }
            if let Some(number) = picker {
                pool["endpointPickerRef"]["port"] = json!({"number": number});
            }
            let fields = ["selector", "targetPorts", "endpointPickerRef"];
            for (_, field) in (0..).zip(fields).filter(|(bit, _)| left_out >> bit & 1 == 1) {
                pool.as_object_mut().and_then(|pool| pool.remove(field));
            }
            pool
        });
    (prop::collection::vec(adapter, 0..4), prop::option::of(pool), any::<bool>(), prop::option::of(0..3i32))
        .prop_map(|(adapters, pool, offloads, replicas)| {
            let mut spec = json!({"model": {"uri": "hf://a/b"}});
            if !adapters.is_empty() {
                spec["model"]["lora"] = json!({"adapters": adapters});
            }
            if let Some(pool) = pool {
                spec["router"] = json!({"scheduler": {"pool": {"spec": pool}}});
            }
            if offloads {
                spec["kvCacheOffloading"] = json!({"cpu": "1Gi"});
                spec["prefill"] = json!({"kvCacheOffloading": {"cpu": "2Gi"}});
            }
            if let Some(replicas) = replicas {
                spec["replicas"] = replicas.into();
            }
            spec
        })
}

proptest! {
    #[test]
    fn any_service_survives_any_number_of_conversions(spec in any_spec(), rounds in 1..4usize) {
        let start = object("v1alpha2", spec);
        let mut at = start.clone();
        for _ in 0..rounds {
            at = there_and_back(&at);
        }
        prop_assert_eq!(at, start);
    }

    #[test]
    fn nothing_in_an_object_makes_conversion_panic(mut value in any_json(), newer in any::<bool>()) {
        if let Some(fields) = value.as_object_mut() {
            let version = if newer { "serving.kserve.io/v1alpha2" } else { "serving.kserve.io/v1alpha1" };
            fields.insert("apiVersion".to_owned(), version.into());
            fields.insert("kind".to_owned(), "LLMInferenceService".into());
        }
        let _ = there_and_back(&value);
        crate::defaults::apply(&mut value, None);
    }
}
