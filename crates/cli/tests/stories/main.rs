//! Stories: the built binary, used as a user uses it. Rust alone; ports and folders of their own.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a story that cannot go on has failed")]

mod bad_input;
mod process;
mod rendering;
mod replaying;
mod serving;
mod survival;
mod topologies;
