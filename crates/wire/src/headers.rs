//! Header names that the scheduler, the gateway and the prefill/decode sidecar use, and which of them a client may not
//! send through to an engine.

use http::HeaderMap;

/// Where the request goes: `ip:port`, several in order of preference separated by commas.
pub const DESTINATION_ENDPOINT: &str = "x-gateway-destination-endpoint";
/// Where the request was really served; the proxy reports it.
pub const DESTINATION_ENDPOINT_SERVED: &str = "x-gateway-destination-endpoint-served";
/// Restricts the choice to these endpoints.
pub const DESTINATION_SUBSET: &str = "x-gateway-destination-endpoint-subset";
/// Why a request was dropped; set on the refusal.
pub const REQUEST_DROPPED_REASON: &str = "x-llm-d-request-dropped-reason";
/// The flow that a request is accounted to.
pub const FAIRNESS_ID: &str = "x-llm-d-inference-fairness-id";
/// Name of the `InferenceObjective` that gives the priority.
pub const OBJECTIVE: &str = "x-llm-d-inference-objective";
/// The model that the engine is to see instead of the one in the body.
pub const MODEL_NAME_REWRITE: &str = "x-llm-d-model-name-rewrite";
/// Wanted time to the first token, in milliseconds.
pub const SLO_TTFT_MS: &str = "x-llm-d-slo-ttft-ms";
/// Wanted time per output token, in milliseconds.
pub const SLO_TPOT_MS: &str = "x-llm-d-slo-tpot-ms";
/// Tells the decode sidecar where the prefill engine is.
pub const PREFILLER_HOST_PORT: &str = "x-prefiller-host-port";
/// Tells the sidecar where the encode engines are (comma list).
pub const ENCODER_HOSTS_PORTS: &str = "x-encoder-hosts-ports";
/// The data-parallel rank that was chosen, as `ip:port`.
pub const DATA_PARALLEL_HOST_PORT: &str = "x-data-parallel-host-port";
/// The peer from which cached blocks may be fetched.
pub const KV_CACHE_SOURCE_HOST_PORT: &str = "x-kv-cache-source-host-port";
/// Selects an endpoint in conformance tests.
pub const TEST_ENDPOINT_SELECTION: &str = "test-epp-endpoint-selection";
/// The request's own identifier; vLLM makes it part of the answer's `id`.
pub const REQUEST_ID: &str = "x-request-id";
/// The session token of `session-affinity-scorer`.
pub const SESSION_TOKEN: &str = "x-session-token";

/// Headers that only the scheduler or the proxy may set: an engine or a sidecar acts on them, so one that comes from a
/// client would let it choose the destination. llm-d's picker leaves them in the request; we take them out.
pub const NEVER_FROM_CLIENT: [&str; 7] = [
    DESTINATION_ENDPOINT,
    DESTINATION_ENDPOINT_SERVED,
    REQUEST_DROPPED_REASON,
    PREFILLER_HOST_PORT,
    ENCODER_HOSTS_PORTS,
    DATA_PARALLEL_HOST_PORT,
    KV_CACHE_SOURCE_HOST_PORT,
];

/// Headers that a client may send to steer the scheduler, which end there. With their old names, which are still read.
pub const FOR_SCHEDULER_ONLY: [&str; 14] = [
    FAIRNESS_ID,
    "x-gateway-inference-fairness-id",
    OBJECTIVE,
    "x-gateway-inference-objective",
    MODEL_NAME_REWRITE,
    "x-gateway-model-name-rewrite",
    DESTINATION_SUBSET,
    SLO_TTFT_MS,
    "x-slo-ttft-ms",
    SLO_TPOT_MS,
    "x-slo-tpot-ms",
    "x-llm-d-video-fps",
    "x-llm-d-video-duration-seconds",
    "x-llm-d-video-resolution",
];

/// Removes what a client must not pass on to an engine: [`NEVER_FROM_CLIENT`] and [`FOR_SCHEDULER_ONLY`]. Call it after
/// the scheduler has read what it wants and before the scheduler's own headers are set.
pub fn strip_client_control(headers: &mut HeaderMap) {
    for name in NEVER_FROM_CLIENT.iter().chain(&FOR_SCHEDULER_ONLY) {
        headers.remove(*name);
    }
}

/// The value of a header under its current name, or else under its old one. Absent or not text: `None`.
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let old = match name {
        FAIRNESS_ID => Some("x-gateway-inference-fairness-id"),
        OBJECTIVE => Some("x-gateway-inference-objective"),
        MODEL_NAME_REWRITE => Some("x-gateway-model-name-rewrite"),
        SLO_TTFT_MS => Some("x-slo-ttft-ms"),
        SLO_TPOT_MS => Some("x-slo-tpot-ms"),
        _ => None,
    };
    headers.get(name).or_else(|| old.and_then(|old| headers.get(old))).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_client_cannot_choose_the_destination_or_the_prefill_peer() {
        let mut headers = HeaderMap::new();
        headers.insert(DESTINATION_ENDPOINT, HeaderValue::from_static("10.0.0.1:1"));
        headers.append(PREFILLER_HOST_PORT, HeaderValue::from_static("a:1"));
        headers.append(PREFILLER_HOST_PORT, HeaderValue::from_static("b:1"));
        headers.insert("authorization", HeaderValue::from_static("Bearer x"));
        strip_client_control(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("authorization"));
    }

    #[test]
    fn the_current_header_name_wins_over_the_old_one() {
        let mut headers = HeaderMap::new();
        headers.insert("x-gateway-inference-objective", HeaderValue::from_static("old"));
        assert_eq!(read(&headers, OBJECTIVE), Some("old"));
        headers.insert(OBJECTIVE, HeaderValue::from_static("new"));
        assert_eq!(read(&headers, OBJECTIVE), Some("new"));
    }
}
