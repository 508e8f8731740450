//! Which services and configs a change concerns. Pure: the objects known and one change go in, names come out.
//!
//! Naming too many costs a pass without a request; naming too few leaves a status stale for ever. So where an exact
//! answer would need the merged spec, all services of the namespace are named.

use std::collections::BTreeSet;
use std::sync::Arc;

use kinds::{ObjectKey, Objects};
use plan::Reach;
use serde_json::Value;

use crate::stores::Change;
use crate::watched::WATCHED;

/// A service by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// A config by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The `apiVersion` of both of our kinds as the operator reads them.
pub(crate) const API_VERSION: &str = "serving.kserve.io/v1alpha2";
/// Services of one name become one model behind one route when they carry the same value of this label.
const ROUTING_GROUP: &str = "serving.kserve.io/routing-group";
/// The ConfigMap with the cluster-wide settings.
pub(crate) const SETTINGS: &str = "inferenceservice-config";

/// The services that have to be looked at because of `change`.
pub fn services(objects: &Objects, change: &Change, system_namespace: &str) -> BTreeSet<ServiceKey> {
    let key = &change.key;
    let namespace = key.namespace.as_deref();
    match key.kind.as_str() {
        "LLMInferenceService" => {
            let mut affected = BTreeSet::from([ServiceKey {
                namespace: namespace.unwrap_or_default().to_owned(),
                name: key.name.clone(),
            }]);
            for group in
                [&change.before, &change.after].into_iter().flatten().filter_map(|o| routing_group(o))
            {
                affected.extend(matching(objects, |service| {
                    service["metadata"]["namespace"].as_str() == namespace
                        && routing_group(service) == Some(group)
                }));
            }
            affected
        }
        // A config of the system namespace serves all namespaces; in a service's own it may shadow one of them.
        "LLMInferenceServiceConfig" => in_namespace_or_all(objects, namespace, system_namespace),
        "ConfigMap" if key.name == SETTINGS && namespace == Some(system_namespace) => {
            matching(objects, |_| true)
        }
        // The child of one service is nothing to the others: else a fleet of services would be looked at for each new one.
        "ConfigMap" | "ServiceAccount" => {
            let mut affected = owner(change);
            if affected.is_empty() {
                affected.extend(in_namespace_or_all(objects, namespace, system_namespace));
            }
            affected
        }
        "Secret" => {
            let mut affected = owner(change);
            if affected.is_empty() {
                affected.extend(matching(objects, |service| {
                    service["metadata"]["namespace"].as_str() == namespace
                }));
            }
            affected
        }
        "Pod" => pod_owner(objects, change),
        "Gateway" | "GatewayClass" => matching(objects, |service| {
            // A router may come from a base ref, so its absence here decides only if there is none.
            !service["spec"]["router"].is_null() || !service["spec"]["baseRefs"].is_null()
        }),
        "HTTPRoute" | "InferencePool" | "Service" => {
            let mut affected = owner(change);
            if affected.is_empty() {
                affected.extend(matching(objects, |service| {
                    service["metadata"]["namespace"].as_str() == namespace
                        && (!service["spec"]["router"].is_null() || !service["spec"]["baseRefs"].is_null())
                }));
            }
            // A member of a group that is being deleted waits until no other member's route leads to it.
            affected.extend(matching(objects, |service| {
                service["metadata"]["namespace"].as_str() == namespace
                    && !service["metadata"]["deletionTimestamp"].is_null()
                    && routing_group(service).is_some()
            }));
            affected
        }
        // What could not be made without the kind can be made now, or no more.
        "CustomResourceDefinition" if WATCHED.iter().any(|kind| kind.crd == Some(key.name.as_str())) => {
            matching(objects, |_| true)
        }
        "CustomResourceDefinition" => BTreeSet::new(),
        _ => owner(change),
    }
}

