//! Presets, baseRefs and a service become one merged spec.
//!
//! Goes in: [`Facts`] (the service, the objects of the cluster that matter, the parsed `inferenceservice-config`).
//! Comes out: [`Merged`] (the spec that everything else is planned from, which configs it came from, the origin of every
//! field, warnings) or an [`Error`] that names the field and what to do.
//!
//! [`compose`] is the whole of it: presets are selected, configs are looked up in the service's namespace and then in the
//! system namespace (embedded presets stand in for absent ones), merged as Kubernetes' strategic merge does, templates
//! are rendered, the steps after the merge are done and the result is validated. [`combine`] is the same without the
//! validation.
//!
//! ```text
//! let facts = Facts { service, objects, settings: Settings::from_objects(&objects, "kserve")?, ..Facts::default() };
//! let merged = compose::compose(&facts)?;
//! merged.spec            // typed
//! merged.document        // {"metadata": …, "spec": …} as JSON, in Kubernetes' own spelling
//! merged.origins.of("/spec/template/containers/0/image")
//! ```
//!
//! Nothing here talks to a cluster, reads a clock or a file.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod check;
mod combine;
mod data;
mod engine;
mod error;
mod facts;
mod finish;
mod go_json;
mod layer;
mod lookup;
mod merge;
mod merged;
mod node;
pub mod presets;
mod select;
mod settings;
mod shared;
mod template;
mod words;

pub use combine::{combine, merge, render};
pub use error::{Cause, Error};
pub use facts::Facts;
pub use merged::{AppliedConfig, Merged, Origin, Origins, SchedulerConfig, Source, Warning};
pub use select::pins;
pub use settings::{
    Autoscaling, Credentials, ExpirationAnnotations, GcsCredentials, Ingress, ModelRouting, OciModelMode,
    Prometheus, S3Credentials, Settings, SettingsError, StorageInitializer,
};

/// Merges, renders and validates.
pub fn compose(facts: &Facts) -> Result<Merged, Error> {
    let mut merged = combine(facts)?;
    check::check(&mut merged, facts)?;
    Ok(merged)
}

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod seed_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod warning_tests;
