//! What becomes of a user's words on the command line of a preset's engine.

use serde_json::{Value, json};

use crate::fixture::{composed, main};
use crate::{Merged, Origin};

fn additional(value: &str) -> Value {
    json!({"env": [{"name": "VLLM_ADDITIONAL_ARGS", "value": value}]})
}

fn said(merged: &Merged) -> Vec<(&str, &str)> {
    merged.warnings.iter().map(|warning| (warning.field.as_str(), warning.message.as_str())).collect()
}

fn words(merged: &Merged, pointer: &str) -> Vec<String> {
    let words = merged.document.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn flags_of_the_variable_come_after_the_presets_and_before_the_users_in_every_pod() {
    let text = r#"--kv-transfer-config '{"kv_role": "kv_both"}' --host=$(POD_IP)"#;
    let mut container = additional(text);
    container["args"] = json!(["--seed=1"]);
    let pod = main(container);
    let spec = json!({
        "template": pod, "worker": pod, "parallelism": {"data": 2, "dataLocal": 1},
        "prefill": {"template": pod, "worker": pod, "parallelism": {"data": 2, "dataLocal": 1}},
    });
    let merged = composed(spec, Vec::new());
    assert_eq!(said(&merged), []);
    for pod in ["/template", "/worker", "/prefill/template", "/prefill/worker"] {
        let at = format!("/spec{pod}/containers/0");
        let command = words(&merged, &format!("{at}/command"));
        assert_eq!(command[..2], ["vllm", "serve"], "{pod}");
        let added = &command[command.len() - 3..];
        assert_eq!(added, ["--kv-transfer-config", r#"{"kv_role": "kv_both"}"#, "--host=$(POD_IP)"], "{pod}");
        assert_eq!(words(&merged, &format!("{at}/args")), ["--seed=1"]);
        let of = |index: usize| merged.origins.of(&format!("{at}/command/{index}"));
        assert_eq!(*of(command.len() - 1), Origin::Service);
        assert!(matches!(of(command.len() - 4), Origin::Preset(_)), "{pod}: {:?}", of(command.len() - 4));
    }
}

#[test]
fn a_base_ref_may_set_the_variable_and_the_service_adds_its_arguments() {
    let base = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
        "metadata": {"name": "flags", "namespace": "team"},
        "spec": {"template": main(additional("--a --b"))},
    });
    let spec = json!({"baseRefs": [{"name": "flags"}], "template": main(json!({"args": ["--c"]}))});
    let merged = composed(spec, vec![base]);
    let command = words(&merged, "/spec/template/containers/0/command");
    assert_eq!(command[command.len() - 2..], ["--a", "--b"]);
    assert_eq!(words(&merged, "/spec/template/containers/0/args"), ["--c"]);
    let last = format!("/spec/template/containers/0/command/{}", command.len() - 1);
    assert_eq!(*merged.origins.of(&last), Origin::BaseRef("flags".to_owned()));
}

#[test]
fn what_cannot_be_put_in_is_said() {
    let from = json!({"env": [{"name": "VLLM_ADDITIONAL_ARGS",
        "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]});
    for (container, field, why, added) in [
        (from, "valueFrom", "is not known when", &[][..]),
        (additional("--a 'b"), "value", "not closed", &[]),
        (additional("--a $B"), "value", "no shell runs here", &["--a", "$B"]),
    ] {
        let merged = composed(json!({"template": main(container)}), Vec::new());
        let warnings = said(&merged);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let index = warnings[0].0.trim_start_matches("/spec/template/containers/0/env/");
        assert_eq!(index.split_once('/').unwrap().1, field);
        assert!(warnings[0].1.contains(why), "{warnings:?}");
        let command = words(&merged, "/spec/template/containers/0/command");
        let without = composed(json!({"template": main(json!({}))}), Vec::new());
        let without = words(&without, "/spec/template/containers/0/command");
        assert_eq!(command[..without.len()], without);
        assert_eq!(command[without.len()..], *added);
    }
}

#[test]
fn quotes_for_a_shell_come_off_json_and_off_nothing_else() {
    let args = json!(["--a", "'{\"b\": 1}'", "--c='[2]'", "'not json'", "{\"d\": 3}", "it's", "'"]);
    let merged = composed(json!({"template": main(json!({"args": args}))}), Vec::new());
    let at = "/spec/template/containers/0/args";
    assert_eq!(words(&merged, at), ["--a", "{\"b\": 1}", "--c=[2]", "'not json'", "{\"d\": 3}", "it's", "'"]);
    let fields: Vec<&str> = said(&merged).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, [format!("{at}/1"), format!("{at}/2")]);
}

#[test]
fn a_model_in_the_arguments_is_warned_of_where_the_command_line_has_one() {
    for args in [json!(["--x", "--model", "/mnt/models"]), json!(["--x", "--model=/mnt/models"])] {
        let merged = composed(json!({"template": main(json!({"args": args}))}), Vec::new());
        assert_eq!(words(&merged, "/spec/template/containers/0/args").len(), args.as_array().unwrap().len());
        let warnings = said(&merged);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].0, "/spec/template/containers/0/args/1");
        assert!(warnings[0].1.contains("leave --model"), "{warnings:?}");
    }
    let own = json!({"command": ["python3", "-m", "vllm.entrypoints.openai.api_server"], "args": ["--model", "/m"]});
    assert!(
        !said(&composed(json!({"template": main(own)}), Vec::new()))
            .iter()
            .any(|(_, why)| why.contains("--model"))
    );
}

#[test]
fn a_command_of_the_users_own_and_a_script_are_left_as_they_are() {
    let mut own = additional("--a");
    own["command"] = json!(["vllm", "serve", "/m"]);
    own["args"] = json!(["'{}'"]);
    let merged = composed(json!({"template": main(own)}), Vec::new());
    assert_eq!(words(&merged, "/spec/template/containers/0/command"), ["vllm", "serve", "/m"]);
    assert_eq!(words(&merged, "/spec/template/containers/0/args"), ["'{}'"]);

    let script = json!(["/bin/bash", "-c", "eval \"exec vllm serve /m $VLLM_ADDITIONAL_ARGS $@\"", "--"]);
    let preset = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
        "metadata": {"name": "kserve-config-llm-template", "namespace": "kserve"},
        "spec": {"template": {"containers": [{"name": "main", "image": "i", "command": script}]}},
    });
    let mut container = additional("--a");
    container["args"] = json!(["'{}'", "--model=/m"]);
    let merged = composed(json!({"template": main(container)}), vec![preset]);
    assert_eq!(json!(words(&merged, "/spec/template/containers/0/command")), script);
    assert_eq!(words(&merged, "/spec/template/containers/0/args"), ["'{}'", "--model=/m"]);
    assert_eq!(said(&merged).len(), 1, "the model alone");
}
