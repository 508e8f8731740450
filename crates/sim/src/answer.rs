//! The JSON of answers, chunks and errors, with vLLM's keys in vLLM's order.

use serde_json::to_string;

use crate::body::{Endpoint, Refusal};

/// Says in every answer who made it.
const FINGERPRINT: &str = "llmisvc-sim";

/// What all chunks of an answer have in common.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) endpoint: Endpoint,
    /// With its prefix: `chatcmpl-…` or `cmpl-…`.
    pub(crate) id: String,
    pub(crate) created_s: u64,
    pub(crate) model: String,
    /// `kv_transfer_params` of a whole answer: where the KV cache of its prompt is, as JSON; `None` is null.
    pub(crate) kept_blocks: Option<String>,
}

/// What one choice of an answer has beside its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// The prompt's tokens; `None`: not to be told.
    pub(crate) prompt: Option<Vec<u32>>,
    /// The answer's tokens; `None`: not to be told.
    pub(crate) answer: Option<Vec<u32>>,
}

/// How an answer ended.
#[derive(Clone, Debug)]
pub(crate) struct Finish {
    /// `stop`, `length` or `abort`.
    pub(crate) reason: &'static str,
    /// The stop string that ended it.
    pub(crate) stop_string: Option<String>,
}

/// A piece of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk<'a> {
    pub(crate) index: usize,
    pub(crate) text: &'a str,
    /// Only in the last piece of a choice.
    pub(crate) finish: Option<&'a Finish>,
    /// Only if usage was asked for beside each piece.
    pub(crate) usage: Option<Usage>,
    pub(crate) numbers: Numbers,
    /// Whether it says who made it.
    pub(crate) fingerprint: bool,
}

/// Token counts of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    /// `None`: not to be told.
    pub(crate) cached: Option<u64>,
}

impl Usage {
    fn counts(self) -> String {
        let total = self.prompt + self.completion;
        format!(
            "\"prompt_tokens\":{},\"total_tokens\":{total},\"completion_tokens\":{}",
            self.prompt, self.completion
        )
    }

    fn whole(self, endpoint: Endpoint) -> String {
        let created = match endpoint {
            Endpoint::Chat => "0",
            Endpoint::Completions => "null",
        };
        let details = match self.cached {
            None => "null".to_owned(),
            Some(cached) => {
                format!(
                    "{{\"cached_tokens\":{cached},\"created_cache_tokens\":{created},\"multimodal_tokens\":null}}"
                )
            }
        };
        format!(
            "{{{},\"prompt_tokens_details\":{details},\"completion_tokens_details\":null}}",
            self.counts()
        )
    }

    /// The usage beside each chunk.
    fn running(self, endpoint: Endpoint) -> String {
        match endpoint {
            Endpoint::Chat => format!("{{{},\"completion_tokens_details\":null}}", self.counts()),
            Endpoint::Completions => format!("{{{}}}", self.counts()),
        }
    }

    /// The usage in a chunk of its own.
    fn last(self, endpoint: Endpoint) -> String {
        match (self.cached, endpoint) {
            (None, _) => format!("{{{}}}", self.counts()),
            (Some(cached), Endpoint::Chat) => format!(
                "{{{},\"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"created_cache_tokens\":0}}}}",
                self.counts()
            ),
            (Some(cached), Endpoint::Completions) => {
                format!("{{{},\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}}}", self.counts())
            }
        }
    }
}

fn list(numbers: Option<&[u32]>) -> String {
    numbers.and_then(|numbers| to_string(numbers).ok()).unwrap_or_else(|| "null".to_owned())
}

/// A text as JSON; strings always have a JSON form.
fn quote(text: &str) -> String {
    to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

fn quote_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quote)
}

impl Head {
    /// A whole answer. Choices are texts, how they ended, and their tokens.
    pub(crate) fn whole(&self, choices: &[(String, Finish, Numbers)], usage: Usage) -> String {
        let prompt_ids = list(choices.first().and_then(|(_, _, numbers)| numbers.prompt.as_deref()));
        let choices: Vec<String> = choices
            .iter()
            .enumerate()
            .map(|(index, (text, finish, numbers))| {
                let text = quote(text);
                let (ids, own_prompt_ids) = (list(numbers.answer.as_deref()), list(numbers.prompt.as_deref()));
                let (reason, stop) = (finish.reason, quote_or_null(finish.stop_string.as_deref()));
                match self.endpoint {
                    Endpoint::Chat => format!(
                        "{{\"index\":{index},\"message\":{{\"role\":\"assistant\",\"content\":{text},\"refusal\":null,\
                         \"annotations\":null,\"audio\":null,\"function_call\":null,\"reasoning\":null}},\
                         \"logprobs\":null,\"finish_reason\":\"{reason}\",\"stop_reason\":{stop},\"token_ids\":{ids},\
                         \"routed_experts\":null}}"
                    ),
                    Endpoint::Completions => format!(
                        "{{\"index\":{index},\"text\":{text},\"logprobs\":null,\"finish_reason\":\"{reason}\",\
                         \"stop_reason\":{stop},\"token_ids\":{ids},\"prompt_logprobs\":null,\"prompt_token_ids\":{own_prompt_ids},\
                         \"routed_experts\":null}}"
                    ),
                }
            })
            .collect();
        let (object, prompt_fields) = match self.endpoint {
            Endpoint::Chat => (
                "chat.completion",
                format!("\"prompt_logprobs\":null,\"prompt_token_ids\":{prompt_ids},\"prompt_text\":null,"),
            ),
            Endpoint::Completions => ("text_completion", String::new()),
        };
        format!(
            "{},\"choices\":[{}],\"service_tier\":null,\"system_fingerprint\":\"{FINGERPRINT}\",\"usage\":{},\
             {prompt_fields}\"kv_transfer_params\":{},\"ec_transfer_params\":null,\"metrics\":null}}",
            self.begin(object),
            choices.join(","),
            usage.whole(self.endpoint),
            self.kept_blocks.as_deref().unwrap_or("null"),
        )
    }

