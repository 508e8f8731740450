use super::*;

const SETTINGS: Settings = Settings { context_tokens: 100, tool_calls: false };

fn message(endpoint: Endpoint, json: &str) -> String {
    read(endpoint, json.as_bytes(), SETTINGS).unwrap_err().message
}

fn chat(fields: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"hello there"}}]{fields}}}"#)
}

#[test]
fn types_are_refused_in_the_validators_words() {
    let said = message(Endpoint::Completions, r#"{"model":5,"prompt":"x"}"#);
    assert_eq!(
        said,
        "1 validation error:\n  {'type': 'string_type', 'loc': 'body.model', 'msg': 'Input should be a valid string', \
         'input': '5'}"
    );
    let said = message(Endpoint::Completions, r#"{"prompt":"x","max_tokens":"abc"}"#);
    assert!(
        said.contains("'type': 'int_parsing', 'loc': 'body.max_tokens'") && said.contains("'input': 'abc'")
    );
    let said = message(Endpoint::Chat, &chat(r#","stream":"maybe""#));
    assert!(said.contains("'type': 'bool_parsing', 'loc': 'body.stream'"));
    let said = message(Endpoint::Completions, r#"{"prompt":"x","max_tokens":1.5}"#);
    assert!(said.contains("'int_from_float'"));
    assert!(message(Endpoint::Chat, "[]").contains("'<list of 0 items>'"));
}

#[test]
fn what_the_validator_converts_is_accepted() {
    let body = r#"{"prompt":"x","max_tokens":"7","stream":"yes","ignore_eos":1}"#;
    let generation = read(Endpoint::Completions, body.as_bytes(), SETTINGS).unwrap();
    assert_eq!(
        (generation.max_tokens, generation.stream, generation.limits.ignore_end),
        (Some(7), true, true)
    );
}

#[test]
fn limits_beyond_the_context_are_cut_and_only_the_prompt_can_be_too_long() {
    let body = r#"{"prompt":[1,2,3],"max_tokens":5000}"#;
    assert_eq!(read(Endpoint::Completions, body.as_bytes(), SETTINGS).unwrap().limits.most, 97);
    let ids: Vec<u32> = (0..100).collect();
    let said = message(Endpoint::Completions, &format!(r#"{{"prompt":{ids:?}}}"#));
    assert!(
        said.contains("your prompt contains 100 input tokens")
            && said.ends_with("(parameter=input_tokens, value=100)")
    );
    let absent = read(Endpoint::Completions, br#"{"prompt":"x"}"#, SETTINGS).unwrap();
    assert_eq!((absent.max_tokens, absent.limits.most), (Some(16), 16), "completions stop at 16 unless told");
    let absent = read(Endpoint::Chat, chat("").as_bytes(), SETTINGS).unwrap();
    assert_eq!(absent.max_tokens, None);
}

#[test]
fn the_newer_limit_of_a_chat_wins() {
    let body = chat(r#","max_tokens":9,"max_completion_tokens":2"#);
    assert_eq!(read(Endpoint::Chat, body.as_bytes(), SETTINGS).unwrap().max_tokens, Some(2));
}

#[test]
fn tools_need_the_flags_and_are_never_called() {
    let tools = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
    let with = |choice: &str| chat(&format!("{tools}{choice}"));
    assert_eq!(
        message(Endpoint::Chat, &chat(r#","tool_choice":"auto""#)),
        "When using `tool_choice`, `tools` must be set. (parameter=tool_choice)"
    );
    assert!(message(Endpoint::Chat, &with("")).starts_with("\"auto\" tool choice requires"));
    let named = with(r#","tool_choice":{"type":"function","function":{"name":"f"}}"#);
    assert_eq!(
        message(Endpoint::Chat, &named),
        "tool_choice=function \"f\" requires --tool-call-parser to be set"
    );
    assert!(read(Endpoint::Chat, with(r#","tool_choice":"none""#).as_bytes(), SETTINGS).is_ok());
    let flags = Settings { tool_calls: true, ..SETTINGS };
    assert!(read(Endpoint::Chat, with("").as_bytes(), flags).is_ok());
    assert!(
        read(Endpoint::Chat, named.as_bytes(), flags).unwrap_err().message.contains("does not call tools")
    );
}

#[test]
fn combinations_that_mean_nothing_are_refused() {
    let said = |fields: &str| message(Endpoint::Completions, &format!(r#"{{"prompt":"x"{fields}}}"#));
    assert_eq!(said(r#","n":2,"temperature":0"#), "n must be 1 when using greedy sampling, got 2.");
    assert_eq!(said(r#","top_p":2"#), "top_p must be in (0, 1], got 2.0. (parameter=top_p, value=2.0)");
    assert_eq!(said(r#","stop":["a",""]"#), "stop cannot contain an empty string.");
    assert!(said(r#","cache_salt":"""#).contains("'cache_salt' must be a non-empty string"));
    assert_eq!(
        message(Endpoint::Completions, r#"{"prompt":""}"#),
        "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"
    );
    assert_eq!(message(Endpoint::Completions, r#"{"prompt":[]}"#), "You must pass at least one prompt");
}

#[test]
fn every_shape_of_a_prompt_is_read() {
    let tokens = |prompt: &str| {
        let body = format!(r#"{{"prompt":{prompt}}}"#);
        let generation = read(Endpoint::Completions, body.as_bytes(), SETTINGS).unwrap();
        generation.prompts.into_iter().map(|prompt| prompt.tokens.len()).collect::<Vec<_>>()
    };
    assert_eq!(tokens(r#""one two""#), [2]);
    assert_eq!(tokens(r#"["one","one two three"]"#), [1, 3]);
    assert_eq!(tokens("[1,2,3,4]"), [4]);
    assert_eq!(tokens("[[1],[1,2]]"), [1, 2]);
}

#[test]
fn parts_of_a_message_are_its_text_and_the_last_user_is_heard() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"Hello"},{"type":"text","text":"you"}]},
        {"role":"assistant","content":null},{"role":"tool","content":"42"}]}"#;
    let prompt = read(Endpoint::Chat, body.as_bytes(), SETTINGS).unwrap().prompts.remove(0);
    assert_eq!(prompt.last_words, "Hello\nyou");
    assert!(prompt.text.ends_with("<|im_start|>tool\n42<|im_end|>\n<|im_start|>assistant\n"));
}
