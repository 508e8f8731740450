//! The engine in virtual time: continuous batching, chunked prefill, a paged KV cache with prefix reuse, preemption.
//!
//! In: jobs, aborts and the time. Out: which job has how many tokens. It knows no clock; whoever drives it says what
//! time it is, so a test runs hours in milliseconds and the HTTP shell runs the same code by the wall clock.
//!
//! A step takes `step_s + per_token_s · tokens + per_context_token_s · context`, where `tokens` are those computed in the
//! step (one for each decoding job, the rest of the budget for prompts, in order) and `context` is the length of the
//! decoding jobs. The lengths of answers are decided before: a job brings the tokens that it will generate.

mod cache;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub use cache::block_hashes;
use cache::{BlockId, Cache};

use crate::counters::Counters;

/// How an engine is sized and how fast it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Jobs in a batch at most (`--max-num-seqs`).
    pub max_num_seqs: usize,
    /// Tokens computed in a step at most (`--max-num-batched-tokens`).
    pub max_num_batched_tokens: u64,
    /// Tokens in a block of the KV cache (`--block-size`).
    pub block_tokens: u32,
    /// Blocks in the KV cache (`--num-gpu-blocks-override`); one of them is never used, as in vLLM.
    pub cache_blocks: u32,
    /// Whether blocks of finished jobs are found again by later ones (`--enable-prefix-caching`).
    pub prefix_caching: bool,
    /// LoRA adapters in a batch at most (`--max-loras`).
    pub max_loras: usize,
    /// How long steps take.
    pub pace: Pace,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            block_tokens: 16,
            cache_blocks: 8192,
            prefix_caching: true,
            max_loras: 1,
            pace: Pace::default(),
        }
    }
}

/// How long a step takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Each step.
    pub step_s: f64,
    /// Each token that is computed.
    pub per_token_s: f64,
    /// Each token that a decoding job attends to.
    pub per_context_token_s: f64,
}

impl Default for Pace {
    /// A model of 32 billion parameters on two H100.
    fn default() -> Self {
        Self { step_s: 0.011, per_token_s: 1.0 / 20_000.0, per_context_token_s: 20e-9 }
    }
}

impl Pace {
    /// The same engine, `speed` times as fast. A speed that is not positive counts as 1.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        let speed = if speed > 0.0 { speed } else { 1.0 };
        Self {
            step_s: self.step_s / speed,
            per_token_s: self.per_token_s / speed,
            per_context_token_s: self.per_context_token_s / speed,
        }
    }
}

/// A request as the engine sees it.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The prompt's tokens; an empty prompt counts as one token.
    pub prompt: Vec<u32>,
    /// The tokens that will be generated; at least one.
    pub output: Vec<u32>,
    /// The limit that the request asked for, for the metrics; `None` if it set none.
    pub max_tokens: Option<u64>,
    /// How many answers the request asked for, for the metrics; only its first job says so.
    pub requested_n: Option<u32>,
    /// The answer ends by itself or at a stop string, not at its limit.
    pub stops: bool,
    /// What separates its cache blocks from others': a salt, an adapter's name. Empty for nothing.
    pub cache_key: String,
    /// The LoRA adapter; `None` for the base model.
    pub adapter: Option<Arc<str>>,
    /// Another engine has computed the prompt: all but its last token come from there. The way takes no time.
    pub fetched: bool,
}

/// Names a job for as long as the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

/// What a step did for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// How many tokens it has generated.
    pub generated: usize,
    /// How many of its prompt's tokens were found in the cache, or fetched from another engine.
    pub cached_tokens: u64,
    /// It has generated all and is gone.
    pub finished: bool,
    /// When the step ended, in nanoseconds of the driver's time.
    pub at_ns: u64,
}

/// What the engine does at this moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Jobs in the batch.
    pub running: usize,
    /// Jobs that wait.
    pub waiting: usize,
    /// Those of them that wait for an adapter's place and not for room in batch or cache.
    pub deferred: usize,
    /// Used part of the KV cache, 0 to 1.
    pub kv_used_ratio: f64,
    /// Names of the adapters in the batch, sorted, each once.
    pub running_adapters: Vec<Arc<str>>,
    /// Names of the adapters of waiting jobs, sorted, each once.
    pub waiting_adapters: Vec<Arc<str>>,
}

/// A simulated engine.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    cache: Cache,
    jobs: BTreeMap<JobId, Active>,
    waiting: VecDeque<JobId>,
    running: Vec<JobId>,
    step: Option<Step>,
    next_id: u64,
    counters: Counters,
}

