//! What the guides that people start from say about composition, held against the examples that were taken from them.
//!
//! Where guides and KServe's code disagree the code counts, and the test says so: env is merged by name, data ranks make the
//! size of a copy and not the number of copies, a list of rules replaces all rules.

use std::path::Path;
use std::sync::Arc;

use api::admission::{Request, admit};
use kinds::Objects;
use serde_json::{Value, json};

use crate::{Error, Facts, Merged, Origin, compose};

/// The merged service of `examples/seeds/NAME.yaml`, composed with the configs that stand beside it.
fn seed(name: &str) -> Merged {
    with_change(name, |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn with_change(name: &str, change: impl Fn(&mut Value)) -> Result<Merged, Error> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/seeds/{name}.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut service = None;
    let mut objects = Objects::new();
    for document in yaml::read_documents(&text).unwrap() {
        let mut object = document.value;
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = "default".into();
        }
        change(&mut object);
        let stored =
            admit(&object, Request::default()).unwrap_or_else(|error| panic!("{name}: {error}")).object;
        match stored["kind"].as_str() {
            Some("LLMInferenceService") => service = Some(stored),
            _ => _ = objects.insert(stored).unwrap(),
        }
    }
    compose(&Facts { service: Arc::new(service.unwrap()), objects, ..Facts::default() })
}

fn configs(merged: &Merged) -> Vec<&str> {
    merged.applied_configs.iter().map(|config| config.name.as_str()).collect()
}

fn at<'m>(merged: &'m Merged, pointer: &str) -> &'m Value {
    merged.spec_json().pointer(pointer).unwrap_or(&Value::Null)
}

