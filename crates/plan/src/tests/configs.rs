//! What is said about configs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::service;
use crate::{ConfigJudged, Reach, judge_config};

fn reach() -> Reach {
    Reach {
        system_namespace: "kserve".to_owned(),
        presets: ["kserve-config-llm-template".to_owned()].into_iter().collect(),
    }
}

fn config(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
        "metadata": {"namespace": namespace, "name": name, "generation": 2},
    })
}

fn asking_for(name: &str) -> Value {
    service("demo", json!({"baseRefs": [{"name": name}]}))
}

fn applied(mut service: Value, namespace: &str, name: &str) -> Value {
    service["status"]["appliedConfigs"] =
        json!([{"namespace": namespace, "name": name, "source": "UserRef"}]);
    service
}

fn judged(config: &Value, services: &[Value]) -> ConfigJudged {
    judge_config(config, services.iter(), &reach(), Timestamp::from_second(1).unwrap())
}

fn users(config: &Value, services: &[Value]) -> Vec<String> {
    judged(config, services).status.referenced_by.into_iter().map(|user| user.name).collect()
}

#[test]
fn a_config_says_who_uses_it() {
    let status = serde_json::to_value(judged(&config("team", "c"), &[asking_for("c")]).status).unwrap();
    let time = "1970-01-01T00:00:01Z";
    assert_eq!(
        status,
        json!({
            "observedGeneration": 2,
            "referencedBy": [{"name": "demo", "namespace": "team"}],
            "conditions": [
                {"type": "ConfigInUse", "status": "True", "severity": "Info", "reason": "InUse",
                 "message": "referenced by 1 LLMInferenceService(s)", "lastTransitionTime": time},
                {"type": "Ready", "status": "True", "lastTransitionTime": time},
            ],
        })
    );
}

#[test]
fn an_unused_config_says_so_and_only_then_may_go() {
    let mut config = config("team", "c");
    let unused = judged(&config, &[asking_for("other")]);
    assert_eq!(unused.status.conditions[0].reason.as_deref(), Some("NotInUse"));
    assert!(!unused.may_go, "nobody deletes it");
    config["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(judged(&config, &[]).may_go);
}

#[test]
fn a_deletion_that_has_to_wait_is_told_once() {
    let mut config = config("team", "c");
    config["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let blocked = judged(&config, &[asking_for("c")]);
    assert!(!blocked.may_go);
    assert_eq!(blocked.status.conditions[0].reason.as_deref(), Some("DeletionBlocked"));
    assert_eq!(
        blocked.events[0].message,
        "Cannot delete LLMInferenceServiceConfig team/c: referenced by 1 LLMInferenceService(s)"
    );
    config["status"] = serde_json::to_value(&blocked.status).unwrap();
    let again = judged(&config, &[asking_for("c")]);
    assert_eq!(again.events, []);
    assert_eq!(again.status, blocked.status);
}

#[test]
fn a_namesake_in_another_namespace_is_another_config() {
    let merged = applied(asking_for("c"), "team", "c");
    assert_eq!(users(&config("team", "c"), std::slice::from_ref(&merged)), ["demo"]);
    assert_eq!(users(&config("kserve", "c"), &[merged]), [""; 0]);
    assert_eq!(users(&config("elsewhere", "c"), &[asking_for("c")]), [""; 0]);
    assert_eq!(users(&config("kserve", "c"), &[asking_for("c")]), ["demo"], "it may be found there");
}

#[test]
fn a_base_ref_that_is_not_merged_yet_protects_its_config() {
    let waiting = applied(asking_for("new"), "team", "old");
    assert_eq!(users(&config("team", "new"), std::slice::from_ref(&waiting)), ["demo"]);
    assert_eq!(users(&config("team", "old"), &[waiting]), ["demo"]);
}

#[test]
fn a_preset_is_used_by_every_service_within_reach() {
    let services = [service("demo", json!({}))];
    assert_eq!(users(&config("kserve", "kserve-config-llm-template"), &services), ["demo"]);
    assert_eq!(
        users(&config("team", "kserve-config-llm-template"), &services),
        ["demo"],
        "it shadows the preset"
    );
    assert_eq!(users(&config("elsewhere", "kserve-config-llm-template"), &services), [""; 0]);
}
