//! Stories: the built binary, used as a user uses it. Rust alone; ports and folders of their own.

mod bad_input;
mod process;
mod rendering;
mod serving;
mod survival;