    fn begin(&self, object: &str) -> String {
        format!(
            "{{\"id\":{},\"object\":\"{object}\",\"created\":{},\"model\":{}",
            quote(&self.id),
            self.created_s,
            quote(&self.model)
        )
    }

    fn begin_chunk(&self) -> String {
        self.begin(match self.endpoint {
            Endpoint::Chat => "chat.completion.chunk",
            Endpoint::Completions => "text_completion",
        })
    }

    /// The chunk with which a chat's choice begins.
    pub(crate) fn role_chunk(
        &self,
        index: usize,
        prompt_ids: Option<&[u32]>,
        usage: Option<Usage>,
    ) -> String {
        let usage =
            usage.map(|usage| format!(",\"usage\":{}", usage.running(self.endpoint))).unwrap_or_default();
        format!(
            "{},\"choices\":[{{\"index\":{index},\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\
             \"finish_reason\":null}}]{usage},\"prompt_token_ids\":{},\"prompt_text\":null}}",
            self.begin_chunk(),
            list(prompt_ids)
        )
    }

    /// A piece of a choice's text.
    pub(crate) fn chunk(&self, chunk: &Chunk<'_>) -> String {
        let Chunk { index, text, finish, usage, numbers, fingerprint } = chunk;
        let text = quote(text);
        let reason = finish.map_or_else(|| "null".to_owned(), |finish| format!("\"{}\"", finish.reason));
        let stop = quote_or_null(finish.and_then(|finish| finish.stop_string.as_deref()));
        let ids = list(numbers.answer.as_deref());
        let choice = match self.endpoint {
            Endpoint::Chat => {
                let stop = if finish.is_some() { format!("\"stop_reason\":{stop},") } else { String::new() };
                format!(
                    "{{\"index\":{index},\"delta\":{{\"content\":{text}}},\"logprobs\":null,\"finish_reason\":{reason},\
                     {stop}\"token_ids\":{ids}}}"
                )
            }
            Endpoint::Completions => format!(
                "{{\"index\":{index},\"text\":{text},\"logprobs\":null,\"finish_reason\":{reason},\"stop_reason\":{stop},\
                 \"prompt_token_ids\":{},\"token_ids\":{ids}}}",
                list(numbers.prompt.as_deref())
            ),
        };
        let fingerprint =
            if *fingerprint { format!(",\"system_fingerprint\":\"{FINGERPRINT}\"") } else { String::new() };
        let usage =
            usage.map(|usage| format!(",\"usage\":{}", usage.running(self.endpoint))).unwrap_or_default();
        format!("{},\"choices\":[{choice}]{fingerprint}{usage}}}", self.begin_chunk())
    }

    /// The chunk with the usage of the whole stream.
    pub(crate) fn usage_chunk(&self, usage: Usage) -> String {
        format!(
            "{},\"choices\":[],\"usage\":{},\"system_fingerprint\":\"{FINGERPRINT}\"}}",
            self.begin_chunk(),
            usage.last(self.endpoint)
        )
    }
}

/// The body of an error.
pub(crate) fn error(refusal: &Refusal) -> String {
    format!(
        "{{\"error\":{{\"message\":{},\"type\":\"{}\",\"param\":{},\"code\":{}}}}}",
        quote(&refusal.message),
        refusal.kind,
        quote_or_null(refusal.param.as_deref()),
        refusal.status
    )
}

/// One entry of `/v1/models`. `parent` is the base model of an adapter.
pub(crate) fn model(
    name: &str,
    root: &str,
    parent: Option<&str>,
    max_model_len: Option<u64>,
    created_s: u64,
    permission_id: &str,
) -> String {
    let max_model_len = max_model_len.map_or_else(|| "null".to_owned(), |tokens| tokens.to_string());
    format!(
        "{{\"id\":{},\"object\":\"model\",\"created\":{created_s},\"owned_by\":\"vllm\",\"root\":{},\"parent\":{},\
         \"max_model_len\":{max_model_len},\"permission\":[{{\"id\":\"modelperm-{permission_id}\",\"object\":\
         \"model_permission\",\"created\":{created_s},\"allow_create_engine\":false,\"allow_sampling\":true,\
         \"allow_logprobs\":true,\"allow_search_indices\":false,\"allow_view\":true,\"allow_fine_tuning\":false,\
         \"organization\":\"*\",\"group\":null,\"is_blocking\":false}}]}}",
        quote(name),
        quote(root),
        quote_or_null(parent)
    )
}
