//! The CRDs of our kinds against the recorded ones, path by path: type, required, enum, pattern, bounds, default, CEL.
//!
//! Differences that are meant are in `tests/crd-differences.yaml`: entries of `paths` (globs), and `why`.

use anyhow::{Context, Result};
use api::crd::{Edition, Kind, crd};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::Value;

use super::difference::Difference;
use super::{Case, Outcome};

pub(super) fn run(case: &Case) -> Result<Outcome> {
    let text = std::fs::read_to_string(&case.dir)?;
    let wanted: Value = serde_json::from_str(&text)?;
    let Some(kind) = wanted["spec"]["names"]["kind"].as_str().and_then(Kind::of) else {
        return Ok(Outcome::default());
    };
    let meant = meant()?;
    let mut outcome = Outcome::default();
    for (edition, name) in [(Edition::Full, "full"), (Edition::Installed, "installed")] {
        let ours = crd(kind, edition, None);
        let mut differences = Vec::new();
        for field in ["scope", "group", "names"] {
            compare(&wanted["spec"][field], &ours["spec"][field], field, &mut differences);
        }
        for version in wanted["spec"]["versions"].as_array().into_iter().flatten() {
            let ours = ours["spec"]["versions"]
                .as_array()
                .and_then(|versions| versions.iter().find(|candidate| candidate["name"] == version["name"]))
                .unwrap_or(&Value::Null);
            let at = version["name"].as_str().unwrap_or_default();
            compare(version, ours, at, &mut differences);
        }
        differences.retain(|(path, _)| !meant.is_match(format!("{name}.{path}")));
        differences.sort();
        let found = differences
            .iter()
            .map(|(path, words)| Difference::of_text("", format!("{name}.{path}"), "", words));
        outcome.add(name, &case.id, found.collect());
    }
    Ok(outcome)
}

fn meant() -> Result<GlobSet> {
    let path = crate::workspace::root().join("tests/crd-differences.yaml");
    let mut globs = GlobSetBuilder::new();
    if path.is_file() {
        let text = std::fs::read_to_string(&path)?;
        let entries = yaml::read_value(&text).with_context(|| path.display().to_string())?;
        for entry in entries.as_array().into_iter().flatten() {
            for glob in entry["paths"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                globs.add(Glob::new(glob).with_context(|| path.display().to_string())?);
            }
        }
    }
    Ok(globs.build()?)
}

/// Walks both documents. Lists whose order says nothing are compared as sets.
fn compare(wanted: &Value, ours: &Value, path: &str, differences: &mut Vec<(String, String)>) {
    match (wanted, ours) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
                if name == "description" {
                    continue;
                }
                let path = format!("{path}.{name}");
                compare(
                    left.get(name).unwrap_or(&Value::Null),
                    right.get(name).unwrap_or(&Value::Null),
                    &path,
                    differences,
                );
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            let (mut left, mut right): (Vec<_>, Vec<_>) =
                (left.iter().map(Value::to_string).collect(), right.iter().map(Value::to_string).collect());
            left.sort();
            right.sort();
            if left != right {
                let missing: Vec<_> = left.iter().filter(|item| !right.contains(item)).collect();
                let unwanted: Vec<_> = right.iter().filter(|item| !left.contains(item)).collect();
                differences.push((path.to_owned(), format!("missing {missing:?}, unwanted {unwanted:?}")));
            }
        }
        _ if wanted == ours => {}
        _ => differences.push((path.to_owned(), format!("{ours}, wanted {wanted}"))),
    }
}
