//! What all pods of a workload have in common: artefacts, labels, annotations, the sidecar's pool.

use api::keys;
use api::v1alpha2::WorkloadSpec;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::tracing::Role as TraceRole;
use super::{Error, SIDECAR, kv_cache, tracing};
use crate::machine;
use crate::storage::{Attachment, MODEL_PATH, attach, env};
use crate::subject::{Labels, Subject};

/// Annotations of the service that reach workloads and their pods, by start of their name.
const ANNOTATION_PREFIXES: [&str; 4] =
    ["k8s.v1.cni.cncf.io", "kueue.x-k8s.io", "prometheus.io", "internal.serving.kserve.io/localmodel"];
/// Labels of the service that reach workloads and their pods, by start of their name.
const LABEL_PREFIXES: [&str; 2] = ["kueue.x-k8s.io", "internal.serving.kserve.io/localmodel"];
/// Annotations of the service that reach LeaderWorkerSets as well.
const GROUP_PREFIX: &str = "leaderworkerset.sigs.k8s.io";

/// Labels of the service that its workloads carry.
pub(crate) fn passed_labels(subject: &Subject) -> Labels {
    with_prefixes(subject.labels(), &LABEL_PREFIXES)
}

/// Annotations of the service that its workloads carry.
pub(crate) fn passed_annotations(subject: &Subject, grouped: bool) -> Labels {
    let annotations = subject.annotations();
    let mut passed = with_prefixes(annotations.clone(), &ANNOTATION_PREFIXES);
    if grouped {
        passed.extend(with_prefixes(annotations, &[GROUP_PREFIX]));
    }
    passed
}

/// Annotations that the spec gives to pods and Services. Model-based routing is for us, not for them.
pub(crate) fn spec_annotations(workload: &WorkloadSpec) -> Labels {
    let mut annotations = workload.annotations.clone();
    annotations.remove(keys::MODEL_BASED_ROUTING);
    annotations
}

fn with_prefixes(mut map: Labels, prefixes: &[&str]) -> Labels {
    map.retain(|name, _| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    map
}

/// Whether the pod has the routing sidecar.
pub(crate) fn has_sidecar(pod: Option<&PodSpec>) -> bool {
    pod.is_some_and(|pod| pod.init_containers.iter().flatten().any(|container| container.name == SIDECAR))
}

/// Completes a pod as merged: model, adapters, cache volumes, tracing, account, the sidecar's pool.
pub(crate) struct Completion<'a> {
    /// For errors: which workload it is.
    pub(crate) what: &'static str,
    /// The workload that the pod belongs to.
    pub(crate) workload: &'a WorkloadSpec,
    /// The account that the pod runs as, if it is not the template's own.
    pub(crate) account_name: Option<&'a str>,
    /// The account whose credentials the download uses.
    pub(crate) account: Option<&'a Value>,
    /// The live pod spec.
    pub(crate) live_pod: Option<&'a Value>,
    /// By which name its traces are known.
    pub(crate) trace_role: TraceRole,
}

impl Completion<'_> {
    /// The completed pod.
    pub(crate) fn apply(&self, template: &PodSpec, subject: &Subject) -> Result<PodSpec, Error> {
        let mut pod = template.clone();
        if let Some(name) = self.account_name {
            pod.service_account_name = Some(name.to_owned());
        }
        if has_sidecar(Some(template)) && subject.spec.router.is_some() {
            set_pool_name(&mut pod, subject);
        }
        let attachment = Attachment {
            path: MODEL_PATH,
            with_adapters: true,
            account: self.account,
            live_pod: self.live_pod,
        };
        attach(&mut pod, subject, &attachment)
            .map_err(|source| Error::FixModel { what: self.what, source })?;
        kv_cache::attach(&mut pod, self.workload);
        tracing::trace_engine(&mut pod, subject, self.trace_role);
        machine::probe_as_served(&mut pod, subject);
        Ok(pod)
    }
}

/// Tells the sidecar which pool it belongs to.
fn set_pool_name(pod: &mut PodSpec, subject: &Subject) {
    let pool = crate::router::pool::name(subject);
    let sidecar: Option<&mut Container> =
        pod.init_containers.iter_mut().flatten().find(|container| container.name == SIDECAR);
    if let Some(sidecar) = sidecar {
        sidecar.env.get_or_insert_default().push(env("INFERENCE_POOL_NAME", &pool));
    }
}

/// A pod template as JSON.
pub(crate) fn template(labels: &Labels, annotations: &Labels, pod: &PodSpec) -> Value {
    let mut metadata = serde_json::Map::new();
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), json!(labels));
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), json!(annotations));
    }
    json!({"metadata": metadata, "spec": pod_json(pod)})
}

/// A pod spec as Go writes it: a list that is empty is left out.
pub(crate) fn pod_json(pod: &PodSpec) -> Value {
    let mut value = serde_json::to_value(pod).unwrap_or_default();
    crate::prune::prune(&mut value);
    value
}
