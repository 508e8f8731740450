//! ServiceAccounts, Roles and bindings of workloads and picker.

use compose::Facts;
use kinds::ObjectKey;
use serde_json::{Map, Value, json};

use crate::subject::{Labels, Subject, name_label};

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

/// Names that the picker's ClusterRoleBinding may have. It has no namespace, so the service's namespace is in its name. Two
/// pairs of namespace and name can be spelled the same (`a-b` and `c`, `a` and `b-c`); who comes second takes the other
/// name, in which a colon, which no namespace has, tells them apart.
fn auth_binding_names(namespace: &str, service: &str) -> [String; 2] {
    [
        api::names::child_name(namespace, &format!("-{service}-epp-auth-rb")),
        api::names::child_name(&format!("{namespace}:{service}"), "-epp-auth-rb"),
    ]
}

/// Keys of the ClusterRoleBindings that may belong to the picker of a service, whoever has them.
pub fn auth_binding_keys(namespace: &str, service: &str) -> [ObjectKey; 2] {
    auth_binding_names(namespace, service).map(|name| ObjectKey::new(RBAC, "ClusterRoleBinding", None, &name))
}

/// The ClusterRoleBindings among the facts that belong to the service.
pub(crate) fn auth_bindings(facts: &Facts) -> Vec<(ObjectKey, &Value)> {
    auth_binding_keys(facts.namespace(), facts.name())
        .into_iter()
        .filter_map(|key| {
            let binding = &**facts.objects.get_key(&key)?;
            is_for(binding, facts).then_some((key, binding))
        })
        .collect()
}

/// Whether a binding is the service's: its labels name it, and its subjects are in its namespace.
fn is_for(binding: &Value, facts: &Facts) -> bool {
    let labels = &binding["metadata"]["labels"];
    let mut subjects = binding["subjects"].as_array().into_iter().flatten();
    labels[api::keys::APP_NAME] == name_label(facts.name()).as_str()
        && labels[api::keys::APP_PART_OF] == api::keys::PART_OF
        && subjects.all(|subject| subject["namespace"] == facts.namespace())
}

/// Lets the picker ask the API server who reads its metrics. An owner in a namespace cannot own it, so it has none.
pub(crate) fn auth_binding(subject: &Subject, account: &str, labels: Labels) -> Value {
    let [usual, other] = auth_binding_names(subject.namespace, subject.name);
    let [key, _] = auth_binding_keys(subject.namespace, subject.name);
    let is_taken = subject.facts.objects.get_key(&key).is_some_and(|binding| !is_for(binding, subject.facts));
    json!({
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": if is_taken { other } else { usual }, "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": subject.namespace}],
    })
}
