//! Reads an `EndpointPickerConfig` into a scheduler.
//!
//! Names, defaults and rules are llm-d's (v0.10): a plugin's name is its type unless given, a profile refers to plugins
//! by name, a profile without picker takes the first picker that is defined or `max-score-picker`, without profiles all
//! filters, scorers and pickers make one. Several profiles need a handler that knows which to use. Decoding is strict, also inside most plugins' parameters. What configures
//! other parts (data layer, parsers, flow control) is checked by name and left to them.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    POLICIES, Scheduler,
    filter::Saturation,
    scheduler::{Picker, Prefill, Profile, Weighted},
    score::PrefixSettings,
};

mod plugins;
mod stages;
mod types;

use plugins::{detector, filter, producers, read_picker, scorer};
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

    let profiles = profiles(&config, &plugins)?;
    let mut producers = producers(&plugins)?;
    let stages = stages::read(&plugins, &profiles, &mut producers, &mut warnings)?;
    let mut profile = |place: usize| profile(&profiles[place], &plugins, &mut producers, &mut warnings);
    let main = profile(stages.main)?;
    let prefill = match stages.prefill {
        Some((place, decider)) => Some(Prefill { profile: profile(place)?, decider }),
        None => None,
    };
    let saturation = saturation(&config, &plugins)?;
    Ok(Scheduler { main, prefill, producers, saturation, warnings })
}

/// One profile with all that it refers to.
fn profile(
    (name, refs): &(String, Referenced<'_>),
    plugins: &BTreeMap<String, Plugin>,
    producers: &mut Vec<PrefixSettings>,
    warnings: &mut Vec<String>,
) -> Result<Profile, ConfigError> {
    let mut profile = Profile::without_scorers(name.as_str(), Picker::MaxScore);
    let mut picker: Option<(Picker, usize)> = None;
    for (at, plugin, weight) in refs {
        match plugin.kind {
            Kind::Scorer => {
                let scorer = scorer(plugin, producers)?;
                profile.scorers.push(Weighted { name: plugin.name.clone(), weight: *weight, scorer });
            }
            Kind::Filter | Kind::Detector => profile.filters.push((plugin.name.clone(), filter(plugin)?)),
            Kind::Picker => picker = picker.or(Some(read_picker(plugin)?)),
            Kind::SingleProfileHandler
            | Kind::DisaggProfileHandler
            | Kind::Decider
            | Kind::PrefixProducer => {}
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
    (profile.picker, profile.picks) = picker.unwrap_or((Picker::MaxScore, 1));
    Ok(profile)
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

/// The profiles in the order of the file, each with the plugins that it refers to and their weights.
fn profiles<'a>(
    config: &Config,
    plugins: &'a BTreeMap<String, Plugin>,
) -> Result<Vec<(String, Referenced<'a>)>, ConfigError> {
    let mut profiles: Vec<(String, Referenced<'a>)> = Vec::new();
    for (number, profile) in config.scheduling_profiles.iter().enumerate() {
        let Some(name) = profile.name.clone().filter(|name| !name.is_empty()) else {
            return Err(ConfigError::Field {
                at: format!("schedulingProfiles[{number}]"),
                reason: "the profile is missing a name".to_owned(),
            });
        };
        if profiles.iter().any(|(known, _)| *known == name) {
            let at = format!("schedulingProfiles[{number}]");
            return Err(ConfigError::DuplicateName { at, what: "profile", name });
        }
        let mut referenced = Vec::new();
        for (place, reference) in profile.plugins.iter().enumerate() {
            let at = format!("schedulingProfiles[{name}].plugins[{place}]");
            let Some(wanted) = reference.plugin_ref.as_deref().filter(|wanted| !wanted.is_empty()) else {
                return Err(ConfigError::Field { at, reason: "is missing a 'pluginRef'".to_owned() });
            };
            let plugin = resolve(&at, wanted, plugins)?;
            referenced.push((at, plugin, reference.weight.unwrap_or(1.0)));
        }
        profiles.push((name, referenced));
    }
    if profiles.is_empty() {
        // In the order of the file: llm-d's order is that of a Go map.
        let mut all: Vec<&Plugin> = plugins
            .values()
            .filter(|plugin| {
                matches!(plugin.kind, Kind::Filter | Kind::Scorer | Kind::Picker | Kind::Detector)
            })
            .collect();
        all.sort_by_key(|plugin| place_in_file(config, plugin));
        let all = all.into_iter().map(|plugin| (plugin.at.clone(), plugin, 1.0)).collect();
        profiles.push(("default".to_owned(), all));
    }
    Ok(profiles)
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

fn not_supported(plugin: &Plugin) -> ConfigError {
    ConfigError::NotSupported { at: plugin.at.clone(), type_name: plugin.type_name.clone() }
}

fn decode<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, ConfigError> {
    T::deserialize(value).map_err(|error| ConfigError::Field { at: at.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests;
