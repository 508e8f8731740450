use apiserver::AdmissionRequest;
use serde_json::{Value, json};

use super::validate_config;

fn config(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
           "metadata": {"name": name, "namespace": "a"}, "spec": spec})
}

/// Warnings, or the status and words of a refusal.
fn review(operation: &'static str, object: Value, old: Option<&Value>) -> Result<Vec<String>, (u16, String)> {
    let request = AdmissionRequest { operation, subresource: None, user: "u", object, old, dry_run: false };
    validate_config(&request).map_err(|denied| (denied.code, denied.message))
}

#[test]
fn a_change_of_a_well_known_config_is_warned_of_unless_it_only_adds() {
    let old =
        config("kserve-config-llm-template", json!({"replicas": 2, "labels": {"a": "b"}, "annotations": {}}));
    let warnings = |spec: Value, name: &str| {
        let mut old = old.clone();
        old["metadata"]["name"] = name.into();
        review("UPDATE", config(name, spec), Some(&old)).unwrap()
    };
    let more = json!({"replicas": 2, "labels": {"a": "b", "c": "d"}, "model": {"uri": "hf://a/b"}});
    assert_eq!(warnings(more, "kserve-config-llm-template"), Vec::<String>::new());
    for other in [json!({"replicas": 3, "labels": {"a": "b"}}), json!({"replicas": 2})] {
        let found = warnings(other.clone(), "kserve-config-llm-template");
        assert_eq!(found.len(), 1, "{other}");
        assert!(found[0].contains("modifying well-known config a/kserve-config-llm-template"), "{found:?}");
        assert_eq!(warnings(other, "mine"), Vec::<String>::new());
    }
}

#[test]
fn the_deletion_of_a_well_known_config_is_warned_of() {
    let found = review("DELETE", config("kserve-config-llm-template", json!({})), None).unwrap();
    assert!(found[0].contains("deleting well-known config a/kserve-config-llm-template"), "{found:?}");
    assert_eq!(review("DELETE", config("mine", json!({})), None), Ok(Vec::new()));
}

#[test]
fn a_config_that_does_not_render_is_refused_but_may_go() {
    let broken = config("mine", json!({"model": {"name": "{{ .Spec.Nothing }}"}}));
    let (code, words) = review("CREATE", broken.clone(), None).unwrap_err();
    assert!(code == 403 && words.contains("Nothing"), "{code} {words}");
    let mut going = broken.clone();
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(review("UPDATE", going, Some(&broken)), Ok(Vec::new()));
}
