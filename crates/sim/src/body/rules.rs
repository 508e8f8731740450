//! Which combinations of fields are refused. What would change the answer and is not simulated is refused too, not left
//! out in silence.

use serde_json::Value;

use super::{Body, Endpoint, Refusal, Settings};

pub(super) fn check(endpoint: Endpoint, body: &Body, settings: Settings) -> Result<(), Refusal> {
    sampling(body)?;
    logprobs(body)?;
    match endpoint {
        Endpoint::Chat => chat(body, settings),
        Endpoint::Completions if body.get("suffix").is_some() => Err(Refusal::bad_request(
            "suffix is only supported for models with FIM completion rendering",
            Some("suffix"),
        )),
        Endpoint::Completions => Ok(()),
    }
}

fn sampling(body: &Body) -> Result<(), Refusal> {
    let float = |value: f64| format!("{value:?}");
    if let Some(top_p) = body.number("top_p")?.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
        let message = format!("top_p must be in (0, 1], got {}.", float(top_p));
        return Err(Refusal::value(&message, "top_p", &float(top_p)));
    }
    let temperature = body.number("temperature")?;
    if let Some(temperature) = temperature.filter(|temperature| *temperature < 0.0) {
        let message = format!("temperature must be non-negative, got {}.", float(temperature));
        return Err(Refusal::value(&message, "temperature", &float(temperature)));
    }
    let n = body.integer("n")?.unwrap_or(1);
    if n > 1 && temperature == Some(0.0) {
        return Err(Refusal::bad_request(format!("n must be 1 when using greedy sampling, got {n}."), None));
    }
    Ok(())
}

fn logprobs(body: &Body) -> Result<(), Refusal> {
    let wanted = body.get("logprobs").is_some_and(|wanted| *wanted != Value::Bool(false));
    if !wanted && body.get("top_logprobs").is_some() {
        let message = "when using `top_logprobs`, `logprobs` must be set to true.";
        return Err(Refusal::parameter(message, "top_logprobs"));
    }
    if wanted || body.get("prompt_logprobs").is_some() {
        return Err(Refusal::parameter("The simulated engine has no log probabilities.", "logprobs"));
    }
    Ok(())
}

fn chat(body: &Body, settings: Settings) -> Result<(), Refusal> {
    if body.get("chat_template").is_some() {
        return Err(Refusal::bad_request(
            "Chat template is passed with request, but --trust-request-chat-template is not set. Refused request with \
             untrusted chat template.",
            None,
        ));
    }
    if body.flag("continue_final_message")? && body.flag("add_generation_prompt")? {
        return Err(Refusal::bad_request(
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
            None,
        ));
    }
    let tools =
        body.get("tools").is_some_and(|tools| tools.as_array().is_some_and(|tools| !tools.is_empty()));
    match body.get("tool_choice") {
        Some(Value::String(choice)) if choice == "none" => Ok(()),
        Some(_) if !tools => {
            Err(Refusal::parameter("When using `tool_choice`, `tools` must be set.", "tool_choice"))
        }
        // With tools, `auto` is the default.
        None if !tools => Ok(()),
        None => auto(settings),
        Some(Value::String(choice)) if choice == "auto" => auto(settings),
        Some(choice) => {
            let named = choice.pointer("/function/name").and_then(Value::as_str);
            let shown = named.map_or_else(|| choice.to_string(), |name| format!("function \"{name}\""));
            Err(Refusal::bad_request(
                if settings.tool_calls {
                    format!("tool_choice={shown}: the simulated engine does not call tools")
                } else {
                    format!("tool_choice={shown} requires --tool-call-parser to be set")
                },
                None,
            ))
        }
    }
}

/// The model may call a tool; a simulated one never does.
fn auto(settings: Settings) -> Result<(), Refusal> {
    if settings.tool_calls {
        return Ok(());
    }
    let message = "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set";
    Err(Refusal::bad_request(message, None))
}
