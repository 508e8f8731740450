//! The bounded history of one resource, bounded by bytes: for watches that resume and for lists of an older revision.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Compacted, Object};

/// One write.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    /// The state before; `None` if it did not exist.
    pub(crate) old: Option<Arc<Object>>,
    /// The state after, or the last state if `deleted`.
    pub(crate) object: Arc<Object>,
    pub(crate) deleted: bool,
}

impl Event {
    pub(crate) fn key(&self) -> &str {
        &self.object.key
    }

    /// What it adds to the log: the state before is that of an earlier event.
    fn bytes(&self) -> usize {
        self.object.key.len() + self.object.text().len()
    }
}

pub(super) struct Log {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Revisions up to this one are forgotten.
    forgotten: u64,
    bell: watch::Sender<u64>,
}

impl Log {
    pub(super) fn new(forgotten: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, forgotten, bell: watch::Sender::new(0) }
    }

    /// Appends; what does not fit into `limit_bytes` of JSON is forgotten, the oldest first.
    pub(super) fn push(&mut self, event: Arc<Event>, limit_bytes: usize) {
        let revision = event.revision;
        self.bytes += event.bytes();
        self.events.push_back(event);
        while self.bytes > limit_bytes
            && let Some(first) = self.events.pop_front()
        {
            self.bytes -= first.bytes();
            self.forgotten = first.revision;
        }
        self.bell.send_replace(revision);
    }

    pub(super) fn compact(&mut self, revision: u64) {
        self.events.clear();
        self.bytes = 0;
        self.forgotten = revision;
    }

    pub(super) fn after(&self, revision: u64) -> Result<Vec<Arc<Event>>, Compacted> {
        if revision < self.forgotten {
            return Err(Compacted);
        }
        let start = self.events.partition_point(|event| event.revision <= revision);
        Ok(self.events.iter().skip(start).cloned().collect())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
}
