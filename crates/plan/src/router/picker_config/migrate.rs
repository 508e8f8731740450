//! Changes that a newer picker needs in an older configuration.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use super::{Error, TEXT_FLAGS, pair, scheduler};
use crate::router::{picker, tokenizer};
use crate::storage::{MAIN, TOKENIZER_MODEL_PATH, container_mut};
use crate::subject::Subject;

/// Annotation of the picker's pod with its version.
const VERSION_ANNOTATION: &str = "app.kubernetes.io/version";
/// Flags that name an engine's metrics, with the field that takes their place.
const METRIC_FLAGS: [(&str, &str); 5] = [
    ("total-queued-requests-metric", "queuedRequestsSpec"),
    ("total-running-requests-metric", "runningRequestsSpec"),
    ("kv-cache-usage-percentage-metric", "kvUsageSpec"),
    ("lora-info-metric", "loraSpec"),
    ("cache-info-metric", "cacheInfoSpec"),
];
/// Flags that say how engines are scraped, with the parameter that takes their place; the port has none.
const SERVER_FLAGS: [(&str, Option<&str>); 4] = [
    ("model-server-metrics-scheme", Some("scheme")),
    ("model-server-metrics-path", Some("path")),
    ("model-server-metrics-https-insecure-skip-verify", Some("insecureSkipVerify")),
    ("model-server-metrics-port", None),
];

/// A picker's version; `0.0.0` if it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Self {
        let text = text.trim().trim_start_matches('v');
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = core.split('.').map(|part| part.parse().unwrap_or(0));
        Version(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// Brings arguments and text to the picker's version.
pub(super) fn migrate(pod: &mut PodSpec, subject: &Subject) -> Result<(), Error> {
    let version = scheduler(subject)
        .and_then(|scheduler| scheduler.annotations.get(VERSION_ANNOTATION))
        .map(|text| Version::parse(text))
        .unwrap_or_default();
    let deployment = format!("{}/{}", subject.namespace, picker::deployment_name(subject));
    let mut config = text(pod).and_then(|text| yaml::read_value(&text).ok()).filter(Value::is_object);
    if version >= Version(0, 7, 0) {
        let metrics = take_flags(pod, &METRIC_FLAGS.map(|(flag, _)| flag));
        if let Some(config) = &mut config {
            rename_handlers(config);
            update_handlers(config);
            drop_hash_block_size(config);
            add_metrics_extractor(config, &metrics);
        } else if !metrics.is_empty() {
            return Err(Error::InlineMetricFlags(deployment));
        }
    }
    if let Some(config) = &mut config {
        if version >= Version(0, 8, 0) {
            rename(config, "model-server-protocol-metrics", "core-metrics-extractor");
        }
        if version >= Version(0, 9, 0) {
            strip_prefix_parameters(config);
            if config["apiVersion"] == "inference.networking.x-k8s.io/v1alpha1" {
                config["apiVersion"] = json!("llm-d.ai/v1alpha1");
            }
            if tokenizer::is_wanted(subject) {
                use_tokenizer(config, &tokenizer::url(subject));
            }
        }
    }
    if version >= Version(0, 9, 0)
        && !config.as_ref().is_some_and(|config| has_plugin(config, "precise-prefix-cache-scorer"))
    {
        pod.containers.retain(|container| container.name != "tokenizer");
    }
    if version >= Version(0, 10, 0) {
        let flags = take_flags(pod, &SERVER_FLAGS.map(|(flag, _)| flag));
        let mut parameters = Map::new();
        let mut given = Vec::new();
        for (flag, parameter) in SERVER_FLAGS {
            let Some((_, value)) = flags.iter().find(|(name, _)| name == flag) else { continue };
            let Some(parameter) = parameter else { continue };
            given.push(format!("--{flag}"));
            let value = if parameter == "insecureSkipVerify" {
                json!(boolean(flag, value.as_deref())?)
            } else {
                json!(value.clone().unwrap_or_default())
            };
            parameters.insert(parameter.to_owned(), value);
        }
        match &mut config {
            Some(config) if !parameters.is_empty() && !has_plugin(config, "metrics-data-source") => {
                plugins(config).push(json!({"type": "metrics-data-source", "parameters": parameters}));
            }
            None if !given.is_empty() => {
                return Err(Error::InlineServerMetrics { deployment, flags: given.join(", ") });
            }
            _ => {}
        }
    }
    if let Some(config) = config {
        set_text(pod, yaml::write(&config));
    }
    Ok(())
}

fn text(pod: &mut PodSpec) -> Option<String> {
    super::text_of(container_mut(pod, MAIN)?)
}

fn set_text(pod: &mut PodSpec, text: String) {
    let Some(args) = container_mut(pod, MAIN).and_then(|main| main.args.as_mut()) else { return };
    if let Some(at) = pair(args).filter(|at| TEXT_FLAGS.contains(&args[*at].as_str())) {
        args[at + 1] = text;
    }
}

/// Takes flags out of commands and arguments of all containers: `--flag=value`, `--flag value` and a bare `--flag`.
fn take_flags(pod: &mut PodSpec, names: &[&str]) -> Vec<(String, Option<String>)> {
    let mut taken = Vec::new();
    for container in &mut pod.containers {
        for words in [&mut container.command, &mut container.args].into_iter().flatten() {
            let mut kept = Vec::with_capacity(words.len());
            let mut rest = std::mem::take(words).into_iter().peekable();
            while let Some(word) = rest.next() {
                let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or_default();
                let (name, value) = match body.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (body, None),
                };
                if !names.contains(&name) {
                    kept.push(word);
                    continue;
                }
                let name = name.to_owned();
                let value = value.or_else(|| {
                    let boolean = name.ends_with("skip-verify");
                    rest.next_if(|next| {
                        !next.starts_with('-') && (!boolean || matches!(next.as_str(), "true" | "false"))
                    })
                });
                taken.push((name, value));
            }
            *words = kept;
        }
        if container.args.as_ref().is_some_and(Vec::is_empty) {
            container.args = None;
        }
    }
    taken
}

