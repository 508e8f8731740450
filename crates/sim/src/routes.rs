//! The HTTP API of the engine.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    LoraModule,
    answer::{self, Finish, Head, Usage},
    body::{self, Endpoint, Generation, Refusal},
    engine::{Job, JobId},
    exposition,
    server::{Running, Server, Update, now_s},
    text::Answer,
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
        .route("/health", get(|| async { StatusCode::OK }))
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

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(header::CONTENT_TYPE, "application/json")], answer::error(refusal)).into_response()
}

async fn chat(State(server): Shared, headers: HeaderMap, bytes: Bytes) -> Response {
    generate(server, Endpoint::Chat, &headers, &bytes).await
}

async fn completions(State(server): Shared, headers: HeaderMap, bytes: Bytes) -> Response {
    generate(server, Endpoint::Completions, &headers, &bytes).await
}

async fn generate(server: Arc<Server>, endpoint: Endpoint, headers: &HeaderMap, bytes: &[u8]) -> Response {
    match begin(&server, endpoint, headers, bytes) {
        Err(refusal) => refuse(&refusal),
        Ok(work) if work.generation.stream => work.stream(),
        Ok(work) => work.whole().await,
    }
}

/// A request in the engine.
struct Work {
    running: Running,
    head: Head,
    generation: Generation,
    choices: Vec<Choice>,
    places: HashMap<JobId, usize>,
    prompt_tokens: u64,
    tell_cached: bool,
}

struct Choice {
    answer: Answer,
    /// What stands before the answer: the prompt, if it is to be echoed.
    echo: String,
    generated: usize,
    cached_tokens: u64,
    done: bool,
}

impl Choice {
    fn finish(&self) -> Finish {
        let reason = if self.answer.reached_limit { "length" } else { "stop" };
        Finish { reason, stop_string: self.answer.stop_string.clone() }
    }
}

