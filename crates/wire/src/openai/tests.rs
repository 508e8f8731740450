use super::*;

fn read(api: Api, json: &str) -> Body<'_> {
    Body::read(api, json.as_bytes(), 1 << 20).unwrap()
}

fn prompts(api: Api, json: &str) -> Vec<String> {
    read(api, json).prompts().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

#[test]
fn the_fields_that_routing_needs_are_read() {
    let body = read(
        Api::ChatCompletions,
        r#"{"model":"qwen\/7b","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":7,
            "max_tokens":9,"cache_salt":"a","messages":[],"unknown":{"model":"other"}}"#,
    );
    assert_eq!(body.model.as_deref(), Some("qwen/7b"));
    assert!(body.stream && body.include_usage);
    assert_eq!(body.max_tokens, Some(7));
    assert_eq!(body.cache_salt.as_deref(), Some("a"));
}

#[test]
fn a_body_that_is_no_text_is_refused_wherever_it_is_none() {
    let refused = |bytes: &[u8]| Body::read(Api::Completions, bytes, 1 << 20).unwrap_err().to_string();
    // An engine reads the fields that routing does not need, and would refuse the whole.
    let unread = refused(b"{\"model\":\"m\",\"user\":{\"a\":\"\x9c\"}}");
    assert_eq!(unread, "the request body is not valid JSON: no UTF-8 from byte 26 on");
    assert_eq!(
        refused(b"{\"model\":\"\xff\"}"),
        "the request body is not valid JSON: no UTF-8 from byte 10 on"
    );
}

#[test]
fn a_field_of_the_wrong_type_is_left_for_the_engine_to_refuse() {
    let body = read(Api::Completions, r#"{"model":7,"stream":"maybe","max_tokens":"many","prompt":{"a":1}}"#);
    assert_eq!(body.model, None);
    assert!(!body.stream);
    assert_eq!(body.max_tokens, None);
    assert!(body.prompts().is_empty());
}

#[test]
fn chats_that_share_their_first_messages_share_their_first_bytes() {
    let one = prompts(
        Api::ChatCompletions,
        r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"A"}]}"#,
    );
    let two = prompts(
        Api::ChatCompletions,
        r#"{"messages":[{"role":"system","content":[{"type":"text","text":"Be brief."}]},{"role":"user","content":"B"}]}"#,
    );
    assert_eq!(one, ["systemBe brief.userA"]);
    assert_eq!(two, ["systemBe brief.userB"]);
}

#[test]
fn other_images_make_other_prompts() {
    let with = |url: &str| {
        prompts(
            Api::ChatCompletions,
            &format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
            ),
        )
    };
    assert_ne!(with("http://a/1.png"), with("http://a/2.png"));
}

#[test]
fn an_image_counts_as_the_tokens_that_an_engine_makes_of_it() {
    let json = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"http://a/1.png"}}]}]}"#;
    let body = read(Api::ChatCompletions, json);
    let prompt = &body.prompts()[0];
    assert_eq!(prompt.len(), 8 + 225 * 4);
    assert_eq!(&prompt[..8], b"userx\0\0\0", "it begins at a token");
    assert_eq!(prompt[8..12], prompt[12..16]);
}

#[test]
fn tools_are_the_same_whatever_the_order_of_their_keys() {
    let with = |tools: &str| prompts(Api::ChatCompletions, &format!(r#"{{"tools":{tools},"messages":[]}}"#));
    let one = with(r#"[{"type":"function","function":{"name":"a<b"}}]"#);
    assert_eq!(one, with(r#"[ {"function": {"name": "a<b"}, "type": "function"} ]"#));
    assert_eq!(one, [r#"[{"function":{"name":"a\u003cb"},"type":"function"}]"#]);
}

#[test]
fn other_apis_have_a_prompt_too() {
    let responses = prompts(Api::Responses, r#"{"instructions":"Be brief.","input":"Hello"}"#);
    assert_eq!(responses, [r#"[{"instructions":"Be brief."},{"input":"Hello"}]"#]);
    let embeddings = prompts(Api::Embeddings, r#"{"input":"embed me"}"#);
    assert_eq!(embeddings, [r#"{"Raw":"embed me","Strings":null,"TokenIDs":null}"#]);
}

#[test]
fn every_shape_of_a_completion_prompt_is_understood() {
    assert_eq!(prompts(Api::Completions, r#"{"prompt":"a\nb"}"#), ["a\nb"]);
    assert_eq!(prompts(Api::Completions, r#"{"prompt":["a","b"]}"#), ["a", "b"]);
    assert_eq!(prompts(Api::Completions, r#"{"prompt":[97,98]}"#), ["a\0\0\0b\0\0\0"]);
    assert_eq!(prompts(Api::Completions, r#"{"prompt":[[97],[98]]}"#), ["a\0\0\0", "b\0\0\0"]);
    assert!(prompts(Api::Completions, r#"{"prompt":[]}"#).is_empty());
    assert!(prompts(Api::Completions, r#"{"prompt":null}"#).is_empty());
}

#[test]
fn text_without_escapes_is_not_copied() {
    let json = r#"{"prompt":"plain text","model":"m"}"#;
    let body = read(Api::Completions, json);
    assert!(matches!(&body.prompts()[0], Cow::Borrowed(_)));
    assert!(matches!(&body.model, Some(Cow::Borrowed(_))));
}

#[test]
fn what_is_not_an_object_is_refused_with_words() {
    let message = |bytes: &[u8]| Body::read(Api::Completions, bytes, 100).unwrap_err().to_string();
    assert_eq!(message(b"[1]"), "the request body must be a JSON object, not an array");
    assert!(message(b"{\"model\"").contains("line 1 column 8"));
    assert!(message(b"").contains("EOF"));
    assert!(message(b"{\"model\":\"\xff\"}").contains("not valid JSON"));
    assert!(message(br#"{"model":"a","model":"b"}"#).contains("duplicate field `model`"));
    let error = Body::read(Api::Completions, &[b' '; 101], 100).unwrap_err();
    assert_eq!(error.status(), 413);
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!(r#"{{"x":{}{},"model":"m"}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(read(Api::Completions, &deep).model.as_deref(), Some("m"));
    let deep = format!(r#"{{"prompt":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert!(read(Api::Completions, &deep).prompts().is_empty());
}

#[test]
fn the_api_is_known_by_the_end_of_the_path() {
    assert_eq!(Api::from_path("/v1/chat/completions"), Some(Api::ChatCompletions));
    assert_eq!(Api::from_path("/ns/name/v1/completions/?a=b"), Some(Api::Completions));
    assert_eq!(Api::from_path("/v1/models"), None);
    assert_eq!(Api::from_path("/v1/xcompletions"), None);
}
