//! The engine's metrics as Prometheus text, with vLLM's names and labels.

use std::fmt::Write;

use crate::{
    counters::{Counters, Histogram},
    engine::{Load, Settings},
};

/// What the text is made from.
pub(crate) struct Snapshot<'a> {
    /// The first served name.
    pub(crate) model_name: &'a str,
    pub(crate) max_model_len: u64,
    pub(crate) settings: &'a Settings,
    pub(crate) load: &'a Load,
    pub(crate) counters: &'a Counters,
    /// `None`: without LoRA.
    pub(crate) max_loras: Option<usize>,
    pub(crate) now_s: u64,
    /// Names of the samples that are wanted (`?name[]=…`, as the Python client understands it); empty: all.
    pub(crate) wanted: &'a [&'a str],
}

pub(crate) fn text(snapshot: &Snapshot<'_>) -> String {
    let mut page = Page { text: String::new(), model: escape(snapshot.model_name), wanted: snapshot.wanted };
    let Snapshot { load, counters, settings, .. } = snapshot;

    page.gauge("num_requests_running", "Number of requests in the batch.", &[("", load.running as f64)]);
    page.gauge("num_requests_waiting", "Number of requests that wait.", &[("", load.waiting as f64)]);
    page.gauge(
        "num_requests_waiting_by_reason",
        "Number of waiting requests by reason: capacity, or deferred by an adapter's place.",
        &[
            ("reason=\"capacity\"", (load.waiting - load.deferred) as f64),
            ("reason=\"deferred\"", load.deferred as f64),
        ],
    );
    page.gauge(
        "engine_sleep_state",
        "Sleep state of the engine.",
        &[
            ("sleep_state=\"awake\"", 1.0),
            ("sleep_state=\"weights_offloaded\"", 0.0),
            ("sleep_state=\"discard_all\"", 0.0),
        ],
    );
    page.gauge(
        "kv_cache_usage_perc",
        "Used part of the KV cache; 1 is all of it.",
        &[("", load.kv_used_ratio)],
    );

    let count = |number: u64| number as f64;
    page.counter("prefix_cache_queries", "Prompt tokens looked up.", &[("", count(counters.prefix_queries))]);
    page.counter("prefix_cache_hits", "Prompt tokens found.", &[("", count(counters.prefix_hits))]);
    page.counter(
        "external_prefix_cache_queries",
        "Prompt tokens looked up in other engines.",
        &[("", count(counters.external_queries))],
    );
    page.counter(
        "external_prefix_cache_hits",
        "Prompt tokens found in other engines.",
        &[("", count(counters.external_hits))],
    );
    page.counter("mm_cache_queries", "Multi-modal items looked up.", &[("", 0.0)]);
    page.counter("mm_cache_hits", "Multi-modal items found.", &[("", 0.0)]);
    page.counter(
        "num_preemptions",
        "Requests that gave way to others.",
        &[("", count(counters.preemptions))],
    );
    page.counter(
        "prompt_tokens",
        "Prompt tokens of computed prompts.",
        &[("", count(counters.prompt_tokens))],
    );
    let (cached, fetched) = (counters.cached_prompt_tokens, counters.fetched_prompt_tokens);
    let computed = counters.prompt_tokens - cached - fetched;
    page.counter(
        "prompt_tokens_by_source",
        "Prompt tokens by source.",
        &[
            ("source=\"local_compute\"", count(computed)),
            ("source=\"local_cache_hit\"", count(cached)),
            ("source=\"external_kv_transfer\"", count(fetched)),
        ],
    );
    page.counter("prompt_tokens_cached", "Prompt tokens from a cache.", &[("", count(cached + fetched))]);
    page.counter(
        "prompt_tokens_cached_by_source",
        "Prompt tokens from a cache by its tier.",
        &[
            ("source=\"device\"", count(cached)),
            ("source=\"host\"", 0.0),
            ("source=\"p2p\"", 0.0),
            ("source=\"disk\"", 0.0),
            ("source=\"external_unspecified\"", count(fetched)),
        ],
    );
    page.counter("generation_tokens", "Generated tokens.", &[("", count(counters.generation_tokens))]);
    page.counter(
        "request_success",
        "Finished requests by reason.",
        &[
            ("finished_reason=\"stop\"", count(counters.stopped)),
            ("finished_reason=\"length\"", count(counters.reached_length)),
            ("finished_reason=\"abort\"", count(counters.aborted)),
            ("finished_reason=\"error\"", 0.0),
            ("finished_reason=\"repetition\"", 0.0),
        ],
    );

    page.rejections();

    let longest = snapshot.max_model_len as f64;
    let any = f64::INFINITY;
    for (name, help, histogram, most) in [
        ("request_prompt_tokens", "Prompt tokens of a request.", &counters.request_prompt_tokens, longest),
        (
            "request_generation_tokens",
            "Generated tokens of a request.",
            &counters.request_generation_tokens,
            longest,
        ),
        ("iteration_tokens_total", "Tokens computed in a step.", &counters.iteration_tokens, any),
        (
            "request_max_num_generation_tokens",
            "Most tokens generated for a choice of a request.",
            &counters.request_max_generation_tokens,
            longest,
        ),
        ("request_params_n", "Choices that requests ask for.", &counters.request_n, any),
        ("request_params_max_tokens", "Limits that requests ask for.", &counters.request_max_tokens, longest),
        ("time_to_first_token_seconds", "Time to the first token.", &counters.time_to_first_token_s, any),
        ("inter_token_latency_seconds", "Time between tokens.", &counters.inter_token_latency_s, any),
        (
            "request_time_per_output_token_seconds",
            "Mean time between the tokens of a request.",
            &counters.time_per_output_token_s,
            any,
        ),
        ("e2e_request_latency_seconds", "Time from arrival to end.", &counters.e2e_latency_s, any),
        ("request_queue_time_seconds", "Time in the queue.", &counters.queue_time_s, any),
        ("request_inference_time_seconds", "Time in the batch.", &counters.inference_time_s, any),
        (
            "request_prefill_time_seconds",
            "Time from the batch to the first token.",
            &counters.prefill_time_s,
            any,
        ),
        (
            "request_decode_time_seconds",
            "Time from the first token to the last.",
            &counters.decode_time_s,
            any,
        ),
        ("request_num_preemptions", "How often a request gave way.", &counters.request_preemptions, any),
        (
            "request_prefill_kv_computed_tokens",
            "Prompt tokens of a request that were computed.",
            &counters.request_prefill_computed_tokens,
            longest,
        ),
    ] {
        page.histogram(name, help, histogram, most);
    }

    if let Some(max_loras) = snapshot.max_loras.filter(|_| page.wants("lora_requests_info")) {
        page.adapters(max_loras, load, snapshot.now_s);
    }
    if page.wants("cache_config_info") {
        page.cache_config(settings);
    }
    page.text
}

