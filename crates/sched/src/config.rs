//! Reads an `EndpointPickerConfig` into a scheduler.
//!
//! Names, defaults and rules are llm-d's (v0.10): a plugin's name is its type unless given, a profile refers to plugins
//! by name, a profile without picker takes the first picker that is defined or `max-score-picker`, without profiles all
//! filters, scorers and pickers make one. Decoding is strict, also inside most plugins' parameters. What configures
//! other parts (data layer, parsers, flow control) is checked by name and left to them.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    POLICIES, Scheduler,
    filter::{ConcurrencyMode, Filter, Saturation, Selector},
    scheduler::{Picker, Weighted},
    score::{PrefixSettings, Scorer},
};

mod types;

use types::{Kind, kind_of};

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field is missing, unknown or of the wrong type.
    #[error("{at}: {reason}")]
    Field {
        /// Where: `plugins[2].parameters`, or the empty path's stand-in `EndpointPickerConfig`.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No plugin has this type.
    #[error("{at}: plugin type '{type_name}' is not registered{}", hint(.nearest))]
    UnknownPlugin {
        /// Where.
        at: String,
        /// The type as written.
        type_name: String,
        /// The known type that is spelt most alike, if one is near.
        nearest: Option<&'static str>,
    },
    /// The plugin exists in llm-d and is not built here yet.
    #[error("{at}: plugin type '{type_name}' is not supported yet; remove the plugin")]
    NotSupported {
        /// Where.
        at: String,
        /// The type as written.
        type_name: String,
    },
    /// Two plugins or profiles have one name.
    #[error("{at}: duplicate {what} name '{name}'; give one of them another name")]
    DuplicateName {
        /// Where the second one is.
        at: String,
        /// `plugin` or `profile`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A reference to a plugin that is not defined.
    #[error("{at} references undefined plugin '{name}'{}", instead(.nearest, .defined))]
    UndefinedPlugin {
        /// Where the reference is.
        at: String,
        /// The name as written.
        name: String,
        /// The defined name that is spelt most alike, if one is near.
        nearest: Option<String>,
        /// All defined names, separated by commas.
        defined: String,
    },
    /// Several profiles, or several profile handlers.
    #[error("{reason}")]
    Profiles {
        /// What is wrong and what to do.
        reason: String,
    },
    /// No policy has this name.
    #[error("no scheduling policy is called '{name}'; known are {known}{}", hint(.nearest))]
    UnknownPolicy {
        /// The name as written.
        name: String,
        /// All policies, separated by commas.
        known: String,
        /// The policy that is spelt most alike, if one is near.
        nearest: Option<&'static str>,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

fn instead(nearest: &Option<String>, all: &str) -> String {
    match nearest {
        Some(name) => format!("; did you mean '{name}'?"),
        None if all.is_empty() => "; no plugin is defined".to_owned(),
        None => format!("; defined are {all}"),
    }
}

/// The candidate spelt most alike, if it is near enough to be meant.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

pub(crate) fn unknown_policy(name: &str) -> ConfigError {
    ConfigError::UnknownPolicy {
        name: name.to_owned(),
        known: POLICIES.join(", "),
        nearest: nearest(name, POLICIES.into_iter()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Config {
    api_version: Option<String>,
    kind: Option<String>,
    feature_gates: Vec<String>,
    plugins: Vec<PluginSpec>,
    scheduling_profiles: Vec<ProfileSpec>,
    saturation_detector: Option<PluginRef>,
    data_layer: Option<Value>,
    flow_control: Option<FlowControl>,
    request_handler: Option<Value>,
    parser: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FlowControl {
    saturation_detector: Option<PluginRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PluginSpec {
    name: Option<String>,
    #[serde(rename = "type")]
    type_name: Option<String>,
    parameters: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ProfileSpec {
    name: Option<String>,
    plugins: Vec<PluginRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PluginRef {
    plugin_ref: Option<String>,
    weight: Option<f64>,
}

/// A plugin that is defined, by name.
struct Plugin {
    at: String,
    name: Arc<str>,
    type_name: String,
    kind: Kind,
    parameters: Value,
}

pub(crate) fn read(value: &Value) -> Result<Scheduler, ConfigError> {
    if value.is_null() {
        return Ok(Scheduler::default());
    }
    let config: Config = decode(value, "EndpointPickerConfig")?;
    check_header(&config)?;
    check_gates(&config.feature_gates)?;
    let plugins = plugins(&config.plugins)?;
    let mut warnings = Vec::new();
    if config.flow_control.is_some() {
        warnings
            .push("flowControl is not applied: requests are not queued before they are placed".to_owned());
    }
    let _read_elsewhere = (&config.data_layer, &config.request_handler, &config.parser);

    let (profile_name, refs) = profile(&config, &plugins)?;
    let mut scheduler =
        Scheduler { profile: profile_name.into(), ..Scheduler::without_scorers(Picker::MaxScore) };
    scheduler.producers = producers(&plugins)?;
    scheduler.saturation = saturation(&config, &plugins)?;
    let mut picker: Option<(Picker, usize)> = None;
    for (at, plugin, weight) in refs {
        match plugin.kind {
            Kind::Scorer => {
                let scorer = scorer(plugin, &mut scheduler.producers)?;
                scheduler.scorers.push(Weighted { name: plugin.name.clone(), weight, scorer });
            }
            Kind::Filter | Kind::Detector => scheduler.filters.push((plugin.name.clone(), filter(plugin)?)),
            Kind::Picker => picker = picker.or(Some(read_picker(plugin)?)),
            Kind::SingleProfileHandler | Kind::PrefixProducer => {}
            Kind::Elsewhere => {
                warnings.push(format!("{at}: plugin '{}' does nothing in a profile", plugin.name))
            }
            Kind::NotSupported => return Err(not_supported(plugin)),
        }
    }
    if picker.is_none()
        && let Some(plugin) = plugins.values().find(|plugin| plugin.kind == Kind::Picker)
    {
        picker = Some(read_picker(plugin)?);
    }
    (scheduler.picker, scheduler.picks) = picker.unwrap_or((Picker::MaxScore, 1));
    scheduler.warnings = warnings;
    Ok(scheduler)
}

fn check_header(config: &Config) -> Result<(), ConfigError> {
    let field = |at: &str, reason: String| Err(ConfigError::Field { at: at.to_owned(), reason });
    if let Some(kind) = config.kind.as_deref().filter(|kind| *kind != "EndpointPickerConfig") {
        return field("kind", format!("must be EndpointPickerConfig, not '{kind}'"));
    }
    match config.api_version.as_deref() {
        None | Some("llm-d.ai/v1alpha1" | "inference.networking.x-k8s.io/v1alpha1") => Ok(()),
        Some(other) => field("apiVersion", format!("must be llm-d.ai/v1alpha1, not '{other}'")),
    }
}

fn check_gates(gates: &[String]) -> Result<(), ConfigError> {
    for (number, gate) in gates.iter().enumerate() {
        let name = gate.split('=').next().unwrap_or(gate);
        if !["flowControl", "haPopulateNonLeaderDatastore"].contains(&name) {
            return Err(ConfigError::Field {
                at: format!("featureGates[{number}]"),
                reason: format!(
                    "feature gate '{name}' is unknown; known are flowControl, haPopulateNonLeaderDatastore"
                ),
            });
        }
    }
    Ok(())
}

fn plugins(specs: &[PluginSpec]) -> Result<BTreeMap<String, Plugin>, ConfigError> {
    let mut plugins = BTreeMap::new();
    for (number, spec) in specs.iter().enumerate() {
        let at = format!("plugins[{number}]");
        let Some(type_name) = spec.type_name.clone().filter(|name| !name.is_empty()) else {
            let name = spec.name.as_deref().unwrap_or_default();
            return Err(ConfigError::Field { at, reason: format!("plugin '{name}' is missing a type") });
        };
        let name = spec.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| type_name.clone());
        let Some(kind) = kind_of(&type_name) else {
            let nearest = nearest(&type_name, types::all());
            return Err(ConfigError::UnknownPlugin { at, type_name, nearest });
        };
        // Even one that no profile names may have an effect in llm-d (producers, admitters).
        if kind == Kind::NotSupported {
            return Err(ConfigError::NotSupported { at, type_name });
        }
        let plugin = Plugin {
            at: at.clone(),
            name: name.as_str().into(),
            type_name,
            kind,
            parameters: spec.parameters.clone().unwrap_or(Value::Null),
        };
        if plugins.insert(name.clone(), plugin).is_some() {
            return Err(ConfigError::DuplicateName { at, what: "plugin", name });
        }
    }
    Ok(plugins)
}

type Referenced<'a> = Vec<(String, &'a Plugin, f64)>;

/// The name of the only profile and the plugins it refers to, with weights.
fn profile<'a>(
    config: &Config,
    plugins: &'a BTreeMap<String, Plugin>,
) -> Result<(String, Referenced<'a>), ConfigError> {
    let mut names = Vec::new();
    let mut referenced = Vec::new();
    for (number, profile) in config.scheduling_profiles.iter().enumerate() {
        let Some(name) = profile.name.clone().filter(|name| !name.is_empty()) else {
            return Err(ConfigError::Field {
                at: format!("schedulingProfiles[{number}]"),
                reason: "the profile is missing a name".to_owned(),
            });
        };
        if names.contains(&name) {
            let at = format!("schedulingProfiles[{number}]");
            return Err(ConfigError::DuplicateName { at, what: "profile", name });
        }
        for (place, reference) in profile.plugins.iter().enumerate() {
            let at = format!("schedulingProfiles[{name}].plugins[{place}]");
            let Some(wanted) = reference.plugin_ref.as_deref().filter(|wanted| !wanted.is_empty()) else {
                return Err(ConfigError::Field { at, reason: "is missing a 'pluginRef'".to_owned() });
            };
            let plugin = resolve(&at, wanted, plugins)?;
            referenced.push((at, plugin, reference.weight.unwrap_or(1.0)));
        }
        names.push(name);
    }
    match names.len() {
        0 => {
            // In the order of the file: llm-d's order is that of a Go map.
            let mut all: Vec<&Plugin> = plugins
                .values()
                .filter(|plugin| {
                    matches!(plugin.kind, Kind::Filter | Kind::Scorer | Kind::Picker | Kind::Detector)
                })
                .collect();
            all.sort_by_key(|plugin| place_in_file(config, plugin));
            Ok((
                "default".to_owned(),
                all.into_iter().map(|plugin| (plugin.at.clone(), plugin, 1.0)).collect(),
            ))
        }
        1 => Ok((names.remove(0), referenced)),
        _ => Err(ConfigError::Profiles {
            reason: format!(
                "schedulingProfiles: there are {} profiles ({}) and no profile handler that knows which to use",
                names.len(),
                names.join(", ")
            ),
        }),
    }
}

fn place_in_file(config: &Config, plugin: &Plugin) -> usize {
    let named = |spec: &PluginSpec| spec.name.as_deref().or(spec.type_name.as_deref()) == Some(&*plugin.name);
    config.plugins.iter().position(named).unwrap_or(usize::MAX)
}

fn resolve<'a>(
    at: &str,
    wanted: &str,
    plugins: &'a BTreeMap<String, Plugin>,
) -> Result<&'a Plugin, ConfigError> {
    plugins.get(wanted).ok_or_else(|| ConfigError::UndefinedPlugin {
        at: at.to_owned(),
        name: wanted.to_owned(),
        nearest: nearest(wanted, plugins.keys().map(String::as_str)).map(str::to_owned),
        defined: plugins.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    })
}

fn producers(plugins: &BTreeMap<String, Plugin>) -> Result<Vec<PrefixSettings>, ConfigError> {
    plugins.values().filter(|plugin| plugin.kind == Kind::PrefixProducer).map(prefix_settings).collect()
}

fn prefix_settings(plugin: &Plugin) -> Result<PrefixSettings, ConfigError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Parameters {
        auto_tune: bool,
        block_size_tokens: Option<u32>,
        block_size: Option<u32>,
        max_prefix_tokens_to_match: i64,
        max_prefix_blocks_to_match: i64,
        lru_capacity_per_server: i64,
    }
    impl Default for Parameters {
        fn default() -> Self {
            Self {
                auto_tune: true,
                block_size_tokens: None,
                block_size: None,
                max_prefix_tokens_to_match: 131_072,
                max_prefix_blocks_to_match: 2048,
                lru_capacity_per_server: 31_250,
            }
        }
    }
    let given: Parameters = parameters(plugin)?;
    let wrong = |reason: &str| {
        Err(ConfigError::Field { at: format!("{}.parameters", plugin.at), reason: reason.to_owned() })
    };
    let block_tokens = given.block_size_tokens.or(given.block_size).unwrap_or(16);
    if !given.auto_tune && block_tokens == 0 {
        return wrong("blockSizeTokens must be > 0 when autoTune is false");
    }
    let Ok(max_tokens) = usize::try_from(given.max_prefix_tokens_to_match) else {
        return wrong("maxPrefixTokensToMatch must be >= 0");
    };
    Ok(PrefixSettings {
        name: plugin.name.clone(),
        auto_tune: given.auto_tune,
        block_tokens,
        max_tokens,
        max_blocks: usize::try_from(given.max_prefix_blocks_to_match).unwrap_or(0),
        capacity_blocks: usize::try_from(given.lru_capacity_per_server).unwrap_or(0),
    })
}

/// The number of the producer of this name; without a name the default one, which is made if it is not defined.
fn producer(plugin: &Plugin, name: &str, producers: &mut Vec<PrefixSettings>) -> Result<usize, ConfigError> {
    let default = PrefixSettings::default();
    let wanted = if name.is_empty() { &*default.name } else { name };
    if let Some(number) = producers.iter().position(|producer| &*producer.name == wanted) {
        return Ok(number);
    }
    if wanted != &*default.name {
        return Err(ConfigError::UndefinedPlugin {
            at: format!("{}.parameters.prefixMatchInfoProducerName", plugin.at),
            name: wanted.to_owned(),
            nearest: nearest(wanted, producers.iter().map(|producer| &*producer.name)).map(str::to_owned),
            defined: producers.iter().map(|producer| &*producer.name).collect::<Vec<_>>().join(", "),
        });
    }
    producers.push(default);
    Ok(producers.len() - 1)
}

fn scorer(plugin: &Plugin, producers: &mut Vec<PrefixSettings>) -> Result<Scorer, ConfigError> {
    Ok(match plugin.type_name.as_str() {
        "queue-scorer" => Scorer::Queue,
        "running-requests-size-scorer" => Scorer::RunningRequests,
        "kv-cache-utilization-scorer" => Scorer::KvCacheUtilization,
        "lora-affinity-scorer" => Scorer::LoraAffinity,
        "load-aware-scorer" => {
            #[derive(Default, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            struct Parameters {
                threshold: Option<i64>,
            }
            let given: Parameters = parameters(plugin)?;
            Scorer::LoadAware {
                threshold: given.threshold.filter(|threshold| *threshold > 0).unwrap_or(128) as f64,
            }
        }
        "prefix-cache-scorer" => {
            #[derive(Default, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            struct Parameters {
                prefix_match_info_producer_name: String,
                match_length_weight: f64,
                match_length_scale_tokens: Option<f64>,
            }
            let given: Parameters = parameters(plugin)?;
            Scorer::PrefixCache {
                producer: producer(plugin, &given.prefix_match_info_producer_name, producers)?,
                match_length_weight: given.match_length_weight,
                match_length_scale_tokens: given
                    .match_length_scale_tokens
                    .filter(|tokens| *tokens > 0.0)
                    .unwrap_or(8192.0),
            }
        }
        "no-hit-lru-scorer" => {
            #[derive(Default, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            struct Parameters {
                #[serde(rename = "lruSize")]
                _lru_size: Option<i64>,
                prefix_match_info_producer_name: String,
            }
            let given: Parameters = parameters(plugin)?;
            Scorer::NoHitLru {
                producer: producer(plugin, &given.prefix_match_info_producer_name, producers)?,
            }
        }
        "active-request-scorer" => {
            #[derive(Default, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            struct Parameters {
                idle_threshold: i64,
                max_busy_score: Option<f64>,
                #[serde(rename = "inFlightLoadProducerName")]
                _in_flight_load_producer_name: Option<String>,
                #[serde(rename = "requestTimeout")]
                _request_timeout: Option<Value>,
            }
            let given: Parameters = parameters(plugin)?;
            Scorer::ActiveRequest {
                idle_threshold: given.idle_threshold,
                max_busy_score: given
                    .max_busy_score
                    .filter(|score| (0.0..=1.0).contains(score))
                    .unwrap_or(1.0),
            }
        }
        "token-load-scorer" => {
            #[derive(Default, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            struct Parameters {
                queue_threshold_tokens: Option<f64>,
                #[serde(rename = "inFlightLoadProducerName")]
                _in_flight_load_producer_name: Option<String>,
            }
            let given: Parameters = parameters(plugin)?;
            let threshold =
                given.queue_threshold_tokens.filter(|tokens| *tokens > 0.0).unwrap_or(4_194_304.0);
            Scorer::TokenLoad { queue_threshold_tokens: threshold }
        }
        _ => return Err(not_supported(plugin)),
    })
}