#[derive(Debug)]
struct Active {
    job: Job,
    /// Hashes of the full blocks of prompt and output.
    hashes: Vec<u64>,
    blocks: Vec<BlockId>,
    /// Tokens whose keys and values are in the cache.
    computed: u64,
    generated: usize,
    /// Blocks that are in the prefix cache.
    published: usize,
    cached_tokens: u64,
    /// Those of them that came from another engine.
    fetched_tokens: u64,
    counted: bool,
    preemptions: u32,
    arrived_ns: u64,
    admitted_ns: u64,
    first_token_ns: u64,
    last_token_ns: u64,
}

impl Active {
    fn prompt_len(&self) -> u64 {
        (self.job.prompt.len() as u64).max(1)
    }

    /// Tokens that are known and have to be computed: the prompt and what was generated.
    fn known(&self) -> u64 {
        self.prompt_len() + self.generated as u64
    }
}

/// A step that runs.
#[derive(Debug)]
struct Step {
    ends_ns: u64,
    /// How many tokens it computes for which job.
    shares: Vec<(JobId, u64)>,
}

impl Engine {
    /// An idle engine with an empty cache.
    pub fn new(settings: Settings) -> Self {
        let cache = Cache::new(settings.cache_blocks.saturating_sub(1).max(1), settings.prefix_caching);
        Self {
            settings,
            cache,
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            step: None,
            next_id: 0,
            counters: Counters::default(),
        }
    }

    /// Whether a job of this many tokens, prompt and output, can ever be computed.
    pub fn fits(&self, tokens: u64) -> bool {
        tokens.div_ceil(u64::from(self.settings.block_tokens)) <= u64::from(self.cache.total())
    }

    /// Takes a job at a time that is not before any time given earlier. A job that can never fit ([`Engine::fits`]) would
    /// wait for ever.
    pub fn submit(&mut self, mut job: Job, now_ns: u64) -> JobId {
        let id = JobId(self.next_id);
        self.next_id += 1;
        if job.output.is_empty() {
            job.output.push(0);
        }
        let hashes = block_hashes(&job.cache_key, &[&job.prompt, &job.output], self.settings.block_tokens);
        self.jobs.insert(
            id,
            Active {
                job,
                hashes,
                blocks: Vec::new(),
                computed: 0,
                generated: 0,
                published: 0,
                cached_tokens: 0,
                fetched_tokens: 0,
                counted: false,
                preemptions: 0,
                arrived_ns: now_ns,
                admitted_ns: now_ns,
                first_token_ns: now_ns,
                last_token_ns: now_ns,
            },
        );
        self.waiting.push_back(id);
        if self.step.is_none() {
            self.begin_step(now_ns);
        }
        id
    }

    /// Forgets a job whose client has gone. A job that is not known (any more) is no error.
    pub fn abort(&mut self, id: JobId) {
        let Some(mut active) = self.jobs.remove(&id) else { return };
        self.waiting.retain(|other| *other != id);
        self.running.retain(|other| *other != id);
        self.cache.release(&mut active.blocks);
        self.counters.aborted += 1;
    }

    /// When [`Engine::advance`] has something to do; `None` while there is nothing to compute.
    pub fn due_ns(&self) -> Option<u64> {
        self.step.as_ref().map(|step| step.ends_ns)
    }

    /// Completes the steps that end until `now_ns` and appends what they did, in order of time.
    pub fn advance(&mut self, now_ns: u64, progress: &mut Vec<Progress>) {
        while let Some(step) = self.step.take_if(|step| step.ends_ns <= now_ns) {
            let ends_ns = step.ends_ns;
            self.end_step(step, progress);
            self.begin_step(ends_ns);
        }
    }

