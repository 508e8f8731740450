//! The committed inputs of a target, replayed by the tests of the crate that it is about.

use std::fs;
use std::path::Path;

/// Calls `hold` with every input of a target.
///
/// # Panics
/// If there are none, or one does not hold.
#[allow(clippy::print_stdout, reason = "a test that fails names its input")]
pub(crate) fn replay(target: &str, hold: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("a corpus") {
        let path = entry.expect("an input").path();
        println!("{}", path.display());
        hold(&fs::read(path).expect("bytes"));
        inputs += 1;
    }
    assert!(inputs > 1, "{inputs} inputs are none");
}
