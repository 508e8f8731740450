//! The scheduler of a pool: what the pool's endpoint picker would be told on its command line.
//!
//! On this machine the gateway picks itself, so the picker's Deployment is only read: its `--config-text`, or the
//! ConfigMap that `--config-file` is mounted from. Without either, the built-in profile.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use sched::Scheduler;

use super::implied;
use super::labelled::Labelled;
use super::watch::{Kept, Seen};

/// Schedulers by the text of their configuration: a text that was read once is not read again.
#[derive(Default)]
pub(crate) struct Pickers {
    /// Instead of the scorers that the services ask for.
    policy: Option<Arc<Scheduler>>,
    default: Arc<Scheduler>,
    /// For services that compute prompts and answers apart and say nothing else.
    in_stages: Arc<Scheduler>,
    by_text: HashMap<String, Result<Arc<Scheduler>, String>>,
}

/// The pickers' Deployments by the labels of their pods.
pub(crate) struct PickerDeployments<'a>(Labelled<'a, Deployment>);

impl<'a> PickerDeployments<'a> {
    pub(crate) fn new(deployments: &'a Kept<Deployment>) -> Self {
        let of_pods = |deployment: &'a Deployment| {
            deployment.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref()
        };
        Self(Labelled::new(deployments, of_pods))
    }
}

impl Pickers {
    pub(crate) fn new(policy: Option<&str>) -> Result<Self, sched::ConfigError> {
        let policy = policy.map(Scheduler::policy).transpose()?.map(Arc::new);
        let in_stages = implied::in_stages()?;
        let in_stages = Arc::new(match &policy {
            Some(policy) => in_stages.with_policy(policy),
            None => in_stages,
        });
        Ok(Self { policy, in_stages, ..Self::default() })
    }

    /// The scheduler of a pool without a picker.
    pub(crate) fn without_config(&self, has_stages: bool) -> Arc<Scheduler> {
        Arc::clone(if has_stages { &self.in_stages } else { self.policy.as_ref().unwrap_or(&self.default) })
    }

    /// The scheduler of the pool whose picker is reached through this Service, and what is wrong with its configuration.
    /// With a wrong one the built-in profile picks: an answer is better than none.
    pub(crate) fn of(
        &mut self,
        seen: &Seen,
        deployments: &PickerDeployments<'_>,
        namespace: &str,
        service: &str,
    ) -> (Arc<Scheduler>, Option<String>) {
        let otherwise = self.policy.as_ref().unwrap_or(&self.default);
        let Some(text) = config_text(seen, deployments, namespace, service) else {
            return (Arc::clone(otherwise), None);
        };
        let policy = self.policy.as_ref();
        let read = self.by_text.entry(text).or_insert_with_key(|text| {
            let config = yaml::read_value(text).map_err(|error| error.to_string())?;
            let scheduler = Scheduler::from_config(&config).map_err(|error| error.to_string())?;
            if let Some(policy) = policy {
                return Ok(Arc::new(scheduler.with_policy(policy)));
            }
            for warning in scheduler.warnings() {
                tracing::warn!(namespace, picker = service, "{warning}");
            }
            Ok(Arc::new(scheduler))
        });
        match read {
            Ok(scheduler) => (Arc::clone(scheduler), None),
            Err(_) if policy.is_some() => (Arc::clone(otherwise), None),
            Err(words) => (Arc::clone(otherwise), Some(words.clone())),
        }
    }
}

fn config_text(
    seen: &Seen,
    deployments: &PickerDeployments<'_>,
    namespace: &str,
    service: &str,
) -> Option<String> {
    let selector = seen.services.get(namespace, service)?.spec.as_ref()?.selector.as_ref()?;
    let deployment = deployments.0.select(namespace, selector).into_iter().next()?;
    let template = deployment.spec.as_ref()?.template.spec.as_ref()?;
    template.containers.iter().find_map(|container| {
        if let Some(text) = flag(container, &["config-text", "configText"]) {
            return Some(text.to_owned());
        }
        mounted(seen, namespace, template, container, flag(container, &["config-file", "configFile"])?)
    })
}

/// The value of a flag in the container's command line, `--x y` or `--x=y`, with one dash or two.
fn flag<'a>(container: &'a Container, names: &[&str]) -> Option<&'a str> {
    let mut words = container.command.iter().chain(&container.args).flatten();
    while let Some(word) = words.next() {
        let Some(word) = word.strip_prefix('-') else { continue };
        let word = word.strip_prefix('-').unwrap_or(word);
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if names.contains(&name) {
            return value.or_else(|| words.next().map(String::as_str));
        }
    }
    None
}

/// The text of a file that a container has from a ConfigMap.
fn mounted(seen: &Seen, namespace: &str, pod: &PodSpec, container: &Container, file: &str) -> Option<String> {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    mounts.iter().find_map(|mount| {
        let key = file.strip_prefix(mount.mount_path.trim_end_matches('/'))?.strip_prefix('/')?;
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
        let source = volume.config_map.as_ref()?;
        let item = source.items.iter().flatten().find(|item| item.path == key);
        let key = item.map_or(key, |item| item.key.as_str());
        seen.picker_configs.get(namespace, &source.name)?.data.as_ref()?.get(key).cloned()
    })
}
