//! More than one kind of pod: prefill and decode apart, groups of pods, adapters, autoscalers.

use serde_json::{Value, json};

use crate::process::{Up, chat, get, post, signal};

/// `up` of `examples/NAME.yaml`, as it is.
fn start(dir: &tempfile::TempDir, name: &str) -> Up {
    let example = format!("{}/../../examples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    Up::start(&dir.path().join("data"), &[&example])
}

/// Prompt tokens of an engine by where they came from, and the tokens that it generated.
fn tokens(address: &str) -> (f64, f64, f64) {
    let page = get(address, "/metrics").body;
    let sum = |name: &str, label: &str| -> f64 {
        let samples = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let source = "vllm:prompt_tokens_by_source_total";
    (
        sum(source, "local_compute"),
        sum(source, "external_kv_transfer"),
        sum("vllm:generation_tokens_total", ""),
    )
}

/// `NAME`, role and `host:port` of the engines that `up` names.
fn stages(serving: &Value) -> Vec<(String, String)> {
    let stages = serving["stages"].as_array().unwrap().iter();
    let text = |stage: &Value, field: &str| stage[field].as_str().unwrap().to_owned();
    stages.map(|stage| (text(stage, "role"), format!("{}:8000", text(stage, "address")))).collect()
}

#[test]
fn a_prompt_is_prefilled_on_one_engine_and_decoded_on_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = start(&dir, "prefill-decode");
    let serving = up.wait_for("serving", |event| event["step"] == "serving");
    let gateway = serving["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap();
    let stages = stages(&serving);
    assert_eq!(
        stages.iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>(),
        ["prefill", "prefill", "decode"]
    );

    let answer = post(gateway, "/v1/chat/completions", &chat("Qwen/Qwen2.5-7B-Instruct")).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let prompt = answer.json()["usage"]["prompt_tokens"].as_f64().unwrap();
    let of = |wanted: &str| -> Vec<(f64, f64, f64)> {
        stages.iter().filter(|(role, _)| role == wanted).map(|(_, address)| tokens(address)).collect()
    };
    // One of the prefill engines computed the whole prompt and one token; the decoding one fetched all but the last.
    assert_eq!(of("decode"), [(1.0, prompt - 1.0, 8.0)]);
    let mut prefilled = of("prefill");
    prefilled.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(prefilled, [(0.0, 0.0, 0.0), (prompt, 0.0, 1.0)]);

    let mut streaming = chat("Qwen/Qwen2.5-7B-Instruct");
    streaming["stream"] = json!(true);
    let streamed = post(gateway, "/default/qwen-apart/v1/chat/completions", &streaming).unwrap();
    assert!(streamed.body.trim_end().ends_with("data: [DONE]"), "{}", streamed.body);
    assert_eq!(of("decode")[0].2, 16.0);
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn a_group_of_pods_serves_as_one_and_is_made_anew_when_a_worker_dies() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = start(&dir, "multi-node-experts");
    let gateway = up.serving();
    let model = "Qwen/Qwen1.5-MoE-A2.7B-Chat";
    assert_eq!(post(&gateway, "/v1/chat/completions", &chat(model)).unwrap().status, 200);

    let engines = up.children(" sim ");
    let workers = up.children("--headless");
    assert_eq!((engines.len(), workers.len()), (2, 1), "a leader and a worker");
    signal(workers[0], "KILL");
    up.wait_for("the group to be whole again", |event| {
        event["step"] == "engines" && event["text"] == "engine 1 of 1 ready, worker 1 of 1 ready"
    });
    // Engines that are ready may not be known to the gateway yet; a service that is Ready answers.
    up.wait_for("Ready again", |event| event["step"] == "Ready");
    let after = up.children(" sim ");
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|engine| !engines.contains(engine)), "the leader is another one too");
    let answer = post(&gateway, "/v1/chat/completions", &chat(model)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn groups_prefill_for_groups() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = start(&dir, "multi-node-prefill-decode");
    let serving = up.wait_for("serving", |event| event["step"] == "serving");
    let gateway = serving["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap();
    assert_eq!(up.children("--headless").len(), 2);
    let model = "meta-llama/Llama-3.3-70B-Instruct";
    assert_eq!(post(gateway, "/v1/chat/completions", &chat(model)).unwrap().status, 200);
    let fetched: f64 = stages(&serving).iter().map(|(_, address)| tokens(address).1).sum();
    assert!(fetched > 0.0, "the answer's leader had the prompt from the other group");
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn adapters_are_listed_and_asked_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = start(&dir, "lora-adapters");
    let gateway = up.serving();
    let listed = |path: &str| -> Vec<String> {
        let models = get(&gateway, path).json();
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for path in ["/v1/models", "/default/llama-tuned/v1/models"] {
        let names = listed(path);
        for wanted in ["meta-llama/Llama-2-7b-hf", "sql", "support"] {
            assert!(names.iter().any(|name| name == wanted), "{path}: {names:?}");
        }
    }
    for model in ["meta-llama/Llama-2-7b-hf", "sql"] {
        let answer = post(&gateway, "/v1/chat/completions", &chat(model)).unwrap();
        assert_eq!(
            (answer.status, answer.json()["model"].as_str().unwrap()),
            (200, model),
            "{}",
            answer.body
        );
    }
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn a_service_with_an_autoscaler_runs_with_its_fewest_replicas() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = start(&dir, "autoscaling");
    let gateway = up.serving();
    assert_eq!(up.children(" sim ").len(), 2);
    assert_eq!(
        post(&gateway, "/v1/chat/completions", &chat("Qwen/Qwen2.5-3B-Instruct")).unwrap().status,
        200
    );
    assert_eq!(up.interrupt(), Some(130));
}
