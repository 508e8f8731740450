//! From request, fleet and ledger to a pick: candidates, filters, scores, picker.

use std::{cell::OnceCell, sync::Arc};

use crate::{
    Booking, ConfigError, Endpoint, Explanation, Fleet, Ledger, Pick, Refusal, Request, ScorerColumn, config,
    filter::{Filter, Saturation},
    ledger::PrefixBooking,
    score::{Facts, PrefixFacts, PrefixSettings, Scorer},
};

/// How many fallbacks a pick names beside its endpoint.
const FALLBACKS: usize = 3;

/// The names that [`Scheduler::policy`] knows.
pub const POLICIES: [&str; 4] = ["default", "random", "round-robin", "least-queue"];

/// Scheduling profiles, ready to pick. Immutable: a new configuration is a new scheduler.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Picks the endpoint that answers: the only profile, or the one for decoding.
    pub(crate) main: Profile,
    /// Picks a second endpoint that computes the prompt; `None`: the one that answers does it.
    pub(crate) prefill: Option<Prefill>,
    pub(crate) producers: Vec<PrefixSettings>,
    pub(crate) saturation: Saturation,
    pub(crate) warnings: Vec<String>,
}

/// One scheduling profile.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    pub(crate) filters: Vec<(Arc<str>, Filter)>,
    pub(crate) scorers: Vec<Weighted>,
    pub(crate) picker: Picker,
    /// How many endpoints the picker is asked for; those after the first are fallbacks.
    pub(crate) picks: usize,
}

/// The prefill stage of disaggregated serving.
#[derive(Clone, Debug)]
pub(crate) struct Prefill {
    pub(crate) profile: Profile,
    pub(crate) decider: Decider,
}

/// Whether a prompt is computed by an endpoint of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decider {
    /// `always-disagg-pd-decider`.
    Always,
    /// `prefix-based-pd-decider`: if the endpoint that answers would have to compute this much of it.
    Uncached {
        /// 0: never.
        uncached_tokens: u64,
        /// Shorter prompts stay where they are.
        prompt_tokens: u64,
        /// The number of the prefix producer that is asked.
        producer: usize,
    },
}

/// A scorer in a profile.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    pub(crate) name: Arc<str>,
    pub(crate) weight: f64,
    pub(crate) scorer: Scorer,
}

/// Makes the choice from the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Picker {
    /// The highest total; among equals the seed decides.
    MaxScore,
    /// Any, all with the same chance.
    Random,
    /// Any, with chances in proportion to the totals.
    WeightedRandom,
    /// One after the other, in the order of the fleet.
    RoundRobin,
}

impl Picker {
    /// Its type in a configuration.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::MaxScore => "max-score-picker",
            Self::Random => "random-picker",
            Self::WeightedRandom => "weighted-random-picker",
            Self::RoundRobin => "round-robin-picker",
        }
    }
}

impl Default for Scheduler {
    /// llm-d's built-in profile: `queue-scorer` 2, `kv-cache-utilization-scorer` 2, `prefix-cache-scorer` 3,
    /// `max-score-picker`.
    fn default() -> Self {
        let scorer = |name: &str, weight, scorer| Weighted { name: name.into(), weight, scorer };
        let mut scheduler = Self::without_scorers(Picker::MaxScore);
        scheduler.main.scorers = vec![
            scorer("queue-scorer", 2.0, Scorer::Queue),
            scorer("kv-cache-utilization-scorer", 2.0, Scorer::KvCacheUtilization),
            scorer("prefix-cache-scorer", 3.0, Scorer::prefix_cache()),
        ];
        scheduler.producers = vec![PrefixSettings::default()];
        scheduler
    }
}

impl Scheduler {
    /// A scheduler by the name of its policy, one of [`POLICIES`].
    ///
    /// # Errors
    /// If there is no such policy; the error names those that there are.
    pub fn policy(name: &str) -> Result<Self, ConfigError> {
        match name {
            "default" => Ok(Self::default()),
            "random" => Ok(Self::without_scorers(Picker::Random)),
            "round-robin" => Ok(Self::without_scorers(Picker::RoundRobin)),
            "least-queue" => {
                let mut scheduler = Self::without_scorers(Picker::MaxScore);
                let queue = Weighted { name: "queue-scorer".into(), weight: 1.0, scorer: Scorer::Queue };
                scheduler.main.scorers = vec![queue];
                Ok(scheduler)
            }
            _ => Err(config::unknown_policy(name)),
        }
    }

    /// A scheduler as an `EndpointPickerConfig` describes it, given as the value of its YAML or JSON. `null` is the
    /// built-in profile.
    ///
    /// # Errors
    /// If the configuration is malformed, names a plugin that does not exist or one that is not built here yet.
    pub fn from_config(config: &serde_json::Value) -> Result<Self, ConfigError> {
        config::read(config)
    }

