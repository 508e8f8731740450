//! Differences that are meant, from `tests/golden-mends.yaml`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// What we do otherwise, and where it shows.
pub(crate) struct Mends(Vec<(Vec<String>, Vec<String>)>);

impl Mends {
    /// Reads the list.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("tests/golden-mends.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let list = yaml::read_value(&text).with_context(|| path.display().to_string())?;
        let words = |mend: &Value, field: &str| {
            mend[field]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect()
        };
        Ok(Mends(
            list.as_array()
                .into_iter()
                .flatten()
                .map(|mend| (words(mend, "cases"), words(mend, "lines")))
                .collect(),
        ))
    }

    /// Takes the lines out that are meant.
    pub(crate) fn apply(&self, case: &str, lines: &mut Vec<String>) {
        for (cases, words) in &self.0 {
            if cases.iter().any(|name| name == case || name == "*") {
                lines.retain(|line| {
                    !words.is_empty() && !words.iter().any(|word| line.contains(word.as_str()))
                });
            }
        }
    }
}
