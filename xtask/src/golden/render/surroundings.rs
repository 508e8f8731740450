//! What a cluster of a profile has before a case begins: presets, gateway, settings. Read once and shared by all cases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use compose::Settings;
use kinds::Objects;
use serde_json::Value;

use crate::golden::document::read;

/// The objects of one profile.
pub(super) struct Surroundings {
    /// As they are posted, in order.
    pub(super) documents: Vec<Value>,
    /// As they are stored.
    pub(super) stored: Objects,
    /// Whether models are cached on the nodes.
    pub(super) caches_models: bool,
}

type Known = BTreeMap<(PathBuf, String), Arc<Surroundings>>;

static KNOWN: Mutex<Known> = Mutex::new(Known::new());

/// The surroundings of a profile.
pub(super) fn of(root: &Path, profile: &str) -> Result<Arc<Surroundings>> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (root.to_owned(), profile.to_owned());
    if let Some(found) = known.get(&key) {
        return Ok(found.clone());
    }
    let documents = documents(root, profile)?;
    let mut stored = Objects::new();
    for document in &documents {
        let admitted = api::admission::admit(document, api::admission::Request::default());
        stored.add_document(admitted.with_context(|| document["metadata"]["name"].to_string())?.object)?;
    }
    let caches_models = Settings::from_objects(&stored, "kserve")?.local_model_enabled;
    let read = Arc::new(Surroundings { documents, stored, caches_models });
    known.insert(key, read.clone());
    Ok(read)
}

fn documents(root: &Path, profile: &str) -> Result<Vec<Value>> {
    let presets = root.join("presets");
    let mut files: Vec<_> =
        std::fs::read_dir(&presets)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.insert(0, presets.join("cluster/system.yaml"));
    files.push(presets.join(format!("cluster/{profile}.yaml")));
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read(&file)?);
    }
    Ok(documents)
}
