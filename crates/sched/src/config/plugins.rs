//! Parameters of each plugin type, with llm-d's names and defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ConfigError, Plugin, decode, nearest, not_supported, types::Kind};
use crate::{
    filter::{ConcurrencyMode, Filter, Saturation, Selector},
    scheduler::Picker,
    score::{PrefixSettings, Scorer},
};

pub(super) fn producers(plugins: &BTreeMap<String, Plugin>) -> Result<Vec<PrefixSettings>, ConfigError> {
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
pub(super) fn producer(
    plugin: &Plugin,
    name: &str,
    producers: &mut Vec<PrefixSettings>,
) -> Result<usize, ConfigError> {
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

pub(super) fn scorer(plugin: &Plugin, producers: &mut Vec<PrefixSettings>) -> Result<Scorer, ConfigError> {
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

pub(super) fn filter(plugin: &Plugin) -> Result<Filter, ConfigError> {
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

pub(super) fn detector(plugin: &Plugin) -> Result<Saturation, ConfigError> {
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

pub(super) fn read_picker(plugin: &Plugin) -> Result<(Picker, usize), ConfigError> {
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

pub(super) fn parameters<T: DeserializeOwned>(plugin: &Plugin) -> Result<T, ConfigError> {
    let empty = Value::Object(serde_json::Map::new());
    let value = if plugin.parameters.is_null() { &empty } else { &plugin.parameters };
    decode(value, &format!("{}.parameters", plugin.at))
}
