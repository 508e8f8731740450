//! What holds for every service, over services of all patterns.

use std::collections::BTreeSet;

use compose::Facts;
use kinds::ObjectKey;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{carried_out, facts, objects, service};
use crate::{Diff, Plan, build, diff};

/// Names that an API server takes for a service, up to the longest, and those that look like another's child.
fn names() -> impl Strategy<Value = String> {
    let long = ("[a-z]", "[a-z0-9-]{0,251}", "[a-z0-9]")
        .prop_map(|(first, middle, last)| format!("{first}{middle}{last}"));
    let suffixes = ["", "-kserve", "-kserve-mn", "-kserve-prefill", "-epp", "-tokenizer", "-kserve-workload"];
    let short = ("[ab]{1,3}", select(suffixes.to_vec())).prop_map(|(head, suffix)| format!("{head}{suffix}"));
    // The same beginning for more than any name keeps, so that only the hash tells.
    let twins = (60..240usize, "[a-c]").prop_map(|(length, last)| format!("{}{last}", "n".repeat(length)));
    prop_oneof![3 => long, 2 => short, 2 => twins]
}

fn namespaces() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("team".to_owned()),
        Just("a".to_owned()),
        Just("a-b".to_owned()),
        (1..62usize).prop_map(|length| format!("n{}", "s".repeat(length))),
    ]
}

fn specs() -> impl Strategy<Value = Value> {
    let uris = select(vec![
        "hf://org/tiny",
        "s3://bucket/a",
        "pvc://claim/a",
        "pvc://claim",
        "oci://registry/a:1",
        "oci+native://registry/a:1",
        "gs://bucket/a",
        "https://host/a.tar.gz",
    ]);
    let routers = select(vec![
        Value::Null,
        super::routed(),
        json!({"route": {}, "gateway": {}}),
        json!({"route": {}, "gateway": {}, "scheduler": {"replicas": 3, "tokenizer": {}}}),
        json!({"route": {}, "gateway": {}, "scheduler": {"labels": {"team": "x"}, "annotations": {"a": "b"}}}),
        json!({"route": {"group": "g", "weight": 5}, "gateway": {}, "scheduler": {}}),
    ]);
    let adapters = select(vec![
        json!([]),
        json!([{"name": "b", "uri": "hf://org/b"}, {"name": "a", "uri": "s3://bucket/a"}]),
        json!([{"name": "Org/A_1.x", "uri": "pvc://adapters/a"}, {"name": "org/a", "uri": "pvc://adapters/b"}, {"name": "org-a", "uri": "hf://org/a"}]),
    ]);
    let shapes = select(vec![
        json!({}),
        json!({"replicas": 0}),
        json!({"replicas": 4}),
        json!({"scaling": {"minReplicas": 1, "maxReplicas": 4, "wva": {"hpa": {}}}}),
        json!({"scaling": {"minReplicas": 1, "maxReplicas": 4, "keda": {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}}}),
        json!({"worker": {"containers": [{"name": "main"}]}, "parallelism": {"data": 4, "dataLocal": 2, "expert": true}}),
        json!({"worker": {"containers": [{"name": "main"}]}, "parallelism": {"pipeline": 3, "tensor": 2}, "replicas": 2}),
        json!({"parallelism": {"tensor": 8}, "labels": {"kueue.x-k8s.io/queue-name": "q", "app.kubernetes.io/component": "mine"}}),
        json!({"tracing": {}, "kvCacheOffloading": {"cpu": "10Gi", "secondary": [{"fileSystem": {"emptyDir": {"size": "5Gi"}}}]}}),
    ]);
    let prefills = select(vec![
        Value::Null,
        json!({"template": {"containers": [{"name": "main"}]}}),
        json!({"replicas": 2, "worker": {"containers": [{"name": "main"}]}, "parallelism": {"data": 2, "dataLocal": 1}}),
        json!({"scaling": {"maxReplicas": 2, "wva": {"hpa": {}}}}),
    ]);
    (uris, routers, adapters, shapes, prefills).prop_map(|(uri, router, adapters, shape, prefill)| {
        let mut spec = shape;
        spec["model"] = json!({"uri": uri, "name": "org/tiny"});
        if adapters != json!([]) {
            spec["model"]["lora"] = json!({"adapters": adapters});
        }
        for (field, value) in [("router", router), ("prefill", prefill)] {
            if !value.is_null() {
                spec[field] = value;
            }
        }
        spec
    })
}

