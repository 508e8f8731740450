//! Under which name a service's engines answer.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::node::script;

/// Begins the names that tell models of all namespaces apart; each service has one beside its own.
const PUBLISHED: &str = "publishers/";
/// The flag of an engine that says its model's names.
const FLAG: &str = "--served-model-name";

/// The main name. A service that names no model is stored with its own name as the model's, also where a config names
/// the model: so the status decides, once it tells names, and where it tells none, as without a route, the engine's own
/// command line. `None`: the service's own name, or nothing is known yet.
pub(crate) fn main_name<'a>(spec: &'a Value, status: &'a Value, of_engine: &'a [String]) -> Option<&'a str> {
    let own = spec["model"]["name"].as_str().filter(|name| !name.is_empty());
    let told = || {
        let names = names_in_addresses(status).filter(|name| !name.starts_with(PUBLISHED));
        names.chain(of_engine.iter().map(String::as_str).filter(|name| !name.starts_with(PUBLISHED)))
    };
    match own {
        Some(own) if told().any(|name| name == own) => Some(own),
        own => told().next().or(own),
    }
}

/// The names at each of the service's addresses, in order, some of them more than once.
pub(crate) fn names_in_addresses(status: &Value) -> impl Iterator<Item = &str> {
    let addresses = status["addresses"].as_array().into_iter().flatten();
    let models = addresses.flat_map(|address| address["models"].as_array().into_iter().flatten());
    models.filter_map(|model| model.as_str().or_else(|| model["name"].as_str()))
}

/// The names that a pod's engine is told on its command line, or in the script that calls it.
pub(crate) fn names_of_engine(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let lines = containers.map(|container| {
        let words: Vec<String> = container.command.iter().chain(&container.args).flatten().cloned().collect();
        let script = words.iter().position(|word| word.contains("vllm serve "));
        script
            .and_then(|at| script::serve_arguments(&words[at], &words[at + 1..], &BTreeMap::new()))
            .unwrap_or(words)
    });
    lines.map(|words| names_in(&words)).find(|names| !names.is_empty()).unwrap_or_default()
}

/// What follows the flag, the last one if there are several, as an engine reads it.
fn names_in(words: &[String]) -> Vec<String> {
    let Some((at, first)) = words.iter().enumerate().rev().find_map(|(at, word)| {
        let rest = word.strip_prefix(FLAG)?;
        if rest.is_empty() { Some((at, None)) } else { rest.strip_prefix('=').map(|name| (at, Some(name))) }
    }) else {
        return Vec::new();
    };
    let others = words[at + 1..].iter().take_while(|word| !word.starts_with('-')).map(String::as_str);
    match first {
        Some(name) => vec![name.to_owned()],
        None => others.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_engines_command_line_tells_the_models_names() {
        let names = |container: Value| {
            let pod = json!({"spec": {"containers": [{"name": "side"}, container]}});
            names_of_engine(&serde_json::from_value(pod).unwrap())
        };
        let direct = [
            "vllm",
            "serve",
            "/m",
            "--served-model-name",
            "acme/y",
            "publishers/n/models/acme/y",
            "--port",
            "1",
        ];
        assert_eq!(
            names(json!({"name": "main", "command": direct})),
            ["acme/y", "publishers/n/models/acme/y"]
        );
        let script = "eval \"exec vllm serve /m --served-model-name \"acme/y\" --port 1 $@\"";
        assert_eq!(names(json!({"name": "main", "command": ["bash", "-c", script, "--"]})), ["acme/y"]);
        let last = json!({"name": "main", "command": direct, "args": ["--served-model-name=z"]});
        assert_eq!(names(last), ["z"]);
        assert!(names(json!({"name": "main", "args": ["--served-model-names"]})).is_empty());
    }
}
