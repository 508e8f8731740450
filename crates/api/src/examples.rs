//! Every example parses, and is admitted or refused with the field that is at fault.

use std::path::Path;

use crate::admission::{Request, admit};
use crate::crd::Kind;
use crate::shape;
use serde_json::Value;

/// Files that are wrong on purpose, with the field that is named.
const WRONG: [(&str, &str); 4] = [
    ("seeds/production.yaml", "spec.model.criticality"),
    ("seeds/scheduler-pool.yaml", "spec.router.scheduler.pool.spec.targetPort"),
    ("seeds/single-node-gpu.yaml", "spec.template.spec"),
    ("seeds/cpu-only.yaml", "spec.template.spec"),
];

fn examples() -> Vec<(String, Vec<Value>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found = Vec::new();
    for folder in ["", "seeds"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                let documents = yaml::read_documents(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                found.push((name, documents.into_iter().map(|document| document.value).collect()));
            }
        }
    }
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    found
}

/// The fields that are at fault: unknown ones first, else those that admission blames.
fn faults(object: &Value) -> Vec<String> {
    let word = |name: &str| object[name].as_str().unwrap_or_default();
    let Some(type_) = shape::root(word("apiVersion"), word("kind")) else { return Vec::new() };
    let unknown: Vec<String> =
        shape::unknown_fields(type_, object).into_iter().map(|field| field.path).collect();
    match admit(object, Request::default()) {
        Err(refusal) if unknown.is_empty() => {
            refusal.causes.into_iter().filter_map(|cause| cause.violation.field).collect()
        }
        _ => unknown,
    }
}

#[test]
fn every_example_is_right_or_wrong_on_purpose() {
    let examples = examples();
    assert!(examples.len() > 25, "{}", examples.len());
    for (name, documents) in &examples {
        let faults: Vec<String> = documents.iter().flat_map(faults).collect();
        let wanted: Vec<&str> =
            WRONG.iter().filter(|(file, _)| file == name).map(|(_, field)| *field).collect();
        assert_eq!(faults, wanted, "{name}");
    }
}

#[test]
fn the_first_example_is_a_service() {
    let (_, documents) = examples().into_iter().find(|(name, _)| name == "qwen2-7b.yaml").unwrap();
    assert_eq!(Kind::of(documents[0]["kind"].as_str().unwrap()), Some(Kind::Service));
}
