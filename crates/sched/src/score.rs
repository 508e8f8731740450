//! The scorers of llm-d: candidates to numbers, of which 1 is best.

use std::{collections::HashMap, sync::Arc};

use crate::{
    Endpoint, Fleet, Ledger, Request,
    prefix::{HashedKey, KeyHasher},
};

/// How prompts are cut into blocks and remembered: the parameters of `approx-prefix-cache-producer`.
#[derive(Clone, Debug)]
pub(crate) struct PrefixSettings {
    /// The plugin's name.
    pub(crate) name: Arc<str>,
    /// Whether block size and capacity are taken from the engines' metrics.
    pub(crate) auto_tune: bool,
    pub(crate) block_tokens: u32,
    /// 0: `max_blocks` counts.
    pub(crate) max_tokens: usize,
    /// Only used if `max_tokens` is 0; 0 then is no limit.
    pub(crate) max_blocks: usize,
    /// Blocks remembered for each endpoint that does not say how large its cache is.
    pub(crate) capacity_blocks: usize,
}

impl Default for PrefixSettings {
    fn default() -> Self {
        Self {
            name: "approx-prefix-cache-producer".into(),
            auto_tune: true,
            block_tokens: 16,
            max_tokens: 131_072,
            max_blocks: 2048,
            capacity_blocks: 31_250,
        }
    }
}

impl PrefixSettings {
    /// The block size in use. llm-d takes the engine's, raises it to at least 64, and so do we: hashes must agree.
    fn block_tokens(&self, fleet: &Fleet) -> u32 {
        let said = fleet.endpoints().iter().find_map(|endpoint| endpoint.load.cache_block_tokens);
        let wanted = if self.auto_tune { said.unwrap_or(self.block_tokens) } else { self.block_tokens };
        wanted.max(wire::prefix::MIN_BLOCK_TOKENS)
    }

    fn most_blocks(&self, block_tokens: u32) -> usize {
        match (self.max_tokens, self.max_blocks) {
            (0, 0) => usize::MAX,
            (0, blocks) => blocks,
            (tokens, _) => tokens / block_tokens as usize,
        }
    }

    /// How many of our blocks an endpoint's cache holds. llm-d takes the engine's number of blocks as it is, although
    /// its own blocks are larger, and so remembers up to four times what the engine has.
    fn capacity_blocks(&self, endpoint: &Endpoint, block_tokens: u32) -> usize {
        match (endpoint.load.cache_blocks, endpoint.load.cache_block_tokens) {
            (Some(blocks), Some(tokens)) if self.auto_tune => {
                let capacity = blocks.saturating_mul(u64::from(tokens)) / u64::from(block_tokens.max(1));
                usize::try_from(capacity).unwrap_or(usize::MAX).max(1)
            }
            _ => self.capacity_blocks,
        }
    }
}

/// What the scorers of one profile look at.
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) candidates: &'a [u32],
    pub(crate) ledger: &'a Ledger,
    pub(crate) prefixes: &'a [PrefixFacts<'a>],
}

/// Which endpoint has how much of the prompts, as one producer sees it.
pub(crate) struct PrefixFacts<'a> {
    pub(crate) chains: Vec<Vec<u64>>,
    producer: &'a PrefixSettings,
    block_tokens: u32,
    total_blocks: u32,
    matched: HashMap<HashedKey, u32, KeyHasher>,
}

