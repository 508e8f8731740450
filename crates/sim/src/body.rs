//! Request bodies of the two generating endpoints: read, checked and refused in vLLM's words.

mod rules;

use serde_json::{Map, Value};

use crate::{
    text::{self, Answer, Limits},
    tokens,
};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// vLLM's `type`: `BadRequestError`, `NotFoundError`, or `Bad Request` where its validator speaks.
    pub(crate) kind: &'static str,
    pub(crate) param: Option<String>,
}

impl Refusal {
    pub(crate) fn bad_request(message: impl Into<String>, param: Option<&str>) -> Self {
        Self {
            status: 400,
            message: message.into(),
            kind: "BadRequestError",
            param: param.map(str::to_owned),
        }
    }

    fn parameter(message: &str, param: &str) -> Self {
        Self::bad_request(format!("{message} (parameter={param})"), Some(param))
    }

    fn value(message: &str, param: &str, value: &str) -> Self {
        Self::bad_request(format!("{message} (parameter={param}, value={value})"), Some(param))
    }

    /// One error of the validator that checks types.
    fn validation(kind: &str, loc: &str, message: &str, input: &str) -> Self {
        Self {
            status: 400,
            message: format!(
                "1 validation error:\n  {{'type': '{kind}', 'loc': '{loc}', 'msg': '{message}', 'input': {input}}}"
            ),
            kind: "Bad Request",
            param: Some(loc.to_owned()),
        }
    }
}

/// Which endpoint a body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
}

/// A request that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    /// The model as the client wrote it; `None` if it did not.
    pub(crate) model: Option<String>,
    pub(crate) prompts: Vec<Prompt>,
    /// Answers for each prompt.
    pub(crate) n: u32,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) limits: Limits,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    /// Whether the answer begins with the prompt (completions alone).
    pub(crate) echo: bool,
    /// Whether the answer names the tokens of prompt and answer.
    pub(crate) return_token_ids: bool,
    pub(crate) cache_salt: Option<String>,
    /// Somebody else will fetch the KV cache of the prompt: the answer says where it is.
    pub(crate) keeps_blocks: bool,
    /// The KV cache of the prompt is at another engine.
    pub(crate) fetches_blocks: bool,
}

/// One prompt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// The prompt as text; empty for token ids.
    pub(crate) text: String,
    /// What the user said last, to be repeated in the answer.
    pub(crate) last_words: String,
}

impl Prompt {
    fn of_text(text: String) -> Self {
        Self { tokens: tokens::encode(&text), last_words: text.clone(), text }
    }

    /// The answer to it.
    pub(crate) fn answer(&self, variant: u32, limits: &Limits) -> Answer {
        let bytes: Vec<u8> = self.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        text::answer(&self.last_words, wire::prefix::chain_hash(&bytes, 0), u64::from(variant), limits)
    }
}

/// What the answer to a body depends on beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Longest prompt with answer.
    pub(crate) context_tokens: u64,
    /// Whether the flags for tool calls were given.
    pub(crate) tool_calls: bool,
}

