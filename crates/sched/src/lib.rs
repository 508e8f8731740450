//! Which engine serves a request, and why.
//!
//! In: a [`Request`], a [`Fleet`] (an immutable snapshot of the endpoints) and a [`Ledger`] (what was sent where). Out: a
//! [`Pick`] with the endpoint, what to try when it does not answer, and every score that led there; or a [`Refusal`].
//! A pick changes nothing: the caller commits its [`Booking`] to the ledger when it acts on it. The same arguments make
//! the same pick; there is no clock and no random source here, a request brings `now_ms` and `seed`.
//!
//! The names, parameters and formulas of scorers, filters and pickers are those of llm-d's `EndpointPickerConfig`.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod config;
mod filter;
mod fleet;
mod ledger;
mod pick;
mod prefix;
mod request;
mod scheduler;
mod score;

pub use config::ConfigError;
pub use fleet::{Adapters, Endpoint, Fleet, Load};
pub use ledger::{Booking, Ledger};
pub use pick::{Explanation, Pick, Refusal, ScorerColumn};
pub use prefix::PrefixIndex;
pub use request::Request;
pub use scheduler::{POLICIES, Scheduler};
