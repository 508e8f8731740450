//! What the operator has seen of the cluster: one watch per kind, one shared set of objects.
//!
//! Watches only ever build the next state of the set and say what changed. Deciding whom a change concerns is
//! [`crate::affected`]'s part. A kind whose CRD is missing is not watched; when the CRD comes or goes, so does the
//! watch, which is noticed through the watch of CustomResourceDefinitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use futures_util::StreamExt;
use kinds::{ObjectKey, Objects};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::watched::{WATCHED, Watched};

/// An object came, changed or went.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which object.
    pub key: ObjectKey,
    /// What it was; `None` if it is new.
    pub before: Option<Arc<Value>>,
    /// What it is; `None` if it went.
    pub after: Option<Arc<Value>>,
}

/// The operator's copy of the cluster. Clones share it.
///
/// | Operation | Lock | Held for |
/// |---|---|---|
/// | a watch event | write | one insertion |
/// | `read` | read | the caller's gathering; never across an await |
#[derive(Clone, Default)]
pub struct Stores {
    objects: Arc<RwLock<Objects>>,
}

impl Stores {
    /// The objects as they are now. Drop the guard before the next await.
    pub fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes what the API server answered to a write of ours, so that the next pass sees it even if its watch event
    /// is still on the way.
    pub fn note_written(&self, object: Value) {
        let Ok(key) = ObjectKey::of(&object) else { return };
        let mut objects = self.write();
        if objects.get_key(&key).is_none_or(|known| is_newer(&object, known)) {
            let _ = objects.insert(object);
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Objects> {
        self.objects.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn put(&self, key: ObjectKey, object: Value) -> Option<Change> {
        let after = Arc::new(object);
        let mut objects = self.write();
        let before = objects.get_key(&key).cloned();
        if before.as_ref().is_some_and(|known| !is_newer(&after, known)) {
            return None;
        }
        let _ = objects.insert(after.clone());
        Some(Change { key, before, after: Some(after) })
    }

    fn take(&self, key: &ObjectKey) -> Option<Change> {
        let before = self.write().remove(key)?;
        Some(Change { key: key.clone(), before: Some(before), after: None })
    }

    fn keys(&self, kind: &Watched) -> BTreeSet<ObjectKey> {
        self.read().of_kind(&kind.api_version(), kind.kind).map(|(key, _)| key.clone()).collect()
    }
}

/// Resource versions are opaque to clients, but every API server counts; one that is not a number always wins.
fn is_newer(candidate: &Value, known: &Value) -> bool {
    let version =
        |object: &Value| object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok());
    match (version(candidate), version(known)) {
        (Some(candidate), Some(known)) => candidate > known,
        _ => true,
    }
}

/// Runs the watches of all kinds until `stop` turns true. The returned receiver turns true once every kind that the
/// cluster serves has been listed; before that children look absent and nothing may be decided.
pub(crate) fn watch_all(
    client: &kube::Client,
    stores: &Stores,
    changes: mpsc::UnboundedSender<Change>,
    stop: watch::Receiver<bool>,
) -> (JoinHandle<()>, watch::Receiver<bool>) {
    let (listed_sender, listed) = watch::channel(false);
    let task = tokio::spawn(supervise(client.clone(), stores.clone(), changes, listed_sender, stop));
    (task, listed)
}

/// Starts a watch per kind, and stops or starts those of optional kinds as their CRDs go and come.
async fn supervise(
    client: kube::Client,
    stores: Stores,
    changes: mpsc::UnboundedSender<Change>,
    listed: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
) {
    let mut stopping = stop.clone();
    let (inner_sender, mut inner) = mpsc::unbounded_channel();
    let (done_sender, mut done) = mpsc::unbounded_channel::<Watched>();
    let mut running: BTreeMap<&'static str, JoinHandle<()>> = BTreeMap::new();
    let mut waiting: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut crds_listed = false;
    for kind in WATCHED.iter().filter(|kind| kind.crd.is_none()) {
        waiting.insert((kind.group, kind.version, kind.kind));
        tokio::spawn(follow(
            client.clone(),
            *kind,
            stores.clone(),
            inner_sender.clone(),
            done_sender.clone(),
            stop.clone(),
        ));
    }
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(change) = inner.recv() => {
                let crd = (change.key.kind == "CustomResourceDefinition").then(|| change.key.name.clone());
                let _ = changes.send(change);
                if let Some(crd) = crd.filter(|_| crds_listed) {
                    for kind in optional_kinds(&crd) {
                        start_or_stop(kind, &client, &stores, &inner_sender, &done_sender, &stop, &mut running);
                    }
                }
            }
            Some(kind) = done.recv() => {
                waiting.remove(&(kind.group, kind.version, kind.kind));
                if kind.kind == "CustomResourceDefinition" && !crds_listed {
                    crds_listed = true;
                    for kind in WATCHED.iter().filter(|kind| kind.crd.is_some()) {
                        if start_or_stop(kind, &client, &stores, &inner_sender, &done_sender, &stop, &mut running) {
                            waiting.insert((kind.group, kind.version, kind.kind));
                        }
                    }
                }
                if crds_listed && waiting.is_empty() {
                    listed.send_replace(true);
                }
            }
        }
    }
    for task in running.into_values() {
        task.abort();
    }
}

