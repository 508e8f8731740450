//! The plugin types of llm-d v0.10 and what each is for.

/// What a plugin type is, as far as scheduling goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scorer,
    Filter,
    Picker,
    /// A saturation detector; in a profile it is a filter.
    Detector,
    /// Runs the only profile.
    SingleProfileHandler,
    /// Feeds the prefix scorers.
    PrefixProducer,
    /// Configures another part, or has no effect any more.
    Elsewhere,
    /// Exists in llm-d and has an effect on scheduling that is not built here yet.
    NotSupported,
}

const TYPES: &[(&str, Kind)] = &[
    ("queue-scorer", Kind::Scorer),
    ("running-requests-size-scorer", Kind::Scorer),
    ("kv-cache-utilization-scorer", Kind::Scorer),
    ("load-aware-scorer", Kind::Scorer),
    ("lora-affinity-scorer", Kind::Scorer),
    ("prefix-cache-scorer", Kind::Scorer),
    ("no-hit-lru-scorer", Kind::Scorer),
    ("active-request-scorer", Kind::Scorer),
    ("token-load-scorer", Kind::Scorer),
    ("decode-filter", Kind::Filter),
    ("prefill-filter", Kind::Filter),
    ("encode-filter", Kind::Filter),
    ("by-label", Kind::Filter),
    ("label-selector-filter", Kind::Filter),
    ("by-label-selector", Kind::Filter),
    ("utilization-detector", Kind::Detector),
    ("concurrency-detector", Kind::Detector),
    ("max-score-picker", Kind::Picker),
    ("random-picker", Kind::Picker),
    ("weighted-random-picker", Kind::Picker),
    ("single-profile-handler", Kind::SingleProfileHandler),
    ("approx-prefix-cache-producer", Kind::PrefixProducer),
    ("inflight-load-producer", Kind::Elsewhere),
    ("token-producer", Kind::Elsewhere),
    ("tokenizer", Kind::Elsewhere),
    ("metrics-data-source", Kind::Elsewhere),
    ("core-metrics-extractor", Kind::Elsewhere),
    ("models-data-source", Kind::Elsewhere),
    ("models-data-extractor", Kind::Elsewhere),
    ("endpoint-notification-source", Kind::Elsewhere),
    ("k8s-notification-source", Kind::Elsewhere),
    ("file-discovery", Kind::Elsewhere),
    ("openai-parser", Kind::Elsewhere),
    ("anthropic-parser", Kind::Elsewhere),
    ("vllmhttp-parser", Kind::Elsewhere),
    ("sglanghttp-parser", Kind::Elsewhere),
    ("vllmgrpc-parser", Kind::Elsewhere),
    ("vertexai-parser", Kind::Elsewhere),
    ("passthrough-parser", Kind::Elsewhere),
    ("global-strict-fairness-policy", Kind::Elsewhere),
    ("round-robin-fairness-policy", Kind::Elsewhere),
    ("program-aware-fairness", Kind::Elsewhere),
    ("fcfs-ordering-policy", Kind::Elsewhere),
    ("edf-ordering-policy", Kind::Elsewhere),
    ("slo-deadline-ordering-policy", Kind::Elsewhere),
    ("static-usage-limit-policy", Kind::Elsewhere),
    ("priority-holdback-policy", Kind::Elsewhere),
    ("soft-reflective-ceiling-policy", Kind::Elsewhere),
    ("sheddable-eviction-filter", Kind::Elsewhere),
    ("priority-then-time-eviction-order-policy", Kind::Elsewhere),
    ("disagg-headers-handler", Kind::Elsewhere),
    ("prefill-header-handler", Kind::Elsewhere),
    ("request-attribute-reporter", Kind::Elsewhere),
    ("session-id-producer", Kind::Elsewhere),
    ("agent-identity", Kind::Elsewhere),
    ("destination-endpoint-served-verifier", Kind::Elsewhere),
    ("disagg-profile-handler", Kind::NotSupported),
    ("pd-profile-handler", Kind::NotSupported),
    ("data-parallel-profile-handler", Kind::NotSupported),
    ("header-profile-handler", Kind::NotSupported),
    ("always-disagg-pd-decider", Kind::NotSupported),
    ("always-disagg-multimodal-decider", Kind::NotSupported),
    ("prefix-based-pd-decider", Kind::NotSupported),
    ("precise-prefix-cache-scorer", Kind::NotSupported),
    ("precise-prefix-cache-producer", Kind::NotSupported),
    ("burst-prefix-cache-producer", Kind::NotSupported),
    ("mm-embeddings-cache-producer", Kind::NotSupported),
    ("mm-embeddings-cache-scorer", Kind::NotSupported),
    ("predicted-latency-producer", Kind::NotSupported),
    ("latency-scorer", Kind::NotSupported),
    ("latency-slo-admitter", Kind::NotSupported),
    ("probabilistic-admitter", Kind::NotSupported),
    ("slo-headroom-tier-filter", Kind::NotSupported),
    ("prefix-cache-affinity-filter", Kind::NotSupported),
    ("context-length-aware", Kind::NotSupported),
    ("session-affinity-scorer", Kind::NotSupported),
    ("session-affinity-filter", Kind::NotSupported),
    ("header-label-affinity-scorer", Kind::NotSupported),
    ("header-based-testing-filter", Kind::NotSupported),
    ("endpoint-attribute-scorer", Kind::NotSupported),
    ("endpoint-attribute-filter", Kind::NotSupported),
    ("topology-affinity-scorer", Kind::NotSupported),
    ("topology-affinity-filter", Kind::NotSupported),
    ("topology-extractor", Kind::NotSupported),
    ("utilization-filter", Kind::NotSupported),
    ("active-request-filter", Kind::NotSupported),
    ("p2p-source-producer", Kind::NotSupported),
    ("disaggregatedset-rollout-screener", Kind::NotSupported),
    ("dcgm-data-source", Kind::NotSupported),
    ("dcgm-extractor", Kind::NotSupported),
    ("multicluster-queue-scorer", Kind::NotSupported),
    ("multicluster-kv-cache-utilization-scorer", Kind::NotSupported),
    ("multicluster-prefix-cache-scorer", Kind::NotSupported),
    ("multicluster-metrics-data-source", Kind::NotSupported),
    ("multicluster-metrics-extractor", Kind::NotSupported),
    ("multicluster-file-discovery", Kind::NotSupported),
];

pub(super) fn kind_of(type_name: &str) -> Option<Kind> {
    TYPES.iter().find(|(name, _)| *name == type_name).map(|(_, kind)| *kind)
}

pub(super) fn all() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

pub(super) fn is_profile_handler(type_name: &str) -> bool {
    type_name.ends_with("-profile-handler")
}
