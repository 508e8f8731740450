//! The gateway of this machine: what a Gateway API implementation and an endpoint picker do in a cluster, in one
//! process.
//!
//! ```text
//! watch ──► Seen ──► assess ──► RouteTable ──► relay (requests)
//!                        └────► statuses ────► publish (Gateway, HTTPRoute, InferencePool)
//! ```
//!
//! In: a client for the API server, a listener. Out: answered requests, and in the status of Gateways, HTTPRoutes and
//! InferencePools what a gateway reports there. It takes every Gateway for its own, whatever the class, as there is no
//! other on this machine: a service written for a cluster's gateway is served here unchanged.

mod assess;
mod attach;
mod endpoints;
pub(crate) mod implied;
mod labelled;
mod picker;
mod publish;
mod route;
mod status;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use assess::Assessor;
use publish::Publisher;
pub(crate) use watch::version;

/// A change is looked at at once, the next ones at most this often: many pods become ready in the same moment.
const PACE: Duration = Duration::from_millis(10);
/// With many services a look takes longer; it may take this part of the time at most, one in so many.
const LOOK_SHARE: u32 = 5;

/// How a gateway serves.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Who speaks in the status of routes and pools, a domain-prefixed name.
    pub controller_name: String,
    /// The scheduling policy of every pool, one of [`sched::POLICIES`], instead of what the services ask for.
    pub policy: Option<String>,
    /// What the gateway takes.
    pub limits: relay::Limits,
}

impl GatewayOptions {
    /// The options of a gateway that reports under this name and schedules as the services ask for.
    pub fn new(controller_name: impl Into<String>) -> Self {
        Self { controller_name: controller_name.into(), policy: None, limits: relay::Limits::default() }
    }
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener has no address.
    #[error("the gateway's listener has no address: {0}")]
    Listener(#[from] io::Error),
    /// The policy does not exist.
    #[error(transparent)]
    Policy(#[from] sched::ConfigError),
}

/// A gateway that serves. Dropping it ends it at once; [`GatewayHandle::shutdown`] ends it in order.
pub struct GatewayHandle {
    address: SocketAddr,
    stop: Option<oneshot::Sender<Duration>>,
    task: Option<JoinHandle<()>>,
    pods_known: tokio::sync::watch::Receiver<u64>,
}

impl GatewayHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What requests are routed by: every pod whose `resourceVersion` is not above this.
    pub fn pods_known(&self) -> tokio::sync::watch::Receiver<u64> {
        self.pods_known.clone()
    }

    /// Takes no more connections, lets running requests end for at most `drain`, then cuts the rest.
    pub async fn shutdown(mut self, drain: Duration) {
        if let Some(stop) = self.stop.take() {
            // The task may have ended already; then there is nothing to stop.
            let _ = stop.send(drain);
        }
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for GatewayHandle {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Starts a gateway on a listener.
///
/// # Errors
/// If the listener has no address or the policy does not exist.
pub fn start(
    client: kube::Client,
    listener: TcpListener,
    options: GatewayOptions,
) -> Result<GatewayHandle, StartError> {
    let address = listener.local_addr()?;
    let assessor = Assessor::new(&options, address)?;
    let gateway = relay::Gateway::new(options.limits);
    let (stop, stopped) = oneshot::channel();
    let (knows_pods, pods_known) = tokio::sync::watch::channel(0);
    let task = tokio::spawn(async move {
        // Dropped without a word: no time to drain.
        let shutdown = async move { stopped.await.unwrap_or_default() };
        let serving = relay::serve(Arc::clone(&gateway), listener, shutdown);
        // Tasks of their own: a look at many objects must not keep connections waiting.
        let mut background = JoinSet::new();
        let publisher = Arc::new(Publisher::new(client.clone()));
        background.spawn(follow(client, assessor, gateway, Arc::clone(&publisher), knows_pods));
        background.spawn(async move { publisher.run().await });
        serving.await;
        background.shutdown().await;
    });
    Ok(GatewayHandle { address, stop: Some(stop), task: Some(task), pods_known })
}

/// Keeps the gateway's routes and the statuses as the API server's objects want them. Never ends.
async fn follow(
    client: kube::Client,
    mut assessor: Assessor,
    gateway: Arc<relay::Gateway>,
    publisher: Arc<Publisher>,
    knows_pods: tokio::sync::watch::Sender<u64>,
) {
    let mut seen = watch::Seen::default();
    let mut changes = watch::changes(client);
    while let Some(change) = changes.next().await {
        seen.apply(change);
        while let Some(Some(change)) = changes.next().now_or_never() {
            seen.apply(change);
        }
        if !seen.is_complete() {
            continue;
        }
        let begun = std::time::Instant::now();
        let assessment = assessor.assess(&seen, jiff::Timestamp::now());
        gateway.publish(assessment.table);
        knows_pods.send_replace(seen.pods.newest_version());
        publisher.wish(assessment.wishes);
        tokio::time::sleep((begun.elapsed() * (LOOK_SHARE - 1)).max(PACE)).await;
    }
}

#[cfg(test)]
mod tests;