struct Page<'a> {
    text: String,
    /// Escaped for a label.
    model: String,
    wanted: &'a [&'a str],
}

impl Page<'_> {
    /// Whether a sample of this name was asked for. The name is without `vllm:`.
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted.strip_prefix("vllm:") == Some(name))
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.text, "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}");
    }

    /// Labels come sorted by name, as the Python client prints them; ours all sort by `engine`, own, `model_name` or by
    /// `engine`, `model_name`, own.
    fn sample(&mut self, name: &str, own: &str, value: f64) {
        let model = &self.model;
        let _ = match own {
            "" => writeln!(self.text, "vllm:{name}{{engine=\"0\",model_name=\"{model}\"}} {value:?}"),
            own if own < "model_name" => {
                writeln!(self.text, "vllm:{name}{{engine=\"0\",{own},model_name=\"{model}\"}} {value:?}")
            }
            own => writeln!(self.text, "vllm:{name}{{engine=\"0\",model_name=\"{model}\",{own}}} {value:?}"),
        };
    }

    /// No queue has a limit here. vLLM has no `engine` label on this one.
    fn rejections(&mut self) {
        if self.wants("admission_rejections_total") {
            self.head("admission_rejections_total", "Requests rejected by a limit of the queue.", "counter");
            for reason in ["max_num_queued_reqs", "max_num_queued_tokens"] {
                let model = &self.model;
                let _ = writeln!(
                    self.text,
                    "vllm:admission_rejections_total{{model_name=\"{model}\",reason=\"{reason}\"}} 0.0"
                );
            }
        }
    }

    fn adapters(&mut self, max_loras: usize, load: &Load, now_s: u64) {
        let list = |names: &[std::sync::Arc<str>]| escape(&names.join(","));
        self.head("lora_requests_info", "Adapters in the batch and waited for.", "gauge");
        // A pushed line is text in memory; it cannot fail.
        let _ = writeln!(
            self.text,
            "vllm:lora_requests_info{{max_lora=\"{max_loras}\",running_lora_adapters=\"{}\",waiting_lora_adapters=\"{}\"}} \
             {:?}",
            list(&load.running_adapters),
            list(&load.waiting_adapters),
            now_s as f64
        );
    }

    fn cache_config(&mut self, settings: &Settings) {
        self.head("cache_config_info", "Settings of the KV cache.", "gauge");
        let _ = writeln!(
            self.text,
            "vllm:cache_config_info{{block_size=\"{0}\",cache_dtype=\"auto\",enable_prefix_caching=\"{1}\",engine=\"0\",\
             kv_cache_size_tokens=\"{2}\",num_cpu_blocks=\"None\",num_gpu_blocks=\"{3}\",num_gpu_blocks_override=\"{3}\"}} \
             1.0",
            settings.block_tokens,
            if settings.prefix_caching { "True" } else { "False" },
            u64::from(settings.block_tokens) * u64::from(settings.cache_blocks),
            settings.cache_blocks,
        );
    }

    fn gauge(&mut self, name: &str, help: &str, samples: &[(&str, f64)]) {
        if !self.wants(name) {
            return;
        }
        self.head(name, help, "gauge");
        for (own, value) in samples {
            self.sample(name, own, *value);
        }
    }

    fn counter(&mut self, name: &str, help: &str, samples: &[(&str, f64)]) {
        let name = format!("{name}_total");
        if !self.wants(&name) {
            return;
        }
        self.head(&name, help, "counter");
        for (own, value) in samples {
            self.sample(&name, own, *value);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, most: f64) {
        let (bucket, count, sum) = (format!("{name}_bucket"), format!("{name}_count"), format!("{name}_sum"));
        let wanted = [self.wants(&bucket), self.wants(&count), self.wants(&sum)];
        if wanted == [false; 3] {
            return;
        }
        self.head(name, help, "histogram");
        if wanted[0] {
            for (bound, count) in histogram.cumulated(most) {
                self.sample(&bucket, &format!("le=\"{bound:?}\""), count as f64);
            }
            self.sample(&bucket, "le=\"+Inf\"", histogram.count() as f64);
        }
        if wanted[1] {
            self.sample(&count, "", histogram.count() as f64);
        }
        if wanted[2] {
            self.sample(&sum, "", histogram.sum());
        }
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
