//! How the lists of built-in kinds merge: one table for strategic merge and for server-side apply.
//!
//! The two differ: container ports merge by `containerPort` in a strategic merge patch, and by `containerPort` and
//! `protocol` in an apply. A [`ListKeys`] describes one object type by the fields that are special or lead to something
//! special; every other list is replaced whole, every other map merges by key. The rules are those of the Go types'
//! struct tags and of the published OpenAPI of Kubernetes.

mod table;

use serde_json::{Value, json};

/// One object type: what is special about its fields.
#[derive(Debug)]
pub struct ListKeys {
    /// The Go type's name, as error messages print it.
    pub name: &'static str,
    pub(crate) fields: &'static [Field],
    /// Apply replaces the object as a whole.
    pub(crate) atomic: bool,
    /// Holds free-form data that strategic merge cannot look into (Go's RawExtension).
    pub(crate) opaque: bool,
}

/// One field: how it merges, and the type of the object in it or of the objects in its list.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) of: &'static ListKeys,
    pub(crate) strategic: Strategic,
    /// `$retainKeys`: keys that a strategic merge patch made by kubectl does not list are dropped.
    pub(crate) retain_keys: bool,
    pub(crate) apply: Apply,
}

/// What a strategic merge does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategic {
    /// Objects merge, lists are replaced.
    Default,
    /// The value is replaced whole, also an object.
    Replace,
    /// A list of scalars is united.
    Union,
    /// A list of objects merges by this key.
    By(&'static str),
}

/// What server-side apply does with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apply {
    /// Not a list, or one that is replaced whole.
    Default,
    /// Each value has owners of its own.
    Set,
    /// Each item, named by these fields, has owners of its own.
    Map(&'static [&'static str]),
}

impl ListKeys {
    /// The table's root for a built-in kind; for a kind without any special list, what all objects share.
    ///
    /// `group` is empty for the core group.
    #[must_use]
    pub fn of_kind(group: &str, kind: &str) -> &'static Self {
        table::of_kind(group, kind)
    }

    /// The root for the `spec` of an LLMInferenceService or LLMInferenceServiceConfig, as KServe's Go type merges it:
    /// pod templates by key, every list of KServe's own replaced.
    #[must_use]
    pub fn llm_inference_service_spec() -> &'static Self {
        &table::LLM_SPEC
    }

    /// The root for a bare `PodSpec`.
    #[must_use]
    pub fn pod_spec() -> &'static Self {
        &table::POD_SPEC
    }

    /// The root for `metadata`.
    #[must_use]
    pub fn object_meta() -> &'static Self {
        &table::OBJECT_META
    }

    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The value of a key field that an item leaves out, where Kubernetes has one: a port is TCP.
pub(crate) fn default_of_key(name: &str) -> Option<Value> {
    (name == "protocol").then(|| json!("TCP"))
}

/// What an object of a built-in kind holds before anything is set: the members that its Go type always writes.
///
/// The first manager of a field owns only what differs from this; that is why a Deployment's creator owns
/// `spec.replicas`, but not `spec` itself. Empty for kinds whose Go type leaves out all that is empty.
#[must_use]
pub fn zero(group: &str, kind: &str) -> Value {
    let template = || json!({"metadata": {}, "spec": {"containers": null}});
    match (group, kind) {
        ("", "Pod") => json!({"spec": {"containers": null}, "status": {}}),
        ("", "PodTemplate") => json!({"template": template()}),
        ("", "Service") => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        ("", "Namespace" | "PersistentVolume" | "ResourceQuota") | ("certificates.k8s.io", _) => {
            json!({"spec": {}, "status": {}})
        }
        ("", "PersistentVolumeClaim") => json!({"spec": {"resources": {}}, "status": {}}),
        ("", "ReplicationController") => json!({"spec": {}, "status": {"replicas": 0}}),
        ("", "Node") => json!({"spec": {}, "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {"machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
                "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "",
                "architecture": ""}}}),
        ("", "Event") => {
            json!({"involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null,
            "eventTime": null, "reportingComponent": "", "reportingInstance": ""})
        }
        ("events.k8s.io", "Event") => json!({"eventTime": null, "regarding": {}, "deprecatedSource": {},
            "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null}),
        ("", "LimitRange") => json!({"spec": {"limits": null}}),
        ("apps", "Deployment") => {
            json!({"spec": {"selector": null, "strategy": {}, "template": template()}, "status": {}})
        }
        ("apps", "ReplicaSet") => {
            json!({"spec": {"selector": null, "template": template()}, "status": {"replicas": 0}})
        }
        ("apps", "StatefulSet") => json!({
            "spec": {"selector": null, "template": template(), "updateStrategy": {}}, "status": {"replicas": 0, "availableReplicas": 0}}),
        ("apps", "DaemonSet") => {
            json!({"spec": {"selector": null, "template": template(), "updateStrategy": {}},
            "status": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}})
        }
        ("batch", "Job") => json!({"spec": {"template": template()}, "status": {}}),
        ("batch", "CronJob") => {
            json!({"spec": {"schedule": "", "jobTemplate": {"metadata": {}, "spec": {"template": template()}}}, "status": {}})
        }
        ("autoscaling", "HorizontalPodAutoscaler") => json!({
            "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
            "status": {"desiredReplicas": 0, "currentMetrics": null}}),
        ("autoscaling", "Scale") => json!({"spec": {}, "status": {"replicas": 0}}),
        ("policy", "PodDisruptionBudget") => json!({"spec": {}, "status": {
            "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}}),
        ("networking.k8s.io", "Ingress") => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        ("networking.k8s.io", "NetworkPolicy") => json!({"spec": {"podSelector": {}}}),
        ("networking.k8s.io", "IngressClass") | ("coordination.k8s.io", "Lease") => json!({"spec": {}}),
        ("discovery.k8s.io", "EndpointSlice") => json!({"addressType": "", "endpoints": null, "ports": null}),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => json!({"rules": null}),
        ("rbac.authorization.k8s.io", _) => json!({"roleRef": {"apiGroup": "", "kind": "", "name": ""}}),
        ("storage.k8s.io", "StorageClass") => json!({"provisioner": ""}),
        ("storage.k8s.io", "CSIDriver" | "VolumeAttachment") => json!({"spec": {}}),
        ("scheduling.k8s.io", "PriorityClass") => json!({"value": 0}),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => json!({
            "spec": {"group": "", "names": {"plural": "", "kind": ""}, "scope": "", "versions": null},
            "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null}}),
        ("apiregistration.k8s.io", "APIService") => {
            json!({"spec": {"groupPriorityMinimum": 0, "versionPriority": 0}, "status": {}})
        }
        _ => json!({}),
    }
}
