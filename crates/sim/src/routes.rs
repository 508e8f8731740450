//! The HTTP API of the engine.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    LoraModule, answer,
    body::{self, Endpoint, Refusal},
    exposition,
    generate::generate,
    server::{Server, now_s},
    tokens,
};

/// The longest body that is read.
const BODY_BYTES: usize = 64 << 20;

type Shared = State<Arc<Server>>;

pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(models))
        .route("/v1/load_lora_adapter", post(load_adapter))
        .route("/v1/unload_lora_adapter", post(unload_adapter))
        .route("/tokenize", post(tokenize))
        // A HEAD request is refused, as vLLM refuses it.
        .route("/health", get(|| async { StatusCode::OK }).head(method_not_allowed))
        .route("/is_paused", get(|| async { axum::Json(json!({ "is_paused": false })) }))
        // Without --enable-sleep-mode vLLM says so and does nothing.
        .route("/sleep", post(|| async { axum::Json(json!({ "status": "sleeping", "level": 1 })) }))
        .route("/wake_up", post(|| async { axum::Json(json!({ "status": "awake", "tags": null })) }))
        .route("/ping", get(|| async { StatusCode::OK }).post(|| async { StatusCode::OK }))
        .route("/load", get(server_load))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .route("/is_sleeping", get(|| async { axum::Json(json!({ "is_sleeping": false })) }))
        .route("/reset_prefix_cache", post(reset_prefix_cache))
        .fallback(|| async { detail(StatusCode::NOT_FOUND, "Not Found") })
        .method_not_allowed_fallback(|| async {
            detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), check_key))
        .with_state(server)
}

fn detail(status: StatusCode, words: &str) -> Response {
    (status, axum::Json(json!({ "detail": words }))).into_response()
}

async fn method_not_allowed() -> Response {
    detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// With `--api-key`, everything below `/v1` wants one of the keys.
async fn check_key(State(server): Shared, request: Request, next: Next) -> Response {
    let keys = &server.options.api_keys;
    if keys.is_empty() || !request.uri().path().starts_with("/v1") {
        return next.run(request).await;
    }
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
    if sent.is_some_and(|sent| keys.iter().any(|key| key == sent)) {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, axum::Json(json!({ "error": "Unauthorized" }))).into_response()
    }
}

pub(crate) fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(header::CONTENT_TYPE, "application/json")], answer::error(refusal)).into_response()
}

async fn chat(State(server): Shared, headers: HeaderMap, bytes: Bytes) -> Response {
    generate(server, Endpoint::Chat, &headers, &bytes).await
}

async fn completions(State(server): Shared, headers: HeaderMap, bytes: Bytes) -> Response {
    generate(server, Endpoint::Completions, &headers, &bytes).await
}

pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = sent.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal {
        status: 400,
        message: "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
            .to_owned(),
        kind: "Bad Request",
        param: None,
    })
}

/// The name for the answer, and the adapter if it is one.
pub(crate) fn resolve_model(
    server: &Server,
    wanted: Option<&str>,
) -> Result<(String, Option<String>), Refusal> {
    let names = server.options.names();
    let Some(wanted) = wanted else {
        return Ok((names.first().cloned().unwrap_or_default(), None));
    };
    if names.iter().any(|name| name == wanted) {
        return Ok((wanted.to_owned(), None));
    }
    if server.options.enable_lora && server.adapters().iter().any(|adapter| adapter.name == wanted) {
        return Ok((wanted.to_owned(), Some(wanted.to_owned())));
    }
    Err(Refusal {
        status: 404,
        message: format!("The model `{wanted}` does not exist. Valid aliases: {}.", names.join(", ")),
        kind: "NotFoundError",
        param: Some("model".to_owned()),
    })
}

