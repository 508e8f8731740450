//! The kinds that need no CRD.

pub(crate) mod columns;
mod defaults;
pub(crate) mod names;
mod pod;
mod podspec_diff;
mod quantity;
pub(crate) mod schema;
mod service;
pub(crate) mod shape;
pub(crate) mod table;
pub(crate) mod validate;

use std::sync::Arc;

use ::kinds::schema::{Schema, apply_defaults, drop_nulls, prune};
use serde_json::{Value, json};

use crate::catalog::{Origin, Resource};
use crate::core::Core;

pub(crate) use table::{BUILT_IN, BuiltIn};

pub(crate) fn is_built_in_group(group: &str) -> bool {
    BUILT_IN.iter().any(|b| b.group == group)
}

/// The fields of a kind.
pub(crate) fn schema_of(resource: &Resource) -> Arc<Schema> {
    match &resource.origin {
        Origin::BuiltIn(built_in) => schema::of(built_in),
        Origin::Custom(custom) => custom.schema.clone(),
    }
}

/// Removes the fields that the kind does not have, and gives their paths.
pub(crate) fn prune_unknown(schema: &Schema, value: &mut Value) -> Vec<String> {
    prune(schema, value, Some(crate::crd::metadata_schema()))
}

/// Fills in what the server adds: defaults and allocations. `old` is the object before.
pub(crate) fn fill(resource: &Resource, value: &mut Value, old: Option<&Value>) {
    value["apiVersion"] = json!(resource.api_version());
    value["kind"] = json!(resource.kind);
    match &resource.origin {
        Origin::Custom(custom) => fill_custom(&custom.schema, value),
        Origin::BuiltIn(_) => {
            if resource.is("", "Service") {
                service::inherit(value, old);
            }
            defaults::fill(&resource.group, &resource.kind, value);
            drop_shown_nulls(value);
        }
    }
}

/// The same after webhooks, whose nulls are not taken out: where none is allowed they are refused.
pub(crate) fn fill_again(resource: &Resource, value: &mut Value, old: Option<&Value>) {
    match &resource.origin {
        Origin::Custom(custom) => apply_defaults(&custom.schema, value),
        Origin::BuiltIn(_) => fill(resource, value, old),
    }
}

/// Takes out nulls that are no values, and puts in the defaults of a custom resource.
pub(crate) fn fill_custom(schema: &Schema, value: &mut Value) {
    drop_nulls(schema, value);
    apply_defaults(schema, value);
}

/// What the server adds on its own account, which nobody owns: addresses, tolerations, the finalizer of namespaces.
pub(crate) fn admit(core: &Core, resource: &Resource, value: &mut Value, old: Option<&Value>) {
    if resource.is("", "Service") {
        service::allocate(core, value);
    } else if resource.is("", "Pod") && old.is_none() {
        defaults::admit_pod(value);
    } else if resource.is("", "Namespace") && old.is_none() {
        value["spec"]["finalizers"] = json!(["kubernetes"]);
    }
}

/// Members of the top level that were only looked at.
fn drop_shown_nulls(value: &mut Value) {
    const SHOWN: [&str; 5] = ["rules", "firstTimestamp", "lastTimestamp", "eventTime", "subsets"];
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, member| !member.is_null() || SHOWN.contains(&key.as_str()));
    }
}

/// An object of which nothing is set, as the bookmarks of a watch carry it.
pub(crate) fn empty(built_in: &BuiltIn) -> Value {
    let mut empty = patch::keys::zero(built_in.group, built_in.kind);
    // Counted here, not a pointer, in the form that the original keeps.
    if matches!(built_in.kind, "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet") {
        empty["spec"]["replicas"] = json!(0);
    }
    empty
}

/// PUT without a resourceVersion overwrites whatever is there.
pub(crate) fn updates_blindly(resource: &Resource) -> bool {
    match &resource.origin {
        Origin::Custom(_) => false,
        Origin::BuiltIn(built_in) => !matches!(
            built_in.kind,
            "Lease" | "EndpointSlice" | "CustomResourceDefinition" | "PriorityClass" | "RuntimeClass"
        ),
    }
}

/// The field selectors of a built-in kind, besides name and namespace.
pub(crate) fn selectable(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
        ],
        "Secret" => &["type"],
        "Namespace" => &["status.phase"],
        "Node" => &["spec.unschedulable"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Job" => &["status.successful"],
        "ReplicaSet" | "ReplicationController" => &["status.replicas"],
        _ => &[],
    }
}

/// Between core/v1 and events.k8s.io/v1, which share their objects.
pub(crate) fn convert_event(mut value: Value, api_version: &str) -> Value {
    const NAMES: [(&str, &str); 7] = [
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("reportingComponent", "reportingController"),
    ];
    let to_core = api_version == "v1";
    if let Some(map) = value.as_object_mut() {
        for (core, new) in NAMES {
            let (from, to) = if to_core { (new, core) } else { (core, new) };
            if let Some(member) = map.remove(from) {
                map.insert(to.to_owned(), member);
            }
        }
        map.insert("apiVersion".into(), json!(api_version));
    }
    value
}

/// A deletion answers with the object instead of a `Status`.
pub(crate) fn delete_shows_object(resource: &Resource) -> bool {
    resource.group.is_empty()
        && matches!(
            resource.kind.as_str(),
            "Pod"
                | "Service"
                | "ServiceAccount"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "ResourceQuota"
                | "PodTemplate"
        )
}

/// How long a deletion waits.
pub(crate) fn grace_seconds(resource: &Resource, value: &Value, asked: Option<i64>) -> i64 {
    if !resource.is("", "Pod") {
        return 0;
    }
    let scheduled = value["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    if !scheduled || matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return 0;
    }
    asked
        .filter(|s| *s >= 0)
        .or_else(|| value["spec"]["terminationGracePeriodSeconds"].as_i64())
        .unwrap_or(30)
}

/// The kind itself holds the object back; `next` is changed to say so.
pub(crate) fn holds(resource: &Resource, next: &mut Value, core: &Core) -> bool {
    if resource.is("", "Namespace") {
        let held = next["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if held {
            next["status"]["phase"] = json!("Terminating");
        }
        return held;
    }
    if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        let mut conditions = next["status"]["conditions"].as_array().cloned().unwrap_or_default();
        crate::crd::names::set(
            &mut conditions,
            &core.now(),
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        );
        next["status"]["conditions"] = json!(conditions);
        next["metadata"]["finalizers"] = json!([crate::crd::establish::CLEANUP]);
        return true;
    }
    false
}

/// `deletionGracePeriodSeconds` is not set on these, and their generation stays.
pub(crate) fn hides_grace(resource: &Resource) -> bool {
    resource.is("", "Namespace") || resource.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// With its finalizers gone the object may vanish.
pub(crate) fn may_vanish(resource: &Resource, value: &Value) -> bool {
    let namespace_held =
        resource.is("", "Namespace") && value["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    let running =
        resource.is("", "Pod") && value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    !namespace_held && !running
}
