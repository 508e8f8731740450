//! The API over a socket, as a client sees it.

use std::time::Duration;

use crate::support::{Answer, Sim, fast};
use serde_json::{Value, json};
use sim::{LoraModule, Options};

fn chat(content: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": content }] })
}

fn with(mut body: Value, key: &str, value: impl Into<Value>) -> Value {
    body[key] = value.into();
    body
}

#[tokio::test]
async fn a_chat_is_answered_with_vllms_keys_and_says_that_it_is_simulated() {
    let sim = Sim::start(fast()).await;
    let answer = sim.post("/v1/chat/completions", &with(chat("Hello"), "max_tokens", 30)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choice = &body["choices"][0];
    assert!(choice["message"]["content"].as_str().unwrap().starts_with("[simulated]"));
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 30);
    assert_eq!(body["usage"]["prompt_tokens_details"], Value::Null);
    let again = sim.post("/v1/chat/completions", &with(chat("Hello"), "max_tokens", 30)).await.json();
    assert_eq!(again["choices"], body["choices"], "the same prompt gets the same answer");
}

#[tokio::test]
async fn a_stream_carries_the_same_text_and_ends_with_usage_and_done() {
    let sim = Sim::start(fast()).await;
    let body = with(chat("Hello"), "max_tokens", 12);
    let whole = sim.post("/v1/chat/completions", &body).await.json();
    let body = with(with(body, "stream", true), "stream_options", json!({ "include_usage": true }));
    let answer = sim.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let chunks = answer.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap());
    let (last, before) = (&chunks[chunks.len() - 1], &chunks[chunks.len() - 2]);
    assert_eq!(before["choices"][0]["finish_reason"], "length");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 12);
    assert!(answer.body.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn completions_take_several_prompts_stop_strings_and_echo() {
    let sim = Sim::start(fast()).await;
    let body = json!({ "model": "m", "prompt": ["one", "two"], "max_tokens": 4, "n": 2 });
    let many = sim.post("/v1/completions", &body).await.json();
    assert_eq!(many["choices"].as_array().unwrap().len(), 4);
    assert_eq!(many["usage"]["completion_tokens"], 16);
    let body = json!({ "prompt": "Say", "max_tokens": 50, "stop": "model", "echo": true });
    let stopped = sim.post("/v1/completions", &body).await.json();
    assert_eq!(stopped["choices"][0]["text"], "Say[simulated] No ");
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert_eq!(stopped["choices"][0]["stop_reason"], "model");
    let stream = sim.post("/v1/completions", &with(body, "stream", true)).await;
    let text: String =
        stream.chunks().iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, "Say[simulated] No ");
}

