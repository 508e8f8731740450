//! Garbage: objects whose owners have gone, deletions that wait for others, and the content of namespaces that end.
//!
//! A pass ([`ApiServer::collect_garbage`]) looks at everything once and is deterministic; [`ApiServer::run_collector`]
//! runs passes whenever a deletion has made work.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;

use crate::ApiServer;
use crate::catalog::Resource;
use crate::core::Core;
use crate::rest::strings;
use crate::store::{Change, Object, Owner};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

impl ApiServer {
    /// Removes what nobody holds any more, until a pass finds nothing to do. Returns how many objects it touched.
    pub async fn collect_garbage(&self) -> usize {
        let mut touched = 0;
        loop {
            let now = self.core.collect_once().await;
            if now == 0 {
                return touched;
            }
            touched += now;
        }
    }

    /// Collects garbage whenever there may be some, until the future is dropped. Sleeps in between.
    pub async fn run_collector(&self) {
        loop {
            self.collect_garbage().await;
            self.core.garbage.notified().await;
        }
    }
}

/// An object with the resource that it belongs to.
struct Found {
    resource: Arc<Resource>,
    object: Arc<Object>,
}

impl Found {
    fn uid(&self) -> Option<&str> {
        self.object.links.uid.as_deref()
    }

    /// `None` for what belongs to the cluster.
    fn namespace(&self) -> Option<&str> {
        self.resource.namespaced.then(|| self.object.key.rsplit('/').nth(1)).flatten()
    }

    fn name(&self) -> &str {
        self.object.key.rsplit('/').next().unwrap_or_default()
    }

    fn has(&self, finalizer: &str) -> bool {
        self.object.links.has(finalizer)
    }

    fn ending(&self) -> bool {
        self.object.links.is_ending()
    }
}

impl Core {
    /// One pass; returns how many objects it changed.
    async fn collect_once(&self) -> usize {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        for resource in self.catalog.load().each_resource() {
            if !resource.verbs.contains(&"delete") || !seen.insert(resource.prefix(None)) {
                continue;
            }
            for object in self.store.list(&resource.prefix(None)).objects {
                all.push(Found { resource: resource.clone(), object });
            }
        }
        let uids: HashSet<&str> = all.iter().filter_map(Found::uid).collect();
        let mut dependents: HashMap<&str, Vec<&Found>> = HashMap::new();
        for found in &all {
            for owner in found.object.links.owners() {
                dependents.entry(&owner.uid).or_default().push(found);
            }
        }
        let ending: HashSet<&str> =
            all.iter().filter(|f| f.ending() && f.has(FOREGROUND)).filter_map(Found::uid).collect();
        let ending_namespaces: HashSet<&str> =
            all.iter().filter(|f| f.resource.is("", "Namespace") && f.ending()).map(Found::name).collect();
        let mut touched = 0;
        for found in &all {
            let owners = found.object.links.owners();
            let gone = |owner: &Owner| !uids.contains(&*owner.uid) || ending.contains(&*owner.uid);
            let unowned = !owners.is_empty() && owners.iter().all(gone);
            let homeless = found.namespace().is_some_and(|n| ending_namespaces.contains(n));
            if (unowned || homeless) && !found.ending() {
                touched += usize::from(self.remove(found).await);
                continue;
            }
            if !found.ending() {
                continue;
            }
            let uid = found.uid().unwrap_or_default();
            let children = dependents.get(uid).map(Vec::as_slice).unwrap_or_default();
            if found.has(ORPHAN) {
                for child in children {
                    touched += usize::from(self.disown(child, uid).await);
                }
                touched += usize::from(self.release(found, ORPHAN).await);
            } else if found.has(FOREGROUND) {
                let blocking = children.iter().any(|child| {
                    let owners = child.object.links.owners();
                    owners.iter().any(|o| &*o.uid == uid && o.block_owner_deletion == Some(true))
                });
                if !blocking {
                    touched += usize::from(self.release(found, FOREGROUND).await);
                }
            } else if found.resource.is("", "Namespace") {
                let empty = !all.iter().any(|f| f.namespace() == Some(found.name()));
                if empty {
                    touched += usize::from(self.end_namespace(found).await);
                }
            }
        }
        touched
    }

    /// Deletes as a caller would: with finalizers it is only marked.
    async fn remove(&self, found: &Found) -> bool {
        let mut next = found.object.value();
        let grace = crate::kinds::grace_seconds(&found.resource, &next, None);
        let held = !strings(&next["metadata"]["finalizers"]).is_empty();
        let change = if held || grace > 0 {
            let when = (self.options.now)() + jiff::SignedDuration::from_secs(grace);
            next["metadata"]["deletionTimestamp"] = json!(when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            next["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            if let Some(generation) = next["metadata"]["generation"].as_i64() {
                next["metadata"]["generation"] = json!(generation + 1);
            }
            Change::Put(next)
        } else {
            Change::Delete(next)
        };
        self.put(found, change).await
    }

    /// Takes an owner from an object.
    async fn disown(&self, found: &Found, uid: &str) -> bool {
        let mut next = found.object.value();
        if let Some(owners) = next["metadata"]["ownerReferences"].as_array_mut() {
            owners.retain(|o| o["uid"] != uid);
        }
        crate::rest::tidy_metadata(&mut next);
        self.put(found, Change::Put(next)).await
    }

    /// Takes a finalizer; the last one lets the object go.
    async fn release(&self, found: &Found, finalizer: &str) -> bool {
        let mut next = found.object.value();
        if let Some(list) = next["metadata"]["finalizers"].as_array_mut() {
            list.retain(|f| f != finalizer);
        }
        let last = next["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        crate::rest::tidy_metadata(&mut next);
        let change = if last && crate::kinds::may_vanish(&found.resource, &next) {
            Change::Delete(next)
        } else {
            Change::Put(next)
        };
        self.put(found, change).await
    }

    async fn end_namespace(&self, found: &Found) -> bool {
        let mut next = found.object.value();
        if let Some(spec) = next["spec"].as_object_mut() {
            spec.remove("finalizers");
        }
        let held = !strings(&next["metadata"]["finalizers"]).is_empty();
        if held && next == found.object.value() {
            return false;
        }
        self.put(found, if held { Change::Put(next) } else { Change::Delete(next) }).await
    }

    async fn put(&self, found: &Found, change: Change) -> bool {
        let key = found.object.key.clone();
        // Whoever was faster has rung for another pass, or has made this one unnecessary.
        matches!(self.commit(&found.resource, &key, Some(found.object.revision), change).await, Ok(Ok(_)))
    }
}
