//! The node agent: Deployments, ReplicaSets and LeaderWorkerSets become pods, pods become processes of this machine, each
//! pod on a loopback address of its own. Goes in: a Kubernetes client. Comes out: statuses, events, logs.
//! It talks to nothing but that client and the processes below it.
//!
//! ```text
//! Deployment ─► ReplicaSet ─► Pod          controllers (decided in rollout)
//! LeaderWorkerSet ─► leaders ─► workers    controllers (decided in groups)
//! Pod ─► agent ─► one task per pod ─► one per container ─► pod-shim ─► the program
//!                  volumes, env, programs decide; probes, status report
//! ```

mod address;
mod agent;
mod backoff;
mod container;
mod controllers;
mod env;
mod events;
pub(crate) mod groups;
mod launch;
pub mod logs;
mod mounts;
mod pod;
mod probes;
mod process;
mod processes;
mod programs;
mod rollout;
pub(crate) mod script;
pub mod shim;
mod status;
mod thresholds;
mod volumes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use logs::{LogWriter, Logs};
pub use programs::Engine;
pub use shim::View;

/// The name that pods are bound to, unless the options say otherwise.
pub const NODE_NAME: &str = "llmisvc-local";

/// How the node agent works.
#[derive(Clone)]
pub struct NodeOptions {
    /// State of this machine: `pods/` (logs, volumes of pods) and `volumes/NAMESPACE/CLAIM`.
    pub data_dir: PathBuf,
    /// This program, for `pod-shim` and `sim`.
    pub exe: PathBuf,
    /// Which engine answers for vLLM containers.
    pub engine: Engine,
    /// How much faster than the clock the simulated engine computes; passed to it as `--speed`.
    pub speed: f64,
    /// Name of the Node object.
    pub node_name: String,
    /// Show volumes in a private mount namespace where the system allows one. Without it, and where it does not, paths
    /// are rewritten in arguments and variables.
    pub private_view: bool,
    /// Runs simulated engines inside this process; without it, `inline-sim` runs them as processes.
    pub launcher: Option<EngineLauncher>,
}

impl NodeOptions {
    /// The usual options: `--engine auto`, clock speed, nothing inline.
    pub fn new(data_dir: PathBuf, exe: PathBuf) -> Self {
        Self {
            data_dir,
            exe,
            engine: Engine::Auto,
            speed: 1.0,
            node_name: NODE_NAME.to_owned(),
            private_view: true,
            launcher: None,
        }
    }
}

/// Starts a program inside this process. The future is the program: its output is the exit code.
pub type EngineLauncher = Arc<dyn Fn(EngineCall) -> BoxFuture<'static, i32> + Send + Sync>;

/// What can run inside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineProgram {
    /// A simulated engine.
    Engine,
    /// The sidecar of a decoding engine.
    Sidecar,
}

/// One program to run inside this process.
pub struct EngineCall {
    /// Which one.
    pub program: InlineProgram,
    /// What follows `vllm serve` or `pd-sidecar`, with `--host`, and `--speed` for an engine.
    pub argv: Vec<String>,
    /// The container's variables.
    pub env: BTreeMap<String, String>,
    /// Where its output goes.
    pub log: Arc<LogWriter>,
    /// To be set once it serves: instead of probes, which would cost more than the engine.
    pub ready: watch::Sender<bool>,
    /// Turns true when it has to end.
    pub stop: watch::Receiver<bool>,
}

/// What an engine that is not ready yet said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// The last line of its log, or why it waits.
    pub line: String,
}

/// Ends the node agent.
pub struct NodeHandle {
    shared: Arc<Shared>,
    agent: JoinHandle<()>,
    controllers: JoinHandle<()>,
    shutdown: watch::Sender<Option<Duration>>,
}

/// What every part of the agent shares.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) options: NodeOptions,
    pub(crate) logs: Logs,
    pub(crate) events: events::Events,
    pub(crate) cells: Mutex<BTreeMap<String, Arc<pod::Cell>>>,
    pub(crate) view: watch::Sender<Option<View>>,
    pub(crate) cpus: u64,
    pub(crate) memory_bytes: u64,
}

/// Starts the controllers and the agent. Leftovers of an earlier run below the data directory are ended first.
pub async fn start(client: Client, options: NodeOptions) -> std::io::Result<NodeHandle> {
    let pods = options.data_dir.join("pods");
    std::fs::create_dir_all(&pods)?;
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Below are logs, and secrets as files.
        std::fs::set_permissions(&pods, std::fs::Permissions::from_mode(0o700))?;
    }
    let ended = process::end_leftovers(&pods);
    if ended > 0 {
        tracing::info!(processes = ended, "ended what an earlier run left behind");
    }
    let shared = Arc::new(Shared {
        events: events::Events::new(client.clone(), options.node_name.clone()),
        logs: Logs::new(pods),
        cells: Mutex::default(),
        view: watch::Sender::new(None),
        cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
        memory_bytes: memory_bytes(),
        client,
        options,
    });
    let (shutdown, receiver) = watch::channel(None);
    agent::register_node(&shared).await;
    let controllers = tokio::spawn(controllers::run(shared.client.clone(), shared.options.node_name.clone()));
    let agent = tokio::spawn(agent::run(Arc::clone(&shared), receiver));
    Ok(NodeHandle { shared, agent, controllers, shutdown })
}

impl NodeHandle {
    /// The logs of all containers, for the API server's `pods/log`.
    pub fn logs(&self) -> Logs {
        self.shared.logs.clone()
    }

    /// How containers see their volumes; `None` until the first process with a volume runs.
    pub fn view(&self) -> Option<View> {
        *self.shared.view.borrow()
    }

    /// What the engines that are not ready yet said last, by namespace and pod.
    pub fn progress(&self) -> Vec<Progress> {
        let cells = self.shared.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.values().filter_map(|cell| cell.progress(&self.shared.logs)).collect()
    }

    /// Ends all containers: asked at once, killed after `grace`. The pods stay in the API, and run again after
    /// the next start.
    pub async fn shutdown(self, grace: Duration) {
        self.controllers.abort();
        self.shutdown.send_replace(Some(grace));
        if let Err(error) = self.agent.await {
            tracing::error!(%error, "the node agent failed");
        }
        self.shared.events.flush().await;
    }
}

fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}
