//! The inputs that `cargo xtask fuzz wire` found worth keeping: what once went wrong stays mended.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/properties/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/properties/wire.rs"]
mod property;

#[test]
fn what_must_hold_holds_for_every_input_of_the_corpus() {
    corpus::replay("wire", property::hold);
}