#[tokio::test]
async fn errors_are_worded_as_vllm_words_them() {
    let sim = Sim::start(Options { max_model_len: 64, ..fast() }).await;
    let error = async |path: &str, body: Value| {
        let answer = sim.post(path, &body).await;
        let error = answer.json()["error"].clone();
        assert_eq!(error["code"], answer.status);
        (
            answer.status,
            error["type"].as_str().unwrap().to_owned(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    let (status, kind, message) = error("/v1/chat/completions", with(chat("x"), "model", "nope")).await;
    assert_eq!((status, kind.as_str()), (404, "NotFoundError"));
    assert_eq!(message, "The model `nope` does not exist. Valid aliases: m, publishers/ns/models/m.");
    let (_, kind, message) = error("/v1/chat/completions", json!({ "model": "m" })).await;
    assert_eq!(kind, "Bad Request");
    assert!(
        message.contains("'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict of 1 items>'")
    );
    let (_, _, message) = error("/v1/completions", json!({ "prompt": "x", "max_tokens": 0 })).await;
    assert_eq!(message, "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)");
    let (_, _, message) = error("/v1/completions", json!({ "prompt": vec![7; 64] })).await;
    assert!(
        message.starts_with(
            "This model's maximum context length is 64 tokens. However, your prompt contains 64"
        )
    );
    let (_, _, message) = error("/v1/completions", json!({ "prompt": "x", "logprobs": 2 })).await;
    assert!(message.contains("no log probabilities"));
    let not_json = sim.send("POST", "/v1/completions", "application/json", b"{\"model\"").await;
    assert_eq!(not_json.status, 400);
    assert!(not_json.json()["error"]["message"].as_str().unwrap().contains("json_invalid"));
    assert_eq!(sim.send("POST", "/v1/completions", "text/plain", b"{}").await.status, 400);
    assert_eq!(sim.get("/v1/nothing").await.json(), json!({ "detail": "Not Found" }));
    assert_eq!(sim.get("/v1/completions").await.status, 405);
}

#[tokio::test]
async fn models_lists_served_names_and_adapters() {
    let lora_modules = vec![LoraModule { name: "sql".into(), path: "/mnt/lora/sql".into() }];
    let sim = Sim::start(Options { enable_lora: true, lora_modules, ..fast() }).await;
    let list = sim.get("/v1/models").await.json();
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["m", "publishers/ns/models/m", "sql"]);
    assert_eq!(list["data"][2]["parent"], "m");
    assert_eq!(list["data"][0]["root"], "/mnt/models");
    let answer =
        sim.post("/v1/chat/completions", &with(with(chat("x"), "model", "sql"), "max_tokens", 2)).await;
    assert_eq!(answer.json()["model"], "sql");
    let load = json!({ "lora_name": "law", "lora_path": "/mnt/lora/law" });
    assert_eq!(
        sim.post("/v1/load_lora_adapter", &load).await.body,
        "Success: LoRA adapter 'law' added successfully."
    );
    assert_eq!(sim.post("/v1/load_lora_adapter", &load).await.status, 400);
    assert_eq!(sim.post("/v1/unload_lora_adapter", &load).await.status, 200);
    assert_eq!(sim.post("/v1/unload_lora_adapter", &load).await.status, 404);
}

#[tokio::test]
async fn metrics_follow_what_happened() {
    let sim = Sim::start(fast()).await;
    let prompt = "shared words ".repeat(40);
    for _ in 0..2 {
        sim.post("/v1/completions", &json!({ "prompt": prompt, "max_tokens": 5 })).await;
    }
    let text = sim.get("/metrics").await.body;
    let load = wire::metrics::load(text.as_bytes());
    assert_eq!((load.waiting, load.running, load.kv_used_ratio), (Some(0.0), Some(0.0), Some(0.0)));
    assert_eq!((load.cache_block_tokens, load.cache_blocks), (Some(16), Some(8192)));
    let value = |name: &str| {
        wire::metrics::series(text.as_bytes())
            .find(|series| series.name == name)
            .map(|series| series.value)
            .unwrap()
    };
    assert_eq!(value("vllm:generation_tokens_total"), 10.0);
    assert_eq!(value("vllm:prefix_cache_queries_total"), value("vllm:prompt_tokens_total"));
    let prompt_tokens = value("vllm:prefix_cache_queries_total") / 2.0;
    assert_eq!(value("vllm:prefix_cache_hits_total"), ((prompt_tokens - 1.0) / 16.0).floor() * 16.0);
    assert_eq!(value("vllm:time_to_first_token_seconds_count"), 2.0);
    assert_eq!(value("vllm:inter_token_latency_seconds_count"), 8.0);
    assert!(text.contains(
        "vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"m\"} 2.0"
    ));
}

#[tokio::test]
async fn a_prompt_is_computed_by_one_engine_and_answered_by_another() {
    let (first, second) = (Sim::start(fast()).await, Sim::start(fast()).await);
    let asked = |params: Value, max_tokens: u64| {
        json!({ "model": "m", "messages": [{ "role": "user", "content": "Why is the sky blue, and for how long?" }],
                "max_tokens": max_tokens, "min_tokens": max_tokens, "kv_transfer_params": params })
    };
    let keep = json!({ "do_remote_decode": true, "do_remote_prefill": false });
    let prefilled = first.post("/v1/chat/completions", &asked(keep, 1)).await.json();
    let params = prefilled["kv_transfer_params"].clone();
    assert_eq!((&params["do_remote_prefill"], &params["do_remote_decode"]), (&json!(true), &json!(false)));
    assert_eq!(params["remote_num_tokens"], prefilled["usage"]["prompt_tokens"]);

    let answered = second.post("/v1/chat/completions", &asked(params, 5)).await.json();
    assert_eq!(
        (&answered["usage"]["completion_tokens"], &answered["kv_transfer_params"]),
        (&json!(5), &Value::Null)
    );
    let prompt_tokens = prefilled["usage"]["prompt_tokens"].as_f64().unwrap();
    let source = |source: &str| {
        format!("vllm:prompt_tokens_by_source_total{{engine=\"0\",model_name=\"m\",source=\"{source}\"}}")
    };
    let of = |metrics: &str, sample: &str| -> f64 {
        let line =
            metrics.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or_else(|| panic!("{sample}"));
        line.trim().parse().unwrap()
    };
    let (first, second) = (first.get("/metrics").await.body, second.get("/metrics").await.body);
    assert_eq!(of(&first, &source("local_compute")), prompt_tokens);
    assert_eq!(of(&second, &source("external_kv_transfer")), prompt_tokens - 1.0);
}

#[tokio::test]
async fn a_scraper_may_ask_for_some_metrics_alone() {
    let sim = Sim::start(fast()).await;
    let text =
        sim.get("/metrics?name%5B%5D=vllm:num_requests_waiting&name[]=vllm:cache_config_info").await.body;
    let names: Vec<&str> = wire::metrics::series(text.as_bytes()).map(|series| series.name).collect();
    assert_eq!(names, ["vllm:num_requests_waiting", "vllm:cache_config_info"]);
    let (all, some) =
        (sim.get("/metrics").await.body, sim.get(&format!("/metrics?{}", wire::metrics::QUERY)).await.body);
    assert_eq!(wire::metrics::load(all.as_bytes()), wire::metrics::load(some.as_bytes()));
    assert!(some.len() < all.len() / 10);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let sim = Sim::start(Options { speed: 1.0, ..fast() }).await;
    let body = json!({ "prompt": "x", "max_tokens": 4000, "ignore_eos": true, "stream": true });
    let connection =
        sim.open("POST", "/v1/completions", "application/json", body.to_string().as_bytes()).await;
    sim.wait_for_metric("vllm:num_requests_running", 1.0).await;
    drop(connection);
    sim.wait_for_metric("vllm:num_requests_running", 0.0).await;
    let text = sim.get("/metrics").await.body;
    assert!(text.contains("finished_reason=\"abort\",model_name=\"m\"} 1.0"));
}

#[tokio::test]
async fn shutdown_ends_streams_properly_and_closes_the_port() {
    let mut sim = Sim::start(Options { speed: 1.0, ..fast() }).await;
    let body = json!({ "prompt": "x", "max_tokens": 4000, "ignore_eos": true, "stream": true });
    let connection =
        sim.open("POST", "/v1/completions", "application/json", body.to_string().as_bytes()).await;
    sim.wait_for_metric("vllm:num_requests_running", 1.0).await;
    sim.shut_down();
    let answer = Answer::read(connection).await;
    assert_eq!(answer.chunks().last().unwrap()["choices"][0]["finish_reason"], "abort");
    assert!(answer.body.ends_with("data: [DONE]\n\n"));
    tokio::time::timeout(Duration::from_secs(3), sim.ended())
        .await
        .expect("it ends soon after its last answer");
    assert!(tokio::net::TcpStream::connect(sim.address).await.is_err());
}

#[tokio::test]
async fn with_a_shutdown_timeout_requests_run_to_their_end() {
    let mut sim = Sim::start(Options { speed: 4.0, shutdown_timeout_s: 20.0, ..fast() }).await;
    let body = json!({ "prompt": "x", "max_tokens": 60, "ignore_eos": true, "stream": true });
    let connection =
        sim.open("POST", "/v1/completions", "application/json", body.to_string().as_bytes()).await;
    sim.wait_for_metric("vllm:num_requests_running", 1.0).await;
    sim.shut_down();
    assert_eq!(sim.get("/health").await.status, 200, "it is healthy while it drains");
    let answer = Answer::read(connection).await;
    assert_eq!(answer.chunks().last().unwrap()["choices"][0]["finish_reason"], "length");
    tokio::time::timeout(Duration::from_secs(3), sim.ended()).await.expect("it ends once it is drained");
}

#[tokio::test]
async fn an_api_key_is_asked_for_below_v1_alone() {
    let sim = Sim::start(Options { api_keys: vec!["secret".into()], ..fast() }).await;
    assert_eq!(sim.get("/v1/models").await.status, 401);
    assert_eq!(sim.get("/health").await.status, 200);
}

#[tokio::test]
async fn tokenize_counts_as_usage_does() {
    let sim = Sim::start(fast()).await;
    let body = json!({ "model": "m", "prompt": "The controller watches", "return_token_strs": true });
    let counted = sim.post("/tokenize", &body).await.json();
    let used = sim.post("/v1/completions", &with(body, "max_tokens", 1)).await.json();
    assert_eq!(counted["count"], used["usage"]["prompt_tokens"]);
    assert_eq!(counted["token_strs"].as_array().unwrap().len(), counted["tokens"].as_array().unwrap().len());
}