/// Reads a body.
pub(crate) fn read(endpoint: Endpoint, bytes: &[u8], settings: Settings) -> Result<Generation, Refusal> {
    let context_tokens = settings.context_tokens;
    let value: Value = serde_json::from_slice(bytes).map_err(|error| json_invalid(bytes, &error))?;
    let Value::Object(fields) = value else {
        let message = "Input should be a valid dictionary or object to extract fields from";
        return Err(Refusal::validation("model_attributes_type", "body", message, &show(&value)));
    };
    let body = Body { fields };
    let model = match body.get("model") {
        None => None,
        Some(Value::String(model)) => Some(model.clone()).filter(|model| !model.is_empty()),
        Some(other) => {
            let message = "Input should be a valid string";
            return Err(Refusal::validation("string_type", "body.model", message, &show(other)));
        }
    };
    rules::check(endpoint, &body, settings)?;
    let prompts = match endpoint {
        Endpoint::Chat => vec![chat_prompt(&body)?],
        Endpoint::Completions => completion_prompts(&body)?,
    };
    let asked = match endpoint {
        Endpoint::Chat => body.integer("max_completion_tokens")?.or(body.integer("max_tokens")?),
        Endpoint::Completions => Some(body.integer("max_tokens")?.unwrap_or(16)),
    };
    if let Some(asked) = asked.filter(|asked| *asked < 1) {
        let message = format!("max_tokens must be at least 1, got {asked}.");
        return Err(Refusal::value(&message, "max_tokens", &asked.to_string()));
    }
    let longest = prompts.iter().map(|prompt| prompt.tokens.len() as u64).max().unwrap_or(0);
    if longest >= context_tokens {
        return Err(Refusal::value(
            &format!(
                "This model's maximum context length is {context_tokens} tokens. However, your prompt contains \
                 {longest} input tokens, which exceeds this limit even without any output tokens. Please reduce the \
                 length of the input prompt."
            ),
            "input_tokens",
            &longest.to_string(),
        ));
    }
    let n = body.integer("n")?.unwrap_or(1);
    if !(1..=128).contains(&n) {
        return Err(Refusal::value(&format!("n must be at least 1, got {n}."), "n", &n.to_string()));
    }
    let room = context_tokens - longest;
    let max_tokens = asked.and_then(|asked| u64::try_from(asked).ok());
    // A limit beyond the context is cut without a word, as vLLM does.
    let most = max_tokens.unwrap_or(u64::MAX).min(room);
    let options = body.get("stream_options").and_then(Value::as_object);
    let option = |name: &str| options.and_then(|options| options.get(name)).and_then(truth).unwrap_or(false);
    let transfer = body.get("kv_transfer_params").and_then(Value::as_object);
    let transfers = |name: &str| transfer.and_then(|params| params.get(name)) == Some(&Value::Bool(true));
    Ok(Generation {
        model,
        prompts,
        n: u32::try_from(n).unwrap_or(1),
        max_tokens,
        limits: Limits {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            least: body.integer("min_tokens")?.and_then(|least| usize::try_from(least).ok()).unwrap_or(0),
            ignore_end: body.flag("ignore_eos")?,
            stops: stops(&body)?,
            show_stop: body.flag("include_stop_str_in_output")?,
        },
        stream: body.flag("stream")?,
        include_usage: option("include_usage"),
        continuous_usage: option("continuous_usage_stats"),
        echo: endpoint == Endpoint::Completions && body.flag("echo")?,
        return_token_ids: body.flag("return_token_ids")?,
        cache_salt: match body.get("cache_salt") {
            Some(Value::String(salt)) if !salt.is_empty() => Some(salt.clone()),
            None => None,
            Some(_) => {
                let message = "Parameter 'cache_salt' must be a non-empty string if provided.";
                return Err(Refusal::parameter(message, "cache_salt"));
            }
        },
        keeps_blocks: transfers("do_remote_decode"),
        fetches_blocks: transfers("do_remote_prefill"),
    })
}

struct Body {
    fields: Map<String, Value>,
}

impl Body {
    /// A field; null counts as absent.
    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        let loc = format!("body.{name}");
        match self.get(name) {
            None => Ok(false),
            Some(value) => truth(value).ok_or_else(|| {
                let (kind, message) = match value {
                    Value::String(_) | Value::Number(_) => {
                        ("bool_parsing", "Input should be a valid boolean, unable to interpret input")
                    }
                    _ => ("bool_type", "Input should be a valid boolean"),
                };
                Refusal::validation(kind, &loc, message, &show(value))
            }),
        }
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let loc = format!("body.{name}");
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_i64().or_else(|| whole(number.as_f64())) {
                Some(integer) => Ok(Some(integer)),
                None => Err(Refusal::validation(
                    "int_from_float",
                    &loc,
                    "Input should be a valid integer, got a number with a fractional part",
                    &number.to_string(),
                )),
            },
            Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                Refusal::validation("int_parsing", &loc, message, &format!("'{text}'"))
            }),
            Some(other) => {
                Err(Refusal::validation("int_type", &loc, "Input should be a valid integer", &show(other)))
            }
        }
    }

    fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => Err(Refusal::validation(
                "float_type",
                &format!("body.{name}"),
                "Input should be a valid number",
                &show(other),
            )),
        }
    }
}

fn whole(number: Option<f64>) -> Option<i64> {
    number.filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64)
}

/// A boolean as the validator reads it; `None` if it is none.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
            "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
            _ => None,
        },
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn stops(body: &Body) -> Result<Vec<String>, Refusal> {
    let stops = match body.get("stop") {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(other) => {
            let message = "Input should be a valid string";
            return Err(Refusal::validation("string_type", "body.stop", message, &show(other)));
        }
    };
    if stops.iter().any(String::is_empty) {
        return Err(Refusal::bad_request("stop cannot contain an empty string.", None));
    }
    Ok(stops)
}

