//! A file goes in, a served model comes out.

use serde_json::json;

use crate::process::{Up, chat, get, post, service_file};

#[test]
fn one_file_is_served_and_ctrl_c_ends_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = service_file(dir.path(), "demo", 2);
    let mut up = Up::start(&dir.path().join("data"), &[file.to_str().unwrap()]);
    let gateway = up.serving();

    let models = get(&gateway, "/v1/models").json();
    assert_eq!(models["data"][0]["id"], "acme/demo", "{models}");

    let answer = post(&gateway, "/v1/chat/completions", &chat("acme/demo")).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["usage"]["completion_tokens"], 8);

    let mut streaming = chat("acme/demo");
    streaming["stream"] = json!(true);
    let streamed = post(&gateway, "/default/demo/v1/chat/completions", &streaming).unwrap();
    let chunks = streamed.body.lines().filter(|line| line.starts_with("data: {")).count();
    assert!(chunks >= 8 && streamed.body.trim_end().ends_with("data: [DONE]"), "{}", streamed.body);

    let wrong = post(&gateway, "/v1/chat/completions", &chat("acme/absent")).unwrap();
    assert_eq!(wrong.status, 404);
    assert!(wrong.json()["error"]["message"].as_str().unwrap().contains("acme/absent"), "{}", wrong.body);

    let engines = up.children(" sim ");
    assert_eq!(engines.len(), 2, "one process per replica");
    let everything: Vec<u32> = up.children("").into_iter().collect();
    assert_eq!(up.interrupt(), Some(130));
    let left: Vec<_> =
        crate::process::processes().into_iter().filter(|(id, _, _)| everything.contains(id)).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn without_a_file_it_says_how_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = crate::process::llmisvc()
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::{BufRead, BufReader};
    let hint =
        BufReader::new(up.stderr.take().unwrap()).lines().map_while(Result::ok).find(|l| l.contains("hf://"));
    crate::process::signal(up.id(), "INT");
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert!(hint.is_some());
}

#[test]
fn a_config_names_the_model_a_namespace_is_made_and_a_gateway_without_a_route_is_answered_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("composed.yaml");
    let text = "\
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceServiceConfig
metadata: {name: model, namespace: team}
spec: {model: {uri: hf://acme/composed, name: acme/composed}}
---
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: composed, namespace: team}
spec:
  baseRefs: [{name: model}]
  router: {route: {}, gateway: {}, scheduler: {}}
---
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: unrouted, namespace: team}
spec:
  baseRefs: [{name: other}]
  router: {gateway: {}}
---
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceServiceConfig
metadata: {name: other, namespace: team}
spec: {model: {uri: hf://acme/unrouted, name: acme/unrouted}}
";
    std::fs::write(&file, text).unwrap();
    let mut up = Up::start(&dir.path().join("data"), &[file.to_str().unwrap()]);
    let event = up.wait_for("serving", |event| event["step"] == "serving");
    let gateway = event["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap();
    let models = get(gateway, "/v1/models").json();
    for service in event["services"].as_array().unwrap() {
        let model = service["model"].as_str().unwrap();
        assert!(models["data"].as_array().unwrap().iter().any(|known| known["id"] == model), "{models}");
        let path = format!("/{}/v1/chat/completions", service["name"].as_str().unwrap());
        let answer = post(gateway, &path, &chat(model)).unwrap();
        assert_eq!(answer.status, 200, "{service}: {}", answer.body);
    }
    assert_eq!(event["services"][0]["model"], "acme/composed");
    assert_eq!(event["services"][1]["model"], "acme/unrouted");
    assert_eq!(up.interrupt(), Some(130));
}
