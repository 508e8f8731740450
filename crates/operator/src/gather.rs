//! The facts about one service, out of the stores. No request, no decision: what may matter is copied by reference.

use std::sync::Arc;

use compose::{Facts, Settings, SettingsError};
use kinds::Objects;
use serde_json::Value;

use crate::Options;
use crate::affected::{API_VERSION, ServiceKey, controlling_service};

/// Namespaced kinds of which a service may own or refer to objects in its own namespace.
const IN_NAMESPACE: &[(&str, &str)] = &[
    (API_VERSION, "LLMInferenceService"),
    (API_VERSION, "LLMInferenceServiceConfig"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("resource.k8s.io/v1", "ResourceClaimTemplate"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("inference.networking.k8s.io/v1", "InferencePool"),
    ("inference.networking.x-k8s.io/v1alpha2", "InferencePool"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
];

/// Kinds that matter wherever they are: they are few, and a service refers to them across namespaces.
const EVERYWHERE: &[(&str, &str)] = &[
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
];

/// The facts about the service, or `None` if there is no such service (any more).
///
/// # Errors
/// If the cluster-wide settings cannot be read; without them nothing can be decided about any service.
pub(crate) fn gather(
    objects: &Objects,
    key: &ServiceKey,
    options: &Options,
) -> Option<Result<Facts, SettingsError>> {
    let service = objects.get(API_VERSION, "LLMInferenceService", Some(&key.namespace), &key.name)?.clone();
    let system = options.system_namespace.as_str();
    let mut known = Objects::new();
    let mut keep = |object: &Arc<Value>| {
        let _ = known.insert(object.clone());
    };
    for (api_version, kind) in EVERYWHERE {
        objects.of_kind(api_version, kind).for_each(|(_, object)| keep(object));
    }
    for (api_version, kind) in IN_NAMESPACE {
        objects
            .of_kind_in(api_version, kind, &key.namespace)
            .filter(|(_, object)| !belongs_to_another(object, key, kind))
            .for_each(|(_, object)| keep(object));
    }
    let bindings = plan::auth_binding_keys(&key.namespace, &key.name);
    objects
        .of_kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding")
        .filter(|(binding, _)| bindings.contains(binding))
        .for_each(|(_, binding)| keep(binding));
    for (api_version, kind) in [(API_VERSION, "LLMInferenceServiceConfig"), ("v1", "ConfigMap")] {
        objects.of_kind_in(api_version, kind, system).for_each(|(_, object)| keep(object));
    }
    // The Services behind a Gateway tell whether it is reached from outside, wherever they are.
    objects
        .of_kind("v1", "Service")
        .filter(|(_, s)| !s["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"].is_null())
        .for_each(|(_, object)| keep(object));
    pods(objects, key).iter().for_each(&mut keep);
    let settings = match Settings::from_objects(objects, system) {
        Ok(settings) => settings,
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(Facts {
        service,
        settings,
        objects: known,
        system_namespace: system.to_owned(),
        config_prefix: options.config_prefix.clone(),
        pin_presets: options.pin_presets,
        one_machine: options.one_machine,
    }))
}

/// The pods of a service, by the label that every pod template carries.
fn pods(objects: &Objects, key: &ServiceKey) -> Vec<Arc<Value>> {
    let label = plan::name_label(&key.name);
    objects
        .of_kind_in("v1", "Pod", &key.namespace)
        .filter(|(_, pod)| pod["metadata"]["labels"]["app.kubernetes.io/name"] == label.as_str())
        .map(|(_, pod)| pod.clone())
        .collect()
}

/// Children of other services are left out, except routes and pools, which a routing group shares.
fn belongs_to_another(object: &Value, key: &ServiceKey, kind: &str) -> bool {
    !matches!(kind, "HTTPRoute" | "InferencePool" | "Service")
        && controlling_service(object).is_some_and(|owner| owner != *key)
}
