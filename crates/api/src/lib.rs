//! What users write: LLMInferenceService and LLMInferenceServiceConfig.
//!
//! Goes in: YAML or JSON documents of either kind in either version. Comes out: typed objects, checked and with the
//! defaults that an API server with KServe's webhooks would write, and the CRDs for such an API server. Nothing here
//! looks at a cluster; what a rule needs beyond the object is an argument.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod admission;
pub mod conditions;
pub mod convert;
pub mod crd;
pub mod defaults;
#[cfg(test)]
mod examples;
pub mod keys;
pub mod names;
pub mod rules;
pub mod shape;
pub mod uri;
pub mod v1alpha2;
pub mod validate;

/// The API group of both kinds.
pub const GROUP: &str = "serving.kserve.io";
