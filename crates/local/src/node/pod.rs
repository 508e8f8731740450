//! One pod from its arrival to its end: init containers in order, then the others side by side, and a status
//! that follows them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::container::{Outcome, Restart, supervise};
use super::env::Place;
use super::logs::Logs;
use super::mounts::Mount;
use super::status::{Ended, Facts, Record, State, pod_status};
use super::volumes::Directories;
use super::{Progress, Shared, launch};

/// Conditions that the agent itself sets; others belong to those who set them.
const OWN_CONDITIONS: &[&str] = &["PodScheduled", "Initialized", "ContainersReady", "Ready"];
/// How often files of ConfigMaps and Secrets are compared with the API, as the kubelet's sync period.
const REFRESH: Duration = Duration::from_secs(60);

/// An order to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// When patience ends.
    pub(crate) deadline: Instant,
    /// The whole machine ends, not this pod alone.
    pub(crate) machine: bool,
}

/// What all tasks of one pod share.
pub(crate) struct Cell {
    pod: Mutex<Arc<Pod>>,
    records: Mutex<Vec<Record>>,
    shown: Mutex<Vec<Mount>>,
    version: watch::Sender<()>,
    stop: watch::Sender<Option<Stop>>,
    address: Ipv4Addr,
    start_time: Timestamp,
    pub(crate) data: PathBuf,
    pub(crate) directories: Directories,
}

impl Cell {
    pub(crate) fn new(shared: &Shared, pod: Arc<Pod>, address: Ipv4Addr) -> Self {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let data = shared.options.data_dir.join("pods").join(&namespace).join(name_of(&pod));
        let directories = Directories {
            pod: data.join(".volumes"),
            claims: shared.options.data_dir.join("volumes").join(namespace),
        };
        let start_time = pod.status.as_ref().and_then(|status| status.start_time.clone()).map(|time| time.0);
        Self {
            records: Mutex::new(records(&pod, Timestamp::now())),
            pod: Mutex::new(pod),
            shown: Mutex::default(),
            version: watch::Sender::new(()),
            stop: watch::Sender::new(None),
            address,
            start_time: start_time.unwrap_or_else(Timestamp::now),
            data,
            directories,
        }
    }

    pub(crate) fn pod(&self) -> Arc<Pod> {
        Arc::clone(&lock(&self.pod))
    }

    pub(crate) fn update(&self, pod: Arc<Pod>) {
        *lock(&self.pod) = pod;
        self.changed();
    }

