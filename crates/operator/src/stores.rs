//! What the operator has seen of the cluster: one watch per kind, one shared set of objects.
//!
//! Watches only ever build the next state of the set and say what changed. Deciding whom a change concerns is
//! [`crate::affected`]'s part. A kind whose CRD is missing is not watched; when the CRD comes or goes, so does the
//! watch, which is noticed through the watch of CustomResourceDefinitions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use futures_util::StreamExt;
use kinds::{ObjectKey, Objects};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::held::Record;
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
/// What the operator wrote is known before its watch event comes, and is told then: others may not have looked at it yet.
///
/// | Operation | Lock | Held for |
/// |---|---|---|
/// | a watch event | write | one insertion |
/// | `read` | read | the caller's gathering; never across an await |
#[derive(Clone)]
pub struct Stores {
    objects: Arc<RwLock<Objects>>,
    /// Hears of every change, from wherever it was learnt.
    changes: mpsc::UnboundedSender<Change>,
    /// What we applied last to each object, as the server recorded it.
    records: Arc<RwLock<HashMap<ObjectKey, Record>>>,
}

impl Stores {
    /// Empty stores that tell `changes` of what comes, changes and goes.
    pub fn new(changes: mpsc::UnboundedSender<Change>) -> Self {
        Self { objects: Arc::default(), changes, records: Arc::default() }
    }

    /// The objects as they are now. Drop the guard before the next await.
    pub fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes what the API server answered to a write of ours, so that the next pass sees it even if its watch event
    /// is still on the way. That event then is no news, so the change is told here.
    pub(crate) fn note_written(&self, object: Value) -> Arc<Value> {
        let (object, record) = trimmed(object);
        let object = Arc::new(object);
        if let Ok(key) = ObjectKey::of(&object) {
            self.put(key, object.clone(), record);
        }
        object
    }

    /// What we applied last to the object, as the server recorded it; `None` if that is nothing.
    pub(crate) fn record(&self, key: &ObjectKey) -> Option<Record> {
        self.records.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned()
    }

