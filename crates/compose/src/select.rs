//! Which presets a service needs, and what they are called for it.

use std::collections::BTreeMap;

use kinds::pointer::at;
use serde_json::Value;

use crate::Facts;

/// The presets that services are pinned to, in the order of KServe's status annotations. Pipeline-parallel ones are not
/// among them: KServe has none.
const PINNED: &[&str] = &[
    "config-llm-template",
    "config-llm-decode-template",
    "config-llm-prefill-template",
    "config-llm-worker-data-parallel",
    "config-llm-decode-worker-data-parallel",
    "config-llm-prefill-worker-data-parallel",
    "config-llm-scheduler",
    "config-llm-router-route",
    "config-llm-scheduler-latency-predictor",
    "config-llm-tokenizer",
    "config-llm-tracing",
];

const ROUTE: &str = "config-llm-router-route";

/// Plugins that need the tokenizer.
const TOKEN_PLUGINS: &[&str] = &["token-producer", "precise-prefix-cache-scorer"];
/// The plugin that needs the latency predictor.
const LATENCY_PLUGIN: &str = "predicted-latency-producer";

/// The annotations that pin a service to presets: those it has, and the current names for the others.
pub fn pins(facts: &Facts) -> BTreeMap<String, String> {
    let mut pins: BTreeMap<String, String> = facts
        .service
        .pointer("/status/annotations")
        .and_then(Value::as_object)
        .map(|annotations| {
            annotations
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default();
    if facts.pin_presets {
        for suffix in PINNED {
            let pin = pins.entry(format!("{}{suffix}", api::keys::PRESET_PIN_PREFIX)).or_default();
            if pin.is_empty() {
                *pin = format!("{}{suffix}", facts.config_prefix);
            }
        }
    }
    pins
}

/// The name of the object that holds a preset for this service.
///
/// The route is never pinned: it belongs to the version of the gateway, not to that of the service.
fn object_name(facts: &Facts, pins: &BTreeMap<String, String>, suffix: &str) -> String {
    let pin = pins.get(&format!("{}{suffix}", api::keys::PRESET_PIN_PREFIX)).filter(|pin| !pin.is_empty());
    match pin {
        Some(pin) if facts.pin_presets && suffix != ROUTE && PINNED.contains(&suffix) => pin.clone(),
        _ => format!("{}{suffix}", facts.config_prefix),
    }
}

/// The presets of a service, lowest precedence first: object name and name without prefix. `resolved` is the service
/// with its baseRefs.
pub(crate) fn presets(
    facts: &Facts,
    pins: &BTreeMap<String, String>,
    resolved: &Value,
) -> Vec<(String, &'static str)> {
    suffixes(resolved).into_iter().map(|suffix| (object_name(facts, pins, suffix), suffix)).collect()
}

fn suffixes(spec: &Value) -> Vec<&'static str> {
    let mut selected = Vec::new();
    let has = |pointer: &str| at(spec, pointer).is_some_and(|value| !value.is_null());
    if has("/router/scheduler") {
        let pool = at(spec, "/router/scheduler/pool/ref/name").and_then(Value::as_str);
        if pool.is_none_or(str::is_empty) {
            selected.push("config-llm-scheduler");
        }
        let plugins = plugin_types(spec);
        let uses = |names: &[&str]| plugins.iter().any(|plugin| names.contains(&plugin.as_str()));
        if has("/router/scheduler/tokenizer") || uses(TOKEN_PLUGINS) {
            selected.push("config-llm-tokenizer");
        }
        if uses(&[LATENCY_PLUGIN]) {
            selected.push("config-llm-scheduler-latency-predictor");
        }
    }
    let has_refs = spec
        .pointer("/router/route/http/refs")
        .and_then(Value::as_array)
        .is_some_and(|refs| !refs.is_empty());
    if has("/router/route") && !has_refs {
        selected.push(ROUTE);
    }
    if has("/tracing") {
        selected.push("config-llm-tracing");
    }
    let main = if has("/prefill") {
        selected.extend(workload(
            &spec["prefill"],
            [
                "config-llm-prefill-template",
                "config-llm-prefill-worker-data-parallel",
                "config-llm-prefill-worker-pipeline-parallel",
            ],
        ));
        [
            "config-llm-decode-template",
            "config-llm-decode-worker-data-parallel",
            "config-llm-decode-worker-pipeline-parallel",
        ]
    } else {
        ["config-llm-template", "config-llm-worker-data-parallel", "config-llm-worker-pipeline-parallel"]
    };
    selected.extend(workload(spec, main));
    selected
}

/// The preset of a workload: single node, data parallel or pipeline parallel. Workers without either have none.
fn workload(workload: &Value, [single, data, pipeline]: [&'static str; 3]) -> Option<&'static str> {
    if workload["worker"].is_null() {
        return Some(single);
    }
    let degree = |name: &str| workload["parallelism"][name].as_i64().unwrap_or(0);
    if degree("data") > 0 || degree("dataLocal") > 0 {
        Some(data)
    } else if degree("pipeline") > 0 {
        Some(pipeline)
    } else {
        None
    }
}

/// The types of all plugins of the picker's configuration, inline or in the arguments of its container.
fn plugin_types(spec: &Value) -> Vec<String> {
    let Some(scheduler) = at(spec, "/router/scheduler") else { return Vec::new() };
    let config = match at(scheduler, "/config/inline") {
        Some(Value::String(text)) => yaml::read_value(text).unwrap_or_default(),
        Some(inline) => inline.clone(),
        None => config_text(scheduler).and_then(|text| yaml::read_value(text).ok()).unwrap_or_default(),
    };
    plugins(&config)
}

/// The types of the plugins of an EndpointPickerConfig.
pub(crate) fn plugins(config: &Value) -> Vec<String> {
    let plugins = config["plugins"].as_array();
    plugins.into_iter().flatten().filter_map(|plugin| Some(plugin["type"].as_str()?.to_owned())).collect()
}

/// Whether it needs the latency predictor beside the picker.
pub(crate) fn needs_latency_predictor(config: &Value) -> bool {
    plugins(config).iter().any(|plugin| plugin == LATENCY_PLUGIN)
}

/// The value after a `--config-text` flag of any container of the picker.
fn config_text(scheduler: &Value) -> Option<&str> {
    let containers = at(scheduler, "/template/containers")?.as_array()?;
    containers.iter().find_map(|container| {
        let args = container["args"].as_array()?;
        let flag = args.iter().position(|arg| {
            matches!(arg.as_str(), Some("--config-text" | "-config-text" | "--configText" | "-configText"))
        })?;
        args.get(flag + 1)?.as_str()
    })
}