    /// A policy for requests that this scheduler would place. With a prefill stage, stages and filters stay and only scorers
    /// and pickers are the policy's: engines that only prefill answer nothing, whatever the policy.
    #[must_use]
    pub fn with_policy(&self, policy: &Scheduler) -> Self {
        if self.prefill.is_none() {
            return policy.clone();
        }
        let profile = |own: &Profile| Profile {
            name: own.name.clone(),
            filters: own.filters.clone(),
            ..policy.main.clone()
        };
        // The producer that a decider asks stays at its number; a policy's scorers know only the first, the default one.
        let mut producers = policy.producers.clone();
        if self.producers.len() > producers.len() {
            producers.extend_from_slice(&self.producers[producers.len()..]);
        }
        Self {
            main: profile(&self.main),
            prefill: self
                .prefill
                .as_ref()
                .map(|prefill| Prefill { profile: profile(&prefill.profile), decider: prefill.decider }),
            producers,
            saturation: policy.saturation.clone(),
            warnings: Vec::new(),
        }
    }

    /// What the configuration asks for and this scheduler does without.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn without_scorers(picker: Picker) -> Self {
        Self {
            main: Profile::without_scorers("default", picker),
            prefill: None,
            producers: Vec::new(),
            saturation: Saturation::default(),
            warnings: Vec::new(),
        }
    }

    /// Picks an endpoint, and with a prefill stage perhaps a second one that computes the prompt. When none can do that,
    /// the first does it itself.
    ///
    /// # Errors
    /// If none can be picked; the refusal has the words and the status for the client.
    pub fn pick(&self, request: &Request<'_>, fleet: &Fleet, ledger: &Ledger) -> Result<Pick, Refusal> {
        let candidates = candidates(request, fleet)?;
        let endpoint = |index: &u32| &fleet.endpoints()[*index as usize];
        if request.priority < 0
            && self.saturation.of(candidates.iter().map(endpoint), ledger, request.now_ms) >= 1.0
        {
            return Err(Refusal::Saturated);
        }
        let placing = Placing { scheduler: self, request, fleet, ledger, prefixes: OnceCell::new() };
        let Some(prefill) = &self.prefill else { return placing.run(&self.main, candidates) };
        let mut pick = placing.run(&self.main, candidates.clone())?;
        if prefill.decider.says_yes(&placing.facts(&[]), pick.endpoint()) {
            // llm-d does without prefill when its profile finds nobody.
            pick.prefill = placing.run(&prefill.profile, candidates).ok().map(Box::new);
        }
        Ok(pick)
    }
}

/// One request that is being placed. Its prompts are read once, by the first profile that has a candidate left.
struct Placing<'a> {
    scheduler: &'a Scheduler,
    request: &'a Request<'a>,
    fleet: &'a Fleet,
    ledger: &'a Ledger,
    prefixes: OnceCell<Vec<PrefixFacts<'a>>>,
}

impl Placing<'_> {
    fn facts<'f>(&'f self, candidates: &'f [u32]) -> Facts<'f> {
        let read = || PrefixFacts::read(self.request, &self.scheduler.producers, self.fleet, self.ledger);
        Facts {
            request: self.request,
            endpoints: self.fleet.endpoints(),
            candidates,
            ledger: self.ledger,
            prefixes: self.prefixes.get_or_init(read),
        }
    }

    /// Runs one profile on these candidates.
    fn run(&self, profile: &Profile, mut candidates: Vec<u32>) -> Result<Pick, Refusal> {
        let Placing { request, fleet, ledger, .. } = *self;
        for (name, filter) in &profile.filters {
            filter.keep(&mut candidates, fleet, ledger, request.now_ms);
            if candidates.is_empty() {
                return Err(Refusal::AllFiltered { filter: name.clone() });
            }
        }
        let facts = self.facts(&candidates);
        let mut totals = vec![0.0; candidates.len()];
        let mut columns = Vec::with_capacity(profile.scorers.len());
        for Weighted { name, weight, scorer } in &profile.scorers {
            let mut scores = scorer.score(&facts);
            for (total, score) in totals.iter_mut().zip(&mut scores) {
                *score = score.clamp(0.0, 1.0);
                *total += *score * weight;
            }
            columns.push(ScorerColumn { name: name.clone(), weight: *weight, scores });
        }
        let wanted = profile.picks.max(1) + FALLBACKS;
        let order = profile.picker.order(&candidates, &totals, fleet, request.seed, ledger.turns(), wanted);
        let mut order = order.into_iter().map(|row| candidates[row] as usize);
        let Some(chosen) = order.next() else { return Err(Refusal::NoEndpoint) };
        let fallbacks = order.collect();
        let booking = booking(&facts, &fleet.endpoints()[chosen]);
        let explanation = Explanation {
            fleet: fleet.clone(),
            candidates,
            totals,
            columns,
            profile: profile.name.clone(),
            picker: profile.picker.type_name(),
        };
        Ok(Pick { fleet: fleet.clone(), chosen, fallbacks, booking, prefill: None, explanation })
    }
}

