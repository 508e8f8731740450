//! The command lines of engines. KServe's presets put them together in a shell; those of this project are a plain list of
//! words, so what the shell would have done with a user's words is done here, and what it would have failed on is said.

use kinds::pointer::at_mut;
use serde_json::Value;

use crate::Warning;
use crate::merged::Layers;
use crate::node::Node;
use crate::words::{self, Split};

/// The variable whose flags come after those of the preset and before the user's own arguments.
const VARIABLE: &str = "VLLM_ADDITIONAL_ARGS";
const PODS: [&str; 4] = ["/template", "/worker", "/prefill/template", "/prefill/worker"];

/// Completes the command lines that presets began. `origin` is that of the document that `spec` belongs to.
pub(crate) fn complete(spec: &mut Value, origin: &mut Node, layers: &Layers) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for pod in PODS {
        let containers = at_mut(spec, pod).and_then(|pod| pod.get_mut("containers"));
        for (index, container) in containers.and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
            let at = format!("/spec{pod}/containers/{index}");
            if !layers.is_preset(origin.layer_at(&format!("{at}/command"))) {
                // A command of the user's own: how it treats its arguments is not known.
                continue;
            }
            match call(container) {
                Call::Direct => {
                    warnings.extend(repeated_model(container, &at));
                    warnings.extend(unquote(container, &at));
                    warnings.extend(add_variable(container, &at, origin));
                }
                Call::InShell => warnings.extend(repeated_model(container, &at)),
                Call::Other => {}
            }
        }
    }
    warnings
}

/// How a container calls the engine.
enum Call {
    /// Its command is the engine's command line.
    Direct,
    /// Its command is a script.
    InShell,
    /// It does not.
    Other,
}

fn call(container: &Value) -> Call {
    let words = strings(container, "command");
    match words.as_slice() {
        [program, "serve", ..] if program.rsplit('/').next() == Some("vllm") => Call::Direct,
        words if words.iter().any(|word| word.contains("vllm serve ")) => Call::InShell,
        _ => Call::Other,
    }
}

fn strings<'v>(container: &'v Value, field: &str) -> Vec<&'v str> {
    container[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The engine ends at once when it is told its model twice.
fn repeated_model(container: &Value, at: &str) -> Option<Warning> {
    let args = strings(container, "args");
    let index = args.iter().position(|word| *word == "--model" || word.starts_with("--model="))?;
    Some(Warning {
        field: format!("{at}/args/{index}"),
        message: "names the model, which the preset's command line does already, and vLLM refuses to be told twice; leave \
                  --model and its value out"
            .to_owned(),
    })
}

/// Quotes that a shell would have taken off JSON.
fn unquote(container: &mut Value, at: &str) -> Vec<Warning> {
    let args = container.get_mut("args").and_then(Value::as_array_mut).into_iter().flatten();
    args.enumerate()
        .filter_map(|(index, word)| {
            let plain = without_quotes(word.as_str()?)?;
            *word = plain.into();
            Some(Warning {
                field: format!("{at}/args/{index}"),
                message: "has quotes for a shell around JSON, and no shell runs here; they are left out"
                    .to_owned(),
            })
        })
        .collect()
}

/// `'{"a":1}'` and `--flag='{"a":1}'` without their quotes; `None` for any other word.
fn without_quotes(word: &str) -> Option<String> {
    let (flag, quoted) = match word.strip_prefix("--").and_then(|_| word.split_once('=')) {
        Some((flag, value)) => (format!("{flag}="), value),
        None => (String::new(), word),
    };
    let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    serde_json::from_str::<serde::de::IgnoredAny>(inner).is_ok().then(|| format!("{flag}{inner}"))
}

/// The flags in the variable, as words of the command.
fn add_variable(container: &mut Value, at: &str, origin: &mut Node) -> Vec<Warning> {
    let variables = container["env"].as_array().into_iter().flatten();
    let Some((index, variable)) = variables.enumerate().find(|(_, variable)| variable["name"] == VARIABLE)
    else {
        return Vec::new();
    };
    let field = format!("{at}/env/{index}");
    let warning = |field: String, message: &str| vec![Warning { field, message: message.to_owned() }];
    if !variable["valueFrom"].is_null() {
        return warning(
            field + "/valueFrom",
            "is not known when the command line is put together, so its flags are left out; write them in value, or in args",
        );
    }
    let field = field + "/value";
    let text = variable["value"].as_str().unwrap_or_default();
    let Some(Split { words, has_variables }) = words::split(text) else {
        return warning(field, "has a quote that is not closed, so its flags are left out");
    };
    let layer = origin.layer_at(&field);
    if let Some(command) = container.get_mut("command").and_then(Value::as_array_mut) {
        origin.append(&format!("{at}/command"), command.len(), layer, words.len());
        command.extend(words.into_iter().map(Value::from));
    }
    if has_variables {
        return warning(
            field,
            "has a variable of a shell, and no shell runs here; write $(NAME) to have NAME put in",
        );
    }
    Vec::new()
}
