//! What an engine counts, with the buckets that vLLM uses.

/// Counts since the engine was made. Tokens, requests and seconds as the names say.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Prompt tokens that were looked up in the prefix cache.
    pub prefix_queries: u64,
    /// Those of them that were found.
    pub prefix_hits: u64,
    /// Prompt tokens of requests whose prompt was computed.
    pub prompt_tokens: u64,
    /// Those of them that came from the cache.
    pub cached_prompt_tokens: u64,
    /// Those of them that came from another engine.
    pub fetched_prompt_tokens: u64,
    /// Prompt tokens that another engine was asked for.
    pub external_queries: u64,
    /// Those of them that it had.
    pub external_hits: u64,
    /// Generated tokens.
    pub generation_tokens: u64,
    /// Jobs that gave way to others and were computed again.
    pub preemptions: u64,
    /// Requests whose client left or that were ended by the shutdown.
    pub aborted: u64,
    /// Requests that ended by themselves or at a stop string.
    pub stopped: u64,
    /// Requests that ended at their limit.
    pub reached_length: u64,
    pub(crate) iteration_tokens: Histogram,
    pub(crate) time_to_first_token_s: Histogram,
    pub(crate) inter_token_latency_s: Histogram,
    pub(crate) time_per_output_token_s: Histogram,
    pub(crate) e2e_latency_s: Histogram,
    pub(crate) queue_time_s: Histogram,
    pub(crate) inference_time_s: Histogram,
    pub(crate) prefill_time_s: Histogram,
    pub(crate) decode_time_s: Histogram,
    pub(crate) request_prompt_tokens: Histogram,
    pub(crate) request_generation_tokens: Histogram,
    pub(crate) request_prefill_computed_tokens: Histogram,
    pub(crate) request_max_tokens: Histogram,
    pub(crate) request_max_generation_tokens: Histogram,
    pub(crate) request_n: Histogram,
    pub(crate) request_preemptions: Histogram,
}

impl Counters {
    /// Mean time to the first token in seconds; `None` before the first.
    pub fn mean_time_to_first_token_s(&self) -> Option<f64> {
        self.time_to_first_token_s.mean()
    }
}

const TTFT_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
];
const TOKEN_LATENCY_S: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
const REQUEST_S: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
];
const ITERATION_TOKENS: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];
const TOKENS: &[f64] = &[
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1000.0,
    2000.0,
    5000.0,
    10_000.0,
    20_000.0,
    50_000.0,
    100_000.0,
    200_000.0,
    500_000.0,
    1_000_000.0,
];
const PREEMPTIONS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];
const PARAMS_N: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];

impl Default for Counters {
    fn default() -> Self {
        Self {
            prefix_queries: 0,
            prefix_hits: 0,
            prompt_tokens: 0,
            cached_prompt_tokens: 0,
            fetched_prompt_tokens: 0,
            external_queries: 0,
            external_hits: 0,
            generation_tokens: 0,
            preemptions: 0,
            aborted: 0,
            stopped: 0,
            reached_length: 0,
            iteration_tokens: Histogram::new(ITERATION_TOKENS),
            time_to_first_token_s: Histogram::new(TTFT_S),
            inter_token_latency_s: Histogram::new(TOKEN_LATENCY_S),
            time_per_output_token_s: Histogram::new(TOKEN_LATENCY_S),
            e2e_latency_s: Histogram::new(REQUEST_S),
            queue_time_s: Histogram::new(REQUEST_S),
            inference_time_s: Histogram::new(REQUEST_S),
            prefill_time_s: Histogram::new(REQUEST_S),
            decode_time_s: Histogram::new(REQUEST_S),
            request_prompt_tokens: Histogram::new(TOKENS),
            request_generation_tokens: Histogram::new(TOKENS),
            request_prefill_computed_tokens: Histogram::new(TOKENS),
            request_max_tokens: Histogram::new(TOKENS),
            request_max_generation_tokens: Histogram::new(TOKENS),
            request_n: Histogram::new(PARAMS_N),
            request_preemptions: Histogram::new(PREEMPTIONS),
        }
    }
}

/// A Prometheus histogram.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// Observations in each bucket, not cumulated; the last is beyond all bounds. Empty until the first observation.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: Vec::new(), sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        if self.counts.is_empty() {
            self.counts = vec![0; self.bounds.len() + 1];
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum / count as f64)
    }

    /// Each bound that is at most `most`, with the number of observations up to it.
    pub(crate) fn cumulated(&self, most: f64) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        self.bounds.iter().enumerate().filter(move |(_, bound)| **bound <= most).map(move |(place, bound)| {
            total += self.counts.get(place).copied().unwrap_or(0);
            (*bound, total)
        })
    }
}
