//! A config knows who uses it, and stays as long as it is used.

use serde_json::{Value, json};

use crate::world::{TEAM, World, because, condition, config, says, service};

const CONFIG: &str = "LLMInferenceServiceConfig";

#[tokio::test]
async fn a_config_says_who_uses_it_and_goes_when_nobody_does() {
    let mut world = World::start().await;
    world.put(config("shared", json!({"replicas": 2}))).await;
    let unused = world.until(CONFIG, "shared", |it| because(it, "ConfigInUse", "NotInUse")).await;
    assert_eq!(unused["metadata"]["finalizers"], json!(["serving.kserve.io/llmisvcconfig-finalizer"]));
    assert!(says(&unused, "Ready", "True"));

    world.put(service("demo", json!({"baseRefs": [{"name": "shared"}]}))).await;
    let used = world.until(CONFIG, "shared", |it| because(it, "ConfigInUse", "InUse")).await;
    assert_eq!(used["status"]["referencedBy"], json!([{"name": "demo", "namespace": TEAM}]));
    assert_eq!(condition(&used, "ConfigInUse")["message"], "referenced by 1 LLMInferenceService(s)");
    world.settle().await;

    world.delete(CONFIG, "shared").await;
    world.until(CONFIG, "shared", |it| because(it, "ConfigInUse", "DeletionBlocked")).await;
    // The same is not told again by an operator that remembers nothing.
    world.restart().await;
    world.settle().await;
    world.change("LLMInferenceService", "demo", json!({"spec": {"baseRefs": Value::Null}})).await;
    world.until_gone(CONFIG, "shared").await;
    assert_eq!(
        world.events("shared").await,
        [
            "DeletionBlocked: Cannot delete LLMInferenceServiceConfig team/shared: referenced by 1 LLMInferenceService(s)"
        ]
    );
}

#[tokio::test]
async fn a_write_to_a_config_that_fails_once_is_made_again() {
    let world = World::start().await;
    world.fail_once("PATCH llminferenceserviceconfigs/shared", 409, "Conflict");
    world.fail_once("PUT llminferenceserviceconfigs/shared/status", 500, "InternalError");
    world.put(config("shared", json!({"replicas": 2}))).await;
    world.until(CONFIG, "shared", |it| because(it, "ConfigInUse", "NotInUse")).await;
    assert!(world.has_failed());
}
