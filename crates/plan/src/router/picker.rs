//! The endpoint picker: its Deployment, Service and accounts.

use k8s_openapi::api::core::v1::PodSpec;
use kinds::inference::API_VERSION as POOL_API_VERSION;
use serde_json::{Map, Value, json};

use super::pool::COMPONENT;
use super::{external_pool, managed_scheduler, picker_config, scheduler, tokenizer};
use crate::storage::{MAIN, container_mut};
use crate::subject::{Subject, string_map};
use crate::workload::pod::template;
use crate::workload::single::{kept_replicas, selector, user_account_name};
use crate::workload::tracing::trace_picker;
use crate::{machine, rbac};

/// Container ports that the picker's Service shows, by name.
const PORTS: [&str; 4] = ["grpc", "grpc-health", "metrics", "zmq"];

/// Why the picker cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to build expected scheduler deployment: failed to apply scheduler migrations: {0}")]
    FixConfig(#[from] picker_config::Error),
    #[error("failed to attach model artifacts to tokenizer deployment: {0}")]
    FixModel(#[from] crate::storage::Error),
    #[error(
        "failed to fetch scheduler service account {namespace}/{name}: serviceaccounts \"{name}\" not found"
    )]
    CreateServiceAccount { namespace: String, name: String },
}

/// Name of the picker's Deployment.
pub(crate) fn deployment_name(subject: &Subject) -> String {
    subject.child("-kserve-router-scheduler")
}

/// Name of the picker's Service when the picker is ours.
pub(crate) fn service_name(subject: &Subject) -> String {
    scheduler(subject)
        .and_then(|scheduler| scheduler.pool.as_ref())
        .filter(|pool| pool.ref_name().is_none())
        .and_then(|pool| pool.spec.as_ref())
        .map(|spec| spec.endpoint_picker_ref.name.clone())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| api::names::picker_service(subject.name))
}

/// The picker's Service that the certificate must cover: ours, or the one that the external pool names.
pub(crate) fn service_to_trust(subject: &Subject) -> Option<String> {
    match external_pool(subject) {
        Some(pool) => {
            let pool = subject.live(POOL_API_VERSION, "InferencePool", pool)?;
            pool.pointer("/spec/endpointPickerRef/name").and_then(Value::as_str).map(str::to_owned)
        }
        None => {
            scheduler(subject)?.pool.as_ref()?;
            Some(service_name(subject))
        }
    }
}

/// Accounts, tokenizer, Deployment, Service, pools: everything that picks endpoints. What was planned before an error is
/// in `objects`.
pub(crate) fn objects(subject: &Subject, objects: &mut Vec<Value>) -> Result<(), Error> {
    let Some(scheduler) = managed_scheduler(subject) else { return Ok(()) };
    let labels = subject.component_labels(COMPONENT);
    let pod = scheduler.template.clone().unwrap_or_default();
    let managed_account = api::names::picker_service_account(subject.name);
    let account_name = user_account_name(&pod).unwrap_or(&managed_account).to_owned();
    let account = if account_name == managed_account {
        objects.push(account(subject, &managed_account));
        // KServe reads the account back; before it exists the tokenizer downloads with the default one.
        subject.core("ServiceAccount", &managed_account).or_else(|| subject.core("ServiceAccount", "default"))
    } else {
        let account =
            subject.core("ServiceAccount", &account_name).or_else(|| machine::absent_account(subject));
        Some(account.ok_or_else(|| Error::CreateServiceAccount {
            namespace: subject.namespace.to_owned(),
            name: account_name.clone(),
        })?)
    };
    let role = subject.child("-epp-role");
    objects.push(rbac::auth_binding(subject, &account_name, labels.clone()));
    objects.push(rbac::picker_role(subject, &role, labels.clone()));
    objects.push(rbac::role_binding(subject, &subject.child("-epp-rb"), &role, &account_name, labels));
    objects.extend(tokenizer::objects(subject, account)?);
    let name = deployment_name(subject);
    let live = subject.live("apps/v1", "Deployment", &name);
    objects.push(deployment(subject, pod.clone(), live)?);
    objects.push(service(subject, &pod));
    objects.extend(super::pool::objects(subject));
    Ok(())
}

/// The picker's account has what the workload's own account has, so that the picker can pull its image.
fn account(subject: &Subject, name: &str) -> Value {
    let user = subject.workload().template.as_ref().and_then(user_account_name);
    let user = user.and_then(|name| subject.core("ServiceAccount", name));
    let labels = subject.component_labels(COMPONENT);
    let source = user.or_else(|| subject.core("ServiceAccount", "default"));
    let annotations = user.map(|user| string_map(user, "/metadata/annotations")).unwrap_or_default();
    rbac::service_account(subject, name, labels, annotations, source)
}

fn deployment(subject: &Subject, mut pod: PodSpec, live: Option<&Value>) -> Result<Value, Error> {
    let scheduler = scheduler(subject).cloned().unwrap_or_default();
    if scheduler.replicas.is_some_and(|replicas| replicas > 1)
        && let Some(main) = container_mut(&mut pod, MAIN)
    {
        let args = main.args.get_or_insert_default();
        if args.iter().all(|arg| arg.trim_start_matches('-') != "ha-enable-leader-election") {
            args.push("--ha-enable-leader-election".to_owned());
        }
    }
    picker_config::complete(&mut pod, subject, live)?;
    trace_picker(&mut pod, subject);
    let base = subject.component_labels(COMPONENT);
    let mut labels = base.clone();
    labels.extend(scheduler.labels.clone());
    let (selector, pod_labels) = selector(&base, &labels, live);
    let mut spec = Map::new();
    if let Some(replicas) = scheduler.replicas.or_else(|| kept_replicas(live)) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    spec.insert("selector".to_owned(), json!({"matchLabels": selector}));
    spec.insert("strategy".to_owned(), json!({"type": "Recreate"}));
    spec.insert("template".to_owned(), template(&pod_labels, &scheduler.annotations, &pod));
    Ok(subject.object("apps/v1", "Deployment", &deployment_name(subject), labels, json!({"spec": spec})))
}

fn service(subject: &Subject, pod: &PodSpec) -> Value {
    let labels = subject.component_labels(COMPONENT);
    let mut ports: Vec<(String, i32)> = pod
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let name = port.name.clone().filter(|name| PORTS.contains(&name.as_str()))?;
            Some((name, port.container_port))
        })
        .collect();
    ports.sort();
    ports.dedup_by(|a, b| a.0 == b.0);
    let ports: Vec<Value> = ports
        .into_iter()
        .map(|(name, port)| json!({"name": name, "port": port, "protocol": "TCP", "targetPort": name}))
        .collect();
    subject.object(
        "v1",
        "Service",
        &service_name(subject),
        labels.clone(),
        json!({"spec": {"selector": labels, "ports": ports}}),
    )
}
