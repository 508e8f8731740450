//! Strategic merge, JSON merge, JSON patch, server-side apply.
//!
//! Everything works on `serde_json::Value` and is a pure function. Three forms of PATCH change a document:
//! [`strategic::apply`] (lists by key, directives), [`merge::apply`] (RFC 7386) and [`json::apply`] (RFC 6902).
//! [`apply::apply`] is server-side apply: it merges what one manager wants into the live object, given a [`Schema`],
//! and keeps the record of who owns what; [`apply::update`] keeps that record over every other write.
//! [`keys`] is the one table that says how the lists of built-in kinds merge, in both worlds.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod apply;
pub mod fields;
pub mod json;
pub mod keys;
pub mod merge;
mod schema;
pub mod strategic;
mod typed;

pub use keys::ListKeys;
pub use schema::Schema;