    /// What the engine does at this moment.
    pub fn load(&self) -> Load {
        let adapters = |ids: &mut dyn Iterator<Item = &JobId>| {
            let mut names: Vec<Arc<str>> =
                ids.filter_map(|id| self.jobs.get(id)?.job.adapter.clone()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let running_adapters = adapters(&mut self.running.iter());
        let full = running_adapters.len() >= self.settings.max_loras.max(1);
        let deferred = self.waiting.iter().filter(|id| {
            let adapter = self.jobs.get(id).and_then(|active| active.job.adapter.as_ref());
            full && adapter.is_some_and(|adapter| !running_adapters.contains(adapter))
        });
        Load {
            running: self.running.len(),
            waiting: self.waiting.len(),
            deferred: deferred.count(),
            kv_used_ratio: self.cache.used_ratio(),
            waiting_adapters: adapters(&mut self.waiting.iter()),
            running_adapters,
        }
    }

    /// What the engine has done since it was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How the engine is sized.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Forgets all cached prefixes that no running job uses.
    pub fn reset_prefix_cache(&mut self) {
        self.cache.forget_free();
    }

    fn begin_step(&mut self, now_ns: u64) {
        let mut budget = self.settings.max_num_batched_tokens.max(1);
        let mut shares: Vec<(JobId, u64)> = Vec::new();
        let mut context = 0_u64;
        let mut at = 0;
        while at < self.running.len() && budget > 0 {
            let id = self.running[at];
            let Some(active) = self.jobs.get(&id) else {
                self.running.remove(at);
                continue;
            };
            let share = (active.known() - active.computed).min(budget);
            let decoding = active.computed >= active.prompt_len();
            let end = active.computed + share;
            if !self.room_for(id, end) {
                // The latest of the batch gives way and is computed again later, as in vLLM.
                let latest = self.running.len() - 1;
                let victim = self.running[latest];
                self.preempt(victim);
                shares.retain(|(job, _)| *job != victim);
                if latest == at {
                    break;
                }
                continue;
            }
            if decoding {
                context += end;
            }
            budget -= share;
            shares.push((id, share));
            at += 1;
        }
        self.admit(now_ns, &mut budget, &mut shares);
        if shares.is_empty() {
            return;
        }
        let tokens: u64 = shares.iter().map(|(_, share)| share).sum();
        let pace = self.settings.pace;
        let seconds =
            pace.step_s + pace.per_token_s * tokens as f64 + pace.per_context_token_s * context as f64;
        self.counters.iteration_tokens.observe(tokens as f64);
        self.step = Some(Step { ends_ns: now_ns + ((seconds * 1e9) as u64).max(1), shares });
    }

    /// Takes waiting jobs into the batch while there is room; one that waits for an adapter's place lets others pass.
    fn admit(&mut self, now_ns: u64, budget: &mut u64, shares: &mut Vec<(JobId, u64)>) {
        let mut passed = VecDeque::new();
        while *budget > 0 && self.running.len() < self.settings.max_num_seqs.max(1) {
            let Some(id) = self.waiting.pop_front() else { break };
            if self.must_wait_for_adapter(id) {
                passed.push_back(id);
                continue;
            }
            self.take_cached_prefix(id);
            self.take_fetched_prompt(id);
            let Some(active) = self.jobs.get(&id) else { continue };
            let share = (active.known() - active.computed).min(*budget);
            let end = active.computed + share;
            if !self.room_for(id, end) {
                if let Some(active) = self.jobs.get_mut(&id) {
                    self.cache.release(&mut active.blocks);
                    active.computed = 0;
                    active.published = 0;
                }
                self.waiting.push_front(id);
                break;
            }
            if let Some(active) = self.jobs.get_mut(&id)
                && !active.counted
            {
                active.counted = true;
                active.admitted_ns = now_ns;
                let found = active.cached_tokens - active.fetched_tokens;
                self.counters.prefix_queries += active.prompt_len();
                self.counters.prefix_hits += found;
                if active.job.fetched {
                    self.counters.external_queries += active.prompt_len() - found;
                    self.counters.external_hits += active.fetched_tokens;
                }
            }
            *budget -= share;
            shares.push((id, share));
            self.running.push(id);
        }
        while let Some(id) = passed.pop_back() {
            self.waiting.push_front(id);
        }
    }

    fn must_wait_for_adapter(&self, id: JobId) -> bool {
        let adapter = |id: &JobId| self.jobs.get(id).and_then(|active| active.job.adapter.as_ref());
        let Some(wanted) = adapter(&id) else { return false };
        let mut others: Vec<&Arc<str>> = self.running.iter().filter_map(adapter).collect();
        others.sort_unstable();
        others.dedup();
        !others.contains(&wanted) && others.len() >= self.settings.max_loras.max(1)
    }

    /// Gives a job the cached blocks of its prompt; at least its last token is always computed.
    fn take_cached_prefix(&mut self, id: JobId) {
        let Some(active) = self.jobs.get_mut(&id) else { return };
        let block_tokens = u64::from(self.settings.block_tokens.max(1));
        let most = ((active.known() - 1) / block_tokens) as usize;
        let wanted = &active.hashes[..active.hashes.len().min(most)];
        active.blocks = self.cache.take_prefix(wanted);
        active.published = active.blocks.len();
        active.computed = active.blocks.len() as u64 * block_tokens;
        if !active.counted {
            active.cached_tokens = active.computed;
        }
    }

    /// Gives a job what another engine computed, once: what a preempted job loses is computed here.
    fn take_fetched_prompt(&mut self, id: JobId) {
        let Some(active) = self.jobs.get_mut(&id).filter(|active| active.job.fetched && !active.counted)
        else {
            return;
        };
        let all_but_last = active.prompt_len() - 1;
        active.fetched_tokens = all_but_last.saturating_sub(active.computed);
        active.computed += active.fetched_tokens;
        active.cached_tokens = active.computed;
    }

    /// Makes sure that a job has blocks for its first `tokens` tokens.
    fn room_for(&mut self, id: JobId, tokens: u64) -> bool {
        let Some(active) = self.jobs.get_mut(&id) else { return true };
        let wanted = tokens.div_ceil(u64::from(self.settings.block_tokens.max(1))) as usize;
        let missing = wanted.saturating_sub(active.blocks.len());
        self.cache.allocate(missing, &mut active.blocks)
    }

    fn preempt(&mut self, id: JobId) {
        self.running.retain(|other| *other != id);
        if let Some(active) = self.jobs.get_mut(&id) {
            self.cache.release(&mut active.blocks);
            active.computed = 0;
            active.published = 0;
            active.preemptions += 1;
            self.counters.preemptions += 1;
            self.waiting.push_front(id);
        }
    }

    fn end_step(&mut self, step: Step, progress: &mut Vec<Progress>) {
        for (id, share) in step.shares {
            // An aborted job is gone although its step was computed.
            let Some(active) = self.jobs.get_mut(&id) else { continue };
            let block_tokens = u64::from(self.settings.block_tokens.max(1));
            active.computed += share;
            let full = ((active.computed / block_tokens) as usize).min(active.hashes.len());
            for place in active.published..full {
                self.cache.publish(active.blocks[place], active.hashes[place]);
            }
            active.published = active.published.max(full);
            if active.computed < active.known() {
                continue;
            }
            active.generated += 1;
            let finished = active.generated >= active.job.output.len();
            let seconds = |from: u64| step.ends_ns.saturating_sub(from) as f64 / 1e9;
            if active.generated == 1 {
                self.counters.time_to_first_token_s.observe(seconds(active.arrived_ns));
                self.counters.prompt_tokens += active.prompt_len();
                self.counters.cached_prompt_tokens += active.cached_tokens - active.fetched_tokens;
                self.counters.fetched_prompt_tokens += active.fetched_tokens;
                active.first_token_ns = step.ends_ns;
            } else {
                self.counters.inter_token_latency_s.observe(seconds(active.last_token_ns));
            }
            active.last_token_ns = step.ends_ns;
            self.counters.generation_tokens += 1;
            progress.push(Progress {
                job: id,
                generated: active.generated,
                cached_tokens: active.cached_tokens,
                finished,
                at_ns: step.ends_ns,
            });
            if finished {
                self.finish(id, step.ends_ns);
            }
        }
    }

    fn finish(&mut self, id: JobId, now_ns: u64) {
        let Some(mut active) = self.jobs.remove(&id) else { return };
        self.running.retain(|other| *other != id);
        self.cache.release(&mut active.blocks);
        let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
        let counters = &mut self.counters;
        counters.e2e_latency_s.observe(seconds(active.arrived_ns, now_ns));
        counters.queue_time_s.observe(seconds(active.arrived_ns, active.admitted_ns));
        counters.inference_time_s.observe(seconds(active.admitted_ns, now_ns));
        counters.prefill_time_s.observe(seconds(active.admitted_ns, active.first_token_ns));
        let decode_s = seconds(active.first_token_ns, now_ns);
        counters.decode_time_s.observe(decode_s);
        let between = active.generated.saturating_sub(1);
        counters.time_per_output_token_s.observe(if between == 0 { 0.0 } else { decode_s / between as f64 });
        counters.request_prompt_tokens.observe(active.prompt_len() as f64);
        counters.request_generation_tokens.observe(active.generated as f64);
        counters.request_prefill_computed_tokens.observe((active.prompt_len() - active.cached_tokens) as f64);
        counters.request_preemptions.observe(f64::from(active.preemptions));
        if active.job.stops {
            counters.stopped += 1;
        } else {
            counters.reached_length += 1;
        }
        if let Some(n) = active.job.requested_n {
            counters.request_n.observe(f64::from(n));
        }
        counters.request_max_generation_tokens.observe(active.job.output.len() as f64);
        if let Some(max_tokens) = active.job.max_tokens {
            counters.request_max_tokens.observe(max_tokens as f64);
        }
    }
}

#[cfg(test)]
mod tests;
