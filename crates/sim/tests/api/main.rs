//! The simulated engine over a socket.

// A test that cannot go on panics, also where it shares code with others.
#![allow(clippy::unwrap_used)]

mod golden;
mod http;
mod support;
mod tls;
