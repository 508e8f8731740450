//! What a prompt is for the prefix index: llm-d's estimate of its tokens, without a tokenizer.
//!
//! A chat is its tools as JSON, then role and content of each message, so that requests which share their first messages
//! share the first bytes. An image or a video counts as many tokens as an engine would make of one of usual size, all of
//! them the low half of the hash of its address. JSON is written as Go writes it, keys sorted, since hashes must agree.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use xxhash_rust::xxh64::xxh64;

use super::{Api, Fields, text, unescape::append_text};
use crate::prefix::BYTES_PER_TOKEN;

/// Tokens of an image of 640 × 360 pixels, at 1024 pixels a token.
const IMAGE_TOKENS: usize = 225;

/// Tokens of a video of 10 seconds, at two frames a second.
const VIDEO_TOKENS: usize = 20 * IMAGE_TOKENS;

pub(super) fn prompts<'a>(api: Api, fields: &Fields<'a>) -> Vec<Cow<'a, [u8]>> {
    let one = |bytes: Option<Vec<u8>>| bytes.map(Cow::Owned).into_iter().collect();
    match api {
        Api::ChatCompletions => one(chat(fields)),
        Api::Completions => fields.prompt.map(listed).unwrap_or_default(),
        Api::Embeddings if fields.messages.is_some() => one(chat(fields)),
        Api::Embeddings => one(fields.input.and_then(embedding_input)),
        Api::Responses => one(response_input(fields)),
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

fn chat(fields: &Fields<'_>) -> Option<Vec<u8>> {
    let raw = fields.messages?;
    let messages: Vec<Message<'_>> = serde_json::from_str(raw.get()).ok()?;
    let mut bytes = Vec::with_capacity(raw.get().len());
    if let Some(tools) = fields.tools {
        bytes.extend_from_slice(go_json(tools).as_bytes());
    }
    for message in &messages {
        if let Some(role) = message.role {
            append_text(role, &mut bytes);
        }
        if let Some(content) = message.content {
            write_content(content, &mut bytes);
        }
    }
    Some(bytes)
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    video_url: Option<&'a RawValue>,
}

fn write_content(content: &RawValue, bytes: &mut Vec<u8>) {
    if append_text(content, bytes) {
        return;
    }
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(content.get()) else { return };
    for raw in parts {
        let Ok(part) = serde_json::from_str::<Part<'_>>(raw.get()) else { continue };
        if part.text.is_some_and(|text| append_text(text, bytes)) {
            continue;
        }
        if let Some(image) = part.image_url {
            write_media(image, IMAGE_TOKENS, bytes);
        } else if let Some(video) = part.video_url {
            write_media(video, VIDEO_TOKENS, bytes);
        } else {
            // Audio and what comes later: other content, other prefix.
            bytes.extend_from_slice(raw.get().as_bytes());
        }
    }
}

/// `"URL"` or `{"url": "URL"}`.
fn write_media(raw: &RawValue, tokens: usize, bytes: &mut Vec<u8>) {
    #[derive(Deserialize)]
    struct Media<'a> {
        #[serde(borrow, default)]
        url: Option<&'a RawValue>,
    }
    let named = serde_json::from_str::<Media<'_>>(raw.get()).ok().and_then(|media| media.url).and_then(text);
    let url = named.or_else(|| text(raw)).unwrap_or(Cow::Borrowed(raw.get()));
    let hash = xxh64(url.as_bytes(), 0);
    bytes.resize(bytes.len().next_multiple_of(BYTES_PER_TOKEN), 0);
    for _ in 0..tokens {
        bytes.extend_from_slice(&hash.to_le_bytes()[..BYTES_PER_TOKEN]);
    }
}

fn response_input(fields: &Fields<'_>) -> Option<Vec<u8>> {
    fields.input?;
    let parts: Vec<String> =
        [("instructions", fields.instructions), ("tools", fields.tools), ("input", fields.input)]
            .into_iter()
            .filter_map(|(name, raw)| Some(format!("{{\"{name}\":{}}}", go_json(raw?))))
            .collect();
    Some(format!("[{}]", parts.join(",")).into_bytes())
}

/// llm-d hashes its own structure for the input, of which only one field is set.
fn embedding_input(raw: &RawValue) -> Option<Vec<u8>> {
    let json = go_json(raw);
    let value: Value = serde_json::from_str(raw.get()).ok()?;
    let (text, texts, ids) = match &value {
        Value::String(_) => (json.as_str(), "null", "null"),
        Value::Array(list) if list.iter().all(Value::is_string) => ("\"\"", json.as_str(), "null"),
        Value::Array(_) => ("\"\"", "null", json.as_str()),
        _ => return None,
    };
    Some(format!("{{\"Raw\":{text},\"Strings\":{texts},\"TokenIDs\":{ids}}}").into_bytes())
}

/// The four shapes of a completion's prompt: text, token ids, a list of texts, a list of lists of token ids.
fn listed(raw: &RawValue) -> Vec<Cow<'_, [u8]>> {
    if let Some(text) = prompt_text(raw) {
        return vec![text];
    }
    if let Ok(ids) = serde_json::from_str::<Vec<u32>>(raw.get()) {
        return if ids.is_empty() { Vec::new() } else { vec![token_bytes(&ids)] };
    }
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Vec::new();
    };
    elements
        .into_iter()
        .filter_map(|element| match prompt_text(element) {
            Some(text) => Some(text),
            None => serde_json::from_str::<Vec<u32>>(element.get()).ok().map(|ids| token_bytes(&ids)),
        })
        .collect()
}

/// A text; borrowed when it has no escapes.
fn prompt_text(raw: &RawValue) -> Option<Cow<'_, [u8]>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner.as_bytes()));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    append_text(raw, &mut bytes).then_some(Cow::Owned(bytes))
}

fn token_bytes<'a>(ids: &[u32]) -> Cow<'a, [u8]> {
    Cow::Owned(ids.iter().flat_map(|id| id.to_le_bytes()).collect())
}

/// JSON as Go's `encoding/json` writes a map: keys sorted, `<`, `>` and `&` escaped. What is nested too deeply to be read
/// stays as it is.
fn go_json(raw: &RawValue) -> String {
    let Ok(value) = serde_json::from_str::<Value>(raw.get()) else {
        return raw.get().to_owned();
    };
    let json = value.to_string();
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return json;
    }
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
