//! Where kinds are served, as an API server's discovery says. All clusters here serve the same.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use kinds::ObjectKey;
use serde_json::Value;

pub(super) const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

type Resources = BTreeMap<(String, String), (String, bool)>;

/// Plural and whether it is namespaced, by `apiVersion` and kind.
static RESOURCES: OnceLock<Resources> = OnceLock::new();

/// The path of a kind in the key's namespace.
pub(super) fn resource_path(key: &ObjectKey) -> Result<String> {
    let found = RESOURCES.get().and_then(|known| known.get(&(key.api_version.clone(), key.kind.clone())));
    let (plural, namespaced) =
        found.with_context(|| format!("{key}: the API server does not serve this kind"))?;
    let root = if key.api_version.contains('/') { "apis" } else { "api" };
    Ok(match key.namespace.as_deref().filter(|_| *namespaced) {
        Some(namespace) => format!("/{root}/{}/namespaces/{namespace}/{plural}", key.api_version),
        None => format!("/{root}/{}/{plural}", key.api_version),
    })
}

/// Learns it once, through a server that has all definitions.
pub(super) fn discover(get: impl Fn(&str) -> Result<Value>) -> Result<()> {
    if RESOURCES.get().is_some() {
        return Ok(());
    }
    let mut roots = vec![("v1".to_owned(), "/api/v1".to_owned())];
    for group in get("/apis")?["groups"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            let version = version["groupVersion"].as_str().unwrap_or_default().to_owned();
            roots.push((version.clone(), format!("/apis/{version}")));
        }
    }
    let mut known = Resources::new();
    for (version, root) in roots {
        for resource in get(&root)?["resources"].as_array().into_iter().flatten() {
            let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
            if !text("name").contains('/') {
                known.insert((version.clone(), text("kind")), (text("name"), resource["namespaced"] == true));
            }
        }
    }
    let _ = RESOURCES.set(known);
    Ok(())
}
