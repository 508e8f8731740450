//! `up`: API server, operator, node agent and gateway on one machine, in one process.
//!
//! ```text
//! kubectl ──► apiserver ◄── operator (the code that runs in a cluster)
//!                 ▲  ▲
//!                 │  └───── node     pods as processes on loopback addresses of their own
//!                 └──────── gateway  HTTPRoutes and InferencePools, picks in this process
//! ```
//!
//! The parts talk through the API server alone, as they do in a cluster, so that what is learned here holds there.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod gateway;
mod model;
pub mod node;
pub mod up;
