//! What the scheduler knows of a request.

use std::borrow::Cow;

/// A request to be placed. Only what a scheduler's profile asks for is looked at.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The model that the engine is asked for, after any rewrite: a served name or a LoRA adapter. Empty for requests
    /// without a model.
    pub model: &'a str,
    /// The prompts as bytes of which four count as one token: `wire::openai::Body::prompts`. Empty if unknown.
    pub prompts: Vec<Cow<'a, [u8]>>,
    /// Separates the prefix caches of tenants.
    pub cache_salt: Option<Cow<'a, str>>,
    /// Negative: may be dropped when the fleet is saturated. The default is 0.
    pub priority: i32,
    /// Only these endpoints may be picked; compared by IP address, as llm-d does (`ip`, `ip:port` or `[ip]:port`).
    /// `None`: the whole fleet.
    pub subset: Option<Vec<&'a str>>,
    /// A number that differs from request to request: it decides between equal scores and drives the random pickers.
    pub seed: u64,
    /// The caller's clock in milliseconds, the one that stamps [`crate::Load::measured_at_ms`].
    pub now_ms: u64,
}
