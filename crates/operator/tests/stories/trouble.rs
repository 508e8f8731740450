//! What goes wrong is said, tried again, and heals.

use serde_json::json;

use crate::world::{TEAM, World, because, condition, config, definition, routed, says, service};

#[tokio::test]
async fn an_object_of_somebody_else_is_not_taken_over() {
    let world = World::start().await;
    let labels = json!({"app": "theirs"});
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo-kserve", "namespace": TEAM},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "theirs:1"}]}},
        },
    });
    world.put(theirs).await;
    world.put(service("demo", json!({}))).await;
    let refused = world
        .until("LLMInferenceService", "demo", |it| {
            because(it, "MainWorkloadReady", "ReconcileSingleNodeWorkloadError")
        })
        .await;
    let message = condition(&refused, "Ready")["message"].as_str().unwrap();
    assert!(
        message.contains("Deployment team/demo-kserve: it exists and is not controlled by the service"),
        "{message}"
    );
    let untouched = world.get("Deployment", "demo-kserve").await.unwrap();
    assert_eq!(untouched["spec"]["template"]["spec"]["containers"][0]["image"], "theirs:1");
    assert!(untouched["metadata"]["ownerReferences"].is_null());
    // The watch does not see objects without our labels, so only another try can find the place free.
    world.delete("Deployment", "demo-kserve").await;
    world.until("LLMInferenceService", "demo", |it| because(it, "MainWorkloadReady", "Progressing")).await;
    let events = world.events("demo").await;
    assert_eq!(events.iter().filter(|event| event.starts_with("Error")).count(), 1, "{events:#?}");
}

#[tokio::test]
async fn a_service_of_somebody_else_is_not_taken_over() {
    let world = World::start().await;
    world
        .put(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-kserve-workload-svc", "namespace": TEAM},
            "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 1}]},
        }))
        .await;
    world.put(service("demo", json!({}))).await;
    world
        .until("LLMInferenceService", "demo", |it| {
            because(it, "MainWorkloadReady", "ReconcileWorkloadServiceError")
        })
        .await;
    let untouched = world.get("Service", "demo-kserve-workload-svc").await.unwrap();
    assert_eq!(untouched["spec"]["selector"], json!({"app": "theirs"}));
}

#[tokio::test]
async fn writes_that_fail_once_are_made_again_and_told_once() {
    let world = World::start().await;
    world.fail_once("PATCH llminferenceservices/demo", 409, "Conflict");
    world.fail_once("PATCH deployments/demo-kserve", 409, "Conflict");
    world.fail_once("PATCH services/demo-epp-service", 500, "InternalError");
    world.fail_once("PUT llminferenceservices/demo/status", 409, "Conflict");
    world.put(service("demo", json!({"router": routed()}))).await;
    world.until("HTTPRoute", "demo-kserve-route", |it| it["spec"].is_object()).await;
    let it = world
        .until("LLMInferenceService", "demo", |it| because(it, "HTTPRoutesReady", "HTTPRoutesNotReady"))
        .await;
    assert_eq!(condition(&it, "MainWorkloadReady")["reason"], "Progressing");
    world.settle().await;
    assert!(world.has_failed());
    let events = world.events("demo").await;
    let created =
        |name: &str| events.iter().filter(|event| event.ends_with(&format!(" {TEAM}/{name}"))).count();
    for name in ["demo-kserve", "demo-kserve-workload-svc", "demo-epp-service", "demo-kserve-route"] {
        assert_eq!(created(name), 1, "{name}: {events:#?}");
    }
}