fn begin(
    server: &Arc<Server>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Work, Refusal> {
    require_json(headers)?;
    let generation = body::read(endpoint, bytes, server.options.context_tokens())?;
    let (model, adapter) = resolve_model(server, generation.model.as_deref())?;
    let cache_key = [generation.cache_salt.as_deref(), adapter.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n");
    let mut jobs = Vec::new();
    let mut choices = Vec::new();
    for prompt in &generation.prompts {
        for variant in 0..generation.n {
            let answer = prompt.answer(variant, &generation.limits);
            jobs.push(Job {
                prompt: prompt.tokens.clone(),
                output: answer.numbers.clone(),
                max_tokens: generation.max_tokens,
                requested_n: choices.is_empty().then_some(generation.n),
                stops: !answer.reached_limit,
                cache_key: cache_key.clone(),
                adapter: adapter.as_deref().map(Arc::from),
            });
            let echo = if generation.echo { prompt.text.clone() } else { String::new() };
            choices.push(Choice { answer, echo, generated: 0, cached_tokens: 0, done: false });
        }
    }
    let prefix = match endpoint {
        Endpoint::Chat => "chatcmpl",
        Endpoint::Completions => "cmpl",
    };
    let own = headers.get(wire::headers::REQUEST_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let id = format!("{prefix}-{}", own.unwrap_or_else(|| server.new_id()));
    let prompt_tokens = generation.prompts.iter().map(|prompt| prompt.tokens.len() as u64).sum();
    let running = server.submit(jobs);
    let places = running.ids.iter().copied().zip(0..).collect();
    Ok(Work {
        head: Head { endpoint, id, created_s: now_s(), model },
        tell_cached: server.options.prompt_tokens_details,
        running,
        generation,
        choices,
        places,
        prompt_tokens,
    })
}

fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
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
fn resolve_model(server: &Server, wanted: Option<&str>) -> Result<(String, Option<String>), Refusal> {
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

impl Work {
    fn usage(&self) -> Usage {
        let cached = self.choices.iter().map(|choice| choice.cached_tokens).max().unwrap_or(0);
        Usage {
            prompt: self.prompt_tokens,
            completion: self.choices.iter().map(|choice| choice.generated as u64).sum(),
            cached: self.tell_cached.then_some(cached),
        }
    }

    async fn whole(mut self) -> Response {
        let mut aborted = false;
        while !aborted && self.choices.iter().any(|choice| !choice.done) {
            match self.running.updates.recv().await {
                Some(Update::Progress(progress)) => {
                    if let Some(choice) =
                        self.places.get(&progress.job).and_then(|place| self.choices.get_mut(*place))
                    {
                        choice.generated = progress.generated;
                        choice.cached_tokens = progress.cached_tokens;
                        choice.done = progress.finished;
                    }
                }
                Some(Update::Aborted) | None => aborted = true,
            }
        }
        let choices: Vec<(String, Finish)> = self
            .choices
            .iter()
            .map(|choice| {
                let text = format!("{}{}", choice.echo, choice.answer.shown(0, choice.generated));
                let finish =
                    if choice.done { choice.finish() } else { Finish { reason: "abort", stop_string: None } };
                (text, finish)
            })
            .collect();
        let body = self.head.whole(&choices, self.usage());
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }

    fn stream(mut self) -> Response {
        let mut first = Vec::new();
        let usage = self.generation.continuous_usage.then(|| self.usage());
        for index in 0..self.choices.len() {
            if self.head.endpoint == Endpoint::Chat {
                first.push(self.head.role_chunk(index, usage));
            } else if !self.choices[index].echo.is_empty() {
                let echo = std::mem::take(&mut self.choices[index].echo);
                first.push(self.head.chunk(index, &echo, None, usage, false));
            }
        }
        let mut pending: Option<Vec<u8>> = Some(frame(&first));
        let chunks = stream::unfold(Some(self), move |work| {
            // vLLM sends the role with the first token, not before it.
            let mut bytes = pending.take().unwrap_or_default();
            async move {
                let mut work = work?;
                loop {
                    let Some(update) = work.running.updates.recv().await else {
                        return None;
                    };
                    let mut over = work.take_in(update, &mut bytes);
                    // What is ready already goes out in one write.
                    while !over && let Ok(update) = work.running.updates.try_recv() {
                        over = work.take_in(update, &mut bytes);
                    }
                    if over {
                        return Some((Ok::<Bytes, Infallible>(bytes.into()), None));
                    }
                    if !bytes.is_empty() {
                        return Some((Ok(bytes.into()), Some(work)));
                    }
                }
            }
        });
        let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
        (headers, Body::from_stream(chunks)).into_response()
    }

    /// Appends what an update means for the client; true if the stream is over.
    fn take_in(&mut self, update: Update, bytes: &mut Vec<u8>) -> bool {
        let continuous = self.generation.continuous_usage;
        match update {
            Update::Progress(progress) => {
                let Some(place) = self.places.get(&progress.job).copied() else { return false };
                let choice = &mut self.choices[place];
                let shown = choice.answer.shown(choice.generated, progress.generated).to_owned();
                choice.generated = progress.generated;
                choice.cached_tokens = progress.cached_tokens;
                choice.done = progress.finished;
                let finish = choice.done.then(|| choice.finish());
                let all_done = self.choices.iter().all(|choice| choice.done);
                let usage = continuous.then(|| self.usage());
                let last = all_done && !self.generation.include_usage;
                bytes.extend(frame(&[self.head.chunk(place, &shown, finish.as_ref(), usage, last)]));
                if all_done {
                    self.end(bytes);
                }
                all_done
            }
            Update::Aborted => {
                let finish = Finish { reason: "abort", stop_string: None };
                for place in 0..self.choices.len() {
                    if !self.choices[place].done {
                        bytes.extend(frame(&[self.head.chunk(place, "", Some(&finish), None, true)]));
                    }
                }
                self.end(bytes);
                true
            }
        }
    }

    fn end(&self, bytes: &mut Vec<u8>) {
        if self.generation.include_usage {
            bytes.extend(frame(&[self.head.usage_chunk(self.usage())]));
        }
        bytes.extend_from_slice(wire::sse::DONE);
    }
}

fn frame(chunks: &[String]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| wire::sse::data(chunk.as_bytes())).collect()
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

async fn metrics(State(server): Shared) -> Response {
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
        let generation = body::read(Endpoint::Chat, &bytes, u64::MAX)?;
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
