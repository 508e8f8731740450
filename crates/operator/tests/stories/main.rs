//! Stories of services over the in-process API server, told by what a user sees in the cluster.

mod configs;
mod services;
mod trouble;
mod world;
