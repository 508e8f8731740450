//! `tests/facts.yaml`: what the originals' integration tests hold, and which of our tests holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of all test functions of a crate, with the names of their files: `statuses::a_test`.
fn tests_of(crate_: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join("crates").join(crate_)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let file = path.file_stem().unwrap().to_string_lossy().into_owned();
                for (before, after) in text.match_indices("fn ").map(|(at, _)| text.split_at(at)) {
                    let name = after[3..].split(['(', '<']).next().unwrap_or_default();
                    let last_lines: Vec<&str> = before.lines().rev().take(3).collect();
                    if last_lines.iter().any(|line| line.trim().starts_with("#[") && line.contains("test]")) {
                        found.insert(format!("{file}::{name}"));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_fact_has_a_test_that_exists_or_a_reason() {
    let text = std::fs::read_to_string(root().join("tests/facts.yaml")).unwrap();
    let facts = yaml::read_value(&text).unwrap();
    let facts = facts.as_array().unwrap();
    assert!(facts.len() > 80, "the table is cut off");
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in facts {
        let fact = entry["fact"].as_str().unwrap();
        let tests: Vec<&str> =
            entry["tests"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if tests.is_empty() == entry["why_not"].as_str().unwrap_or_default().is_empty() {
            wrong.push(format!("{fact}: tests or a reason, one of the two"));
        }
        for test in tests {
            let mut words: Vec<&str> = test.split("::").collect();
            let crate_ = words.remove(0);
            // Files called tests.rs or mod.rs stand for their module.
            let name = words.pop().unwrap_or_default();
            let file = words.pop().unwrap_or_default();
            if !known.entry(crate_).or_insert_with(|| tests_of(crate_)).contains(&format!("{file}::{name}")) {
                wrong.push(format!("{fact}: there is no test {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
