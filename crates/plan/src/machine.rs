//! What one machine without a cluster does not do. It is said, and the rest is done.

use std::collections::BTreeSet;

use api::v1alpha2::WorkloadSpec;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, PodSpec};
use serde_json::Value;

use crate::Finding;
use crate::router::managed_scheduler;
use crate::scaling::scaled;
use crate::storage::MAIN;
use crate::subject::Subject;
use crate::workload::single::user_account_name;

/// Reason of the conditions and of the warning.
pub(crate) const REASON: &str = "NotOnOneMachine";

/// The number of copies of a workload that an autoscaler would scale: its least. `None` where replicas are as on a cluster.
pub(crate) fn fixed_replicas(subject: &Subject, workload: &WorkloadSpec) -> Option<i32> {
    let scaling = workload.scaling.as_ref().filter(|_| subject.facts.one_machine)?;
    Some(scaling.min_replicas.unwrap_or(1))
}

/// Why the autoscaler of a workload is not made; `None` if it is.
pub(crate) fn unscaled(subject: &Subject, workload: &WorkloadSpec) -> Option<String> {
    let replicas = fixed_replicas(subject, workload)?;
    Some(format!(
        "nothing scales on one machine: it runs with {replicas}, unless `kubectl scale` says otherwise"
    ))
}

/// An account that a service names and nobody made. A cluster starts no pod for it; here an account means nothing but the
/// Secrets that it lists, and without them a download is tried as anybody.
pub(crate) fn absent_account(subject: &Subject) -> Option<&'static Value> {
    static NO_SECRETS: Value = Value::Null;
    subject.facts.one_machine.then_some(&NO_SECRETS)
}

/// A service that was written for a cluster with TLS says HTTPS in probes of its own. Where TLS is off the engine does not
/// speak it: neither a probe nor the gateway, which learns it from the probes, would get an answer.
pub(crate) fn probe_as_served(pod: &mut PodSpec, subject: &Subject) {
    if !is_without_tls(subject) {
        return;
    }
    for container in pod.containers.iter_mut().filter(|container| !serves_tls_itself(container)) {
        let Container { startup_probe, readiness_probe, liveness_probe, .. } = container;
        let probes = [startup_probe, readiness_probe, liveness_probe].into_iter().flatten();
        let gets = probes.filter_map(|probe| probe.http_get.as_mut()).filter(|get| is_https(get));
        gets.for_each(|get| get.scheme = Some("HTTP".to_owned()));
    }
}

fn is_without_tls(subject: &Subject) -> bool {
    subject.facts.one_machine && !subject.tls()
}

/// Whether a container has certificates by its own arguments, or is none of ours.
fn serves_tls_itself(container: &Container) -> bool {
    let mut words = container.command.iter().chain(&container.args).flatten();
    container.name != MAIN
        || words.any(|word| word.contains("--ssl-") || word.contains("--self-signed-certs"))
}

fn is_probed_with_https(container: &Container) -> bool {
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    let mut gets = probes.into_iter().flatten().filter_map(|probe| probe.http_get.as_ref());
    gets.any(is_https)
}

fn is_https(get: &HTTPGetAction) -> bool {
    get.scheme.as_deref() == Some("HTTPS")
}

/// What is done otherwise than the service says.
pub(crate) fn findings(subject: &Subject) -> Vec<Finding> {
    let mut findings: Vec<Finding> = scaled(subject)
        .iter()
        .filter_map(|scaled| {
            let message = format!("{} workload: {}", scaled.what, unscaled(subject, scaled.workload)?);
            Some(finding(message, "apply the service to a cluster to have it scaled"))
        })
        .collect();
    if !subject.facts.one_machine {
        return findings;
    }
    let accounts: BTreeSet<&str> = pods(subject).filter_map(user_account_name).collect();
    let absent = accounts.into_iter().filter(|name| subject.core("ServiceAccount", name).is_none());
    findings.extend(absent.map(|name| {
        finding(
            format!(
                "ServiceAccount {}/{name} does not exist: pods run without it, and without its Secrets",
                subject.namespace
            ),
            "create it before the service goes to a cluster, which starts no pod without it",
        )
    }));
    let is_probed_otherwise = |pod: &PodSpec| {
        let mut containers = pod.containers.iter().filter(|container| !serves_tls_itself(container));
        containers.any(is_probed_with_https)
    };
    if is_without_tls(subject) && workload_pods(subject).any(is_probed_otherwise) {
        findings.push(finding(
            "probes that ask for HTTPS are asked by HTTP, as engines serve without TLS here".to_owned(),
            "leave `scheme` out of the probes: the presets set what fits",
        ));
    }
    findings
}

fn finding(message: String, hint: &str) -> Finding {
    Finding { reason: REASON.to_owned(), message, hint: Some(hint.to_owned()) }
}

fn workload_pods<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a PodSpec> {
    let workloads = std::iter::once(subject.workload()).chain(&subject.spec.prefill);
    workloads.flat_map(|workload| workload.template.iter().chain(&workload.worker))
}

/// The pods whose account is not made by us. The picker's is, unless the service names another.
fn pods<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a PodSpec> {
    let managed = api::names::picker_service_account(subject.name);
    let picker = managed_scheduler(subject).and_then(|scheduler| scheduler.template.as_ref());
    workload_pods(subject)
        .chain(picker.filter(move |pod| user_account_name(pod).is_some_and(|name| name != managed)))
}