fn boolean(flag: &str, value: Option<&str>) -> Result<bool, Error> {
    match value {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(Error::FixBoolean { flag: format!("--{flag}"), value: value.to_owned() }),
    }
}

fn plugins(config: &mut Value) -> &mut Vec<Value> {
    if !config["plugins"].is_array() {
        config["plugins"] = json!([]);
    }
    match &mut config["plugins"] {
        Value::Array(plugins) => plugins,
        _ => unreachable!("it was just made a list"),
    }
}

fn has_plugin(config: &Value, kind: &str) -> bool {
    config["plugins"].as_array().into_iter().flatten().any(|plugin| plugin["type"] == kind)
}

fn references(config: &mut Value) -> impl Iterator<Item = &mut Value> {
    config
        .get_mut("schedulingProfiles")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(|profile| profile.get_mut("plugins").and_then(Value::as_array_mut))
        .flatten()
}

/// Renames a plugin wherever it is named.
fn rename(config: &mut Value, from: &str, to: &str) {
    for plugin in plugins(config) {
        for field in ["type", "name"] {
            if plugin[field] == from {
                plugin[field] = json!(to);
            }
        }
    }
    for reference in references(config) {
        if reference["pluginRef"] == from {
            reference["pluginRef"] = json!(to);
        }
    }
}

fn rename_handlers(config: &mut Value) {
    rename(config, "prefill-header-handler", "disagg-headers-handler");
    rename(config, "pd-profile-handler", "disagg-profile-handler");
}

/// Turns the handler's threshold, or the name of its decider, into deciders.
fn update_handlers(config: &mut Value) {
    let mut index = 0;
    while index < plugins(config).len() {
        let plugin = &mut plugins(config)[index];
        let is_handler =
            plugin["type"] == "disagg-profile-handler" && plugin["parameters"]["deciders"].is_null();
        let parameters = plugin.get_mut("parameters").and_then(Value::as_object_mut).filter(|_| is_handler);
        if let Some(parameters) = parameters {
            let threshold = parameters.remove("threshold");
            if let Some(name) = parameters.remove("deciderPluginName") {
                parameters.insert("deciders".to_owned(), json!({"prefill": name}));
            } else if let Some(threshold) = threshold.as_ref().and_then(Value::as_f64) {
                let decider = if threshold > 0.0 {
                    let tokens = (threshold / 4.0).ceil().max(1.0) as i64;
                    json!({"type": "prefix-based-pd-decider", "parameters": {"nonCachedTokens": tokens}})
                } else {
                    json!({"type": "always-disagg-pd-decider"})
                };
                let kind = decider["type"].clone();
                parameters.insert("deciders".to_owned(), json!({"prefill": kind}));
                let present = kind.as_str().is_some_and(|kind| has_plugin(config, kind));
                if !present {
                    // A picker loads plugins in order, so the decider comes before its handler.
                    plugins(config).insert(index, decider);
                    index += 1;
                }
            }
        }
        index += 1;
    }
}

fn drop_hash_block_size(config: &mut Value) {
    for plugin in plugins(config) {
        drop_parameters(plugin, |name| name != "hashBlockSize");
    }
}

