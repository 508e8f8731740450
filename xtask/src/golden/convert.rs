//! Cases of `convert/`: an object in one version, in the other, and back.

use anyhow::Result;
use api::convert::convert;
use api::crd::Version;
use kinds::ObjectKey;

use super::difference::differ;
use super::document::{first, normal, write};
use super::{Case, Outcome};

pub(super) fn run(case: &Case) -> Result<Outcome> {
    let start = first(&case.dir.join("in.yaml"))?;
    let (there, back) = match start["apiVersion"].as_str() {
        Some("serving.kserve.io/v1alpha1") => (Version::V1alpha2, Version::V1alpha1),
        _ => (Version::V1alpha1, Version::V1alpha2),
    };
    let converted = convert(&start, there);
    let returned = convert(&converted, back);
    let mut outcome = Outcome::default();
    for (kind, file, ours) in [
        ("converted", format!("{}.yaml", there.as_str()), normal(converted)),
        ("back", "back.yaml".to_owned(), normal(returned)),
    ] {
        if let Some(out) = &case.out {
            write(&out.join(&file), &yaml::write(&ours))?;
        }
        let wanted = case.dir.join(&file);
        // Where the original panics there is nothing to compare with.
        if wanted.is_file() {
            let path = ObjectKey::of(&ours).map(|key| super::path_of(&key)).unwrap_or_default();
            let mut found = Vec::new();
            differ(&normal(first(&wanted)?), &ours, &path, &mut found);
            outcome.add(kind, &file, found);
        }
    }
    Ok(outcome)
}
