//! What the server does on its own when CRDs come, change and go.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::Core;
use crate::rest::{Strictness, WriteOptions, strings};
use crate::store::{Change, Object};

const STORE_KEY: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// Keeps a CRD until its objects have gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl Core {
    /// Brings the status of all CRDs up to date, removes the objects of those that go, and reloads the catalog.
    pub(crate) fn definitions_changed(&self) {
        let listed = self.store.list(&format!("{STORE_KEY}/")).objects;
        let mut objects: Vec<(Arc<Object>, Arc<Value>)> =
            listed.into_iter().map(|object| (object.clone(), self.outline(&object))).collect();
        let mut read = BTreeMap::new();
        // Whoever was established first keeps its names.
        objects.sort_by_key(|(object, crd)| (!established(crd), object.revision));
        for (index, (object, crd)) in objects.iter().enumerate() {
            if !crd["metadata"]["deletionTimestamp"].is_null() {
                self.clean_up(crd);
                continue;
            }
            // Those that are judged in this very pass have no accepted names in the list yet, but come first.
            let same_group: Vec<Arc<Value>> = objects
                .iter()
                .enumerate()
                .filter(|(i, (_, other))| *i != index && other["spec"]["group"] == crd["spec"]["group"])
                .filter_map(|(_, (other, _))| self.store.get(&other.key))
                .map(|other| self.outline(&other))
                .collect();
            let others: Vec<&Value> = same_group.iter().map(AsRef::as_ref).collect();
            let status = super::judge(crd, &others, &self.now());
            if status != crd["status"] {
                let crd = object.value();
                let mut next = crd.clone();
                next["status"] = status;
                self.own_status(&mut next, &crd);
                // Somebody else was faster: their write brings us here again.
                let put = self.store.commit(STORE_KEY, &object.key, Some(object.revision), Change::Put(next));
                if let Ok(committed) = put {
                    read.insert(object.key.clone(), (committed.revision, committed.value));
                }
            }
        }
        self.reload_catalog(&read);
    }

    /// The CRD without its schemas, read once a revision.
    fn outline(&self, object: &Object) -> Arc<Value> {
        let mut outlines = self.outlines.lock().unwrap_or_else(PoisonError::into_inner);
        match outlines.get(&object.key) {
            Some((revision, outline)) if *revision == object.revision => outline.clone(),
            _ => {
                let outline = Arc::new(outline(object));
                outlines.insert(object.key.clone(), (object.revision, outline.clone()));
                outline
            }
        }
    }

    /// The server owns the conditions that it sets.
    fn own_status(&self, next: &mut Value, old: &Value) {
        let Some(resource) = self.resource_of("apiextensions.k8s.io/v1", "CustomResourceDefinition") else {
            return;
        };
        let options = WriteOptions {
            dry_run: false,
            strictness: Strictness::Ignore,
            manager: "kube-apiserver".into(),
            force: false,
        };
        crate::managed::updated(self, &resource, next, old, &options, Some("status"), &self.now());
    }

    /// Removes the objects of a CRD that is being deleted, then the CRD.
    fn clean_up(&self, crd: &Value) {
        if !strings(&crd["metadata"]["finalizers"]).contains(&CLEANUP) {
            return;
        }
        let group = crd["spec"]["group"].as_str().unwrap_or_default();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let store_key = format!("{group}/{plural}");
        let mut left = 0;
        for object in self.store.list(&format!("{store_key}/")).objects {
            let mut next = object.value();
            let held = !strings(&next["metadata"]["finalizers"]).is_empty();
            let change = if held {
                left += 1;
                if object.links.is_ending() {
                    continue;
                }
                next["metadata"]["deletionTimestamp"] = json!(self.now());
                next["metadata"]["deletionGracePeriodSeconds"] = json!(0);
                Change::Put(next)
            } else {
                Change::Delete(next)
            };
            if self.store.commit(&store_key, &object.key, Some(object.revision), change).is_err() {
                left += 1;
            }
        }
        if left > 0 {
            return;
        }
        let name = crd["metadata"]["name"].as_str().unwrap_or_default();
        let key = format!("{STORE_KEY}/{name}");
        if let Some(object) = self.store.get(&key) {
            let mut last = object.value();
            let others: Vec<Value> = strings(&last["metadata"]["finalizers"])
                .into_iter()
                .filter(|f| *f != CLEANUP)
                .map(|f| json!(f))
                .collect();
            let change = if others.is_empty() {
                Change::Delete(last)
            } else {
                last["metadata"]["finalizers"] = json!(others);
                Change::Put(last)
            };
            // Somebody else was faster: their write brings us here again.
            let _ = self.store.commit(STORE_KEY, &key, Some(object.revision), change);
        }
    }
}

/// A CRD without its schemas, which are nearly all of it and say nothing about names.
fn outline(object: &Object) -> Value {
    #[derive(Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Outline {
        metadata: Value,
        spec: Spec,
        status: Value,
    }
    #[derive(Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Spec {
        group: Value,
        names: Value,
        versions: Vec<Version>,
    }
    #[derive(Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Version {
        name: Value,
        storage: bool,
    }
    let outline: Outline = serde_json::from_str(object.text()).unwrap_or_default();
    json!(outline)
}

fn established(crd: &Value) -> bool {
    crd["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Established" && c["status"] == "True")
}
