//! The part of an OpenAI request body that routing needs, borrowed from the bytes that are forwarded unchanged.
//!
//! Only whether the body is a JSON object is judged here. A field of the wrong type counts as absent: the engine sees
//! the same bytes and refuses them in its own words. What is not read is skipped without recursion, so depth costs
//! nothing; what is read recursively stops at serde_json's limit of 128 levels.

mod prompt;
mod unescape;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The endpoints whose bodies carry a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
}

impl Api {
    /// The API that a path (without or with query and trailing slash) belongs to, by its end, whatever stands before:
    /// `/NAMESPACE/NAME/v1/completions` is [`Api::Completions`].
    pub fn from_path(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
        let ends = |end: &str| path.strip_suffix(end).is_some_and(|rest| rest.ends_with('/'));
        if ends("chat/completions") {
            Some(Self::ChatCompletions)
        } else if ends("completions") {
            Some(Self::Completions)
        } else if ends("embeddings") {
            Some(Self::Embeddings)
        } else if ends("responses") {
            Some(Self::Responses)
        } else {
            None
        }
    }
}

/// Why a body cannot be routed. The message is for the client, with status [`Error::status`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Longer than the limit.
    #[error("the request body has {bytes} bytes, more than the {limit_bytes} bytes that are allowed")]
    TooLarge {
        /// Length of the body.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Not JSON, or an object that names one of the fields read here twice.
    #[error("the request body is not valid JSON: {reason}")]
    NotJson {
        /// What the parser said, with line and column; or the first byte (from 0) that is no text.
        reason: String,
    },
    /// JSON, but not an object.
    #[error("the request body must be a JSON object, not {found}")]
    NotAnObject {
        /// What it begins as: `an array`, `a string`, …
        found: &'static str,
    },
}

impl Error {
    /// The HTTP status that belongs to the error: 413 or 400.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::NotJson { .. } | Self::NotAnObject { .. } => 400,
        }
    }
}

/// A request body as routing sees it.
#[derive(Debug)]
pub struct Body<'a> {
    /// The model; `None` if missing, null, empty or not a string (vLLM then takes its first served name).
    pub model: Option<Cow<'a, str>>,
    /// Whether the answer is to be a stream of events.
    pub stream: bool,
    /// Whether the last event of a stream is to carry `usage`.
    pub include_usage: bool,
    /// The limit on generated tokens; `None` if the request sets none.
    pub max_tokens: Option<u64>,
    /// Separates the prefix caches of tenants.
    pub cache_salt: Option<Cow<'a, str>>,
    api: Api,
    fields: Fields<'a>,
}

#[derive(Debug, Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_salt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

impl<'a> Body<'a> {
    /// Reads a body of at most `limit_bytes`.
    ///
    /// # Errors
    /// If it is longer than that, not JSON, or not an object.
    pub fn read(api: Api, bytes: &'a [u8], limit_bytes: usize) -> Result<Self, Error> {
        if bytes.len() > limit_bytes {
            return Err(Error::TooLarge { bytes: bytes.len(), limit_bytes });
        }
        if let Some(found) = other_than_object(bytes) {
            return Err(Error::NotAnObject { found });
        }
        // Fields that nobody here reads could hold anything else.
        let json = std::str::from_utf8(bytes).map_err(|error| Error::NotJson {
            reason: format!("no UTF-8 from byte {} on", error.valid_up_to()),
        })?;
        let fields: Fields<'a> =
            serde_json::from_str(json).map_err(|error| Error::NotJson { reason: error.to_string() })?;
        Ok(Self {
            model: fields.model.and_then(text).filter(|model| !model.is_empty()),
            stream: fields.stream.is_some_and(is_true),
            include_usage: fields.stream_options.and_then(stream_options).is_some_and(|wanted| wanted),
            max_tokens: [fields.max_completion_tokens, fields.max_tokens, fields.max_output_tokens]
                .into_iter()
                .flatten()
                .find_map(|raw| serde_json::from_str(raw.get()).ok()),
            cache_salt: fields.cache_salt.and_then(text).filter(|salt| !salt.is_empty()),
            api,
            fields,
        })
    }

    /// The prompts of the request as bytes of which four count as one token (see [`crate::prefix`]): one for a chat, one
    /// for each element of a completion's prompt list. Empty if there is no prompt that can be understood.
    pub fn prompts(&self) -> Vec<Cow<'a, [u8]>> {
        prompt::prompts(self.api, &self.fields)
    }
}

/// A JSON string; borrowed when it has no escapes.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

/// vLLM's validator also takes these spellings of true.
fn is_true(raw: &RawValue) -> bool {
    matches!(raw.get(), "true" | "1" | "\"true\"" | "\"1\"")
}

fn stream_options(raw: &RawValue) -> Option<bool> {
    #[derive(Deserialize)]
    struct Options<'a> {
        #[serde(borrow, default)]
        include_usage: Option<&'a RawValue>,
    }
    serde_json::from_str::<Options<'_>>(raw.get()).ok()?.include_usage.map(is_true)
}

fn other_than_object(bytes: &[u8]) -> Option<&'static str> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'[' => Some("an array"),
        b'"' => Some("a string"),
        b't' | b'f' => Some("a boolean"),
        b'n' => Some("null"),
        b'0'..=b'9' | b'-' => Some("a number"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
