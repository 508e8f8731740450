//! Objects of our kinds, and what API servers say about them.
//!
//! `tests/verdicts/*.yaml` holds objects that are right and objects that are wrong; `tests/verdicts/answers.jsonl` what a
//! kube-apiserver makes of each: accepted, with what it fills in and takes out, or refused, with fields and causes. The test
//! below holds our own API server and our validation to that; `cargo xtask foreign kube-apiserver` asks the real one again.

mod cases;
mod judge;
mod verdict;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub(crate) use cases::{Case, NAMESPACE};
pub(crate) use judge::Judge;
pub(crate) use verdict::Verdict;

fn folder() -> PathBuf {
    crate::workspace::root().join("tests/verdicts")
}

/// All objects.
pub(crate) fn cases() -> Result<Vec<Case>> {
    cases::read(&folder())
}

/// What the real server said when it was last asked, in the order of the cases.
pub(crate) fn answers() -> Result<Vec<Verdict>> {
    let path = folder().join("answers.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests;