fn filter(plugin: &Plugin) -> Result<Filter, ConfigError> {
    if let Some(filter) = Filter::role(&plugin.type_name) {
        return Ok(filter);
    }
    match plugin.type_name.as_str() {
        "by-label" => {
            #[derive(Default, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            struct Parameters {
                label: String,
                valid_values: Vec<String>,
                allows_no_label: bool,
            }
            let given: Parameters = parameters(plugin)?;
            if given.label.is_empty() {
                let at = format!("{}.parameters.label", plugin.at);
                return Err(ConfigError::Field { at, reason: "the label to look at is missing".to_owned() });
            }
            Ok(Filter::Label {
                label: given.label,
                values: given.valid_values,
                or_absent: given.allows_no_label,
            })
        }
        "label-selector-filter" | "by-label-selector" => {
            Ok(Filter::Selector(parameters::<Selector>(plugin)?))
        }
        "utilization-detector" | "concurrency-detector" => Ok(Filter::Room(detector(plugin)?)),
        _ => Err(not_supported(plugin)),
    }
}

fn saturation(config: &Config, plugins: &BTreeMap<String, Plugin>) -> Result<Saturation, ConfigError> {
    let newer = config.flow_control.as_ref().and_then(|flow| flow.saturation_detector.clone());
    let Some(reference) = newer.or_else(|| config.saturation_detector.clone()) else {
        return match plugins.get("utilization-detector") {
            Some(plugin) => detector(plugin),
            None => Ok(Saturation::default()),
        };
    };
    let name = reference.plugin_ref.unwrap_or_else(|| "utilization-detector".to_owned());
    if name == "utilization-detector" && !plugins.contains_key(&name) {
        return Ok(Saturation::default());
    }
    let plugin = resolve("saturationDetector", &name, plugins)?;
    if plugin.kind != Kind::Detector {
        return Err(ConfigError::Field {
            at: "saturationDetector".to_owned(),
            reason: format!("plugin '{name}' is a {}, not a saturation detector", plugin.type_name),
        });
    }
    detector(plugin)
}

