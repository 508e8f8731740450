//! A streaming HTTP forwarder, and on it the gateway, where requests go as a table of routes says, and the sidecar of
//! disaggregated serving.
//!
//! In: a [`RouteTable`] (pure data; somebody else watches a cluster or reads a file), and connections. Out: requests at
//! engines, answers to clients, frame by frame. A pool of engines is chosen from by [`sched`], in this process, on a
//! snapshot of what the engines last said of themselves. This crate knows neither Kubernetes nor any configuration
//! file.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod body;
mod filter;
mod fleet;
mod gateway;
mod headers;
mod index;
mod live;
mod models;
mod refusal;
mod scrape;
mod server;
pub mod sidecar;
mod table;
mod upstream;

pub use body::ReplyBody;
pub use gateway::{Gateway, Limits};
pub use refusal::Refusal;
pub use server::serve;
pub use table::{
    Backend, EndpointSpec, Filter, HeaderEdits, HeaderMatch, Match, PathMatch, PathRewrite, PoolSpec,
    QueryMatch, Redirect, Rewrite, Route, RouteTable, Rule, Served, ServiceSpec, Target, Tls, ValueMatch,
};
pub use upstream::TlsError;
