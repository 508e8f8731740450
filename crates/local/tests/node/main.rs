//! The node agent over a real API server of this process: small programs as containers.

mod machine;
mod pods;
mod rollouts;
