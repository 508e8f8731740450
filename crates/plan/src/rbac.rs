//! ServiceAccounts, Roles and bindings of workloads and picker.

use kinds::ObjectKey;
use serde_json::{Map, Value, json};

use crate::subject::{Labels, Subject};

pub(crate) const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// A ServiceAccount with the Secrets of `source`, so that pulling and downloading work as they would with that one.
pub(crate) fn service_account(
    subject: &Subject,
    name: &str,
    labels: Labels,
    annotations: Labels,
    source: Option<&Value>,
) -> Value {
    let mut fields = Map::new();
    for field in ["secrets", "imagePullSecrets"] {
        let names: Vec<Value> = source
            .and_then(|source| source[field].as_array())
            .into_iter()
            .flatten()
            .map(|secret| json!({"name": secret["name"]}))
            .collect();
        if !names.is_empty() {
            fields.insert(field.to_owned(), json!(names));
        }
    }
    subject.annotated_object("v1", "ServiceAccount", name, labels, annotations, Value::Object(fields))
}

/// A managed account of a workload.
pub(crate) fn workload_account(subject: &Subject, name: &str, labels: Labels) -> Value {
    service_account(subject, name, labels, Labels::new(), subject.core("ServiceAccount", "default"))
}

/// What the routing sidecar may read.
pub(crate) fn sidecar_role(subject: &Subject, name: &str, labels: Labels) -> Value {
    let read = ["get", "list", "watch"];
    subject.object(
        RBAC,
        "Role",
        name,
        labels,
        json!({"rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": read},
            {
                "apiGroups": ["inference.networking.x-k8s.io", "inference.networking.k8s.io"],
                "resources": ["inferencepools"],
                "verbs": read,
            },
        ]}),
    )
}

/// What the endpoint picker may read, and the lease by which several agree on a leader.
pub(crate) fn picker_role(subject: &Subject, name: &str, labels: Labels) -> Value {
    let read = ["get", "list", "watch"];
    subject.object(
        RBAC,
        "Role",
        name,
        labels,
        json!({"rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": read},
            {
                "apiGroups": ["inference.networking.k8s.io", "inference.networking.x-k8s.io"],
                "resources": ["inferencepools", "inferenceobjectives", "inferencemodels"],
                "verbs": read,
            },
            {
                "apiGroups": ["inference.networking.x-k8s.io"],
                "resources": ["inferencemodelrewrites", "inferencepoolimports"],
                "verbs": read,
            },
            {
                "apiGroups": ["llm-d.ai"],
                "resources": ["inferenceobjectives", "inferencemodelrewrites"],
                "verbs": read,
            },
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
            },
        ]}),
    )
}

/// Gives a Role to a ServiceAccount.
pub(crate) fn role_binding(
    subject: &Subject,
    name: &str,
    role: &str,
    account: &str,
    labels: Labels,
) -> Value {
    subject.object(
        RBAC,
        "RoleBinding",
        name,
        labels,
        json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": subject.namespace}],
        }),
    )
}

/// Name of the picker's ClusterRoleBinding. It has no namespace, so the service's namespace is in its name.
pub(crate) fn auth_binding_name(namespace: &str, service: &str) -> String {
    api::names::child_name(namespace, &format!("-{service}-epp-auth-rb"))
}

/// Key of the picker's ClusterRoleBinding.
pub(crate) fn auth_binding_key(namespace: &str, service: &str) -> ObjectKey {
    ObjectKey::new(RBAC, "ClusterRoleBinding", None, &auth_binding_name(namespace, service))
}

/// Lets the picker ask the API server who reads its metrics. An owner in a namespace cannot own it, so it has none.
pub(crate) fn auth_binding(subject: &Subject, account: &str, labels: Labels) -> Value {
    json!({
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": auth_binding_name(subject.namespace, subject.name), "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": subject.namespace}],
    })
}
