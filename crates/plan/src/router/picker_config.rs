//! The picker's configuration: where it comes from, the default, and what newer pickers need changed in older texts.
//!
//! A picker's version stands in the pod annotation `app.kubernetes.io/version`; a text is only changed as far as that
//! version needs it. The text is parsed, changed and written again; one that is not YAML is left alone.

mod migrate;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::scheduler;
use crate::storage::{MAIN, adapters, container_mut};
use crate::subject::Subject;

/// Flags whose next argument is the configuration itself.
const TEXT_FLAGS: [&str; 4] = ["--config-text", "-config-text", "--configText", "-configText"];
/// Flags whose next argument is a file with it.
const FILE_FLAGS: [&str; 4] = ["--config-file", "-config-file", "--configFile", "-configFile"];

/// Why the configuration does not fit the picker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "scheduler deployment {0} uses deprecated metric flags but has no inline --config-text; automatic migration to \
         core-metrics-extractor plugin is not possible — convert to --config-text or remove the deprecated flags manually"
    )]
    InlineMetricFlags(String),
    #[error(
        "scheduler deployment {deployment} sets deprecated {flags} but has no inline --config-text; automatic migration to \
         the metrics-data-source plugin is not possible — convert to --config-text or remove the flags manually"
    )]
    InlineServerMetrics { deployment: String, flags: String },
    #[error("invalid value {value:?} of {flag}: write true or false")]
    FixBoolean { flag: String, value: String },
}

/// Gives the picker its configuration and brings it to the picker's version.
pub(crate) fn complete(pod: &mut PodSpec, subject: &Subject, live: Option<&Value>) -> Result<(), Error> {
    if let Some(main) = container_mut(pod, MAIN) {
        let args = main.args.get_or_insert_default();
        if let Some(config) = &subject.merged.scheduler_config {
            remove_pair(args);
            args.extend(["--config-text".to_owned(), config.text.clone()]);
        } else if pair(args).is_none() {
            let kept = live.and_then(live_pair);
            args.extend(kept.unwrap_or_else(|| ["--config-text".to_owned(), yaml::write(&default(subject))]));
        }
    }
    migrate::migrate(pod, subject)
}

/// Whether a plugin in the text asks for tokens.
pub(crate) fn needs_tokenizer(subject: &Subject) -> bool {
    let text = match &subject.merged.scheduler_config {
        Some(config) => Some(config.text.clone()),
        None => scheduler(subject)
            .and_then(|scheduler| scheduler.template.as_ref())
            .and_then(|pod| pod.containers.iter().find(|container| container.name == MAIN))
            .and_then(text_of),
    };
    let Some(Ok(config)) = text.map(|text| yaml::read_value(&text)) else { return false };
    config["plugins"].as_array().into_iter().flatten().any(|plugin| {
        matches!(plugin["type"].as_str(), Some("token-producer" | "precise-prefix-cache-scorer"))
    })
}

/// The text that a container is given in its arguments.
fn text_of(container: &Container) -> Option<String> {
    let args = container.args.as_ref()?;
    let at = pair(args).filter(|at| TEXT_FLAGS.contains(&args[*at].as_str()))?;
    Some(args[at + 1].clone())
}

/// Place of the flag of a pair `flag value`. `flag=value` is not one: KServe does not see it.
fn pair(args: &[String]) -> Option<usize> {
    (0..args.len().saturating_sub(1))
        .find(|at| TEXT_FLAGS.contains(&args[*at].as_str()) || FILE_FLAGS.contains(&args[*at].as_str()))
}

fn remove_pair(args: &mut Vec<String>) {
    while let Some(at) = pair(args) {
        args.drain(at..at + 2);
    }
}

/// The configuration of the running picker. A default that a picker was made with stays with it.
fn live_pair(live: &Value) -> Option<[String; 2]> {
    let containers = live.pointer("/spec/template/spec/containers")?.as_array()?;
    let main = containers.iter().find(|container| container["name"] == MAIN)?;
    let args: Vec<String> =
        main["args"].as_array()?.iter().map(|arg| arg.as_str().unwrap_or_default().to_owned()).collect();
    let at = pair(&args)?;
    Some([args[at].clone(), args[at + 1].clone()])
}

/// The configuration of a service that brings none.
fn default(subject: &Subject) -> Value {
    let plugin = |name: &str| json!({"type": name});
    let weighted = |name: &str, weight: i32| json!({"pluginRef": name, "weight": weight});
    let plain = |name: &str| json!({"pluginRef": name});
    let has_adapters = !adapters(subject.spec).is_empty();
    let lora = has_adapters.then(|| weighted("lora-affinity-scorer", 4));
    let (mut plugins, profiles) = if subject.spec.prefill.is_some() {
        let mut plugins: Vec<Value> = [
            "disagg-headers-handler",
            "prefill-filter",
            "decode-filter",
            "queue-scorer",
            "kv-cache-utilization-scorer",
            "active-request-scorer",
            "prefix-cache-scorer",
            "max-score-picker",
            "always-disagg-pd-decider",
        ]
        .map(plugin)
        .to_vec();
        plugins.push(json!({
            "type": "disagg-profile-handler",
            "parameters": {"deciders": {"prefill": "always-disagg-pd-decider"}},
        }));
        let mut prefill = vec![plain("prefill-filter")];
        prefill.extend(lora.clone());
        prefill.extend([
            weighted("prefix-cache-scorer", 3),
            weighted("queue-scorer", 2),
            weighted("kv-cache-utilization-scorer", 2),
            plain("max-score-picker"),
        ]);
        let mut decode = vec![plain("decode-filter")];
        decode.extend(lora);
        decode.extend([
            weighted("active-request-scorer", 2),
            weighted("prefix-cache-scorer", 3),
            plain("max-score-picker"),
        ]);
        (plugins, json!([{"name": "prefill", "plugins": prefill}, {"name": "decode", "plugins": decode}]))
    } else {
        let plugins: Vec<Value> = [
            "single-profile-handler",
            "queue-scorer",
            "kv-cache-utilization-scorer",
            "prefix-cache-scorer",
            "no-hit-lru-scorer",
            "max-score-picker",
        ]
        .map(plugin)
        .to_vec();
        let mut profile: Vec<Value> = lora.into_iter().collect();
        profile.extend([
            weighted("queue-scorer", 2),
            weighted("kv-cache-utilization-scorer", 2),
            weighted("prefix-cache-scorer", 3),
            weighted("no-hit-lru-scorer", 2),
            plain("max-score-picker"),
        ]);
        (plugins, json!([{"name": "default", "plugins": profile}]))
    };
    if has_adapters {
        plugins.push(plugin("lora-affinity-scorer"));
    }
    json!({
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": profiles,
    })
}