/// The configs that have to be looked at because of `change`: one that changed itself, and those that a service starts or
/// ceases to use.
pub fn configs(objects: &Objects, change: &Change, reach: &Reach) -> BTreeSet<ConfigKey> {
    let named = |key: &ObjectKey| ConfigKey {
        namespace: key.namespace.clone().unwrap_or_default(),
        name: key.name.clone(),
    };
    match change.key.kind.as_str() {
        "LLMInferenceServiceConfig" => BTreeSet::from([named(&change.key)]),
        "LLMInferenceService" => objects
            .of_kind(API_VERSION, "LLMInferenceServiceConfig")
            .map(|(key, _)| key)
            .filter(|key| {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                let uses = |service: &Option<Arc<Value>>| {
                    service.as_ref().is_some_and(|service| reach.uses(service, namespace, &key.name))
                };
                uses(&change.before) != uses(&change.after)
            })
            .map(named)
            .collect(),
        _ => BTreeSet::new(),
    }
}

fn in_namespace_or_all(
    objects: &Objects,
    namespace: Option<&str>,
    system_namespace: &str,
) -> BTreeSet<ServiceKey> {
    let everywhere = namespace == Some(system_namespace);
    matching(objects, |service| everywhere || service["metadata"]["namespace"].as_str() == namespace)
}

fn matching(objects: &Objects, mut wanted: impl FnMut(&Value) -> bool) -> BTreeSet<ServiceKey> {
    objects
        .of_kind(API_VERSION, "LLMInferenceService")
        .filter(|(_, service)| wanted(service))
        .map(|(key, _)| ServiceKey {
            namespace: key.namespace.clone().unwrap_or_default(),
            name: key.name.clone(),
        })
        .collect()
}

/// The service that controls the object, by its owner reference. Cluster-scoped children have none, they carry the
/// service's name and namespace in their labels.
fn owner(change: &Change) -> BTreeSet<ServiceKey> {
    [&change.before, &change.after]
        .into_iter()
        .flatten()
        .filter_map(|object| controlling_service(object))
        .collect()
}

pub(crate) fn controlling_service(object: &Value) -> Option<ServiceKey> {
    let namespace = object["metadata"]["namespace"].as_str()?;
    let owner = object["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| {
        owner["controller"] == true
            && owner["kind"] == "LLMInferenceService"
            && owner["apiVersion"].as_str().is_some_and(|v| v.starts_with("serving.kserve.io/"))
    })?;
    Some(ServiceKey { namespace: namespace.to_owned(), name: owner["name"].as_str()?.to_owned() })
}

/// Pods belong to ReplicaSets; KServe finds their service by the label that every pod template carries.
fn pod_owner(objects: &Objects, change: &Change) -> BTreeSet<ServiceKey> {
    let Some(namespace) = change.key.namespace.clone() else { return BTreeSet::new() };
    let named = |name: &str| ServiceKey { namespace: namespace.clone(), name: name.to_owned() };
    let mut affected = BTreeSet::new();
    for pod in [&change.before, &change.after].into_iter().flatten() {
        let Some(label) = pod["metadata"]["labels"]["app.kubernetes.io/name"].as_str() else { continue };
        affected.insert(named(label));
        // A name that is longer than a label stands in it shortened.
        let services = objects.of_kind_in(API_VERSION, "LLMInferenceService", &namespace);
        let long = services.map(|(key, _)| &key.name).filter(|name| name.len() > api::names::MAX_BYTES);
        affected.extend(long.filter(|name| plan::name_label(name) == label).map(|name| named(name)));
    }
    affected
}