#[tokio::test]
async fn a_status_that_is_not_taken_at_first_is_announced_once() {
    let world = World::start().await;
    world.put(service("demo", json!({}))).await;
    world.until("LLMInferenceService", "demo", |it| because(it, "MainWorkloadReady", "Progressing")).await;
    world.settle().await;
    world.fail_once("PUT llminferenceservices/demo/status", 500, "InternalError");
    world.report_available("demo-kserve").await;
    world.until("LLMInferenceService", "demo", |it| says(it, "Ready", "True")).await;
    world.settle().await;
    assert!(world.has_failed());
    let events = world.events("demo").await;
    assert_eq!(
        events.iter().filter(|event| event.starts_with("LLMInferenceServiceReady")).count(),
        1,
        "{events:#?}"
    );
}

#[tokio::test]
async fn a_config_that_comes_later_heals_the_service() {
    let world = World::start().await;
    world.put(service("demo", json!({"baseRefs": [{"name": "late"}]}))).await;
    let waiting = world
        .until("LLMInferenceService", "demo", |it| because(it, "PresetsCombined", "ConfigNotFound"))
        .await;
    assert!(condition(&waiting, "Ready")["message"].as_str().unwrap().contains("late"));
    world.settle().await;
    assert_eq!(world.names("Deployment").await, [""; 0]);
    world.put(config("late", json!({"replicas": 3}))).await;
    let healed = world.until("LLMInferenceService", "demo", |it| says(it, "PresetsCombined", "True")).await;
    assert!(healed["status"]["appliedConfigs"].to_string().contains("late"));
    world.until("Deployment", "demo-kserve", |it| it["spec"]["replicas"] == 3).await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said_on_its_condition() {
    let world = World::start().await;
    world.put(service("demo", json!({"model": {"uri": "ftp://x/y", "name": "y"}, "router": routed()}))).await;
    let refused = world
        .until("LLMInferenceService", "demo", |it| {
            because(it, "MainWorkloadReady", "ReconcileSingleNodeWorkloadError")
        })
        .await;
    assert!(condition(&refused, "Ready")["message"].as_str().unwrap().contains("ftp://x/y"));
    world.settle().await;
    assert_eq!(world.names("Deployment").await, [""; 0]);
    assert_eq!(world.names("HTTPRoute").await, [""; 0]);
    world.forget();
    world.settle().await;
    assert_eq!(world.writes(), [""; 0], "it is not tried again without a reason");
}

#[tokio::test]
async fn a_kind_that_the_cluster_learns_later_is_used_then() {
    const GROUPS: &str = "leaderworkersets.leaderworkerset.x-k8s.io";
    let world = World::start_without(GROUPS).await;
    let spec = json!({
        "parallelism": {"data": 8, "dataLocal": 2, "tensor": 1},
        "worker": {"containers": [{"name": "main"}]},
        "template": {"containers": [{"name": "main"}]},
    });
    world.put(service("demo", spec)).await;
    let refused = world
        .until("LLMInferenceService", "demo", |it| {
            because(it, "WorkerWorkloadReady", "ReconcileMultiNodeWorkloadError")
        })
        .await;
    let message = condition(&refused, "Ready")["message"].as_str().unwrap();
    assert!(message.contains("no matches for kind \"LeaderWorkerSet\""), "{message}");
    world.put(definition(GROUPS)).await;
    world.until("LeaderWorkerSet", "demo-kserve-mn", |it| it["spec"].is_object()).await;
    world
        .until("LLMInferenceService", "demo", |it| {
            !because(it, "WorkerWorkloadReady", "ReconcileMultiNodeWorkloadError")
        })
        .await;
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_told_and_heal() {
    let world = World::start().await;
    let settings = |ingress: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "kserve"}, "data": {"ingress": ingress},
        })
    };
    world.put(settings("{")).await;
    world.put(service("demo", json!({}))).await;
    let told = world.until_event("demo", "Error").await;
    assert!(told.contains("ingress"), "{told}");
    world
        .put(settings(r#"{"ingressGateway": "kserve/gateway", "kserveIngressGateway": "kserve/gateway"}"#))
        .await;
    world.until("LLMInferenceService", "demo", |it| because(it, "MainWorkloadReady", "Progressing")).await;
}
