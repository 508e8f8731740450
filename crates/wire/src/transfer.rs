//! One request as two: for the engine that computes the prompt, and for the engine that answers with the KV cache of the
//! first. The fields are those of vLLM's NIXL connector, as llm-d's sidecar sets them.
//!
//! What is not changed keeps its bytes: numbers, escapes and the order of fields are the client's. What an engine says
//! about its cache blocks (`kv_transfer_params`) is handed on unread, because its fields differ from version to version.

use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

const PARAMS: &str = "kv_transfer_params";
/// Asks an engine to keep the blocks of the prompt for somebody who will fetch them.
const KEEP_FOR_ANOTHER: &str = r#"{"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,"remote_block_ids":null,"remote_host":null,"remote_port":null}"#;

/// Why a body cannot be sent in two legs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It is no JSON object.
    #[error("the request body is not a JSON object: {reason}")]
    NotAnObject {
        /// What the parser says.
        reason: String,
    },
}

/// The APIs whose requests have a prompt to be computed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Chat, completions and Anthropic's messages: `max_tokens`.
    Completions,
    /// Responses: `max_output_tokens`.
    Responses,
}

impl Api {
    /// The API at exactly this path; `None` for every other path.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" | "/v1/completions" | "/v1/messages" => Some(Self::Completions),
            "/v1/responses" => Some(Self::Responses),
            _ => None,
        }
    }

    /// Limits that are all 1 on the first leg. The least counts too: an engine hands its blocks on only when the answer
    /// ended at its limit.
    fn limits(self) -> &'static [&'static str] {
        match self {
            Self::Completions => &["max_tokens", "max_completion_tokens", "min_tokens"],
            Self::Responses => &["max_output_tokens"],
        }
    }
}

/// A request body whose fields are known by name and otherwise unread. Of a name that stands twice the last one counts.
#[derive(Debug)]
pub struct Body<'a> {
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Body<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let Fields(fields) = serde_json::from_slice(bytes)
            .map_err(|error| Error::NotAnObject { reason: error.to_string() })?;
        Ok(Self { fields })
    }

    /// The body for the engine that computes the prompt: one token, not streamed, blocks kept.
    pub fn prefill_leg(&self, api: Api) -> Vec<u8> {
        let mut changes: Vec<(&str, Option<&str>)> =
            vec![(PARAMS, Some(KEEP_FOR_ANOTHER)), ("stream", Some("false")), ("stream_options", None)];
        changes.extend(api.limits().iter().map(|limit| (*limit, Some("1"))));
        self.with(&changes)
    }

    /// The body for the engine that answers. `params` is what the first said of its blocks; without it the engine is told
    /// nothing and computes the prompt again.
    pub fn decode_leg(&self, params: Option<&RawValue>) -> Vec<u8> {
        self.with(&[(PARAMS, Some(params.map_or("null", RawValue::get)))])
    }

    /// The body with fields set or, with `None`, taken out.
    fn with(&self, changes: &[(&str, Option<&str>)]) -> Vec<u8> {
        let kept = self.fields.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.get()));
        let set = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let mut text = String::from("{");
        for (name, value) in kept.chain(set) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name).to_string());
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text.into_bytes()
    }
}

/// What an engine's answer says of the blocks that it keeps; `None` if it says nothing.
///
/// # Errors
/// If the answer is no JSON object.
pub fn params_of_answer(answer: &[u8]) -> Result<Option<&RawValue>, Error> {
    let Body { fields } = Body::read(answer)?;
    Ok(fields
        .into_iter()
        .find(|(name, value)| name == PARAMS && value.get() != "null")
        .map(|(_, value)| value))
}

struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Fields<'de>;

            fn expecting(&self, words: &mut std::fmt::Formatter) -> std::fmt::Result {
                words.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields: Vec<(String, &'de RawValue)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    match places.get(&name) {
                        Some(place) => fields[*place].1 = value,
                        None => {
                            places.insert(name.clone(), fields.len());
                            fields.push((name, value));
                        }
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reads)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn the_first_leg_asks_for_one_token_and_the_second_for_what_the_client_asked() {
        let asked = json!({
            "model": "m", "messages": [], "max_tokens": 50, "stream": true, "stream_options": {"include_usage": true},
            "kv_transfer_params": {"remote_host": "mine"},
        });
        let text = asked.to_string();
        let body = Body::read(text.as_bytes()).unwrap();
        let prefill = parsed(&body.prefill_leg(Api::Completions));
        assert_eq!(
            prefill,
            json!({
                "model": "m", "messages": [], "stream": false,
                "max_tokens": 1, "max_completion_tokens": 1, "min_tokens": 1,
                "kv_transfer_params": {
                    "do_remote_decode": true, "do_remote_prefill": false, "remote_engine_id": null,
                    "remote_block_ids": null, "remote_host": null, "remote_port": null,
                },
            })
        );
        let answer =
            br#"{"id": "x", "kv_transfer_params": {"do_remote_prefill": true, "n": 9007199254740993}}"#;
        let decode = body.decode_leg(params_of_answer(answer).unwrap());
        assert!(
            String::from_utf8_lossy(&decode).contains("9007199254740993"),
            "numbers are handed on as written"
        );
        let mut expected = asked;
        expected["kv_transfer_params"] = json!({"do_remote_prefill": true, "n": 9_007_199_254_740_993_u64});
        assert_eq!(parsed(&decode), expected);
        assert_eq!(parsed(&body.decode_leg(None))["kv_transfer_params"], Value::Null);
    }

    #[test]
    fn each_api_has_its_own_limit() {
        let body = Body::read(br#"{"input": "x"}"#).unwrap();
        let prefill = parsed(&body.prefill_leg(Api::Responses));
        assert_eq!((&prefill["max_output_tokens"], &prefill["max_tokens"]), (&json!(1), &Value::Null));
        assert_eq!(Api::at("/v1/embeddings"), None);
    }

    #[test]
    fn the_last_of_two_fields_counts_and_what_is_no_object_is_refused() {
        let body = Body::read(br#"{"model": "a", "mod\u0065l": "b", "x": "\u00e9"}"#).unwrap();
        let text = String::from_utf8(body.decode_leg(None)).unwrap();
        assert_eq!(text, r#"{"model":"b","x":"\u00e9","kv_transfer_params":null}"#);
        assert!(Body::read(b"[1]").is_err());
        assert!(Body::read(b"{").is_err());
        assert_eq!(params_of_answer(br#"{"kv_transfer_params": null}"#).unwrap().map(RawValue::get), None);
    }
}
