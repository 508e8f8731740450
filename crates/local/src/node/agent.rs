//! Takes pods that the API has for this node, gives each a task, an address and a directory, and cleans up after it.

use std::collections::HashMap;
use std::fs;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Shared;
use super::address::Addresses;
use super::pod::{self, Cell, Stop};

/// Runs until told to end, then ends every pod within the grace period.
pub(crate) async fn run(shared: Arc<Shared>, mut shutdown: watch::Receiver<Option<Duration>>) {
    let pods: Api<Pod> = Api::all(shared.client.clone());
    let events = watcher(pods, watcher::Config::default()).default_backoff();
    // Nobody reads who manages which field, and it is half of an object.
    let mut events = pin!(events.modify(|pod| pod.metadata.managed_fields = None));
    let (done, mut finished) = mpsc::unbounded_channel();
    let mut agent =
        Agent { shared, running: HashMap::new(), addresses: Addresses::default(), done, listed: Vec::new() };
    loop {
        tokio::select! {
            _ = shutdown.changed() => break,
            Some(uid) = finished.recv() => agent.finished(&uid).await,
            event = events.try_next() => match event {
                Ok(Some(event)) => agent.hear(event),
                Ok(None) => break,
                Err(error) => tracing::debug!(%error, "the watch of pods starts again"),
            },
        }
    }
    let grace = shutdown.borrow().unwrap_or(Duration::from_secs(30));
    for entry in agent.running.values() {
        entry.cell.stop(Stop { deadline: Instant::now() + grace, machine: true });
    }
    while !agent.running.is_empty() {
        match finished.recv().await {
            Some(uid) => drop(agent.running.remove(&uid)),
            None => break,
        }
    }
}

struct Agent {
    shared: Arc<Shared>,
    running: HashMap<String, Entry>,
    addresses: Addresses,
    done: mpsc::UnboundedSender<String>,
    /// uids of a list that is being received.
    listed: Vec<String>,
}

struct Entry {
    cell: Arc<Cell>,
    /// The object is gone from the API: nothing has to be deleted there.
    gone: bool,
}