async fn models(State(server): Shared) -> Response {
    let names = server.options.names();
    let created_s = server.created_s;
    let mut list: Vec<String> = names
        .iter()
        .map(|name| {
            let longest = Some(server.options.context_tokens());
            answer::model(name, &server.options.model, None, longest, created_s, &server.new_id())
        })
        .collect();
    if server.options.enable_lora {
        let base = names.first().map(String::as_str);
        list.extend(server.adapters().iter().map(|adapter| {
            answer::model(&adapter.name, &adapter.path, base, None, created_s, &server.new_id())
        }));
    }
    let body = format!("{{\"object\":\"list\",\"data\":[{}]}}", list.join(","));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// With `?name[]=…`, once for each, only samples of these names: the Python client's way to ask for less.
async fn metrics(State(server): Shared, Query(query): Query<Vec<(String, String)>>) -> Response {
    let wanted: Vec<&str> =
        query.iter().filter(|(key, _)| key == "name[]").map(|(_, value)| value.as_str()).collect();
    let names = server.options.names();
    let text = server.with_engine(|engine| {
        exposition::text(&exposition::Snapshot {
            model_name: names.first().map(String::as_str).unwrap_or_default(),
            max_model_len: server.options.context_tokens(),
            settings: engine.settings(),
            load: &engine.load(),
            counters: engine.counters(),
            max_loras: server.options.enable_lora.then_some(engine.settings().max_loras),
            now_s: now_s(),
            wanted: &wanted,
        })
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn server_load(State(server): Shared) -> Response {
    let load = server.load();
    axum::Json(json!({ "server_load": load.running + load.waiting })).into_response()
}

async fn version() -> Response {
    axum::Json(json!({ "version": concat!(env!("CARGO_PKG_VERSION"), "+llmisvc.sim") })).into_response()
}

async fn reset_prefix_cache(State(server): Shared) -> StatusCode {
    server.with_engine(crate::engine::Engine::reset_prefix_cache);
    StatusCode::OK
}

async fn tokenize(State(server): Shared, headers: HeaderMap, bytes: Bytes) -> Response {
    let read = || {
        require_json(&headers)?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::bad_request(format!("The body is not valid JSON: {error}"), None))?;
        resolve_model(&server, value.get("model").and_then(Value::as_str))?;
        if let Some(text) = value.get("prompt").and_then(Value::as_str) {
            return Ok((tokens::encode(text), text.to_owned(), value));
        }
        let generation = body::read(
            Endpoint::Chat,
            &bytes,
            body::Settings { context_tokens: u64::MAX, tool_calls: true },
        )?;
        let prompt = generation.prompts.into_iter().next().unwrap_or_default();
        Ok((prompt.tokens, prompt.text, value))
    };
    match read() {
        Err(refusal) => refuse(&refusal),
        Ok((numbers, text, value)) => {
            let wanted = value.get("return_token_strs") == Some(&Value::Bool(true));
            let pieces: Option<Vec<&str>> = wanted.then(|| tokens::pieces(&text).collect());
            axum::Json(json!({
                "count": numbers.len(),
                "max_model_len": server.options.context_tokens(),
                "tokens": numbers,
                "token_strs": pieces,
            }))
            .into_response()
        }
    }
}

async fn load_adapter(State(server): Shared, axum::Json(body): axum::Json<Value>) -> Response {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, path) = (text("lora_name"), text("lora_path"));
    if !server.options.enable_lora {
        return refuse(&Refusal::bad_request("LoRA is not enabled. Use --enable-lora.", None));
    }
    if name.is_empty() || path.is_empty() {
        let message = "Both 'lora_name' and 'lora_path' must be provided.";
        return refuse(&Refusal { kind: "InvalidUserInput", ..Refusal::bad_request(message, None) });
    }
    let in_place = body.get("load_inplace") == Some(&Value::Bool(true));
    let added = server.edit_adapters(|adapters| {
        let known = adapters.iter().position(|adapter| adapter.name == name);
        match known {
            Some(_) if !in_place => false,
            Some(at) => {
                adapters[at].path.clone_from(&path);
                true
            }
            None => {
                adapters.push(LoraModule { name: name.clone(), path });
                true
            }
        }
    });
    if added {
        return format!("Success: LoRA adapter '{name}' added successfully.").into_response();
    }
    let message = format!(
        "The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set \
         'load_inplace' to True."
    );
    refuse(&Refusal { kind: "InvalidUserInput", ..Refusal::bad_request(message, None) })
}

async fn unload_adapter(State(server): Shared, axum::Json(body): axum::Json<Value>) -> Response {
    let name = body.get("lora_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let removed = server.edit_adapters(|adapters| {
        let before = adapters.len();
        adapters.retain(|adapter| adapter.name != name);
        adapters.len() < before
    });
    if removed {
        return format!("Success: LoRA adapter '{name}' removed successfully.").into_response();
    }
    refuse(&Refusal {
        status: 404,
        message: format!("The lora adapter '{name}' cannot be found."),
        kind: "NotFoundError",
        param: None,
    })
}