impl<'a> PrefixFacts<'a> {
    /// Reads the prompts once for each producer.
    pub(crate) fn read(
        request: &Request<'_>,
        producers: &'a [PrefixSettings],
        fleet: &Fleet,
        ledger: &Ledger,
    ) -> Vec<Self> {
        let read = |(number, producer): (usize, &'a PrefixSettings)| {
            let block_tokens = producer.block_tokens(fleet);
            let most = producer.most_blocks(block_tokens);
            let salt = request.cache_salt.as_deref();
            let hashes = |prompt| wire::prefix::block_hashes(request.model, salt, prompt, block_tokens, most);
            let chains: Vec<Vec<u64>> = request.prompts.iter().map(|prompt| hashes(prompt)).collect();
            let mut matched: HashMap<HashedKey, u32, KeyHasher> = HashMap::default();
            for chain in &chains {
                for (key, blocks) in
                    ledger.prefixes(number).map(|index| index.matches(chain)).unwrap_or_default()
                {
                    *matched.entry(HashedKey(key)).or_default() += blocks;
                }
            }
            let total_blocks = chains.iter().map(Vec::len).sum::<usize>();
            PrefixFacts {
                total_blocks: u32::try_from(total_blocks).unwrap_or(u32::MAX),
                chains,
                producer,
                block_tokens,
                matched,
            }
        };
        producers.iter().enumerate().map(read).collect()
    }

    /// How many blocks are to be remembered for an endpoint.
    pub(crate) fn capacity_blocks(&self, endpoint: &Endpoint) -> usize {
        self.producer.capacity_blocks(endpoint, self.block_tokens)
    }

    fn matched_blocks(&self, endpoint: &Endpoint) -> u32 {
        if self.matched.is_empty() {
            return 0;
        }
        self.matched.get(&HashedKey(endpoint.key())).copied().unwrap_or(0)
    }
}

impl<'a> Facts<'a> {
    /// No candidate has any part of the prompt.
    pub(crate) fn is_cold(&self) -> bool {
        self.candidates()
            .all(|endpoint| self.prefixes.iter().all(|prefix| prefix.matched_blocks(endpoint) == 0))
    }

    pub(crate) fn prompt_tokens(&self) -> u64 {
        self.request
            .prompts
            .iter()
            .map(|prompt| prompt.len().div_ceil(wire::prefix::BYTES_PER_TOKEN) as u64)
            .sum()
    }

    /// Prompt tokens that the endpoint will have to compute, as far as a producer knows.
    pub(crate) fn uncached_tokens(&self, producer: usize, endpoint: &Endpoint) -> u64 {
        let cached = self
            .prefixes
            .get(producer)
            .map_or(0, |prefix| u64::from(prefix.matched_blocks(endpoint)) * u64::from(prefix.block_tokens));
        self.prompt_tokens().saturating_sub(cached)
    }

    fn candidates(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.candidates.iter().map(|index| &self.endpoints[*index as usize])
    }
}

/// A scorer with its parameters.
#[derive(Clone, Debug)]
pub(crate) enum Scorer {
    Queue,
    RunningRequests,
    KvCacheUtilization,
    LoadAware { threshold: f64 },
    LoraAffinity,
    PrefixCache { producer: usize, match_length_weight: f64, match_length_scale_tokens: f64 },
    NoHitLru { producer: usize },
    ActiveRequest { idle_threshold: i64, max_busy_score: f64 },
    TokenLoad { queue_threshold_tokens: f64 },
}

impl Scorer {
    /// `prefix-cache-scorer` with its defaults, on the first producer.
    pub(crate) fn prefix_cache() -> Self {
        Self::PrefixCache { producer: 0, match_length_weight: 0.0, match_length_scale_tokens: 8192.0 }
    }

