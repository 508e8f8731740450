//! Profile handlers: which profile picks the endpoint that answers, which one the endpoint that computes the prompt, and
//! when there is one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    ConfigError, Plugin, Referenced, nearest,
    plugins::{parameters, producer},
    types::Kind,
};
use crate::{scheduler::Decider, score::PrefixSettings};

/// Places of profiles in the configuration's list.
pub(super) struct Stages {
    pub(super) main: usize,
    pub(super) prefill: Option<(usize, Decider)>,
}

/// Parameters of `disagg-profile-handler`, with its older flat keys, and of `pd-profile-handler` before it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Parameters {
    stage_order: Option<String>,
    profiles: Names,
    deciders: Names,
    decode_profile: Option<String>,
    prefill_profile: Option<String>,
    encode_profile: Option<String>,
    prefill_decider_plugin_name: Option<String>,
    encode_decider_plugin_name: Option<String>,
    decider_plugin_name: Option<String>,
    /// `pd-profile-handler` before it had deciders: characters that are not cached, from which on prefill is elsewhere.
    threshold: Option<u64>,
    #[serde(rename = "hashBlockSize")]
    _hash_block_size: Option<Value>,
    #[serde(rename = "prefixPluginType")]
    _prefix_plugin_type: Option<String>,
    #[serde(rename = "prefixPluginName")]
    _prefix_plugin_name: Option<String>,
    #[serde(rename = "primaryPort")]
    _primary_port: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Names {
    decode: Option<String>,
    prefill: Option<String>,
    encode: Option<String>,
}

/// Finds the handler and reads it. Without one the only profile is the main one.
pub(super) fn read(
    plugins: &BTreeMap<String, Plugin>,
    profiles: &[(String, Referenced<'_>)],
    producers: &mut Vec<PrefixSettings>,
    warnings: &mut Vec<String>,
) -> Result<Stages, ConfigError> {
    let is_handler =
        |plugin: &&Plugin| matches!(plugin.kind, Kind::SingleProfileHandler | Kind::DisaggProfileHandler);
    let handlers: Vec<&Plugin> = plugins.values().filter(is_handler).collect();
    let names = || profiles.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let wrong = |reason: String| Err(ConfigError::Profiles { reason });
    match handlers.as_slice() {
        [] | [Plugin { kind: Kind::SingleProfileHandler, .. }] if profiles.len() == 1 => {
            Ok(Stages { main: 0, prefill: None })
        }
        [] => wrong(format!(
            "schedulingProfiles: there are {} profiles ({}) and no profile handler that knows which to use",
            profiles.len(),
            names()
        )),
        [handler] if handler.kind == Kind::DisaggProfileHandler => {
            disaggregated(handler, plugins, profiles, producers, warnings)
        }
        [handler] => wrong(format!(
            "schedulingProfiles: there are {} profiles ({}), and {} '{}' can only run one",
            profiles.len(),
            names(),
            handler.type_name,
            handler.name
        )),
        [first, second, ..] => wrong(format!(
            "multiple profile handlers found ('{}', '{}'); only one is allowed",
            first.name, second.name
        )),
    }
}

fn disaggregated(
    handler: &Plugin,
    plugins: &BTreeMap<String, Plugin>,
    profiles: &[(String, Referenced<'_>)],
    producers: &mut Vec<PrefixSettings>,
    warnings: &mut Vec<String>,
) -> Result<Stages, ConfigError> {
    let given: Parameters = parameters(handler)?;
    let field = |name: &str, reason: String| ConfigError::Field {
        at: format!("{}.parameters.{name}", handler.at),
        reason,
    };
    let prefill_first = match given.stage_order.as_deref() {
        None | Some("" | "decode-first") => false,
        Some("prefill-first") => true,
        Some(other) => {
            let reason = format!("invalid stage order '{other}', must be decode-first or prefill-first");
            return Err(field("stageOrder", reason));
        }
    };
    if given.deciders.encode.is_some() || given.encode_decider_plugin_name.is_some() {
        return Err(field("deciders.encode", "an encode stage is not supported yet; remove it".to_owned()));
    }
    let _never_run = (given.profiles.encode, given.encode_profile, given.deciders.decode);

    let place = |name: &str| profiles.iter().position(|(profile, _)| profile == name);
    let decode = given.profiles.decode.or(given.decode_profile).unwrap_or_else(|| "decode".to_owned());
    let prefill = given.profiles.prefill.or(given.prefill_profile).unwrap_or_else(|| "prefill".to_owned());
    let Some(main) = place(&decode) else {
        let defined = profiles.iter().map(|(name, _)| name.as_str());
        return Err(ConfigError::Profiles {
            reason: format!(
                "schedulingProfiles: {} '{}' runs the profile '{decode}', which is not there{}",
                handler.type_name,
                handler.name,
                super::instead(
                    &nearest(&decode, defined.clone()).map(str::to_owned),
                    &defined.collect::<Vec<_>>().join(", ")
                )
            ),
        });
    };
    let named = given.deciders.prefill.or(given.prefill_decider_plugin_name).or(given.decider_plugin_name);
    let decider = match (named, given.threshold) {
        (Some(name), _) if prefill_first => {
            let reason =
                format!("'{name}' decides after decode is placed, so not with stageOrder prefill-first");
            return Err(field("deciders.prefill", reason));
        }
        (None, _) if prefill_first => Some(Decider::Always),
        (Some(name), _) => Some(decider(handler, &name, plugins, producers)?),
        (None, Some(0)) => Some(Decider::Always),
        (None, Some(characters)) => Some(Decider::Uncached {
            uncached_tokens: characters.div_ceil(wire::prefix::BYTES_PER_TOKEN as u64),
            prompt_tokens: 0,
            producer: producer(handler, "", producers)?,
        }),
        // The older handler asks this one unless told otherwise.
        (None, None) if handler.type_name == "pd-profile-handler" => {
            Some(decider(handler, "prefix-based-pd-decider", plugins, producers)?)
        }
        (None, None) => None,
    };
    let prefill_place = place(&prefill);
    if decider.is_some() && prefill_place.is_none() {
        warnings.push(format!(
            "{}: there is no profile '{prefill}', so every prompt is computed where it is answered",
            handler.at
        ));
    }
    Ok(Stages { main, prefill: prefill_place.zip(decider) })
}

fn decider(
    handler: &Plugin,
    name: &str,
    plugins: &BTreeMap<String, Plugin>,
    producers: &mut Vec<PrefixSettings>,
) -> Result<Decider, ConfigError> {
    let at = format!("{}.parameters.deciders.prefill", handler.at);
    let plugin = super::resolve(&at, name, plugins)?;
    if plugin.kind != Kind::Decider {
        let reason = format!("plugin '{name}' is a {}, not a decider", plugin.type_name);
        return Err(ConfigError::Field { at, reason });
    }
    if plugin.type_name == "always-disagg-pd-decider" {
        return Ok(Decider::Always);
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Threshold {
        non_cached_tokens: u64,
        prompt_tokens: u64,
    }
    let given: Threshold = parameters(plugin)?;
    Ok(Decider::Uncached {
        uncached_tokens: given.non_cached_tokens,
        prompt_tokens: given.prompt_tokens,
        producer: producer(plugin, "", producers)?,
    })
}