/// The facts of a service in a namespace that has what a namespace has.
fn facts_in(namespace: &str, name: &str, spec: Value, annotations: Value) -> Facts {
    let mut service = service(name, spec);
    service["metadata"]["namespace"] = json!(namespace);
    service["metadata"]["annotations"] = annotations;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}});
    let mut facts = facts(service, &[account]);
    facts.settings.storage_initializer.enable_modelcar = true;
    facts
}

fn annotations() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({"serving.kserve.io/exp-dra-device-class": "gpu.example.com", "serving.kserve.io/exp-dra-device-count": "2"}),
        json!({"kueue.x-k8s.io/queue": "q", "prometheus.io/scrape": "true", "leaderworkerset.sigs.k8s.io/exclusive-topology": "zone"}),
    ])
}

/// The plan, or `None` if the merged spec is refused as a whole, which is an answer too.
fn planned(facts: &Facts) -> Option<Plan> {
    compose::compose(facts).ok().map(|merged| build(&merged, facts))
}

fn is_label(value: &str) -> bool {
    let ends_well = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && ends_well(value.chars().next())
        && ends_well(value.chars().last())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_dns_label(value: &str) -> bool {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&value.len())
        && value.bytes().all(|b| letters(b) || b == b'-')
        && value.bytes().next().is_some_and(letters)
        && value.bytes().last().is_some_and(letters)
}

/// Every pod template of an object.
fn templates(object: &Value) -> Vec<&Value> {
    [
        "/spec/template",
        "/spec/leaderWorkerTemplate/leaderTemplate",
        "/spec/leaderWorkerTemplate/workerTemplate",
    ]
    .iter()
    .filter_map(|pointer| object.pointer(pointer))
    .filter(|template| template["spec"].is_object())
    .collect()
}

fn check_labels(labels: &Value) -> Result<(), TestCaseError> {
    for (key, value) in labels.as_object().into_iter().flatten() {
        prop_assert!(value.as_str().is_some_and(is_label), "{key}: {value}");
    }
    Ok(())
}

fn check_pod(pod: &Value) -> Result<(), TestCaseError> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let mut volumes = BTreeSet::new();
    for volume in list(&pod["volumes"]) {
        let name = volume["name"].as_str().unwrap_or_default().to_owned();
        prop_assert!(is_dns_label(&name), "volume {name}");
        prop_assert!(volumes.insert(name.clone()), "volume {name} stands twice");
    }
    for container in list(&pod["containers"]).into_iter().chain(list(&pod["initContainers"])) {
        let mut paths = BTreeSet::new();
        for mount in list(&container["volumeMounts"]) {
            let name = mount["name"].as_str().unwrap_or_default();
            prop_assert!(volumes.contains(name), "{name} is mounted and is no volume");
            prop_assert!(paths.insert(mount["mountPath"].to_string()), "{} twice", mount["mountPath"]);
        }
    }
    Ok(())
}

fn keys(plan: &Plan) -> BTreeSet<ObjectKey> {
    let secrets = plan.certificates.iter().map(|order| &order.secret);
    // The bundle of authorities belongs to the namespace.
    objects(plan)
        .chain(secrets)
        .filter(|object| object["kind"] != "ConfigMap")
        .filter_map(|object| ObjectKey::of(object).ok())
        .collect()
}