    pub(crate) fn namespace(&self) -> String {
        self.pod().metadata.namespace.clone().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> String {
        name_of(&self.pod())
    }

    pub(crate) fn uid(&self) -> String {
        self.pod().metadata.uid.clone().unwrap_or_default()
    }

    pub(crate) fn pod_ip(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn place(&self, shared: &Shared) -> Place {
        Place {
            pod_ip: self.pod_ip(),
            host_ip: "127.0.0.1".to_owned(),
            node_name: shared.options.node_name.clone(),
            cpus: shared.cpus,
            memory_bytes: shared.memory_bytes,
        }
    }

    /// The pod's own grace period.
    pub(crate) fn grace(&self) -> Duration {
        let seconds = self.pod().spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Vec<Record>) -> T) -> T {
        change(&mut lock(&self.records))
    }

    /// Wakes whoever publishes or waits for this pod's state.
    pub(crate) fn changed(&self) {
        self.version.send_modify(|()| ());
    }

    /// A directory that later containers see in place of their own.
    pub(crate) fn show(&self, mount: Mount) {
        let mut shown = lock(&self.shown);
        shown.retain(|other| other.target != mount.target);
        shown.push(mount);
    }

    pub(crate) fn shown(&self) -> Vec<Mount> {
        lock(&self.shown).clone()
    }

    /// Asks all containers to end; a later order may only shorten the patience of one that has not begun.
    pub(crate) fn stop(&self, stop: Stop) {
        self.stop.send_replace(Some(stop));
    }

    pub(crate) fn stopping(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// The order that the whole machine ends, which may come while this pod is ending on its own account.
    pub(crate) async fn machine_ends(&self) -> Stop {
        let mut receiver = self.stop.subscribe();
        let ordered = receiver.wait_for(|stop| stop.is_some_and(|stop| stop.machine)).await.map(|stop| *stop);
        match ordered {
            Ok(Some(stop)) => stop,
            // The sender is a field of this cell, so it lives as long as whoever waits here.
            _ => std::future::pending().await,
        }
    }

    pub(crate) async fn stop_requested(&self) -> Stop {
        let mut receiver = self.stop.subscribe();
        loop {
            if let Some(stop) = *receiver.borrow_and_update() {
                return stop;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What the first container that is not ready said last.
    pub(crate) fn progress(&self, logs: &Logs) -> Option<Progress> {
        let (namespace, pod) = (self.namespace(), self.name());
        let (container, waiting) = self.with(|records| {
            let record = records.iter().find(|record| match &record.state {
                State::Ended(ended) => !(record.init && ended.code == 0),
                _ => !record.ready,
            })?;
            let waiting = match &record.state {
                State::Waiting(reason, message) => Some(message.clone().unwrap_or_else(|| reason.clone())),
                _ => None,
            };
            Some((record.name.clone(), waiting))
        })?;
        let line = waiting.or_else(|| logs.last_line(&namespace, &pod, &container))?;
        Some(Progress { namespace, pod, container, line })
    }
}

/// Runs the pod until all its containers have ended after an order to stop.
pub(crate) async fn run(shared: Arc<Shared>, cell: Arc<Cell>) {
    let mut published = None;
    let work = async {
        contain(&shared, &cell).await;
        // A pod that has run to its end stays until somebody deletes it.
        cell.stop_requested().await;
    };
    tokio::select! {
        () = work => {}
        () = follow(&shared, &cell, &mut published) => {}
        () = keep_fresh(&shared, &cell) => {}
    }
    publish(&shared, &cell, &mut published).await;
}

async fn contain(shared: &Arc<Shared>, cell: &Arc<Cell>) {
    let pod = cell.pod();
    let Some(spec) = &pod.spec else { return };
    let policy = match spec.restart_policy.as_deref() {
        Some("Never") => Restart::Never,
        Some("OnFailure") => Restart::OnFailure,
        _ => Restart::Always,
    };
    let mut running = JoinSet::new();
    let start = |container: &Container, at: usize, restart: Restart| {
        supervise(Arc::clone(shared), Arc::clone(cell), Arc::new(container.clone()), at, restart)
    };
    for (at, container) in spec.init_containers.iter().flatten().enumerate() {
        if container.restart_policy.as_deref() == Some("Always") {
            running.spawn(start(container, at, Restart::Always));
            let mut version = cell.version.subscribe();
            while !cell.with(|records| records[at].started) && cell.stopping().is_none() {
                let _ = version.changed().await;
            }
        } else {
            let restart = if policy == Restart::Never { Restart::Never } else { Restart::OnFailure };
            if start(container, at, restart).await == Outcome::Failed {
                return;
            }
        }
        if cell.stopping().is_some() {
            break;
        }
        cell.changed();
    }
    if cell.stopping().is_none() {
        let first = spec.init_containers.as_ref().map_or(0, Vec::len);
        for (offset, container) in spec.containers.iter().enumerate() {
            running.spawn(start(container, first + offset, policy));
        }
    }
    while running.join_next().await.is_some() {}
}

/// Publishes every change, several at once where they come faster than the API takes them.
async fn follow(shared: &Arc<Shared>, cell: &Arc<Cell>, published: &mut Option<PodStatus>) {
    let mut version = cell.version.subscribe();
    loop {
        version.borrow_and_update();
        publish(shared, cell, published).await;
        if version.changed().await.is_err() {
            return;
        }
    }
}

async fn publish(shared: &Arc<Shared>, cell: &Arc<Cell>, published: &mut Option<PodStatus>) {
    let pod = cell.pod();
    let mut before = pod.status.clone().unwrap_or_default();
    if let Some(published) = published.as_ref() {
        let own = |kind: &str| OWN_CONDITIONS.contains(&kind);
        let mut conditions = before.conditions.unwrap_or_default();
        conditions.retain(|condition| !own(&condition.type_));
        let ours = published.conditions.iter().flatten().filter(|condition| own(&condition.type_));
        before.conditions = Some(ours.cloned().chain(conditions).collect());
    }
    let facts = Facts {
        pod_ip: cell.pod_ip(),
        host_ip: "127.0.0.1".to_owned(),
        start_time: cell.start_time,
        now: Timestamp::now(),
    };
    let status = cell.with(|records| pod_status(&pod, records, &facts, Some(&before)));
    if published.as_ref() == Some(&status) || (published.is_none() && pod.status.as_ref() == Some(&status)) {
        return;
    }
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &cell.namespace());
    let patch = json!({"metadata": {"uid": cell.uid()}, "status": replacing(pod.status.as_ref(), &status)});
    for pause in [0, 20, 100, 500] {
        sleep(Duration::from_millis(pause)).await;
        match api.patch_status(&cell.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {
                *published = Some(status);
                return;
            }
            Err(kube::Error::Api(error)) if error.code == 404 => return,
            Err(error) => tracing::debug!(pod = cell.name(), %error, "status not written yet"),
        }
    }
    tracing::warn!(pod = cell.name(), "the status could not be written");
}

/// A merge patch that leaves nothing of `old` behind that `new` does not have.
pub(crate) fn replacing<T: serde::Serialize>(old: Option<&T>, new: &T) -> Value {
    let old = old.and_then(|old| serde_json::to_value(old).ok());
    let mut new = serde_json::to_value(new).unwrap_or_default();
    if let (Some(Value::Object(old)), Value::Object(new)) = (old, &mut new) {
        for key in old.keys() {
            new.entry(key.clone()).or_insert(Value::Null);
        }
    }
    new
}

async fn keep_fresh(shared: &Arc<Shared>, cell: &Arc<Cell>) {
    let (maps, secrets) = super::env::references(&cell.pod());
    if maps.is_empty() && secrets.is_empty() {
        std::future::pending::<()>().await;
    }
    loop {
        sleep(REFRESH).await;
        launch::refresh(shared, cell).await;
    }
}

/// One record a container, init containers first; what an earlier agent had recorded is carried on.
fn records(pod: &Pod, now: Timestamp) -> Vec<Record> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let init = spec.init_containers.iter().flatten().map(|container| (container, true));
    let main = spec.containers.iter().map(|container| (container, false));
    init.chain(main)
        .map(|(container, init)| {
            let before = status
                .and_then(|status| {
                    if init {
                        status.init_container_statuses.as_ref()
                    } else {
                        status.container_statuses.as_ref()
                    }
                })
                .and_then(|statuses| statuses.iter().find(|status| status.name == container.name));
            let state = before.and_then(|before| before.state.as_ref());
            let was_running = state.and_then(|state| state.running.as_ref());
            let had_ended = state.and_then(|state| state.terminated.as_ref());
            let last = if let Some(running) = was_running {
                Some(Ended {
                    code: 137,
                    signal: None,
                    reason: "ContainerStatusUnknown".to_owned(),
                    message: Some("the program that ran it ended without a word".to_owned()),
                    started: running.started_at.as_ref().map(|time| time.0),
                    finished: now,
                })
            } else {
                had_ended.map(|ended| Ended {
                    code: ended.exit_code,
                    signal: ended.signal,
                    reason: ended.reason.clone().unwrap_or_default(),
                    message: ended.message.clone(),
                    started: ended.started_at.as_ref().map(|time| time.0),
                    finished: ended.finished_at.as_ref().map_or(now, |time| time.0),
                })
            };
            let ran = before.filter(|_| last.is_some()).map_or(0, |before| before.restart_count + 1);
            Record {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                init,
                sidecar: init && container.restart_policy.as_deref() == Some("Always"),
                state: State::Waiting(
                    if init { "PodInitializing" } else { "ContainerCreating" }.to_owned(),
                    None,
                ),
                last,
                restarts: ran.max(before.map_or(0, |before| before.restart_count)),
                started: false,
                ready: false,
                pid: None,
            }
        })
        .collect()
}

fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
