//! The inputs that `cargo xtask fuzz sched` found worth keeping: what once went wrong stays mended.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/properties/sched.rs"]
mod property;

#[test]
fn what_must_hold_holds_for_every_input_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sched");
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        property::hold(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 1);
}
