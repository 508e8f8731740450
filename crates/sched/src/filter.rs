//! The filters of llm-d, and how full the fleet is.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Endpoint, Fleet, Ledger};

/// The label that says whether an engine does prefill, decode or both.
const ROLE_LABEL: &str = "llm-d.ai/role";

/// A filter with its parameters.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// The label has one of the values.
    Label { label: String, values: Vec<String>, or_absent: bool },
    /// A Kubernetes label selector.
    Selector(Selector),
    /// Endpoints that have room.
    Room(Saturation),
}

/// A Kubernetes label selector.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Selector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Expression>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expression {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| {
                let value = labels.get(&expression.key);
                let listed = value.is_some_and(|value| expression.values.contains(value));
                match expression.operator {
                    Operator::In => listed,
                    Operator::NotIn => !listed,
                    Operator::Exists => value.is_some(),
                    Operator::DoesNotExist => value.is_none(),
                }
            })
    }
}

impl Filter {
    /// `decode-filter`, `prefill-filter` or `encode-filter`.
    pub(crate) fn role(type_name: &str) -> Option<Self> {
        let (values, or_absent): (&[&str], bool) = match type_name {
            "decode-filter" => (&["decode", "prefill-decode", "both", "encode-prefill-decode"], true),
            "prefill-filter" => {
                (&["prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"], false)
            }
            "encode-filter" => (&["encode", "encode-prefill", "encode-prefill-decode"], false),
            _ => return None,
        };
        let values = values.iter().map(ToString::to_string).collect();
        Some(Self::Label { label: ROLE_LABEL.to_owned(), values, or_absent })
    }

    /// Removes the candidates that do not pass.
    pub(crate) fn keep(&self, candidates: &mut Vec<u32>, fleet: &Fleet, ledger: &Ledger, now_ms: u64) {
        let endpoint = |index: &u32| &fleet.endpoints()[*index as usize];
        match self {
            Self::Label { label, values, or_absent } => {
                candidates.retain(|index| match endpoint(index).labels.get(label) {
                    Some(value) => values.contains(value),
                    None => *or_absent,
                });
            }
            Self::Selector(selector) => candidates.retain(|index| selector.matches(&endpoint(index).labels)),
            Self::Room(saturation) => {
                let with_room: Vec<u32> = candidates
                    .iter()
                    .filter(|index| saturation.has_room(endpoint(index), ledger, now_ms))
                    .copied()
                    .collect();
                // By what engines say, a full fleet is no worse than a half full one; by our own count it is a limit.
                let strict = matches!(saturation, Saturation::Concurrency { .. });
                if strict || !with_room.is_empty() {
                    *candidates = with_room;
                }
            }
        }
    }
}

/// How full the fleet is: 1 is saturated.
#[derive(Clone, Debug)]
pub(crate) enum Saturation {
    /// By what engines say of themselves.
    Utilization { queue_depth_threshold: f64, kv_cache_util_threshold: f64, staleness_ms: u64, headroom: f64 },
    /// By the requests in flight.
    Concurrency { max_requests: f64, max_tokens: f64, mode: ConcurrencyMode, headroom: f64 },
}

/// What counts for `concurrency-detector`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConcurrencyMode {
    #[default]
    Requests,
    Tokens,
    Hybrid,
}

impl Default for Saturation {
    fn default() -> Self {
        Self::Utilization {
            queue_depth_threshold: 5.0,
            kv_cache_util_threshold: 0.8,
            staleness_ms: 200,
            headroom: 0.0,
        }
    }
}

impl Saturation {
    /// Over these endpoints; without any it is 1.
    pub(crate) fn of<'a>(
        &self,
        endpoints: impl Iterator<Item = &'a Endpoint>,
        ledger: &Ledger,
        now_ms: u64,
    ) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for endpoint in endpoints {
            sum += self.of_one(endpoint, ledger, now_ms);
            count += 1.0;
        }
        if count == 0.0 { 1.0 } else { sum / count }
    }

    fn of_one(&self, endpoint: &Endpoint, ledger: &Ledger, now_ms: u64) -> f64 {
        match self {
            Self::Utilization { queue_depth_threshold, kv_cache_util_threshold, staleness_ms, .. } => {
                if is_stale(endpoint, now_ms, *staleness_ms) {
                    return 1.0;
                }
                let queue = endpoint.load.waiting.unwrap_or(0.0) / queue_depth_threshold;
                queue.max(endpoint.load.kv_used_ratio.unwrap_or(0.0) / kv_cache_util_threshold)
            }
            Self::Concurrency { max_requests, max_tokens, mode, .. } => {
                let in_flight = ledger.in_flight(endpoint);
                let requests = in_flight.requests as f64 / max_requests;
                let tokens = in_flight.tokens as f64 / max_tokens;
                match mode {
                    ConcurrencyMode::Requests => requests,
                    ConcurrencyMode::Tokens => tokens,
                    ConcurrencyMode::Hybrid => requests.max(tokens),
                }
            }
        }
    }

    fn has_room(&self, endpoint: &Endpoint, ledger: &Ledger, now_ms: u64) -> bool {
        match self {
            Self::Utilization { queue_depth_threshold, kv_cache_util_threshold, staleness_ms, headroom } => {
                !is_stale(endpoint, now_ms, *staleness_ms)
                    && endpoint.load.waiting.unwrap_or(0.0) < queue_depth_threshold * (1.0 + headroom)
                    && endpoint.load.kv_used_ratio.unwrap_or(0.0) < kv_cache_util_threshold * (1.0 + headroom)
            }
            Self::Concurrency { headroom, .. } => self.of_one(endpoint, ledger, now_ms) < 1.0 + headroom,
        }
    }
}

fn is_stale(endpoint: &Endpoint, now_ms: u64, staleness_ms: u64) -> bool {
    endpoint.load.measured_at_ms.is_none_or(|measured| now_ms.saturating_sub(measured) > staleness_ms)
}
