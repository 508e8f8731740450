//! Stories of services over the in-process API server, told by what a user sees in the cluster.
#![allow(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod configs;
mod replay;
mod services;
mod trouble;
mod world;
