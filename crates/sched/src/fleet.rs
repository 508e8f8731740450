//! The endpoints at one moment.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use xxhash_rust::xxh64::xxh64;

/// An immutable snapshot of the endpoints of one pool. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    endpoints: Arc<[Endpoint]>,
}

impl Fleet {
    /// A snapshot of these endpoints. Their order is the order of turns in `round-robin`; it should not depend on chance.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints: endpoints.into() }
    }

    /// The endpoints, ready or not.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

/// One port of one pod that answers requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name: `NAMESPACE/POD-rank-N`, as llm-d calls it. What is learnt of an endpoint is kept under this name.
    pub id: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The labels of its pod.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Whether requests may be sent to it.
    pub ready: bool,
    /// What it said of itself.
    pub load: Load,
    key: u64,
}

impl Endpoint {
    /// An endpoint that is ready, has no labels and has said nothing of itself yet.
    pub fn new(id: impl Into<Arc<str>>, address: SocketAddr) -> Self {
        let id = id.into();
        let key = xxh64(id.as_bytes(), 0);
        Self { id, address, labels: Arc::default(), ready: true, load: Load::default(), key }
    }

    /// The same endpoint with another load.
    #[must_use]
    pub fn with_load(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// The same endpoint with the labels of its pod.
    #[must_use]
    pub fn with_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.labels = Arc::new(labels);
        self
    }

    /// The same endpoint, ready or not.
    #[must_use]
    pub fn with_ready(mut self, ready: bool) -> Self {
        self.ready = ready;
        self
    }

    /// Under which the ledger keeps it: a hash of its name.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }
}

/// What an engine said of itself. `None` is "it did not say"; scorers then count 0, as llm-d's do for an endpoint that
/// has not been scraped yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests that wait for the engine.
    pub waiting: Option<f64>,
    /// Requests in the engine's batch.
    pub running: Option<f64>,
    /// Used part of the KV cache, 0 to 1.
    pub kv_used_ratio: Option<f64>,
    /// Tokens in a block of the KV cache.
    pub cache_block_tokens: Option<u32>,
    /// Blocks in the KV cache.
    pub cache_blocks: Option<u64>,
    /// LoRA adapters; `None` for an engine without LoRA.
    pub adapters: Option<Adapters>,
    /// When this was measured, on the clock of [`crate::Request::now_ms`]. `None`: never.
    pub measured_at_ms: Option<u64>,
}

impl Load {
    /// The load that an engine's metrics show.
    pub fn from_metrics(metrics: &wire::metrics::Load<'_>, measured_at_ms: u64) -> Self {
        let names = |list: &str| wire::metrics::Adapters::names(list).map(Arc::from).collect();
        Self {
            waiting: metrics.waiting,
            running: metrics.running,
            kv_used_ratio: metrics.kv_used_ratio,
            cache_block_tokens: metrics.cache_block_tokens,
            cache_blocks: metrics.cache_blocks,
            adapters: metrics.adapters.as_ref().map(|adapters| Adapters {
                max: adapters.max,
                running: names(&adapters.running),
                waiting: names(&adapters.waiting),
            }),
            measured_at_ms: Some(measured_at_ms),
        }
    }
}

/// The LoRA adapters of an engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapters {
    /// How many may be in one batch.
    pub max: Option<u32>,
    /// In the batch now.
    pub running: Arc<[Arc<str>]>,
    /// Waited for.
    pub waiting: Arc<[Arc<str>]>,
}