    /// A score for each candidate, not yet clamped to 0…1.
    pub(crate) fn score(&self, facts: &Facts<'_>) -> Vec<f64> {
        let each = |score: &dyn Fn(&Endpoint) -> f64| facts.candidates().map(score).collect();
        match self {
            Self::Queue => less_is_better(facts, |endpoint| endpoint.load.waiting.unwrap_or(0.0)),
            Self::RunningRequests => less_is_better(facts, |endpoint| endpoint.load.running.unwrap_or(0.0)),
            Self::KvCacheUtilization => each(&|endpoint| 1.0 - endpoint.load.kv_used_ratio.unwrap_or(0.0)),
            Self::LoadAware { threshold } => each(&|endpoint| {
                let waiting = endpoint.load.waiting.unwrap_or(0.0);
                // llm-d's scorer never gives more than a half.
                if waiting <= 0.0 { 0.5 } else { 0.5 * (1.0 - waiting.min(*threshold) / threshold) }
            }),
            Self::LoraAffinity => each(&|endpoint| lora_affinity(endpoint, facts.request.model)),
            Self::PrefixCache { producer, match_length_weight, match_length_scale_tokens } => {
                let Some(prefix) = facts.prefixes.get(*producer).filter(|prefix| prefix.total_blocks > 0)
                else {
                    return vec![0.0; facts.candidates.len()];
                };
                each(&|endpoint| {
                    let blocks = f64::from(prefix.matched_blocks(endpoint));
                    let share = blocks / f64::from(prefix.total_blocks);
                    if *match_length_weight == 0.0 {
                        return share;
                    }
                    let length =
                        (blocks * f64::from(prefix.block_tokens) / match_length_scale_tokens).min(1.0);
                    match_length_weight * length * length + (1.0 - match_length_weight) * share
                })
            }
            Self::NoHitLru { producer } => no_hit_lru(facts, *producer),
            Self::ActiveRequest { idle_threshold, max_busy_score } => {
                let requests = |endpoint: &Endpoint| facts.ledger.in_flight(endpoint).requests as i64;
                let most = facts.candidates().map(requests).max().unwrap_or(0) as f64;
                each(&|endpoint| {
                    let count = requests(endpoint);
                    if count <= (*idle_threshold).max(0) {
                        return 1.0;
                    }
                    (most - count as f64) / most * max_busy_score
                })
            }
            Self::TokenLoad { queue_threshold_tokens } => each(&|endpoint| {
                let tokens = facts.ledger.in_flight(endpoint).tokens + facts.uncached_tokens(0, endpoint);
                1.0 - (tokens as f64).min(*queue_threshold_tokens) / queue_threshold_tokens
            }),
        }
    }
}

/// 1 for the least, 0 for the most, 1 for all if all are equal.
fn less_is_better(facts: &Facts<'_>, value: impl Fn(&Endpoint) -> f64) -> Vec<f64> {
    let values: Vec<f64> = facts.candidates().map(value).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most <= least {
        return vec![1.0; values.len()];
    }
    values.into_iter().map(|value| (most - value) / (most - least)).collect()
}

fn lora_affinity(endpoint: &Endpoint, model: &str) -> f64 {
    let Some(adapters) = &endpoint.load.adapters else { return 0.0 };
    let has = |names: &[Arc<str>]| names.iter().any(|name| &**name == model);
    if has(&adapters.running) {
        1.0
    } else if adapters.running.len() + adapters.waiting.len() < adapters.max.unwrap_or(0) as usize {
        0.8
    } else if has(&adapters.waiting) {
        0.6
    } else {
        0.0
    }
}

/// A request that no endpoint has a prefix of goes to the endpoint that got none of its kind for the longest time, so
/// that new prefixes spread. llm-d also ranks endpoints that have left the pool; here only candidates have ranks.
fn no_hit_lru(facts: &Facts<'_>, producer: usize) -> Vec<f64> {
    let count = facts.candidates.len();
    let hit = facts
        .prefixes
        .get(producer)
        .is_some_and(|prefix| facts.candidates().any(|endpoint| prefix.matched_blocks(endpoint) > 0));
    if hit {
        return vec![0.5; count];
    }
    if count == 1 {
        return vec![1.0];
    }
    // `None` (never) sorts before any turn; rows keep their order among equals.
    let mut rows: Vec<(Option<u64>, usize)> =
        facts.candidates().map(|endpoint| facts.ledger.cold_turn(endpoint)).zip(0..).collect();
    rows.sort_unstable();
    let mut scores = vec![0.0; count];
    for (rank, (_, row)) in rows.into_iter().enumerate() {
        scores[row] = 1.0 - rank as f64 / (count - 1) as f64;
    }
    scores
}

#[cfg(test)]
mod tests;
