//! What travels between a client, the gateway and an engine: OpenAI bodies, server-sent events, header names, the
//! engine's metrics text and the hashes of prompt prefixes.
//!
//! Everything here reads borrowed bytes and returns data. Nothing opens a socket, reads a clock or keeps state beyond
//! the [`sse::Splitter`]'s unfinished event. What a reader does not know it leaves alone: a body that is forwarded is
//! forwarded as it came.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod headers;
pub mod metrics;
pub mod openai;
pub mod prefix;
pub mod sse;
pub mod transfer;
