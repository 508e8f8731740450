//! What the engine answers, byte for byte, but for identifiers and times. `UPDATE_GOLDEN=1` writes the files anew.

use std::path::Path;

use serde_json::{Value, json};
use sim::{LoraModule, Options};

use crate::support::{Sim, fast};

/// Compares with a file beside this one, after `volatile` strings were replaced.
fn check(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "{} (UPDATE_GOLDEN=1 writes it)", file.display());
}

/// Identifiers, times and the values of what depends on the clock become `*`.
fn stable(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for key in ["\"created\":", "\"id\":\"chatcmpl-", "\"id\":\"cmpl-", "\"id\":\"modelperm-"] {
            line = mask(&line, key);
        }
        let timed = line.starts_with("vllm:lora_requests_info")
            || line.split('{').next().is_some_and(|name| name.contains("_seconds_"));
        if let Some((head, _)) = line.rsplit_once(' ').filter(|_| timed) {
            line = format!("{head} *");
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Replaces the letters and digits behind each `key`.
fn mask(line: &str, key: &str) -> String {
    let mut parts = line.split(key);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(key);
        out.push('*');
        out.push_str(part.trim_start_matches(|char: char| char.is_ascii_alphanumeric()));
    }
    out
}

fn chat(more: Value) -> Value {
    let mut body = json!({
        "model": "m",
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Why is the sky blue?" }],
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn answers_and_streams_are_as_they_were() {
    let sim = Sim::start(Options { prompt_tokens_details: true, ..fast() }).await;
    let answer = sim.post("/v1/chat/completions", &chat(json!({ "max_tokens": 24 }))).await;
    check("chat.json", &stable(&answer.body));
    let stream = json!({ "max_tokens": 5, "stream": true, "stream_options": { "include_usage": true } });
    check("chat-stream.txt", &stable(&sim.post("/v1/chat/completions", &chat(stream)).await.body));
    let body = json!({ "prompt": "The controller watches", "max_tokens": 40, "stop": ["answer"] });
    check("completion.json", &stable(&sim.post("/v1/completions", &body).await.body));
    let body = json!({ "prompt": "The controller watches", "max_tokens": 3, "stream": true, "return_token_ids": true });
    check("completion-stream.txt", &stable(&sim.post("/v1/completions", &body).await.body));
    check("models.json", &stable(&sim.get("/v1/models").await.body));
}

#[tokio::test]
async fn metrics_are_as_they_were() {
    let lora_modules = vec![LoraModule { name: "sql".into(), path: "/mnt/lora/sql".into() }];
    let sim = Sim::start(Options { enable_lora: true, lora_modules, max_model_len: 512, ..fast() }).await;
    sim.post("/v1/chat/completions", &chat(json!({ "max_tokens": 24 }))).await;
    check("metrics.txt", &stable(&sim.get("/metrics").await.body));
}
