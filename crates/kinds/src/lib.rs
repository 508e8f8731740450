//! Objects as sets of JSON documents, and the foreign kinds we touch.
//!
//! [`Objects`] is what every decision takes and gives: an ordered set of JSON documents. The other modules are narrow
//! readers of kinds that others define, one file per API group. They name the fields we read or write; every other
//! field is kept in `rest` and comes out again, so a document of a newer release survives a round trip.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod autoscaling;
mod crds;
pub mod gateway;
pub mod inference;
pub mod keda;
pub mod leaderworkerset;
pub mod monitoring;
mod objects;
pub mod pointer;
pub mod quantity;
pub mod schema;

pub use crds::crds;
pub use objects::{Error, ObjectKey, Objects};

/// Fields of a foreign document that no reader names. They are kept as they are.
pub type Rest = serde_json::Map<String, serde_json::Value>;