    fn note_record(&self, key: ObjectKey, record: Option<Record>) {
        let mut records = self.records.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match record {
            Some(record) => drop(records.insert(key, record)),
            None => drop(records.remove(&key)),
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Objects> {
        self.objects.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn put(&self, key: ObjectKey, after: Arc<Value>, record: Option<Record>) {
        let mut objects = self.write();
        let before = objects.get_key(&key).cloned();
        if before.as_ref().is_some_and(|known| !is_newer(&after, known)) {
            return;
        }
        let _ = objects.insert(after.clone());
        self.note_record(key.clone(), record);
        // Told under the lock, so that changes of one object are heard in their order.
        let _ = self.changes.send(Change { key, before, after: Some(after) });
    }

    fn take(&self, key: &ObjectKey) {
        let mut objects = self.write();
        self.note_record(key.clone(), None);
        if let Some(before) = objects.remove(key) {
            let _ = self.changes.send(Change { key: key.clone(), before: Some(before), after: None });
        }
    }

    fn keys(&self, kind: &Watched) -> BTreeSet<ObjectKey> {
        self.read().of_kind(&kind.api_version(), kind.kind).map(|(key, _)| key.clone()).collect()
    }
}

/// An object without what nobody here reads, which is most of some: schemas of CRDs, what pods are to run, and who manages
/// which field. Of the latter our own record is kept beside it, and in it who sets `spec.replicas`.
fn trimmed(mut object: Value) -> (Value, Option<Record>) {
    let record = Record::of(&object, plan::FIELD_MANAGER);
    if let Some(metadata) = object["metadata"].as_object_mut()
        && let Some(Value::Array(entries)) = metadata.remove("managedFields")
    {
        let scalers: Vec<Value> = entries
            .iter()
            .filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
            .map(|entry| json!({"manager": entry["manager"], "fieldsV1": {"f:spec": {"f:replicas": {}}}}))
            .collect();
        if !scalers.is_empty() {
            metadata.insert("managedFields".to_owned(), scalers.into());
        }
    }
    match object["kind"].as_str() {
        Some("CustomResourceDefinition") => {
            for version in object["spec"]["versions"].as_array_mut().into_iter().flatten() {
                if let Some(version) = version.as_object_mut() {
                    version.remove("schema");
                }
            }
        }
        Some("Pod") => {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.retain(|field, _| field == "initContainers");
                for container in spec.values_mut().filter_map(Value::as_array_mut).flatten() {
                    if let Some(container) = container.as_object_mut() {
                        container.retain(|field, _| field == "name" || field == "restartPolicy");
                    }
                }
            }
        }
        _ => {}
    }
    (object, record)
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

/// Runs the watches of all kinds until `stop` turns true, and passes on to `changes` what the stores `noted`, which ends
/// with it. The returned receiver turns true once every kind that the
/// cluster serves has been listed; before that children look absent and nothing may be decided.
pub(crate) fn watch_all(
    client: &kube::Client,
    stores: &Stores,
    noted: mpsc::UnboundedReceiver<Change>,
    changes: mpsc::UnboundedSender<Change>,
    stop: watch::Receiver<bool>,
) -> (JoinHandle<()>, watch::Receiver<bool>) {
    let (listed_sender, listed) = watch::channel(false);
    let task = tokio::spawn(supervise(client.clone(), stores.clone(), noted, changes, listed_sender, stop));
    (task, listed)
}

/// Starts a watch per kind, and stops or starts those of optional kinds as their CRDs go and come.
async fn supervise(
    client: kube::Client,
    stores: Stores,
    mut noted: mpsc::UnboundedReceiver<Change>,
    changes: mpsc::UnboundedSender<Change>,
    listed: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
) {
    let mut stopping = stop.clone();
    let (done_sender, mut done) = mpsc::unbounded_channel::<Watched>();
    let mut running: BTreeMap<&'static str, JoinHandle<()>> = BTreeMap::new();
    let mut waiting: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut crds_listed = false;
    for kind in WATCHED.iter().filter(|kind| kind.crd.is_none()) {
        waiting.insert((kind.group, kind.version, kind.kind));
        tokio::spawn(follow(client.clone(), *kind, stores.clone(), done_sender.clone(), stop.clone()));
    }
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(change) = noted.recv() => {
                let crd = (change.key.kind == "CustomResourceDefinition").then(|| change.key.name.clone());
                let _ = changes.send(change);
                if let Some(crd) = crd.filter(|_| crds_listed) {
                    for kind in optional_kinds(&crd) {
                        start_or_stop(kind, &client, &stores, &done_sender, &stop, &mut running);
                    }
                }
            }
            Some(kind) = done.recv() => {
                waiting.remove(&(kind.group, kind.version, kind.kind));
                if kind.kind == "CustomResourceDefinition" && !crds_listed {
                    crds_listed = true;
                    for kind in WATCHED.iter().filter(|kind| kind.crd.is_some()) {
                        if start_or_stop(kind, &client, &stores, &done_sender, &stop, &mut running) {
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
        let task = tokio::spawn(follow(client.clone(), *kind, stores.clone(), done.clone(), stop.clone()));
        running.insert(crd, task);
    } else if !served && let Some(task) = running.remove(crd) {
        task.abort();
        stores.keys(kind).iter().for_each(|key| stores.take(key));
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
        match event {
            None => return,
            Some(Err(error)) => {
                // A cluster too old for the kind has none of its objects, which is not to be waited for.
                if is_not_served(&error) {
                    let _ = done.send(kind);
                }
                tracing::warn!(kind = kind.kind, %error, "watch interrupted");
            }
            Some(Ok(watcher::Event::Init)) => missing = stores.keys(&kind),
            Some(Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object))) => {
                let document = document(object, &kind);
                if let Ok(key) = ObjectKey::of(&document) {
                    missing.remove(&key);
                    let (document, record) = trimmed(document);
                    stores.put(key, Arc::new(document), record);
                }
            }
            Some(Ok(watcher::Event::Delete(object))) => {
                if let Ok(key) = ObjectKey::of(&document(object, &kind)) {
                    stores.take(&key);
                }
            }
            Some(Ok(watcher::Event::InitDone)) => {
                std::mem::take(&mut missing).iter().for_each(|key| stores.take(key));
                let _ = done.send(kind);
            }
        }
    }
}

fn is_not_served(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(answer)) if answer.code == 404)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, version: u32) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"namespace": "a", "name": "x", "resourceVersion": version.to_string()}})
    }

    #[test]
    fn what_we_wrote_is_told_once_and_not_again_when_its_event_comes() {
        let (sender, mut told) = mpsc::unbounded_channel();
        let stores = Stores::new(sender);
        let key = ObjectKey::of(&object("LLMInferenceService", 1)).unwrap();
        stores.put(key.clone(), Arc::new(object("LLMInferenceService", 1)), None);
        assert!(told.try_recv().unwrap().before.is_none());
        stores.note_written(object("LLMInferenceService", 2));
        let change = told.try_recv().unwrap();
        let version =
            |object: &Option<Arc<Value>>| object.as_ref().unwrap()["metadata"]["resourceVersion"].clone();
        assert_eq!((version(&change.before), version(&change.after)), (json!("1"), json!("2")));
        stores.put(key, Arc::new(object("LLMInferenceService", 2)), None);
        assert!(told.try_recv().is_err(), "its event is no news");
    }
}
