//! The node agent over a real API server of this process: small programs as containers.

mod engines;
mod leftovers;
mod machine;
mod pods;
mod probes;
mod rollouts;
