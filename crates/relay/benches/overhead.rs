//! Overhead of the gateway.
fn main() {}