fn detector(plugin: &Plugin) -> Result<Saturation, ConfigError> {
    if plugin.type_name == "concurrency-detector" {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        struct Parameters {
            max_concurrency: Option<f64>,
            concurrency_mode: ConcurrencyMode,
            max_token_concurrency: Option<f64>,
            headroom: f64,
            #[serde(rename = "inFlightLoadProducerName")]
            _in_flight_load_producer_name: Option<String>,
        }
        let given: Parameters = parameters(plugin)?;
        return Ok(Saturation::Concurrency {
            max_requests: given.max_concurrency.filter(|max| *max > 0.0).unwrap_or(100.0),
            max_tokens: given.max_token_concurrency.filter(|max| *max > 0.0).unwrap_or(1_000_000.0),
            mode: given.concurrency_mode,
            headroom: given.headroom.max(0.0),
        });
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Parameters {
        queue_depth_threshold: Option<f64>,
        kv_cache_util_threshold: Option<f64>,
        metrics_staleness_threshold: Option<Value>,
        headroom: f64,
    }
    let given: Parameters = parameters(plugin)?;
    let staleness_ms = match &given.metrics_staleness_threshold {
        None => 200,
        Some(value) => duration_ms(value).ok_or_else(|| ConfigError::Field {
            at: format!("{}.parameters.metricsStalenessThreshold", plugin.at),
            reason: format!("{value} is not a duration such as \"200ms\" or \"1s\""),
        })?,
    };
    Ok(Saturation::Utilization {
        queue_depth_threshold: given.queue_depth_threshold.filter(|depth| *depth > 0.0).unwrap_or(5.0),
        kv_cache_util_threshold: given.kv_cache_util_threshold.filter(|ratio| *ratio > 0.0).unwrap_or(0.8),
        staleness_ms,
        headroom: given.headroom.max(0.0),
    })
}

/// A Go duration of one unit, or a number of nanoseconds. llm-d takes one form here and the other there; both are meant.
fn duration_ms(value: &Value) -> Option<u64> {
    if let Some(nanoseconds) = value.as_u64() {
        return Some(nanoseconds / 1_000_000);
    }
    let text = value.as_str()?;
    let unit_at = text.find(|char: char| char.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| *number >= 0.0)?;
    Some((number * factor) as u64)
}

fn read_picker(plugin: &Plugin) -> Result<(Picker, usize), ConfigError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Parameters {
        max_num_of_endpoints: Option<i64>,
    }
    let given: Parameters = parameters(plugin)?;
    let picker = match plugin.type_name.as_str() {
        "random-picker" => Picker::Random,
        "weighted-random-picker" => Picker::WeightedRandom,
        _ => Picker::MaxScore,
    };
    // A count of 0 or less counts as 1.
    let picks = given.max_num_of_endpoints.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).max(1);
    Ok((picker, picks))
}

fn parameters<T: DeserializeOwned>(plugin: &Plugin) -> Result<T, ConfigError> {
    let empty = Value::Object(serde_json::Map::new());
    let value = if plugin.parameters.is_null() { &empty } else { &plugin.parameters };
    decode(value, &format!("{}.parameters", plugin.at))
}

fn not_supported(plugin: &Plugin) -> ConfigError {
    ConfigError::NotSupported { at: plugin.at.clone(), type_name: plugin.type_name.clone() }
}

fn decode<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, ConfigError> {
    T::deserialize(value).map_err(|error| ConfigError::Field { at: at.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests;
