//! Watch, gather, compose, plan, apply, judge, publish.
//!
//! The loop around the decisions of `compose` and `plan`, the same in a cluster and under `up`. It holds what is an
//! effect: the watches ([`stores`]), the requests, the keys of certificates, the clock. What a change concerns
//! ([`affected`]) is a function of data, and so is everything that is decided about a service.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod affected;
mod announce;
mod apply;
mod certificates;
mod configs;
mod finalizer;
mod gather;
mod held;
mod publish;
mod queue;
mod reconcile;
pub mod stores;
pub mod watched;

use std::sync::Arc;
use std::time::Duration;

use compose::Facts;
use tokio::sync::{mpsc, watch};

use crate::affected::services;
use crate::announce::Announcer;
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
    /// All pods run as processes of this machine, as under `llmisvc up`.
    pub one_machine: bool,
    /// How many services are looked at at once.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            system_namespace: "kserve".to_owned(),
            config_prefix: "kserve-".to_owned(),
            pin_presets: true,
            one_machine: false,
            concurrency: 8,
        }
    }
}

/// An apply of ten children comes back as ten events.
const SERVICE_DEBOUNCE: Duration = Duration::from_millis(10);
/// The configs of the system namespace list every service of the cluster; while many services come, they are written
/// once at the end.
const CONFIG_DEBOUNCE: Duration = Duration::from_millis(100);

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
    /// The service was looked at; what else the pass does is told after this.
    Looked,
    /// Presets, baseRefs and service were merged, from these configs, for the first time or from others than before.
    Merged(Vec<String>),
    /// These children were written, in order.
    Wrote(Vec<plan::Change>),
}

/// Runs until `stop` turns true, then ends the running passes and returns. Errors of the API server are retried and
/// logged; none ends the loop. `reports` hears of every pass.
pub async fn run(
    client: kube::Client,
    options: Options,
    reports: Option<mpsc::UnboundedSender<Report>>,
    stop: watch::Receiver<bool>,
) {
    let (noting, noted) = mpsc::unbounded_channel();
    let stores = Stores::new(noting);
    let (change_sender, mut changes) = mpsc::unbounded_channel();
    let (service_sender, service_keys) = mpsc::unbounded_channel();
    let (config_sender, config_keys) = mpsc::unbounded_channel();
    let (watching, mut listed) = watch_all(&client, &stores, noted, change_sender, stop.clone());
    let context = Context {
        of_services: Announcer::new(client.clone(), "LLMInferenceServiceController"),
        of_configs: Announcer::new(client.clone(), "LLMInferenceServiceConfigController"),
        client,
        stores: stores.clone(),
        memory: apply::Memory::default(),
        reach: Arc::new(reach(&options)),
        options: Arc::new(options),
        reports,
        untold: reconcile::Untold::default(),
    };
    let mut stopping = stop.clone();
    let naming = async {
        // Before every kind is listed, children would look absent. The changes wait in their channel.
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            listed = listed.wait_for(|listed| *listed) => if listed.is_err() { return },
        }
        while let Some(change) = changes.recv().await {
            if change.after.is_none() {
                context.memory.forget(&change.key);
            }
            let (services, configs) = {
                let objects = stores.read();
                let services = services(&objects, &change, &context.options.system_namespace);
                (services, affected::configs(&objects, &change, &context.reach))
            };
            services.into_iter().for_each(|key| drop(service_sender.send(key)));
            configs.into_iter().for_each(|key| drop(config_sender.send(key)));
        }
    };
    let concurrency = context.options.concurrency;
    let for_services = context.clone();
    let for_configs = context.clone();
    tokio::join!(
        naming,
        queue::run(service_keys, concurrency, SERVICE_DEBOUNCE, stop.clone(), move |key| {
            reconcile::pass(for_services.clone(), key)
        }),
        queue::run(config_keys, concurrency, CONFIG_DEBOUNCE, stop, move |key| {
            configs::pass(for_configs.clone(), key)
        }),
    );
    let _ = watching.await;
}

/// The presets are those that services are pinned to, by whatever prefix the installation gives them.
fn reach(options: &Options) -> plan::Reach {
    let facts = Facts { config_prefix: options.config_prefix.clone(), ..Facts::default() };
    plan::Reach {
        system_namespace: options.system_namespace.clone(),
        presets: compose::pins(&facts).into_values().collect(),
    }
}