/// The whole command line of a pod's engine.
fn words(merged: &Merged, pod: &str) -> Vec<String> {
    ["command", "args"]
        .iter()
        .flat_map(|part| {
            at(merged, &format!("{pod}/containers/0/{part}")).as_array().cloned().unwrap_or_default()
        })
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn three_configs_make_a_service_and_the_service_itself_comes_last() {
    let merged = seed("composition");
    let own = ["model-llama-3-8b", "workload-single-gpu", "router-managed"];
    assert_eq!(configs(&merged)[merged.applied_configs.len() - 3..], own);
    // Well-known configs come first: scheduler, route, and one pod per engine.
    assert_eq!(
        configs(&merged)[..3],
        ["kserve-config-llm-scheduler", "kserve-config-llm-router-route", "kserve-config-llm-template"]
    );
    assert_eq!(*at(&merged, "/replicas"), 5);
    assert_eq!(*merged.origins.of("/spec/replicas"), Origin::Service);
    assert_eq!(*at(&merged, "/model/uri"), "hf://meta-llama/Llama-3.1-8B-Instruct");
    assert_eq!(*at(&merged, "/model/name"), "meta-llama/Llama-3.1-8B-Instruct");
    assert_eq!(at(&merged, "/template/containers/0/resources/limits")["nvidia.com/gpu"], "1");
    assert_eq!(*at(&merged, "/template/containers/0/name"), "main");
    assert!(words(&merged, "/template").contains(&"meta-llama/Llama-3.1-8B-Instruct".to_owned()));
}

#[test]
fn of_two_base_refs_the_later_wins_and_the_service_over_both() {
    let replicas = |own: Value| {
        let merged = with_change("composition", |object| match object["metadata"]["name"].as_str() {
            Some("router-managed") => object["spec"]["replicas"] = json!(7),
            Some("my-llama-service") => object["spec"]["replicas"] = own.clone(),
            _ => {}
        });
        at(&merged.unwrap(), "/replicas").clone()
    };
    assert_eq!(replicas(Value::Null), 7);
    assert_eq!(replicas(json!(5)), 5);
    // Zero is a number that somebody wrote, not nothing.
    assert_eq!(replicas(json!(0)), 0);
}

#[test]
fn values_that_are_zero_in_go_do_not_wipe_out_what_a_base_says() {
    let merged = with_change("custom-config-service", |object| {
        if object["kind"] == "LLMInferenceService" {
            object["spec"]["template"] =
                json!({"containers": [{"name": "main", "image": "", "args": []}], "nodeSelector": {}});
        } else {
            object["spec"]["template"]["nodeSelector"] = json!({"a": "b"});
        }
    })
    .unwrap();
    assert_eq!(*at(&merged, "/template/containers/0/image"), "my-registry/my-vllm:v1.0");
    assert_eq!(*at(&merged, "/template/nodeSelector"), json!({"a": "b"}));
}

#[test]
fn a_config_is_looked_up_beside_the_service_before_the_system_namespace() {
    let place = |system: bool| {
        let merged = with_change("custom-config-service", |object| {
            if system && object["kind"] == "LLMInferenceServiceConfig" {
                object["metadata"]["namespace"] = "kserve".into();
            }
        });
        merged.unwrap().applied_configs.last().unwrap().namespace.clone()
    };
    assert_eq!(place(false), "my-namespace");
    assert_eq!(place(true), "kserve");
}

#[test]
fn a_config_of_ones_own_changes_the_image_alone() {
    let merged = seed("custom-config-service");
    assert_eq!(
        configs(&merged),
        ["kserve-config-llm-router-route", "kserve-config-llm-template", "my-custom-vllm"]
    );
    assert_eq!(*at(&merged, "/template/containers/0/image"), "my-registry/my-vllm:v1.0");
    assert_eq!(words(&merged, "/template")[..3], ["vllm", "serve", "/mnt/models"]);
    assert_eq!(
        *merged.origins.of("/spec/template/containers/0/readinessProbe/httpGet/path"),
        Origin::Preset("kserve-config-llm-template".to_owned())
    );
}

#[test]
fn env_is_merged_by_name_whatever_the_guide_says() {
    let merged = with_change("custom-config-service", |object| {
        if object["kind"] == "LLMInferenceServiceConfig" {
            object["spec"]["template"]["containers"][0]["env"] =
                json!([{"name": "EXTRA", "value": "1"}, {"name": "HOME", "value": "/elsewhere"}]);
        }
    })
    .unwrap();
    let env = at(&merged, "/template/containers/0/env").as_array().unwrap().clone();
    let value =
        |name: &str| env.iter().find(|entry| entry["name"] == name).map(|entry| entry["value"].clone());
    assert_eq!(value("EXTRA"), Some(json!("1")));
    assert_eq!(value("HOME"), Some(json!("/elsewhere")));
    assert!(value("VLLM_LOGGING_LEVEL").is_some());
}

#[test]
fn an_accelerator_is_chosen_by_its_config() {
    let merged = seed("accelerator");
    assert_eq!(*configs(&merged).last().unwrap(), "kserve-config-llm-template-nvidia-cuda");
    assert_eq!(at(&merged, "/template/containers/0/resources/limits")["nvidia.com/gpu"], "1");
    assert_eq!(at(&merged, "/template/containers/0/resources/limits")["memory"], "64Gi");
    assert_eq!(words(&merged, "/template")[..3], ["vllm", "serve", "/mnt/models"]);
    assert_eq!(merged.warnings, []);
}

#[test]
fn arguments_are_added_to_the_command_of_the_preset() {
    let merged = seed("migrated");
    let words = words(&merged, "/template");
    assert_eq!(words[..2], ["vllm", "serve"]);
    assert_eq!(words[words.len() - 2..], ["--max-model-len", "4096"]);
    assert_eq!(merged.warnings, []);
    // The later of two equal flags counts for the engine, so the user's comes last.
    let merged = seed("multi-node");
    let words = self::words(&merged, "/template");
    let place = |word: &str| {
        words.iter().position(|known| known == word).unwrap_or_else(|| panic!("{word}: {words:?}"))
    };
    assert!(place("--tensor-parallel-size=4") < place("--tensor-parallel-size"));
}

#[test]
fn an_empty_router_asks_for_the_presets() {
    let merged = seed("router");
    assert_eq!(configs(&merged)[..2], ["kserve-config-llm-scheduler", "kserve-config-llm-router-route"]);
    assert!(at(&merged, "/router/route/http/spec/rules").as_array().is_some_and(|rules| !rules.is_empty()));
    assert_eq!(*at(&merged, "/router/scheduler/template/containers/0/name"), "main");
    assert_eq!(*at(&merged, "/router/gateway"), json!({}));
    // Without a scheduler there is none.
    let merged = seed("model");
    assert_eq!(configs(&merged), ["kserve-config-llm-template"]);
}

#[test]
fn the_shape_of_a_service_chooses_its_presets() {
    for (name, presets) in [
        ("single-node", &["template"][..]),
        ("tensor-parallel", &["template"]),
        ("data-parallel", &["worker-data-parallel"]),
        ("expert-parallel", &["worker-data-parallel"]),
        ("multi-node", &["worker-data-parallel"]),
        ("prefill-decode", &["prefill-template", "decode-template"]),
    ] {
        let wanted: Vec<String> =
            presets.iter().map(|preset| format!("kserve-config-llm-{preset}")).collect();
        assert_eq!(configs(&seed(name)), wanted, "{name}");
    }
}

#[test]
fn parallelism_becomes_flags_of_the_engine() {
    let has =
        |name: &str, pod: &str, flag: &str| words(&seed(name), pod).iter().any(|word| word.contains(flag));
    assert!(has("tensor-parallel", "/template", "--tensor-parallel-size=4"));
    assert!(has("data-parallel", "/template", "--data-parallel-size=16"));
    assert!(has("data-parallel", "/worker", "--data-parallel-size-local=8"));
    assert!(!has("data-parallel", "/worker", "--enable-expert-parallel"));
    assert!(has("expert-parallel", "/template", "--enable-expert-parallel"));
    assert!(has("expert-parallel", "/worker", "--enable-expert-parallel"));
}

#[test]
fn ranks_over_local_ranks_are_the_pods_of_a_copy_and_not_the_copies() {
    let merged = seed("multi-node");
    assert_eq!(*at(&merged, "/replicas"), 2);
    assert_eq!(merged.spec.workload.parallelism.as_ref().unwrap().size(), Some(2));
}

#[test]
fn time_limits_alone_replace_all_rules_and_that_is_said() {
    let merged = seed("route-timeouts");
    let rules = at(&merged, "/router/route/http/spec/rules").as_array().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["timeouts"], json!({"request": "300s", "backendRequest": "300s"}));
    assert_eq!(merged.warnings.len(), 1);
    assert_eq!(merged.warnings[0].field, "/spec/router/route/http/spec/rules");
    assert!(merged.warnings[0].message.contains("preset kserve-config-llm-router-route"));
}

#[test]
fn a_service_without_a_model_name_is_called_by_its_own() {
    let merged = seed("tensor-parallel");
    assert_eq!(*at(&merged, "/model/name"), "tensor-parallel");
    let words = words(&merged, "/template");
    let flag = words.iter().position(|word| word == "--served-model-name").unwrap();
    assert_eq!(words[flag + 1], "tensor-parallel");
}
