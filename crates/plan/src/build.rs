//! The plan of one service: all parts in order, what is to go, and where it ends if a part cannot be planned.

use compose::{Facts, Merged};
use kinds::ObjectKey;
use serde_json::{Value, json};

use crate::subject::{Subject, is_stopped};
use crate::{Failure, Part, Plan, Step, findings, monitors, rbac, router, scaling, storage, tls, workload};

/// Kinds that we make, for finding children that are no longer wanted.
const CHILD_KINDS: [(&str, &str, Part); 15] = [
    ("v1", "Secret", Part::Certificate),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", Part::MultiNode),
    ("resource.k8s.io/v1", "ResourceClaimTemplate", Part::MultiNode),
    ("apps/v1", "Deployment", Part::SingleNode),
    ("v1", "ServiceAccount", Part::SingleNode),
    (rbac::RBAC, "Role", Part::SingleNode),
    (rbac::RBAC, "RoleBinding", Part::SingleNode),
    ("v1", "Service", Part::WorkloadService),
    ("autoscaling/v2", "HorizontalPodAutoscaler", Part::Scaling),
    ("keda.sh/v1alpha1", "ScaledObject", Part::Scaling),
    (kinds::inference::API_VERSION, "InferencePool", Part::Scheduler),
    (kinds::inference::OLD_API_VERSION, "InferencePool", Part::Scheduler),
    (kinds::gateway::API_VERSION, "HTTPRoute", Part::Route),
    (kinds::monitoring::API_VERSION, "PodMonitor", Part::Monitors),
    (kinds::monitoring::API_VERSION, "ServiceMonitor", Part::Monitors),
];
/// Reason of a failure that comes from an address only one machine can read.
const LOCAL_MODEL_HINT: &str =
    "use pvc://, hf://, s3:// or oci:// for a cluster, or run `llmisvc up` on that machine";

/// Plans the children of a service. A stopped service is planned to have none.
pub fn build(merged: &Merged, facts: &Facts) -> Plan {
    if is_stopped(facts) {
        return teardown(facts);
    }
    let subject = Subject::new(merged, facts);
    let mut plan = Plan { certificates: vec![tls::order::order(&subject)], ..Plan::default() };
    match parts(&subject, &mut plan) {
        Ok(()) => {
            let objects = monitors::objects(&subject);
            plan.steps.extend((!objects.is_empty()).then_some(Step { part: Part::Monitors, objects }));
        }
        Err(failure) => plan.failure = Some(failure),
    }
    plan.findings = findings::findings(&subject);
    let failed = plan.failure.as_ref().map(|failure| failure.part);
    plan.absent = unwanted(facts, &plan, failed);
    plan
}

/// Plans a stopped service, composed or not: nothing is left.
pub fn teardown(facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    plan.absent = unwanted(facts, &plan, None);
    plan
}

/// Plans what the cluster does not delete together with a service: the one child without an owner.
pub fn finalize(facts: &Facts) -> Plan {
    Plan { absent: rbac::auth_bindings(facts).into_iter().map(|(key, _)| key).collect(), ..Plan::default() }
}

/// The member of the service's traffic group that a service that is being deleted has to wait for; `None` if it may go.
pub fn awaited_member(facts: &Facts) -> Option<String> {
    router::group::awaited(facts)
}

fn parts(subject: &Subject, plan: &mut Plan) -> Result<(), Failure> {
    let mut add = |part: Part, objects: Vec<Value>| {
        if !objects.is_empty() {
            plan.steps.push(Step { part, objects });
        }
    };
    add(Part::CaBundle, ca_bundle(subject).into_iter().collect());
    let devices: Vec<Value> = workload::devices::object(subject).into_iter().collect();
    add(Part::MultiNode, devices);
    add(Part::MultiNode, workload::multi::objects(subject).map_err(|error| multi_node_failure(&error))?);
    add(Part::SingleNode, workload::single::objects(subject).map_err(|error| single_node_failure(&error))?);
    add(Part::WorkloadService, vec![workload::service::object(subject)]);
    add(
        Part::Scaling,
        scaling::objects(subject).map_err(|error| Failure {
            part: Part::Scaling,
            condition: "MainWorkloadReady".to_owned(),
            reason: "ReconcileScalingError".to_owned(),
            message: error.to_string(),
            field: Some("/spec/scaling"),
            hint: None,
        })?,
    );
    if subject.spec.router.is_none() {
        return Ok(());
    }
    if let Some(missing) = router::references::missing(subject) {
        return Err(Failure {
            part: Part::Scheduler,
            condition: missing.condition.to_owned(),
            reason: "RefsInvalid".to_owned(),
            message: missing.message,
            field: Some("/spec/router"),
            hint: Some("create what is missing, or correct the reference".to_owned()),
        });
    }
    let mut picker = Vec::new();
    let planned = router::picker::objects(subject, &mut picker);
    add(Part::Scheduler, picker);
    planned.map_err(|error| Failure {
        part: Part::Scheduler,
        condition: "SchedulerWorkloadReady".to_owned(),
        reason: "SchedulerReconcileError".to_owned(),
        message: format!("Failed to reconcile scheduler: {error}"),
        field: Some("/spec/router/scheduler"),
        hint: None,
    })?;
    add(Part::Route, router::route::object(subject).into_iter().collect());
    Ok(())
}

