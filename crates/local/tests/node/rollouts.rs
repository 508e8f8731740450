//! What happens to the pods of a Deployment.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::machine::Machine;

fn deployment(replicas: i32, script: &str) -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "main", "image": "x", "command": ["sh", "-c", script]}],
                },
            },
        },
    })
}

fn ready(deployment: &Deployment, wanted: i32) -> bool {
    deployment.status.as_ref().is_some_and(|status| {
        status.ready_replicas.unwrap_or(0) == wanted
            && status.updated_replicas.unwrap_or(0) == wanted
            && status.replicas.unwrap_or(0) == wanted
            && status.observed_generation == deployment.metadata.generation
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_comes_up_scales_and_rolls_to_a_new_template() {
    let mut machine = Machine::start().await;
    machine.create::<Deployment>(deployment(2, "exec sleep 1000")).await;
    let up = machine.wait::<Deployment>("two ready", |web| ready(web, 2)).await;
    let conditions = up.status.and_then(|status| status.conditions).expect("conditions");
    assert!(conditions.iter().any(|condition| condition.type_ == "Available" && condition.status == "True"));
    let pods = machine.api::<Pod>().list(&ListParams::default()).await.expect("pods").items;
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|pod| pod.metadata.name.as_ref().is_some_and(|name| name.starts_with("web-"))));

    let api = machine.api::<Deployment>();
    let patch = |value: Value| Patch::Merge(value);
    api.patch("web", &PatchParams::default(), &patch(json!({"spec": {"replicas": 3}})))
        .await
        .expect("scaled");
    machine.wait::<Deployment>("three ready", |web| ready(web, 3)).await;

    let change = deployment(3, "exec sleep 2000");
    api.patch(
        "web",
        &PatchParams::default(),
        &patch(json!({"spec": {"template": change["spec"]["template"]}})),
    )
    .await
    .expect("changed");
    machine
        .wait::<Deployment>("a new revision", |web| {
            let revision = web
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get("deployment.kubernetes.io/revision"));
            ready(web, 3) && revision.is_some_and(|revision| revision == "2")
        })
        .await;
    let sets = machine.api::<ReplicaSet>().list(&ListParams::default()).await.expect("sets").items;
    let mut sizes: Vec<i32> = sets.iter().filter_map(|set| set.spec.as_ref()?.replicas).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 3]);

    api.patch("web", &PatchParams::default(), &patch(json!({"spec": {"replicas": 0}})))
        .await
        .expect("scaled");
    machine.wait::<Deployment>("none left", |web| ready(web, 0)).await;
    machine.stop().await;
}
