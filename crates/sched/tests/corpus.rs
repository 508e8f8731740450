//! The inputs that `cargo xtask fuzz sched` found worth keeping: what once went wrong stays mended.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/properties/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/properties/sched.rs"]
mod property;

#[test]
fn what_must_hold_holds_for_every_input_of_the_corpus() {
    corpus::replay("sched", property::hold);
}
