//! A generating request from its body to its answer or stream.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use crate::{
    answer::{Chunk, Finish, Head, Numbers, Usage},
    body::{self, Endpoint, Generation, Refusal},
    engine::{Job, JobId},
    routes::{refuse, require_json, resolve_model},
    server::{Running, Server, Update, now_s},
    text::Answer,
};

/// Answers a request for a completion.
pub(crate) async fn generate(
    server: Arc<Server>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Response {
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
    /// The prompt's tokens, until they are told; `None` if they are not to be told.
    prompt_numbers: Option<Vec<u32>>,
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
    let generation = body::read(endpoint, bytes, server.body_settings())?;
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
                fetched: generation.fetches_blocks,
            });
            let echo = if generation.echo { prompt.text.clone() } else { String::new() };
            let prompt_numbers = generation.return_token_ids.then(|| prompt.tokens.clone());
            choices.push(Choice {
                answer,
                echo,
                prompt_numbers,
                generated: 0,
                cached_tokens: 0,
                done: false,
            });
        }
    }
    let prefix = match endpoint {
        Endpoint::Chat => "chatcmpl",
        Endpoint::Completions => "cmpl",
    };
    let own = headers.get(wire::headers::REQUEST_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let id = format!("{prefix}-{}", own.unwrap_or_else(|| server.new_id()));
    let prompt_tokens = generation.prompts.iter().map(|prompt| prompt.tokens.len() as u64).sum();
    let kept_blocks = generation.keeps_blocks.then(|| server.kept_blocks(&id, prompt_tokens));
    let running = server.submit(jobs);
    let places = running.ids.iter().copied().zip(0..).collect();
    Ok(Work {
        head: Head { endpoint, id, created_s: now_s(), model, kept_blocks },
        tell_cached: server.options.prompt_tokens_details,
        running,
        generation,
        choices,
        places,
        prompt_tokens,
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
        // As vLLM: an answer that ended by itself hands nothing on.
        if self.choices.iter().any(|choice| choice.finish().reason != "length") {
            self.head.kept_blocks = None;
        }
        let tell = self.generation.return_token_ids;
        let choices: Vec<(String, Finish, Numbers)> = self
            .choices
            .iter_mut()
            .map(|choice| {
                let text = format!("{}{}", choice.echo, choice.answer.shown(0, choice.generated));
                let finish =
                    if choice.done { choice.finish() } else { Finish { reason: "abort", stop_string: None } };
                let answer = tell.then(|| choice.answer.numbers[..choice.generated].to_vec());
                (text, finish, Numbers { prompt: choice.prompt_numbers.take(), answer })
            })
            .collect();
        let body = self.head.whole(&choices, self.usage());
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }

    fn stream(mut self) -> Response {
        let mut first = Vec::new();
        let usage = self.generation.continuous_usage.then(|| self.usage());
        for (index, choice) in self.choices.iter_mut().enumerate() {
            if self.head.endpoint == Endpoint::Chat {
                first.push(self.head.role_chunk(index, choice.prompt_numbers.take().as_deref(), usage));
            } else if !choice.echo.is_empty() {
                let numbers = Numbers { prompt: choice.prompt_numbers.take(), answer: None };
                let chunk = Chunk { index, text: &choice.echo, numbers, ..Chunk::default() };
                first.push(self.head.chunk(&chunk));
            }
        }
        let mut pending: Option<Vec<u8>> = Some(frame(&first));
        let chunks = stream::unfold(Some(self), move |work| {
            // vLLM sends the role with the first token, not before it.
            let mut bytes = pending.take().unwrap_or_default();
            async move {
                let mut work = work?;
                loop {
                    let update = work.running.updates.recv().await?;
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
                let before = choice.generated;
                choice.generated = progress.generated;
                choice.cached_tokens = progress.cached_tokens;
                choice.done = progress.finished;
                let numbers = Numbers {
                    prompt: choice.prompt_numbers.take(),
                    answer: self
                        .generation
                        .return_token_ids
                        .then(|| choice.answer.numbers[before..progress.generated].to_vec()),
                };
                let choice = &self.choices[place];
                let finish = choice.done.then(|| choice.finish());
                let chunk = Chunk {
                    index: place,
                    text: choice.answer.shown(before, progress.generated),
                    finish: finish.as_ref(),
                    usage: continuous.then(|| self.usage()),
                    numbers,
                    fingerprint: choice.done && !self.generation.include_usage,
                };
                bytes.extend(frame(&[self.head.chunk(&chunk)]));
                let all_done = self.choices.iter().all(|choice| choice.done);
                if all_done {
                    self.end(bytes);
                }
                all_done
            }
            Update::Aborted => {
                let finish = Finish { reason: "abort", stop_string: None };
                for index in (0..self.choices.len()).filter(|index| !self.choices[*index].done) {
                    let fingerprint = !self.generation.include_usage;
                    let chunk = Chunk { index, finish: Some(&finish), fingerprint, ..Chunk::default() };
                    bytes.extend(frame(&[self.head.chunk(&chunk)]));
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
