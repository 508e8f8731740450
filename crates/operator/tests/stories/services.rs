//! A service comes, changes, stops and goes.

use serde_json::{Value, json};

use crate::world::{TEAM, World, condition, routed, says, service};

/// Makes the service and waits until nothing more happens.
async fn served(world: &World, name: &str, spec: Value) {
    world.put(service(name, spec)).await;
    world.until("LLMInferenceService", name, |it| says(it, "PresetsCombined", "True")).await;
    world.settle().await;
}

fn accepted() -> Value {
    let conditions = json!([
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]);
    let parent = json!({"name": "gateway", "namespace": "kserve"});
    json!({"parents": [{"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}]})
}

#[tokio::test]
async fn a_service_becomes_children_and_is_ready_when_they_are() {
    let world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    assert_eq!(world.names("Deployment").await, ["demo-kserve", "demo-kserve-router-scheduler"]);
    assert_eq!(world.names("Service").await, ["demo-epp-service", "demo-kserve-workload-svc"]);
    assert_eq!(world.names("HTTPRoute").await, ["demo-kserve-route"]);
    assert_eq!(world.names("InferencePool").await, ["demo-inference-pool"]);
    assert_eq!(world.names("Role").await, ["demo-epp-role"]);
    assert_eq!(world.names("RoleBinding").await, ["demo-epp-rb"]);
    assert_eq!(world.names("ServiceAccount").await, ["default", "demo-epp-sa"]);
    assert!(world.names("ClusterRoleBinding").await.contains(&"team-demo-epp-auth-rb".to_owned()));
    let waiting = world.get("LLMInferenceService", "demo").await.unwrap();
    assert_eq!(condition(&waiting, "MainWorkloadReady")["reason"], "Progressing");
    assert_eq!(condition(&waiting, "Ready")["status"], "False");
    assert_eq!(waiting["status"]["appliedConfigs"][0]["source"], "Preset");
    assert_eq!(waiting["status"]["observedGeneration"], waiting["metadata"]["generation"]);
    let writes = world.child_writes();
    assert_eq!(writes.len(), 13, "eleven children, the certificate, and its new address: {writes:#?}");

    world.report_available("demo-kserve").await;
    world.report_available("demo-kserve-router-scheduler").await;
    world.report("HTTPRoute", TEAM, "demo-kserve-route", accepted()).await;
    world.report("InferencePool", TEAM, "demo-inference-pool", accepted()).await;
    world.until("LLMInferenceService", "demo", |it| says(it, "Ready", "True")).await;
    world.settle().await;

    let events = world.events("demo").await;
    let count = |event: &str| events.iter().filter(|one| one.starts_with(event)).count();
    assert_eq!(count("Created: Created v1.Deployment team/demo-kserve-router-scheduler"), 1, "{events:#?}");
    assert_eq!(count("Created: Created v1.HTTPRoute team/demo-kserve-route"), 1, "{events:#?}");
    assert_eq!(count("LLMInferenceServiceReady"), 1, "{events:#?}");
    // The certificate learns the address of a Service that came after it; nothing else is written twice.
    assert_eq!(count("Updated: Updated v1.Secret team/demo-kserve-self-signed-certs"), 1, "{events:#?}");
    assert_eq!(count("Updated"), 1, "{events:#?}");
}

#[tokio::test]
async fn a_new_service_costs_few_requests_and_few_passes() {
    let world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    // One event each for eleven children and the certificate, and for its second version: users see them.
    let is_event = |request: &String| request.contains(" events");
    let (events, others): (Vec<_>, Vec<_>) = world.writes().into_iter().partition(is_event);
    assert_eq!(events.len(), 13, "{events:#?}");
    assert!(others.len() <= 16, "{} requests: {others:#?}", others.len());
    let passes = world.passes("demo");
    assert!(passes <= 6, "{passes} passes: {others:#?}");

    world.forget();
    world.report_available("demo-kserve").await;
    world.report_available("demo-kserve-router-scheduler").await;
    world.report("HTTPRoute", TEAM, "demo-kserve-route", accepted()).await;
    world.report("InferencePool", TEAM, "demo-inference-pool", accepted()).await;
    world.until("LLMInferenceService", "demo", |it| says(it, "Ready", "True")).await;
    world.settle().await;
    let (events, others): (Vec<_>, Vec<_>) = world.writes().into_iter().partition(is_event);
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(others.iter().all(|request| request == "PUT llminferenceservices/demo/status"), "{others:#?}");
    assert!(others.len() <= 4, "a write for each report at most: {others:#?}");
}

#[tokio::test]
async fn a_service_that_is_as_wanted_costs_no_write_and_neither_does_a_restart() {
    let mut world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    world.forget();
    world.change("LLMInferenceService", "demo", json!({"metadata": {"labels": {"seen": "by-me"}}})).await;
    world.settle().await;
    assert_eq!(world.writes(), [""; 0]);
    world.restart().await;
    world.settle().await;
    assert_eq!(world.writes(), [""; 0], "after a restart");
    // What was not remembered is noticed nevertheless.
    world
        .change(
            "Deployment",
            "demo-kserve",
            json!({"metadata": {"labels": {"app.kubernetes.io/component": "x"}}}),
        )
        .await;
    world
        .until("Deployment", "demo-kserve", |it| {
            it["metadata"]["labels"]["app.kubernetes.io/component"] != "x"
        })
        .await;
}

#[tokio::test]
async fn an_edit_changes_the_child_that_it_is_about() {
    let world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    let edits = [
        (json!({"replicas": 2}), "/spec/replicas", json!(2)),
        (
            json!({"template": {"containers": [{"name": "main", "image": "engine:2"}]}}),
            "/spec/template/spec/containers/0/image",
            json!("engine:2"),
        ),
    ];
    for (edit, pointer, wanted) in edits {
        world.forget();
        world.change("LLMInferenceService", "demo", json!({"spec": edit})).await;
        world.until("Deployment", "demo-kserve", |it| it.pointer(pointer) == Some(&wanted)).await;
        world.settle().await;
        assert_eq!(world.child_writes(), ["PATCH deployments/demo-kserve"]);
    }
    world.forget();
    world.change("LLMInferenceService", "demo", json!({"spec": {"model": {"name": "org/other"}}})).await;
    world.until("Deployment", "demo-kserve", |it| it["spec"].to_string().contains("org/other")).await;
    world.settle().await;
    let mut writes = world.child_writes();
    writes.sort();
    assert_eq!(writes, ["PATCH deployments/demo-kserve", "PATCH httproutes/demo-kserve-route"]);
}

#[tokio::test]
async fn a_part_that_is_taken_out_goes_and_the_rest_stays() {
    let world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    world.forget();
    world.change("LLMInferenceService", "demo", json!({"spec": {"router": null}})).await;
    world.until_gone("HTTPRoute", "demo-kserve-route").await;
    world.settle().await;
    assert_eq!(world.names("Deployment").await, ["demo-kserve"]);
    assert_eq!(world.names("InferencePool").await, [""; 0]);
    assert!(!world.names("ClusterRoleBinding").await.contains(&"team-demo-epp-auth-rb".to_owned()));
    assert!(!world.child_writes().contains(&"PATCH deployments/demo-kserve".to_owned()));
}

#[tokio::test]
async fn a_stopped_service_has_no_children_and_gets_them_back() {
    let world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    let stop = |value: Value| json!({"metadata": {"annotations": {"serving.kserve.io/stop": value}}});
    world.change("LLMInferenceService", "demo", stop(json!("true"))).await;
    let stopped = world
        .until("LLMInferenceService", "demo", |it| condition(it, "MainWorkloadReady")["reason"] == "Stopped")
        .await;
    assert_eq!(condition(&stopped, "Ready")["reason"], "Stopped");
    world.settle().await;
    for kind in ["Deployment", "Service", "HTTPRoute", "InferencePool", "Secret", "Role", "RoleBinding"] {
        assert_eq!(world.names(kind).await, [""; 0], "{kind}");
    }
    world.change("LLMInferenceService", "demo", stop(Value::Null)).await;
    world.until("Deployment", "demo-kserve", |it| it["spec"].is_object()).await;
    world.until("HTTPRoute", "demo-kserve-route", |it| it["spec"].is_object()).await;
}

#[tokio::test]
async fn devices_that_are_no_longer_asked_for_are_given_back() {
    let world = World::start().await;
    let asks = |class: Value| json!({"metadata": {"annotations": {"serving.kserve.io/exp-dra-device-class": class}}});
    let mut demo = service("demo", json!({}));
    demo["metadata"]["annotations"] = asks(json!("gpu.example.com"))["metadata"]["annotations"].clone();
    world.put(demo).await;
    world.until("ResourceClaimTemplate", "demo-managed-dra", |it| it["spec"].is_object()).await;
    world.settle().await;
    world.forget();
    world.settle().await;
    assert_eq!(world.child_writes(), [""; 0], "a template that is there is not written again");
    world.change("LLMInferenceService", "demo", asks(Value::Null)).await;
    world.until_gone("ResourceClaimTemplate", "demo-managed-dra").await;
}

#[tokio::test]
async fn a_member_of_a_group_goes_when_no_other_route_leads_to_it() {
    let world = World::start().await;
    let router = json!({"route": {"group": "g", "weight": 1}, "gateway": {}, "scheduler": {}});
    for name in ["a", "b"] {
        served(&world, name, json!({"router": router})).await;
    }
    for name in ["a", "b"] {
        world.report_available(&format!("{name}-kserve")).await;
        world.report_available(&format!("{name}-kserve-router-scheduler")).await;
        world.report("HTTPRoute", TEAM, &format!("{name}-kserve-route"), accepted()).await;
        world.report("InferencePool", TEAM, &format!("{name}-inference-pool"), accepted()).await;
    }
    let leads_to_a = |route: &Value| route["spec"].to_string().contains("a-inference-pool");
    world.until("HTTPRoute", "b-kserve-route", leads_to_a).await;
    world.settle().await;
    world.forget();
    world.delete("LLMInferenceService", "a").await;
    world.until_gone("LLMInferenceService", "a").await;
    let writes = world.writes();
    let place = |write: &str| {
        writes.iter().position(|one| one == write).unwrap_or_else(|| panic!("no {write} in {writes:#?}"))
    };
    assert!(place("PATCH httproutes/b-kserve-route") < place("PATCH llminferenceservices/a"), "{writes:#?}");
    assert!(!leads_to_a(&world.get("HTTPRoute", "b-kserve-route").await.unwrap()));
}

#[tokio::test]
async fn a_deleted_service_takes_its_cluster_wide_children_along() {
    let world = World::start().await;
    served(&world, "demo", json!({"router": routed()})).await;
    let stored = world.get("LLMInferenceService", "demo").await.unwrap();
    assert_eq!(stored["metadata"]["finalizers"], json!(["serving.kserve.io/llmisvc-finalizer"]));
    world.forget();
    world.delete("LLMInferenceService", "demo").await;
    world.until_gone("LLMInferenceService", "demo").await;
    assert!(world.get("ClusterRoleBinding", "team-demo-epp-auth-rb").await.is_none());
    world.until_gone("Deployment", "demo-kserve").await;
    assert_eq!(
        world.writes(),
        ["DELETE clusterrolebindings/team-demo-epp-auth-rb", "PATCH llminferenceservices/demo"],
        "the rest is the garbage collector's"
    );
}
