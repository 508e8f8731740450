//! The sidecar between simulated engines: who computes the prompt, what happens when nobody does.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use relay::sidecar;
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn engine() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = sim::Options { speed: 1000.0, ..sim::Options::for_model("m") };
    tokio::spawn(sim::serve(options, listener, std::future::pending()));
    address
}

async fn before(engine: SocketAddr) -> SocketAddr {
    let port = format!("--vllm-port={}", engine.port());
    let args = ["--host=127.0.0.1", port.as_str(), "--secure-proxy=false", "--enable-ssrf-protection=true"];
    let options = sidecar::Options::from_args(&args.map(str::to_owned)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(sidecar::serve(options, listener, std::future::pending::<Duration>()));
    address
}

async fn ask(to: SocketAddr, path: &str, prefill: Option<&str>, body: Option<Value>) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().uri(format!("http://{to}{path}"));
    if let Some(prefill) = prefill {
        request = request.header("x-prefiller-host-port", prefill);
    }
    let request = match body {
        Some(body) => request
            .method("POST")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string()))),
        None => request.body(Full::default()),
    };
    let response = client.request(request.unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn chat(max_tokens: u64, stream: bool) -> Option<Value> {
    Some(json!({
        "model": "m", "max_tokens": max_tokens, "min_tokens": max_tokens, "stream": stream,
        "messages": [{ "role": "user", "content": "Why is the sky blue, and since when?" }],
    }))
}

/// Prompt tokens of an engine from this source.
async fn prompt_tokens(engine: SocketAddr, source: &str) -> f64 {
    let (_, page) = ask(engine, "/metrics", None, None).await;
    let wanted = format!("source=\"{source}\"}}");
    let mut samples = page.lines().filter(|line| line.starts_with("vllm:prompt_tokens_by_source_total"));
    samples.find_map(|line| line.split_once(&wanted)?.1.trim().parse().ok()).unwrap()
}

#[tokio::test]
async fn the_engine_that_is_named_computes_the_prompt_and_the_own_one_answers() {
    let (prefill, own) = (engine().await, engine().await);
    let sidecar = before(own).await;
    let named = prefill.to_string();
    let (status, answer) = ask(sidecar, "/v1/chat/completions", Some(&named), chat(5, false)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let usage = serde_json::from_str::<Value>(&answer).unwrap()["usage"].clone();
    assert_eq!(usage["completion_tokens"], 5);
    let prompt = usage["prompt_tokens"].as_f64().unwrap();
    assert_eq!(prompt_tokens(prefill, "local_compute").await, prompt);
    assert_eq!(prompt_tokens(own, "external_kv_transfer").await, prompt - 1.0);

    let (_, streamed) = ask(sidecar, "/v1/chat/completions", Some(&named), chat(5, true)).await;
    assert!(streamed.starts_with("data: {") && streamed.trim_end().ends_with("data: [DONE]"), "{streamed}");
}

#[tokio::test]
async fn without_the_header_and_on_other_paths_the_own_engine_does_all() {
    let (prefill, own) = (engine().await, engine().await);
    let sidecar = before(own).await;
    let (status, _) = ask(sidecar, "/v1/chat/completions", None, chat(2, false)).await;
    assert_eq!(status, StatusCode::OK);
    let named = prefill.to_string();
    let (status, models) = ask(sidecar, "/v1/models", Some(&named), None).await;
    assert_eq!((status, models.contains("\"m\"")), (StatusCode::OK, true));
    assert_eq!(ask(sidecar, "/health", None, None).await.0, StatusCode::OK);
    assert_eq!(prompt_tokens(prefill, "local_compute").await, 0.0);
}

#[tokio::test]
async fn what_cannot_be_prefilled_is_refused_in_words() {
    let own = engine().await;
    let sidecar = before(own).await;
    // Nothing listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let path = "/v1/chat/completions";
    for (named, status, words) in [
        (gone.as_str(), StatusCode::BAD_GATEWAY, "does not answer"),
        ("192.0.2.1:8000", StatusCode::FORBIDDEN, "not allowed by SSRF protection"),
        ("somewhere", StatusCode::BAD_GATEWAY, "is not the address of a prefill engine"),
    ] {
        let (found, answer) = ask(sidecar, path, Some(named), chat(2, false)).await;
        assert_eq!(found, status, "{named}: {answer}");
        assert!(answer.contains(words), "{named}: {answer}");
    }
    let prefill = engine().await.to_string();
    // What the first engine refuses is its answer.
    let (status, answer) =
        ask(sidecar, path, Some(&prefill), Some(json!({ "model": "other", "messages": [] }))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let (status, answer) = ask(sidecar, path, Some(&prefill), Some(json!([1]))).await;
    assert_eq!((status, answer.contains("not a JSON object")), (StatusCode::BAD_REQUEST, true), "{answer}");
}