/// What selects pods and cannot be changed, or would lose pods if it were.
fn selectors(plan: &Plan) -> Vec<(ObjectKey, Value)> {
    objects(plan)
        .filter(|object| {
            ["Deployment", "Service", "InferencePool"].iter().any(|kind| object["kind"] == *kind)
        })
        .map(|object| (ObjectKey::of(object).unwrap(), object["spec"]["selector"].clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_child_is_valid_and_owned_and_the_plan_is_the_same_twice(
        namespace in namespaces(), name in names(), spec in specs(), annotations in annotations(),
    ) {
        let facts = facts_in(&namespace, &name, spec, annotations);
        let Some(plan) = planned(&facts) else { return Ok(()) };
        let bytes = |plan: &Plan| objects(plan).map(Value::to_string).collect::<Vec<String>>();
        let again = planned(&facts).unwrap();
        prop_assert_eq!(&plan, &again);
        prop_assert_eq!(bytes(&plan), bytes(&again));
        prop_assert_eq!(&plan.failure, &None);
        let secrets = plan.certificates.iter().map(|order| &order.secret);
        for object in objects(&plan).chain(secrets) {
            let metadata = &object["metadata"];
            let child = metadata["name"].as_str().unwrap_or_default();
            prop_assert!(!child.is_empty() && child.len() <= 63, "{}", child);
            if object["kind"] == "Service" || object["kind"] == "LeaderWorkerSet" {
                prop_assert!(is_dns_label(child), "{}", child);
            }
            if object["kind"] == "ClusterRoleBinding" {
                prop_assert!(metadata["namespace"].is_null() && metadata["ownerReferences"].is_null());
            } else {
                prop_assert_eq!(&metadata["namespace"], namespace.as_str());
                prop_assert_eq!(&metadata["ownerReferences"][0]["name"], name.as_str());
                prop_assert_eq!(&metadata["ownerReferences"][0]["controller"], true);
            }
            check_labels(&metadata["labels"])?;
            for template in templates(object) {
                check_labels(&template["metadata"]["labels"])?;
                check_pod(&template["spec"])?;
                if let Some(selector) = object.pointer("/spec/selector/matchLabels") {
                    for (key, value) in selector.as_object().into_iter().flatten() {
                        prop_assert_eq!(&template["metadata"]["labels"][key], value);
                    }
                }
            }
        }
    }

    #[test]
    fn two_services_never_share_a_child(
        home in namespaces(), away in namespaces(), a in names(), b in names(), spec in specs(), other in specs(),
    ) {
        prop_assume!(a != b || home != away);
        let first = facts_in(&home, &a, spec, json!({}));
        let Some(plan) = planned(&first) else { return Ok(()) };
        // The second comes when the first is there already.
        let mut second = facts_in(&away, &b, other, json!({}));
        for (_, object) in carried_out(&first, &plan).objects {
            second.objects.insert(object).unwrap();
        }
        let Some(plan_of_second) = planned(&second) else { return Ok(()) };
        let shared: Vec<ObjectKey> = keys(&plan).intersection(&keys(&plan_of_second)).cloned().collect();
        prop_assert!(shared.is_empty(), "{shared:?}");
        let of_first = keys(&plan);
        prop_assert!(plan_of_second.absent.iter().all(|key| !of_first.contains(key)), "{:?}", plan_of_second.absent);
    }

    #[test]
    fn no_edit_changes_a_selector_or_what_is_left_alone(
        name in names(), spec in specs(), edited in specs(), annotations in annotations(),
    ) {
        let before = facts_in("team", &name, spec, json!({}));
        let Some(plan) = planned(&before) else { return Ok(()) };
        let mut after = carried_out(&before, &plan);
        after.service = facts_in("team", &name, edited, annotations).service;
        let Some(second) = planned(&after) else { return Ok(()) };
        let kept = selectors(&second);
        for (key, selector) in selectors(&plan) {
            for (_, now) in kept.iter().filter(|(other, _)| *other == key) {
                prop_assert_eq!(&selector, now, "{}", key);
            }
        }
        // Whatever was edited: once it is carried out nothing is left to do.
        let settled = carried_out(&after, &second);
        let third = planned(&settled).unwrap();
        prop_assert_eq!(diff(&second, &third), Diff::default());
        prop_assert_eq!(third.absent, vec![]);
    }
}