impl Decider {
    /// Whether the prompt is computed elsewhere than at the endpoint that answers.
    fn says_yes(self, facts: &Facts<'_>, endpoint: &Endpoint) -> bool {
        match self {
            Self::Always => true,
            Self::Uncached { uncached_tokens, prompt_tokens, producer } => {
                uncached_tokens > 0
                    && facts.prompt_tokens() >= prompt_tokens
                    && facts.uncached_tokens(producer, endpoint) >= uncached_tokens
            }
        }
    }
}

impl Profile {
    pub(crate) fn without_scorers(name: impl Into<Arc<str>>, picker: Picker) -> Self {
        Self { name: name.into(), filters: Vec::new(), scorers: Vec::new(), picker, picks: 1 }
    }
}

/// The ready endpoints that the request may go to.
fn candidates(request: &Request<'_>, fleet: &Fleet) -> Result<Vec<u32>, Refusal> {
    let endpoints = fleet.endpoints();
    if endpoints.is_empty() {
        return Err(Refusal::NoEndpoint);
    }
    let mut found: Vec<u32> =
        (0_u32..).zip(endpoints).filter(|(_, endpoint)| endpoint.ready).map(|(index, _)| index).collect();
    if found.is_empty() {
        return Err(Refusal::NoneReady { not_ready: endpoints.len() });
    }
    if let Some(subset) = &request.subset {
        // llm-d compares addresses without ports: all ranks of a listed pod may be picked.
        let listed: Vec<std::net::IpAddr> = subset.iter().filter_map(|text| ip_of(text)).collect();
        found.retain(|index| listed.contains(&endpoints[*index as usize].address.ip()));
        if found.is_empty() {
            return Err(Refusal::EmptySubset);
        }
    }
    Ok(found)
}

fn ip_of(text: &str) -> Option<std::net::IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

fn booking(facts: &Facts<'_>, endpoint: &Endpoint) -> Booking {
    Booking {
        endpoint_key: endpoint.key(),
        prefixes: facts
            .prefixes
            .iter()
            .map(|prefix| PrefixBooking {
                chains: prefix.chains.clone(),
                capacity_blocks: prefix.capacity_blocks(endpoint),
            })
            .collect(),
        uncached_tokens: facts.uncached_tokens(0, endpoint),
        cold: facts.is_cold(),
    }
}

impl Picker {
    /// The rows in the order in which they are to be tried, at most `wanted`.
    fn order(
        self,
        candidates: &[u32],
        totals: &[f64],
        fleet: &Fleet,
        seed: u64,
        turn: u64,
        wanted: usize,
    ) -> Vec<usize> {
        let count = candidates.len();
        // What decides between equals: a number that is different for each endpoint and each request.
        let lot = |row: usize| mix(seed ^ fleet.endpoints()[candidates[row] as usize].key());
        match self {
            Self::MaxScore => best(count, wanted, |row| (totals[row], lot(row))),
            Self::Random => best(count, wanted, |row| (0.0, lot(row))),
            Self::WeightedRandom => best(count, wanted, |row| {
                // A-Res: the largest of u^(1/weight) is a draw in proportion to the weights; all zero: any.
                let total = totals[row];
                let chance = unit(lot(row));
                (if total > 0.0 { chance.powf(1.0 / total) } else { 0.0 }, lot(row))
            }),
            Self::RoundRobin => {
                let first = usize::try_from(turn % count.max(1) as u64).unwrap_or(0);
                (0..count.min(wanted)).map(|step| (first + step) % count).collect()
            }
        }
    }
}

/// The `wanted` rows with the highest keys, highest first. A key that is not a number comes last.
fn best(count: usize, wanted: usize, key: impl Fn(usize) -> (f64, u64)) -> Vec<usize> {
    let mut top: Vec<((f64, u64), usize)> = Vec::with_capacity(wanted + 1);
    for row in 0..count {
        let (total, lot) = key(row);
        let key = (if total.is_nan() { f64::NEG_INFINITY } else { total }, lot);
        if top.len() == wanted && top.last().is_some_and(|(lowest, _)| *lowest >= key) {
            continue;
        }
        let at = top.partition_point(|(other, _)| *other >= key);
        top.insert(at, (key, row));
        top.truncate(wanted);
    }
    top.into_iter().map(|(_, row)| row).collect()
}

/// Spreads a number over all 64 bits (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number in (0, 1].
fn unit(number: u64) -> f64 {
    ((number >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