/// Newer prefix scorers only know who tells them about prefixes.
fn strip_prefix_parameters(config: &mut Value) {
    for plugin in plugins(config) {
        if plugin["type"] == "prefix-cache-scorer" {
            drop_parameters(plugin, |name| name == "prefixMatchInfoProducerName");
        }
    }
}

fn drop_parameters(plugin: &mut Value, keep: impl Fn(&str) -> bool) {
    let Some(plugin) = plugin.as_object_mut() else { return };
    let Some(parameters) = plugin.get_mut("parameters").and_then(Value::as_object_mut) else { return };
    let before = parameters.len();
    parameters.retain(|name, _| keep(name));
    if parameters.is_empty() && before > 0 {
        plugin.remove("parameters");
    }
}

fn add_metrics_extractor(config: &mut Value, flags: &[(String, Option<String>)]) {
    if flags.is_empty()
        || has_plugin(config, "model-server-protocol-metrics")
        || has_plugin(config, "core-metrics-extractor")
    {
        return;
    }
    let mut engine = json!({"name": "vllm"});
    for (flag, field) in METRIC_FLAGS {
        if let Some((_, Some(value))) = flags.iter().find(|(name, _)| name == flag) {
            engine[field] = json!(value);
        }
    }
    plugins(config).push(json!({
        "name": "model-server-protocol-metrics",
        "type": "model-server-protocol-metrics",
        "parameters": {
            "defaultEngine": "vllm",
            "engineConfigs": [engine],
            "engineLabelKey": "inference.networking.k8s.io/engine-type",
        },
    }));
}

/// Takes the old scorer with its own tokenizer apart, and tells producers of tokens where the tokenizer is.
fn use_tokenizer(config: &mut Value, url: &str) {
    const OLD: &str = "precise-prefix-cache-scorer";
    const PRODUCER: &str = "precise-prefix-cache-producer";
    if has_plugin(config, OLD) {
        let mut names = vec![OLD.to_owned()];
        let mut replaced = Vec::new();
        for mut plugin in std::mem::take(plugins(config)) {
            if plugin["type"] == OLD {
                names.extend(plugin["name"].as_str().map(str::to_owned));
                let mut parameters = plugin["parameters"].take();
                move_tokenizer_settings(&mut parameters);
                let mut producer = json!({"type": PRODUCER});
                if parameters.as_object().is_some_and(|parameters| !parameters.is_empty()) {
                    producer["parameters"] = parameters;
                }
                replaced.push(json!({"type": "token-producer"}));
                replaced.push(producer);
                replaced.push(json!({
                    "type": "prefix-cache-scorer",
                    "parameters": {"prefixMatchInfoProducerName": PRODUCER},
                }));
            } else if plugin["type"] == "prefix-cache-scorer" {
                names.extend(plugin["name"].as_str().map(str::to_owned));
            } else {
                replaced.push(plugin);
            }
        }
        *plugins(config) = replaced;
        for profile in
            config.get_mut("schedulingProfiles").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let Some(references) = profile.get_mut("plugins").and_then(Value::as_array_mut) else { continue };
            let mut seen = false;
            references.retain_mut(|reference| {
                let renamed =
                    reference["pluginRef"].as_str().is_some_and(|name| names.iter().any(|old| old == name));
                if renamed {
                    reference["pluginRef"] = json!("prefix-cache-scorer");
                }
                let is_scorer = reference["pluginRef"] == "prefix-cache-scorer";
                let keep = !(is_scorer && seen);
                seen |= is_scorer;
                keep
            });
        }
    }
    for plugin in plugins(config).iter_mut().filter(|plugin| plugin["type"] == "token-producer") {
        if plugin["parameters"]["modelName"].is_null() {
            plugin["parameters"]["modelName"] = json!(TOKENIZER_MODEL_PATH);
        }
        if plugin["parameters"]["vllm"]["url"].is_null() {
            plugin["parameters"]["vllm"]["url"] = json!(url);
        }
    }
}

fn move_tokenizer_settings(parameters: &mut Value) {
    let Some(parameters) = parameters.as_object_mut() else { return };
    let mut promoted = None;
    if let Some(indexer) = parameters.get_mut("indexerConfig").and_then(Value::as_object_mut) {
        indexer.remove("tokenizersPoolConfig");
        promoted = indexer.remove("tokenProcessorConfig");
    }
    if let Some(promoted) = promoted {
        parameters.entry("tokenProcessorConfig").or_insert(promoted);
    }
    if parameters.get("indexerConfig").and_then(Value::as_object).is_some_and(Map::is_empty) {
        parameters.remove("indexerConfig");
    }
}
