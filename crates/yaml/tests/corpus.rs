//! The inputs that `cargo xtask fuzz yaml` found worth keeping: what once went wrong stays mended.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/properties/yaml.rs"]
mod property;

#[test]
fn what_must_hold_holds_for_every_input_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/yaml");
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        property::hold(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 1);
}
