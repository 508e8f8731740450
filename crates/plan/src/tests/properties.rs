//! What holds for every service.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{facts, objects, service};
use crate::build;

/// Names that an API server takes for a service, up to the longest.
fn names() -> impl Strategy<Value = String> {
    ("[a-z]", "[a-z0-9-]{0,250}", "[a-z0-9]")
        .prop_map(|(first, middle, last)| format!("{first}{middle}{last}"))
}

fn specs() -> impl Strategy<Value = Value> {
    let uris = prop_oneof![
        Just("hf://org/tiny"),
        Just("s3://bucket/a"),
        Just("pvc://claim/a"),
        Just("oci+native://registry/a:1"),
        Just("gs://bucket/a"),
    ];
    let pod = || json!({"containers": [{"name": "main"}]});
    (uris, any::<bool>(), any::<bool>(), any::<bool>(), proptest::option::of(0..5i32)).prop_map(
        move |(uri, routed, prefill, worker, replicas)| {
            let mut spec = json!({"model": {"uri": uri, "name": "org/tiny"}, "replicas": replicas});
            if routed {
                spec["router"] = super::routed();
            }
            if prefill {
                spec["prefill"] = json!({"template": pod()});
            }
            if worker {
                spec["worker"] = pod();
                spec["parallelism"] = json!({"data": 4, "dataLocal": 2});
            }
            spec
        },
    )
}

fn is_label(value: &str) -> bool {
    let ends_well = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && ends_well(value.chars().next())
        && ends_well(value.chars().last())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_child_is_valid_and_owned_and_the_plan_is_the_same_twice(name in names(), spec in specs()) {
        let facts = facts(service(&name, spec), &[]);
        // A name that makes the merged spec invalid is refused as a whole, which is an answer too.
        let Ok(merged) = compose::compose(&facts) else { return Ok(()) };
        let plan = build(&merged, &facts);
        prop_assert_eq!(&plan, &build(&merged, &facts));
        prop_assert_eq!(&plan.failure, &None);
        let secrets = plan.certificates.iter().map(|order| &order.secret);
        for object in objects(&plan).chain(secrets) {
            let metadata = &object["metadata"];
            let child = metadata["name"].as_str().unwrap_or_default();
            prop_assert!(!child.is_empty() && child.len() <= 63, "{}", child);
            if object["kind"] == "ClusterRoleBinding" {
                prop_assert!(metadata["namespace"].is_null() && metadata["ownerReferences"].is_null());
            } else {
                prop_assert_eq!(&metadata["namespace"], "team");
                prop_assert_eq!(&metadata["ownerReferences"][0]["name"], name.as_str());
                prop_assert_eq!(&metadata["ownerReferences"][0]["controller"], true);
            }
            let template = object.pointer("/spec/template/metadata/labels");
            for labels in [Some(&metadata["labels"]), template].into_iter().flatten() {
                for (key, value) in labels.as_object().into_iter().flatten() {
                    prop_assert!(value.as_str().is_some_and(is_label), "{}: {}", key, value);
                }
            }
            if let (Some(selector), Some(labels)) = (object.pointer("/spec/selector/matchLabels"), template) {
                for (key, value) in selector.as_object().into_iter().flatten() {
                    prop_assert_eq!(&labels[key], value);
                }
            }
        }
    }

    #[test]
    fn two_services_never_share_a_child(a in names(), b in names()) {
        prop_assume!(a != b);
        let keys = |name: &str| -> Vec<kinds::ObjectKey> {
            let facts = facts(service(name, json!({})), &[]);
            let Ok(merged) = compose::compose(&facts) else { return Vec::new() };
            let plan = build(&merged, &facts);
            objects(&plan).filter_map(|object| kinds::ObjectKey::of(object).ok()).collect()
        };
        let other = keys(&b);
        prop_assert!(keys(&a).iter().all(|key| !other.contains(key)));
    }
}