fn optional_kinds(crd: &str) -> impl Iterator<Item = &'static Watched> {
    WATCHED.iter().filter(move |kind| kind.crd == Some(crd))
}

/// `true` if the kind is served, so that its list is awaited.
fn start_or_stop(
    kind: &'static Watched,
    client: &kube::Client,
    stores: &Stores,
    changes: &mpsc::UnboundedSender<Change>,
    done: &mpsc::UnboundedSender<Watched>,
    stop: &watch::Receiver<bool>,
    running: &mut BTreeMap<&'static str, JoinHandle<()>>,
) -> bool {
    let Some(crd) = kind.crd else { return false };
    let served = {
        let objects = stores.read();
        objects
            .get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, crd)
            .is_some_and(|crd| serves(crd, kind.version))
    };
    if served && !running.contains_key(crd) {
        let task = tokio::spawn(follow(
            client.clone(),
            *kind,
            stores.clone(),
            changes.clone(),
            done.clone(),
            stop.clone(),
        ));
        running.insert(crd, task);
    } else if !served && let Some(task) = running.remove(crd) {
        task.abort();
        for change in stores.keys(kind).iter().filter_map(|key| stores.take(key)) {
            let _ = changes.send(change);
        }
    }
    served
}

/// Whether an established CRD serves that version.
fn serves(crd: &Value, version: &str) -> bool {
    let established = crd["status"]["conditions"].as_array().is_some_and(|conditions| {
        conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True")
    });
    let served = crd["spec"]["versions"]
        .as_array()
        .is_some_and(|versions| versions.iter().any(|v| v["name"] == version && v["served"] == true));
    established && served
}

/// Keeps the objects of one kind. Errors are retried with back-off by the watcher; each is logged once.
async fn follow(
    client: kube::Client,
    kind: Watched,
    stores: Stores,
    changes: mpsc::UnboundedSender<Change>,
    done: mpsc::UnboundedSender<Watched>,
    mut stop: watch::Receiver<bool>,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let config =
        kind.labels.map_or_else(watcher::Config::default, |labels| watcher::Config::default().labels(labels));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut missing = BTreeSet::new();
    loop {
        let event = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            event = events.next() => event,
        };
        let change = match event {
            None => return,
            Some(Err(watcher::Error::InitialListFailed(kube::Error::Api(answer))))
                if kind.newer && answer.code == 404 =>
            {
                let _ = done.send(kind);
                None
            }
            Some(Err(error)) => {
                tracing::warn!(kind = kind.kind, %error, "watch interrupted");
                None
            }
            Some(Ok(watcher::Event::Init)) => {
                missing = stores.keys(&kind);
                None
            }
            Some(Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object))) => {
                let document = document(object, &kind);
                ObjectKey::of(&document).ok().and_then(|key| {
                    missing.remove(&key);
                    stores.put(key, document)
                })
            }
            Some(Ok(watcher::Event::Delete(object))) => {
                ObjectKey::of(&document(object, &kind)).ok().and_then(|key| stores.take(&key))
            }
            Some(Ok(watcher::Event::InitDone)) => {
                for change in std::mem::take(&mut missing).iter().filter_map(|key| stores.take(key)) {
                    let _ = changes.send(change);
                }
                let _ = done.send(kind);
                None
            }
        };
        if let Some(change) = change {
            let _ = changes.send(change);
        }
    }
}

/// The object as a document; items of a list come without `apiVersion` and `kind`.
fn document(object: DynamicObject, kind: &Watched) -> Value {
    let mut document = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        fields.entry("kind").or_insert_with(|| kind.kind.into());
    }
    document
}
