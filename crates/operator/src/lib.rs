//! Watch, gather, compose, plan, apply, judge, publish.
//!
//! The loop around the decisions of `compose` and `plan`, the same in a cluster and under `up`. It holds what is an
//! effect: the watches ([`stores`]), the requests, the keys of certificates, the clock. What a change concerns
//! ([`affected`]) is a function of data, and so is everything that is decided about a service.

pub mod affected;
mod apply;
mod certificates;
mod gather;
mod publish;
mod queue;
mod reconcile;
pub mod stores;
pub mod watched;

use std::sync::Arc;

use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::{mpsc, watch};

use crate::affected::services;
use crate::reconcile::Context;
use crate::stores::{Stores, watch_all};

/// How an installation is set up. The defaults are KServe's.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where presets, settings and the gateway are: `kserve`.
    pub system_namespace: String,
    /// What the names of presets begin with: `kserve-`.
    pub config_prefix: String,
    /// Whether a service stays with the presets that it first saw.
    pub pin_presets: bool,
    /// How many services are looked at at once.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            system_namespace: "kserve".to_owned(),
            config_prefix: "kserve-".to_owned(),
            pin_presets: true,
            concurrency: 8,
        }
    }
}

/// What a pass did, for those who watch the operator work.
#[derive(Debug, Clone)]
pub struct Report {
    /// Namespace of the service.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was done.
    pub done: Done,
}

/// What was done in a pass.
#[derive(Debug, Clone)]
pub enum Done {
    /// Presets, baseRefs and service were merged, from these configs, for the first time or from others than before.
    Merged(Vec<String>),
    /// These children were written, in order.
    Wrote(Vec<plan::Change>),
}

/// Runs until `stop` turns true, then ends the running passes and returns. Errors of the API server are retried and
/// logged; none ends the loop. `reports` hears of every pass that wrote something.
pub async fn run(
    client: kube::Client,
    options: Options,
    reports: Option<mpsc::UnboundedSender<Report>>,
    stop: watch::Receiver<bool>,
) {
    let stores = Stores::default();
    let (change_sender, mut changes) = mpsc::unbounded_channel();
    let (key_sender, keys) = mpsc::unbounded_channel();
    let (watching, mut listed) = watch_all(&client, &stores, change_sender, stop.clone());
    let system_namespace = options.system_namespace.clone();
    let reporter = Reporter { controller: "LLMInferenceServiceController".to_owned(), instance: None };
    let context = Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        stores: stores.clone(),
        memory: apply::Memory::default(),
        options: Arc::new(options),
        reports,
    };
    let mut stopping = stop.clone();
    let naming = async {
        // Before every kind is listed, children would look absent. The changes wait in their channel.
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            listed = listed.wait_for(|listed| *listed) => if listed.is_err() { return },
        }
        while let Some(change) = changes.recv().await {
            let affected = services(&stores.read(), &change, &system_namespace);
            for key in affected {
                let _ = key_sender.send(key);
            }
        }
    };
    let concurrency = context.options.concurrency;
    tokio::join!(naming, queue::run(keys, concurrency, stop, move |key| reconcile::pass(context.clone(), key)));
    let _ = watching.await;
}
