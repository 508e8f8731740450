//! Objects in memory, one revision counter, a bounded log of what happened to each resource, and optionally a disk.
//!
//! Keys are `GROUP/PLURAL/NAMESPACE/NAME` (`GROUP/PLURAL/NAME` for what belongs to the cluster), so that the order of a
//! list is the order of the original's keys. A write names the revision it expects; the memory image changes at
//! once, the caller answers after the disk has it.

mod addresses;
mod disk;
mod log;
mod object;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::sync::{oneshot, watch};

pub(crate) use addresses::Addresses;
pub use disk::Error;
pub(crate) use log::Event;
use log::Log;
pub(crate) use object::{Object, Owner};

/// What a write does.
pub(crate) enum Change {
    Put(Value),
    /// The last state of the object, as the DELETED event shows it.
    Delete(Value),
}

/// The write was refused: the object is not at the expected revision.
#[derive(Debug)]
pub(crate) struct Moved;

/// The log does not reach back that far.
#[derive(Debug)]
pub(crate) struct Compacted;

/// A write that memory has; wait for the disk before answering.
pub(crate) struct Committed {
    /// The object with its new revision in it.
    pub(crate) value: Value,
    pub(crate) revision: u64,
    durable: Option<oneshot::Receiver<Result<(), String>>>,
}

impl Committed {
    /// Waits until the write survives a crash. The error is for the log and for a 500.
    pub(crate) async fn durable(self) -> Result<Value, String> {
        if let Some(receiver) = self.durable {
            receiver.await.map_err(|_| "the store has stopped".to_owned())??;
        }
        Ok(self.value)
    }
}

/// A consistent list.
pub(crate) struct Listed {
    pub(crate) objects: Vec<Arc<Object>>,
    pub(crate) revision: u64,
}

#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    reached: watch::Sender<u64>,
    disk: Option<disk::Writer>,
}

struct State {
    revision: u64,
    /// Revisions up to this one are not in the logs.
    compacted: u64,
    objects: BTreeMap<Box<str>, Arc<Object>>,
    logs: HashMap<String, Log>,
    addresses: Addresses,
    log_bytes: usize,
}

impl Store {
    /// A store without a disk.
    pub(crate) fn in_memory(log_bytes: usize) -> Self {
        Self::with(State::new(1, BTreeMap::new(), log_bytes), None)
    }

    /// Opens or creates the store in `dir`.
    pub(crate) fn open(dir: &Path, log_bytes: usize) -> Result<Self, Error> {
        let (saved, writer) = disk::open(dir)?;
        let objects =
            saved.objects.into_iter().map(|object| (object.key.clone(), Arc::new(object))).collect();
        Ok(Self::with(State::new(saved.revision.max(1), objects, log_bytes), Some(writer)))
    }

