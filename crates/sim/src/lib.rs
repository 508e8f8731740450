//! A simulated vLLM: its API, its metrics, and a model of how its steps take time.
//!
//! ```text
//! argv ──► Options ──► serve ─┬─ routes     HTTP: requests in, answers and streams out
//!                             ├─ driver     wakes when a step of the engine ends; idle engines cost nothing
//!                             └─ engine     pure, in virtual time: batching, prefill, KV cache, preemption
//! ```
//!
//! Answers are made-up text that says so; everything that is measured (queue, batch, cache, latencies) follows the
//! model. Hundreds of engines run in one process.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod answer;
mod body;
mod counters;
pub mod engine;
mod exposition;
mod generate;
mod options;
mod routes;
mod serve;
mod server;
mod text;
mod tls;
pub mod tokens;

pub use counters::Counters;
pub use options::{ArgsError, LoraModule, Options};
pub use serve::{ServeError, serve};
