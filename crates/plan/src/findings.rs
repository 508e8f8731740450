//! What a user should know about a plan that is carried out all the same.

use serde_json::Value;

use crate::Finding;
use crate::machine;
use crate::monitors::{self, ENABLE_SCRAPING};
use crate::router::{group, route};
use crate::storage::{INITIALIZER, adapters, published_name};
use crate::subject::{Subject, is_deleted};

/// All findings, in a stable order.
pub(crate) fn findings(subject: &Subject) -> Vec<Finding> {
    let mut findings: Vec<Finding> = subject
        .merged
        .warnings
        .iter()
        .map(|warning| finding("ComposeWarning", format!("{}: {}", warning.field, warning.message), None))
        .collect();
    findings.extend(machine::findings(subject));
    findings.extend(overridden_initializer(subject));
    findings.extend(deprecated_plugin(subject));
    findings.extend(unseen_predictor(subject));
    findings.extend(collisions(subject));
    findings.extend(missing_ca_bundle(subject));
    findings.extend(missing_prometheus(subject));
    findings
}

fn finding(reason: &str, message: String, hint: Option<&str>) -> Finding {
    Finding { reason: reason.to_owned(), message, hint: hint.map(str::to_owned) }
}

/// A user's own initializer keeps its environment and limits, but not what it runs.
fn overridden_initializer(subject: &Subject) -> Option<Finding> {
    let workloads = std::iter::once(subject.workload()).chain(&subject.spec.prefill);
    let is_overridden = workloads
        .flat_map(|workload| workload.template.iter().chain(&workload.worker))
        .flat_map(|pod| pod.init_containers.iter().flatten())
        .any(|container| {
            container.name == INITIALIZER && (container.args.is_some() || container.command.is_some())
        });
    is_overridden.then(|| {
        finding(
            "StorageInitializerOverride",
            "User-specified Args/Command on storage-initializer were overridden by controller".to_owned(),
            Some("leave args and command of storage-initializer out"),
        )
    })
}

fn deprecated_plugin(subject: &Subject) -> Option<Finding> {
    let config = subject.merged.scheduler_config.as_ref().filter(|config| config.config_map.is_none())?;
    config.text.contains("precise-prefix-cache-scorer").then(|| {
        finding(
            "DeprecatedPlugin",
            format!(
                "LLMInferenceService {:?} uses precise-prefix-cache-scorer in config.inline. Update config.inline to use \
                 token-producer, precise-prefix-cache-producer, and prefix-cache-scorer directly. This implicit migration \
                 will be removed in a future release.",
                subject.name
            ),
            None,
        )
    })
}

/// The predictor's containers come with a preset that is chosen before a ConfigMap is read.
fn unseen_predictor(subject: &Subject) -> Option<Finding> {
    let config = subject.merged.scheduler_config.as_ref()?;
    let (namespace, name) = config.config_map.as_ref()?;
    config.text.contains("predicted-latency-producer").then(|| {
        finding(
            "LatencyPredictorConfigRef",
            format!("ConfigMap {namespace}/{name} uses predicted-latency-producer, but its servers are only added for config.inline"),
            Some("move the configuration to router.scheduler.config.inline"),
        )
    })
}

/// Downloads would wait for a ConfigMap that nobody makes.
fn missing_ca_bundle(subject: &Subject) -> Option<Finding> {
    let name = &subject.facts.settings.storage_initializer.ca_bundle_config_map_name;
    let system = &subject.facts.system_namespace;
    let bundle = subject.facts.objects.get("v1", "ConfigMap", Some(system), name);
    let has_bundle = bundle
        .and_then(|bundle| bundle["data"]["cabundle.crt"].as_str())
        .is_some_and(|text| !text.is_empty());
    (!name.is_empty() && !has_bundle).then(|| {
        finding(
            "CaBundleMissing",
            format!("ConfigMap {system}/{name} with key cabundle.crt, named by caBundleConfigMapName, does not exist"),
            Some("create it, or clear storageInitializer.caBundleConfigMapName in inferenceservice-config"),
        )
    })
}

/// Monitors are asked for and nobody would read them.
fn missing_prometheus(subject: &Subject) -> Option<Finding> {
    let is_missing = monitors::are_wanted(subject) && !monitors::are_known(subject);
    is_missing.then(|| {
        finding(
            "MonitoringCRDNotFound",
            format!("annotation {ENABLE_SCRAPING} asks for monitors, and the cluster has no PodMonitor and ServiceMonitor"),
            Some("install the Prometheus operator, or remove the annotation"),
        )
    })
}

/// Other services of the namespace that answer to the same names on the same gateway.
fn collisions(subject: &Subject) -> Vec<Finding> {
    if route::managed_spec(subject).is_none() {
        return Vec::new();
    }
    let own: Vec<String> = std::iter::once(subject.model_name().to_owned())
        .chain(adapters(subject.spec).into_iter().map(|adapter| adapter.name))
        .collect();
    let own_group = group::name(subject);
    subject
        .facts
        .objects
        .of_kind_in(api::v1alpha2::API_VERSION, api::v1alpha2::SERVICE_KIND, subject.namespace)
        .map(|(_, peer)| &**peer)
        .filter(|peer| peer["metadata"]["name"] != subject.name && !is_deleted(peer))
        .filter(|peer| own_group.is_none() || peer.pointer("/spec/router/route/group").and_then(Value::as_str) != own_group)
        .filter_map(|peer| {
            let names = group::models(subject, peer);
            let shared = own.iter().find(|name| names.contains(&published_name(subject.namespace, name)))?;
            let other = peer["metadata"]["name"].as_str().unwrap_or_default();
            let (namespace, name) = (subject.namespace, subject.name);
            Some(finding(
                "ModelNameCollision",
                format!(
                    "model name {shared:?} overlaps with {other} in namespace {namespace}; shared publisher paths and \
                     model-routing headers cause the gateway to shadow one service. Reachable at its own address \
                     {namespace}/{name}; safe to ignore if traffic splitting is planned"
                ),
                None,
            ))
        })
        .collect()
}
