//! What stays and what goes when a service changes.

use serde_json::{Value, json};

use super::{carried_out, facts, find, objects, plan, routed, service};
use crate::{build, teardown};

#[test]
fn a_second_plan_of_the_same_facts_changes_nothing() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let first = plan(&facts);
    let after = carried_out(&facts, &first);
    let second = plan(&after);
    assert_eq!(second.steps, first.steps);
    assert_eq!(second.absent, []);
    assert_eq!(crate::diff(&first, &second), crate::Diff::default());
}

#[test]
fn a_stopped_service_keeps_no_roles() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let mut after = carried_out(&facts, &plan(&facts));
    let mut stopped = (*after.service).clone();
    stopped["metadata"]["annotations"] = json!({"serving.kserve.io/stop": "TRUE"});
    after.service = stopped.into();
    let merged = compose::compose(&after).unwrap();
    let plan = build(&merged, &after);
    assert_eq!(plan.steps, []);
    assert_eq!(plan, teardown(&after));
    let gone: Vec<&str> = plan.absent.iter().map(|key| key.kind.as_str()).collect();
    for kind in
        ["Deployment", "Secret", "Role", "RoleBinding", "ClusterRoleBinding", "ServiceAccount", "HTTPRoute"]
    {
        assert!(gone.contains(&kind), "{kind} stays: {gone:?}");
    }
}

#[test]
fn objects_of_others_are_left_alone() {
    let foreign = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "demo-kserve-prefill", "namespace": "team",
            "ownerReferences": [{"apiVersion": "v1", "kind": "LLMInferenceService", "name": "demo", "uid": "other", "controller": true}],
        },
    });
    assert_eq!(plan(&facts(service("demo", json!({})), &[foreign])).absent, []);
}

#[test]
fn a_selector_has_no_label_of_a_user_and_never_changes() {
    let facts = facts(service("demo", json!({"labels": {"color": "red"}, "router": routed()})), &[]);
    let first = plan(&facts);
    let selector = |plan: &crate::Plan| find(plan, "Deployment", "demo-kserve")["spec"]["selector"].clone();
    let asked = selector(&first);
    assert!(asked["matchLabels"]["color"].is_null());
    let mut after = carried_out(&facts, &first);
    let edited = service(
        "demo",
        json!({
            "labels": {"color": "blue", "app.kubernetes.io/component": "mine"},
            "prefill": {"template": {"containers": [{"name": "main"}]}},
            "router": routed(),
        }),
    );
    after.service = edited.into();
    let second = plan(&after);
    assert_eq!(selector(&second), asked);
    let deployment = find(&second, "Deployment", "demo-kserve");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["color"], "blue");
    for (key, value) in asked["matchLabels"].as_object().unwrap() {
        assert_eq!(labels[key], *value, "a pod that its own Deployment does not select is refused");
    }
}

#[test]
fn a_newer_initializer_image_restarts_nothing() {
    let facts = facts(service("demo", json!({})), &[]);
    let first = plan(&facts);
    let mut after = carried_out(&facts, &first);
    after.settings.storage_initializer.image = "registry/initializer:next".to_owned();
    assert_eq!(crate::diff(&first, &plan(&after)), crate::Diff::default());
}

#[test]
fn replicas_that_an_autoscaler_set_are_not_asked_for() {
    let facts = facts(service("demo", json!({})), &[]);
    let mut after = carried_out(&facts, &plan(&facts));
    let key = kinds::ObjectKey::new("apps/v1", "Deployment", Some("team"), "demo-kserve");
    let mut live: Value = (**after.objects.get_key(&key).unwrap()).clone();
    live["spec"]["replicas"] = json!(5);
    let owner = |manager: &str| json!({"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}});
    live["metadata"]["managedFields"] = json!([owner("llmisvc")]);
    after.objects.insert(live.clone()).unwrap();
    assert_eq!(
        find(&plan(&after), "Deployment", "demo-kserve")["spec"]["replicas"],
        5,
        "dropping them would reset them"
    );
    live["metadata"]["managedFields"] = json!([owner("llmisvc"), owner("horizontal-pod-autoscaler")]);
    after.objects.insert(live).unwrap();
    assert!(find(&plan(&after), "Deployment", "demo-kserve")["spec"]["replicas"].is_null());
}

#[test]
fn the_picker_stays_with_the_configuration_it_was_made_with() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let first = plan(&facts);
    let mut after = carried_out(&facts, &first);
    after.service = service(
        "demo",
        json!({
            "prefill": {"template": {"containers": [{"name": "main"}]}},
            "router": routed(),
        }),
    )
    .into();
    let args = |plan: &crate::Plan| {
        let picker = find(plan, "Deployment", "demo-kserve-router-scheduler");
        picker["spec"]["template"]["spec"]["containers"][0]["args"].clone()
    };
    assert_eq!(args(&plan(&after)), args(&first));
}

#[test]
fn a_route_moves_to_the_new_pool_kind_once_a_gateway_refuses_the_old_one_and_stays() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let first = plan(&facts);
    let groups = |plan: &crate::Plan| -> Vec<String> {
        let route = find(plan, "HTTPRoute", "demo-kserve-route");
        let rules = route["spec"]["rules"].as_array().unwrap();
        let mut groups: Vec<String> = rules
            .iter()
            .flat_map(|rule| rule["backendRefs"].as_array().unwrap())
            .filter(|backend| backend["kind"] == "InferencePool")
            .map(|backend| backend["group"].as_str().unwrap().to_owned())
            .collect();
        groups.dedup();
        groups
    };
    assert_eq!(groups(&first), ["inference.networking.x-k8s.io"]);
    let mut after = carried_out(&facts, &first);
    let report = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "demo-kserve-route", "namespace": "team"},
        "status": {"parents": [{
            "parentRef": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
            "conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "InvalidKind"}],
        }]},
    });
    after.objects.add_status(report).unwrap();
    let second = plan(&after);
    assert_eq!(groups(&second), ["inference.networking.k8s.io"]);
    let later = carried_out(&after, &second);
    assert_eq!(groups(&plan(&later)), ["inference.networking.k8s.io"]);
    assert!(objects(&second).count() == objects(&first).count());
}