fn single_node_failure(error: &workload::Error) -> Failure {
    let message = match error {
        workload::Error::FixModel { what: "main deployment", .. } => {
            format!("failed to reconcile service account: failed to get expected main deployment: {error}")
        }
        workload::Error::FixModel { .. } => format!("failed to reconcile prefill workload: {error}"),
        workload::Error::CreateServiceAccount { .. } => {
            format!("failed to reconcile service account: {error}")
        }
    };
    Failure {
        part: Part::SingleNode,
        condition: "MainWorkloadReady".to_owned(),
        reason: "ReconcileSingleNodeWorkloadError".to_owned(),
        message,
        field: field(error),
        hint: hint(error),
    }
}

fn multi_node_failure(error: &workload::Error) -> Failure {
    Failure {
        part: Part::MultiNode,
        condition: "WorkerWorkloadReady".to_owned(),
        reason: "ReconcileMultiNodeWorkloadError".to_owned(),
        message: format!(
            "failed to reconcile multi-node service account: failed to create expected multi node service account: {error}"
        ),
        field: field(error),
        hint: hint(error),
    }
}

fn field(error: &workload::Error) -> Option<&'static str> {
    matches!(error, workload::Error::FixModel { .. }).then_some("/spec/model/uri")
}

fn hint(error: &workload::Error) -> Option<String> {
    match error {
        workload::Error::FixModel { source: storage::Error::ServeLocally(_), .. } => {
            Some(LOCAL_MODEL_HINT.to_owned())
        }
        workload::Error::CreateServiceAccount { name, .. } => Some(format!("create ServiceAccount {name}")),
        workload::Error::FixModel { source: storage::Error::UseOtherScheme(_), .. } => Some(
            "write hf://OWNER/MODEL, pvc://CLAIM/PATH, s3://BUCKET/PATH, oci://IMAGE or https://…".to_owned(),
        ),
        workload::Error::FixModel { .. } => None,
    }
}

/// The copy of the installation's certificate authorities in the service's namespace. Several services share it, so it has
/// neither owner nor labels.
fn ca_bundle(subject: &Subject) -> Option<Value> {
    let name = &subject.facts.settings.storage_initializer.ca_bundle_config_map_name;
    if name.is_empty() {
        return None;
    }
    let source = subject.facts.objects.get("v1", "ConfigMap", Some(&subject.facts.system_namespace), name)?;
    let bundle = source["data"]["cabundle.crt"].as_str().filter(|text| !text.is_empty())?;
    Some(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "global-ca-bundle", "namespace": subject.namespace},
        "data": {"cabundle.crt": bundle},
    }))
}

/// Children that the facts show and the plan does not name, as far as the plan came.
fn unwanted(facts: &Facts, plan: &Plan, failed: Option<Part>) -> Vec<ObjectKey> {
    let mut wanted: Vec<ObjectKey> = plan
        .steps
        .iter()
        .flat_map(|step| &step.objects)
        .filter_map(|object| ObjectKey::of(object).ok())
        .collect();
    wanted.extend(plan.certificates.iter().map(|order| order.key()));
    let uid = facts.service.pointer("/metadata/uid").and_then(Value::as_str);
    let mut unwanted = Vec::new();
    for (api_version, kind, part) in CHILD_KINDS {
        for (key, object) in facts.objects.of_kind_in(api_version, kind, facts.namespace()) {
            let part = actual_part(part, key, object);
            if failed.is_some_and(|failed| part >= failed)
                || wanted.contains(key)
                || !is_owned(object, uid, facts)
            {
                continue;
            }
            unwanted.push(key.clone());
        }
    }
    if failed.is_none_or(|failed| failed > Part::Scheduler) {
        let bindings = rbac::auth_bindings(facts).into_iter().map(|(key, _)| key);
        unwanted.extend(bindings.filter(|key| !wanted.contains(key)));
    }
    unwanted
}

/// A kind can belong to more than one part; the component label tells.
fn actual_part(part: Part, key: &ObjectKey, object: &Value) -> Part {
    let component = object["metadata"]["labels"][api::keys::APP_COMPONENT].as_str().unwrap_or_default();
    match component {
        "llminferenceservice-router-scheduler" | "tokenizer" => Part::Scheduler,
        _ if key.kind == "ServiceAccount" && key.name.ends_with("-mn") => Part::MultiNode,
        _ => part,
    }
}

/// Whether the service is the controller of an object. Without a uid (offline) the name has to do.
fn is_owned(object: &Value, uid: Option<&str>, facts: &Facts) -> bool {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| {
        owner["kind"] == "LLMInferenceService"
            && owner["controller"] == true
            && owner["name"] == facts.name()
            && uid.is_none_or(|uid| owner["uid"] == uid || owner["uid"] == "<uid>" || owner["uid"] == "")
    })
}
