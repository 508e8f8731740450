//! Cases of `convert/`: an object in one version, in the other, and back.

use std::path::Path;

use anyhow::{Context, Result};
use api::convert::convert;
use api::crd::Version;
use serde_json::Value;

use super::render::mends::Mends;
use super::{Case, Outcome};

pub(super) fn run(case: &Case) -> Result<Outcome> {
    let start = first(&case.dir.join("in.yaml"))?;
    let (there, back) = match start["apiVersion"].as_str() {
        Some("serving.kserve.io/v1alpha1") => (Version::V1alpha2, Version::V1alpha1),
        _ => (Version::V1alpha1, Version::V1alpha2),
    };
    let converted = convert(&start, there);
    let returned = convert(&converted, back);
    let mends = Mends::read(&crate::workspace::root())?;
    let name = case.id.rsplit('/').next().unwrap_or_default();
    let mut outcome = Outcome::new();
    for (kind, file, ours) in [
        ("converted", format!("{}.yaml", there.as_str()), &converted),
        ("back", "back.yaml".to_owned(), &returned),
    ] {
        if let Some(out) = &case.out {
            std::fs::create_dir_all(out)?;
            std::fs::write(out.join(&file), yaml::write(ours))?;
        }
        let wanted = case.dir.join(&file);
        // Where the original panics there is nothing to compare with.
        if wanted.is_file() {
            let mut differences = Vec::new();
            differ(&normal(first(&wanted)?), &normal(ours.clone()), "", &mut differences);
            mends.apply(name, &mut differences);
            outcome.insert(kind, differences);
        }
    }
    Ok(outcome)
}

/// All documents of a file.
pub(super) fn read(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let documents = yaml::read_documents(&text).with_context(|| path.display().to_string())?;
    Ok(documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect())
}

fn first(path: &Path) -> Result<Value> {
    Ok(read(path)?.into_iter().next().unwrap_or(Value::Null))
}

/// Without null values, and without the empty structs that Go prints.
pub(super) fn normal(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|name, child| {
                let is_empty = child.as_object().is_some_and(|fields| fields.is_empty());
                !child.is_null() && name != "creationTimestamp" && !(is_empty && is_printed_empty(name))
            });
            for child in fields.values_mut() {
                *child = normal(child.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = normal(item.take());
            }
        }
        _ => {}
    }
    value
}

fn is_printed_empty(name: &str) -> bool {
    matches!(name, "resources" | "strategy" | "status")
}

/// The differences between two documents, one line each.
pub(super) fn differ(wanted: &Value, ours: &Value, path: &str, differences: &mut Vec<String>) {
    match (wanted, ours) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
                let path = format!("{path}.{name}");
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => differ(left, right, &path, differences),
                    (Some(left), None) => differences.push(format!("{path}: missing, wanted {left}")),
                    (None, Some(right)) => differences.push(format!("{path}: unwanted {right}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differ(left, right, &format!("{path}[{index}]"), differences);
            }
        }
        _ if wanted == ours => {}
        _ => differences.push(format!("{path}: {ours}, wanted {wanted}")),
    }
}