impl Agent {
    fn hear(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.apply(pod);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let lost: Vec<String> =
                    self.running.keys().filter(|uid| !listed.contains(uid)).cloned().collect();
                lost.iter().for_each(|uid| self.lose(uid));
                self.sweep(&listed);
            }
            Event::Apply(pod) => self.apply(pod),
            Event::Delete(pod) => {
                if let Some(uid) = pod.metadata.uid {
                    self.lose(&uid);
                }
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("");
        let deleting = pod.metadata.deletion_timestamp.is_some();
        if node.is_empty() && !deleting {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { bind(&shared, &pod).await });
            return;
        }
        if node != self.shared.options.node_name && !node.is_empty() {
            return;
        }
        if let Some(entry) = self.running.get(&uid) {
            let grace = pod.metadata.deletion_grace_period_seconds;
            entry.cell.update(Arc::new(pod));
            if deleting && entry.cell.stopping().is_none() {
                let grace = grace
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map_or_else(|| entry.cell.grace(), Duration::from_secs);
                entry.cell.stop(Stop { deadline: Instant::now() + grace, machine: false });
            }
            return;
        }
        if deleting {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { delete(&shared, &pod).await });
            return;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        self.begin(uid, pod);
    }

    fn begin(&mut self, uid: String, pod: Pod) {
        let recorded =
            pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()).and_then(|ip| ip.parse().ok());
        let address = self.addresses.assign(&uid, recorded);
        let cell = Arc::new(Cell::new(&self.shared, Arc::new(pod), address));
        claim(&cell, &uid);
        self.cells().insert(uid.clone(), Arc::clone(&cell));
        self.running.insert(uid.clone(), Entry { cell: Arc::clone(&cell), gone: false });
        let (shared, done) = (Arc::clone(&self.shared), self.done.clone());
        let message = format!(
            "Successfully assigned {}/{} to {}",
            cell.namespace(),
            cell.name(),
            shared.options.node_name
        );
        shared.events.tell(&cell.pod(), None, true, "Scheduled", message);
        tokio::spawn(async move {
            // A task of its own, so that a defect in one pod ends that pod alone.
            let task = tokio::spawn(pod::run(shared, cell));
            if let Err(error) = task.await {
                tracing::error!(%error, "a pod's task failed");
            }
            let _ = done.send(uid);
        });
    }

    /// The API has forgotten the pod: its containers end with its own grace.
    fn lose(&mut self, uid: &str) {
        if let Some(entry) = self.running.get_mut(uid) {
            entry.gone = true;
            if entry.cell.stopping().is_none() {
                entry.cell.stop(Stop { deadline: Instant::now() + entry.cell.grace(), machine: false });
            }
        }
    }

    async fn finished(&mut self, uid: &str) {
        let Some(entry) = self.running.remove(uid) else { return };
        self.cells().remove(uid);
        self.addresses.release(uid);
        let cell = entry.cell;
        self.shared.logs.forget(&cell.namespace(), &cell.name());
        if fs::read_to_string(cell.data.join(".uid")).is_ok_and(|recorded| recorded == uid) {
            let _ = fs::remove_dir_all(&cell.data);
        }
        if !entry.gone {
            let (shared, pod) = (Arc::clone(&self.shared), cell.pod());
            tokio::spawn(async move { delete(&shared, &pod).await });
        }
    }

    /// Removes what pods that are gone have left on the disk.
    fn sweep(&self, alive: &[String]) {
        let pods = self.shared.options.data_dir.join("pods");
        for namespace in fs::read_dir(pods).into_iter().flatten().filter_map(Result::ok) {
            for pod in fs::read_dir(namespace.path()).into_iter().flatten().filter_map(Result::ok) {
                let uid = fs::read_to_string(pod.path().join(".uid")).unwrap_or_default();
                if !uid.is_empty() && !alive.contains(&uid) && !self.running.contains_key(&uid) {
                    let _ = fs::remove_dir_all(pod.path());
                }
            }
        }
    }

    fn cells(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<String, Arc<Cell>>> {
        self.shared.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the pod's directory, without what an earlier pod of the same name has left there.
fn claim(cell: &Cell, uid: &str) {
    let file = cell.data.join(".uid");
    if fs::read_to_string(&file).is_ok_and(|recorded| recorded == uid) {
        return;
    }
    let _ = fs::remove_dir_all(&cell.data);
    if let Err(error) = fs::create_dir_all(&cell.data).and_then(|()| fs::write(&file, uid)) {
        tracing::error!(path = %cell.data.display(), %error, "no directory for a pod");
    }
}

async fn bind(shared: &Shared, pod: &Pod) {
    let (Some(namespace), Some(name)) = (&pod.metadata.namespace, &pod.metadata.name) else { return };
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), namespace);
    let patch =
        json!({"metadata": {"uid": pod.metadata.uid}, "spec": {"nodeName": shared.options.node_name}});
    if let Err(error) = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        tracing::warn!(pod = name, %error, "the pod could not be bound to this node");
    }
}

/// Takes the object away, now that nothing of it runs.
async fn delete(shared: &Shared, pod: &Pod) {
    let (Some(namespace), Some(name)) = (&pod.metadata.namespace, &pod.metadata.name) else { return };
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => {}
        Err(error) => tracing::warn!(pod = name, %error, "the pod could not be deleted"),
    }
}

/// The Node object, so that `kubectl get nodes` and whoever looks up a pod's node finds one.
pub(crate) async fn register_node(shared: &Shared) {
    let api: Api<Node> = Api::all(shared.client.clone());
    let name = &shared.options.node_name;
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": std::env::consts::OS,
            "kubernetes.io/arch": arch(),
        }},
    });
    let created = match serde_json::from_value(node) {
        Ok(node) => api.create(&PostParams::default(), &node).await,
        Err(error) => Err(kube::Error::SerdeError(error)),
    };
    match created {
        Ok(_) => {}
        Err(kube::Error::Api(error)) if error.code == 409 => {}
        Err(error) => return tracing::warn!(%error, "no Node object"),
    }
    let now = Timestamp::now();
    let capacity = json!({"cpu": shared.cpus.to_string(), "memory": format!("{}Ki", shared.memory_bytes / 1024), "pods": "1000"});
    let status = json!({"status": {
        "capacity": capacity, "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the node agent of this machine runs",
            "lastHeartbeatTime": format!("{now:.0}"), "lastTransitionTime": format!("{now:.0}"),
        }],
        "nodeInfo": {
            "architecture": arch(), "operatingSystem": std::env::consts::OS,
            "kubeletVersion": concat!("llmisvc-", env!("CARGO_PKG_VERSION")), "kubeProxyVersion": "",
            "containerRuntimeVersion": "process://1", "osImage": "this machine",
            "kernelVersion": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            "bootID": "", "machineID": "", "systemUUID": "",
        },
    }});
    if let Err(error) = api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await {
        tracing::warn!(%error, "the Node object has no status");
    }
}

/// The architecture as Go names it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