/// The messages in the frame that many chat templates use.
fn chat_prompt(body: &Body) -> Result<Prompt, Refusal> {
    let messages = match body.get("messages") {
        None => {
            let input = format!("'<dict of {} items>'", body.fields.len());
            return Err(Refusal::validation("missing", "body.messages", "Field required", &input));
        }
        Some(Value::Array(messages)) => messages,
        Some(other) => {
            let message = "Input should be a valid list";
            return Err(Refusal::validation("list_type", "body.messages", message, &show(other)));
        }
    };
    let mut text = String::new();
    if let Some(tools) = body.get("tools") {
        text.push_str(&tools.to_string());
        text.push('\n');
    }
    let mut last_words = String::new();
    for message in messages {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
        let said = content_text(message.get("content"));
        text.push_str(&format!("<|im_start|>{role}\n{said}"));
        if let Some(calls) = message.get("tool_calls").filter(|calls| !calls.is_null()) {
            text.push_str(&calls.to_string());
        }
        text.push_str("<|im_end|>\n");
        if role == "user" {
            last_words = said;
        }
    }
    text.push_str("<|im_start|>assistant\n");
    Ok(Prompt { tokens: tokens::encode(&text), text, last_words })
}

fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| match part.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => part.as_str().map_or_else(|| part.to_string(), str::to_owned),
            })
            .collect::<Vec<_>>()
            .join("\n"),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn completion_prompts(body: &Body) -> Result<Vec<Prompt>, Refusal> {
    let missing =
        || Refusal::parameter("Either prompt or prompt_embeds must be provided and non-empty.", "prompt");
    let ids = |list: &[Value]| -> Option<Vec<u32>> {
        list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
    };
    match body.get("prompt") {
        None => Err(missing()),
        Some(Value::String(text)) if text.is_empty() => Err(missing()),
        Some(Value::String(text)) => Ok(vec![Prompt::of_text(text.clone())]),
        Some(Value::Array(list)) if list.is_empty() => {
            Err(Refusal::bad_request("You must pass at least one prompt", None))
        }
        Some(Value::Array(list)) => {
            if let Some(tokens) = ids(list) {
                return Ok(vec![Prompt { tokens, ..Prompt::default() }]);
            }
            list.iter()
                .map(|element| match element {
                    Value::String(text) => Some(Prompt::of_text(text.clone())),
                    Value::Array(list) => ids(list).map(|tokens| Prompt { tokens, ..Prompt::default() }),
                    _ => None,
                })
                .collect::<Option<Vec<Prompt>>>()
                .ok_or_else(|| not_a_prompt(&Value::Array(list.clone())))
        }
        Some(other) => Err(not_a_prompt(other)),
    }
}

fn not_a_prompt(value: &Value) -> Refusal {
    Refusal::validation("string_type", "body.prompt", "Input should be a valid string", &show(value))
}

fn json_invalid(bytes: &[u8], error: &serde_json::Error) -> Refusal {
    // vLLM counts characters from the beginning.
    let before: usize = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let place = before + error.column();
    let words = error.to_string();
    let words = words.split(" at line").next().unwrap_or("Invalid JSON").replace('"', "'");
    let loc = format!("body.{place}");
    Refusal {
        status: 400,
        message: format!(
            "1 validation error:\n  {{'type': 'json_invalid', 'loc': '{loc}', 'msg': 'JSON decode error', 'input': \
             '<dict of 0 items>', 'ctx': {{'error': \"{words}\"}}}}"
        ),
        kind: "Bad Request",
        param: Some(loc),
    }
}

/// A value as the validator shows it: containers by their size, others quoted.
fn show(value: &Value) -> String {
    match value {
        Value::Object(map) => format!("'<dict of {} items>'", map.len()),
        Value::Array(list) => format!("'<list of {} items>'", list.len()),
        Value::String(text) => format!("'{text}'"),
        Value::Bool(true) => "'True'".to_owned(),
        Value::Bool(false) => "'False'".to_owned(),
        Value::Null => "'None'".to_owned(),
        Value::Number(number) => format!("'{number}'"),
    }
}

#[cfg(test)]
mod tests;