    fn with(state: State, disk: Option<disk::Writer>) -> Self {
        let reached = watch::Sender::new(state.revision);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), reached, disk }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves the maps whole: every change is a single insert.
        self.shared.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Waits until the store is at `revision`.
    pub(crate) async fn reach(&self, revision: u64) {
        // The sender lives as long as the store.
        let _ = self.shared.reached.subscribe().wait_for(|now| *now >= revision).await;
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.state().objects.get(key).cloned()
    }

    /// Everything whose key starts with `prefix` (which ends in `/`).
    pub(crate) fn list(&self, prefix: &str) -> Listed {
        let state = self.state();
        Listed { objects: state.range(prefix), revision: state.revision }
    }

    /// The list as it was at `revision`.
    pub(crate) fn list_at(&self, resource: &str, prefix: &str, revision: u64) -> Result<Listed, Compacted> {
        let state = self.state();
        if revision >= state.revision {
            return Ok(Listed { objects: state.range(prefix), revision: state.revision });
        }
        if revision < state.compacted {
            return Err(Compacted);
        }
        let mut objects: BTreeMap<&str, Arc<Object>> = BTreeMap::new();
        let now = state.range(prefix);
        for object in &now {
            objects.insert(&object.key, object.clone());
        }
        let events = match state.logs.get(resource) {
            Some(log) => log.after(revision)?,
            None => Vec::new(),
        };
        for event in events.iter().rev() {
            if !event.key().starts_with(prefix) {
                continue;
            }
            match &event.old {
                Some(old) => objects.insert(event.key(), old.clone()),
                None => objects.remove(event.key()),
            };
        }
        Ok(Listed { objects: objects.into_values().collect(), revision })
    }

    /// Writes `change` if the object is still at `expected` (`None`: absent).
    pub(crate) fn commit(
        &self,
        resource: &str,
        key: &str,
        expected: Option<u64>,
        change: Change,
    ) -> Result<Committed, Moved> {
        let mut state = self.state();
        let old = state.objects.get(key).cloned();
        if old.as_ref().map(|o| o.revision) != expected {
            return Err(Moved);
        }
        state.revision += 1;
        let revision = state.revision;
        let (mut value, deleted) = match change {
            Change::Put(value) => (value, false),
            Change::Delete(value) => (value, true),
        };
        value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        let object = Arc::new(Object::new(key, &value, revision));
        if deleted {
            state.objects.remove(key);
        } else {
            state.objects.insert(key.into(), object.clone());
        }
        if resource == addresses::SERVICES {
            let next = (!deleted).then_some(&value);
            state.addresses.changed(old.as_ref().map(|old| old.value()).as_ref(), next);
        }
        let event = Arc::new(Event { revision, old, object: object.clone(), deleted });
        let limit = state.log_bytes;
        state.log(resource).push(event, limit);
        self.shared.reached.send_replace(revision);
        // Queued under the lock, so that the disk sees the order of revisions.
        let durable = self.shared.disk.as_ref().map(|disk| disk.write(object, deleted));
        Ok(Committed { value, revision, durable })
    }

    /// Looks at what Services hold.
    pub(crate) fn with_addresses<T>(&self, look: impl FnOnce(&Addresses) -> T) -> T {
        look(&self.state().addresses)
    }

    /// Forgets the history, as a compaction would: older revisions are expired from now on.
    pub(crate) fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.revision;
        let revision = state.revision;
        for log in state.logs.values_mut() {
            log.compact(revision);
        }
    }

    /// What happened to `resource` after `revision`, and where the log ends.
    pub(crate) fn events_after(
        &self,
        resource: &str,
        revision: u64,
    ) -> Result<(Vec<Arc<Event>>, u64), Compacted> {
        let state = self.state();
        if revision < state.compacted {
            return Err(Compacted);
        }
        let events = match state.logs.get(resource) {
            Some(log) => log.after(revision)?,
            None => Vec::new(),
        };
        Ok((events, state.revision))
    }

    /// Tells of every write to `resource`, by revision.
    pub(crate) fn subscribe(&self, resource: &str) -> watch::Receiver<u64> {
        self.state().log(resource).subscribe()
    }
}

impl State {
    fn new(revision: u64, objects: BTreeMap<Box<str>, Arc<Object>>, log_bytes: usize) -> Self {
        let compacted = if objects.is_empty() { 0 } else { revision };
        let mut addresses = Addresses::default();
        for (_, object) in objects.iter().filter(|(key, _)| key.starts_with("/services/")) {
            addresses.changed(None, Some(&object.value()));
        }
        Self { revision, compacted, objects, logs: HashMap::new(), addresses, log_bytes }
    }

    fn range(&self, prefix: &str) -> Vec<Arc<Object>> {
        self.objects
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn log(&mut self, resource: &str) -> &mut Log {
        if !self.logs.contains_key(resource) {
            self.logs.insert(resource.to_owned(), Log::new(self.compacted));
        }
        self.logs.entry(resource.to_owned()).or_insert_with(|| Log::new(0))
    }
}
