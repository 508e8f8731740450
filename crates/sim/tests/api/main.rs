//! The simulated engine over a socket.

mod http;
mod support;
mod tls;