fn routing_group(service: &Value) -> Option<&str> {
    service["spec"]["router"]["route"]["group"]
        .as_str()
        .or_else(|| service["metadata"]["labels"][ROUTING_GROUP].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster() -> Objects {
        let service = |namespace: &str, name: &str, spec: Value| {
            json!({"apiVersion": API_VERSION, "kind": "LLMInferenceService",
                   "metadata": {"namespace": namespace, "name": name}, "spec": spec})
        };
        Objects::from_documents([
            service("a", "plain", json!({})),
            service("a", "routed", json!({"router": {"route": {"group": "g"}}})),
            service("a", "sibling", json!({"router": {"route": {"group": "g"}}})),
            service("b", "based", json!({"baseRefs": [{"name": "x"}]})),
        ])
        .unwrap()
    }

    fn names(change: Value) -> Vec<String> {
        let key = ObjectKey::of(&change).unwrap();
        let change = Change { key, before: None, after: Some(change.into()) };
        services(&cluster(), &change, "kserve")
            .into_iter()
            .map(|s| format!("{}/{}", s.namespace, s.name))
            .collect()
    }

    #[test]
    fn a_child_names_the_service_that_controls_it() {
        let owners = json!([{"controller": true, "kind": "LLMInferenceService", "name": "plain",
                             "apiVersion": "serving.kserve.io/v1alpha2"}]);
        let child = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                           "metadata": {"namespace": "a", "name": "plain-kserve", "ownerReferences": owners}});
        assert_eq!(names(child), ["a/plain"]);
    }

    #[test]
    fn a_config_concerns_its_namespace_and_one_of_the_system_namespace_all() {
        let config = |namespace: &str| {
            json!({"apiVersion": API_VERSION, "kind": "LLMInferenceServiceConfig",
                   "metadata": {"namespace": namespace, "name": "x"}})
        };
        assert_eq!(names(config("b")), ["b/based"]);
        assert_eq!(names(config("kserve")).len(), 4);
    }

    #[test]
    fn members_of_a_routing_group_look_at_each_other() {
        let service = json!({"apiVersion": API_VERSION, "kind": "LLMInferenceService",
            "metadata": {"namespace": "a", "name": "routed"}, "spec": {"router": {"route": {"group": "g"}}}});
        assert_eq!(names(service), ["a/routed", "a/sibling"]);
    }

    #[test]
    fn a_gateway_concerns_every_service_that_may_have_a_router() {
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                             "metadata": {"namespace": "kserve", "name": "gw"}});
        assert_eq!(names(gateway), ["a/routed", "a/sibling", "b/based"]);
    }

    #[test]
    fn a_pod_names_its_service_by_label() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p",
                         "labels": {"app.kubernetes.io/name": "plain"}}});
        assert_eq!(names(pod), ["a/plain"]);
    }

    #[test]
    fn a_pod_of_a_service_with_a_name_longer_than_a_label_finds_it() {
        let name = "n".repeat(80);
        let service = json!({"apiVersion": API_VERSION, "kind": "LLMInferenceService",
                             "metadata": {"namespace": "a", "name": name}});
        let objects = Objects::from_documents([service]).unwrap();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p",
                         "labels": {"app.kubernetes.io/name": plan::name_label(&name)}}});
        let key = ObjectKey::of(&pod).unwrap();
        let change = Change { key, before: None, after: Some(pod.into()) };
        assert!(services(&objects, &change, "kserve").iter().any(|service| service.name == name));
    }

    #[test]
    fn a_definition_of_an_optional_kind_concerns_every_service() {
        let definition = |name: &str| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}});
        assert_eq!(names(definition("leaderworkersets.leaderworkerset.x-k8s.io")).len(), 4);
        assert_eq!(names(definition("cups.tea.example.org")), [""; 0]);
    }

    #[test]
    fn a_config_is_looked_at_when_a_service_starts_to_use_it_and_not_for_every_report() {
        let mut cluster = cluster();
        let config = json!({"apiVersion": API_VERSION, "kind": "LLMInferenceServiceConfig",
                            "metadata": {"namespace": "b", "name": "x"}});
        cluster.insert(config).unwrap();
        let service = cluster.get(API_VERSION, "LLMInferenceService", Some("b"), "based").unwrap().clone();
        let mut reported = Value::clone(&service);
        reported["status"] = json!({"observedGeneration": 1});
        let looked_at = |before: Option<&Arc<Value>>, after: &Value| {
            let key = ObjectKey::of(after).unwrap();
            let change = Change { key, before: before.cloned(), after: Some(Arc::new(after.clone())) };
            configs(&cluster, &change, &Reach::default()).len()
        };
        assert_eq!(looked_at(None, &service), 1);
        assert_eq!(looked_at(Some(&service), &reported), 0);
    }
}
