//! What KServe's mutating webhook writes into a service before it is stored.
//!
//! Works on the JSON of v1alpha2 in the form that Go writes (see [`crate::shape::marshal`]). Caches of models are given,
//! not looked up.

use std::sync::Arc;

use kinds::Objects;
use kinds::pointer::{at, at_mut};
use serde_json::{Map, Value, json};

use crate::keys;

/// Group and version of the caches.
pub const LOCAL_MODEL_API_VERSION: &str = "serving.kserve.io/v1alpha1";

/// Pod specs whose missing `containers` become an empty list. The tokenizer's is not among them.
const POD_SPECS: [&str; 5] = [
    "/spec/template",
    "/spec/worker",
    "/spec/prefill/template",
    "/spec/prefill/worker",
    "/spec/router/scheduler/template",
];

/// Writes the defaults. `caches` are the LocalModelCaches and LocalModelNamespaceCaches of the cluster; `None` if the
/// cluster does not use them.
pub fn apply(service: &mut Value, caches: Option<&Objects>) {
    default_model_name(service);
    write_routing_group(service);
    default_containers(service);
    write_local_model(service, caches);
}

/// Whether [`apply`] without caches would leave the service as it is. `false` may also mean that it is not known.
pub(crate) fn are_applied(service: &Value) -> bool {
    let has = |pointer: &str| at(service, pointer).is_some_and(|value| !value.is_null());
    let is_named =
        at(service, "/spec/model/name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let has_containers = |pod: &Value| pod.get("containers").is_some_and(|containers| !containers.is_null());
    is_named
        && !has("/metadata/labels")
        && !has("/metadata/annotations")
        && !has("/spec/router/route/group")
        && POD_SPECS
            .iter()
            .filter_map(|pointer| at(service, pointer))
            .all(|pod| !pod.is_object() || has_containers(pod))
}

/// `containers: []` where a pod spec says nothing about them. Merging does the same to each layer.
pub fn default_containers(object: &mut Value) {
    for pointer in POD_SPECS {
        if let Some(pod) = at_mut(object, pointer).and_then(Value::as_object_mut) {
            let containers = pod.entry("containers").or_insert(Value::Null);
            if containers.is_null() {
                *containers = json!([]);
            }
        }
    }
}

fn default_model_name(service: &mut Value) {
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let model = entry(service, &["spec", "model"]);
    if model["name"].as_str().is_none_or(str::is_empty) {
        model["name"] = name.into();
    }
}

fn write_routing_group(service: &mut Value) {
    let group = at(service, "/spec/router/route/group").and_then(Value::as_str).map(str::to_owned);
    set(service, "labels", keys::ROUTING_GROUP, group);
}

fn write_local_model(service: &mut Value, caches: Option<&Objects>) {
    let uri = service["spec"]["model"]["uri"].as_str().unwrap_or_default().to_owned();
    if uri.is_empty() {
        return;
    }
    let is_disabled = annotation(service, keys::DISABLE_LOCAL_MODEL).is_some();
    let found = caches.filter(|_| !is_disabled).and_then(|caches| find_cache(service, &uri, caches));
    let (cache, group) = match &found {
        Some((cache, group)) => (Some(cache), Some(group)),
        None => (None, None),
    };
    let name = cache.and_then(|cache| text(cache, "/metadata/name"));
    let claim = name.as_ref().zip(group).map(|(name, group)| format!("{name}-{group}"));
    set(
        service,
        "labels",
        keys::LOCAL_MODEL_NAMESPACE,
        cache.and_then(|cache| text(cache, "/metadata/namespace")),
    );
    set(
        service,
        "annotations",
        keys::LOCAL_MODEL_SOURCE_URI,
        cache.and_then(|cache| text(cache, "/spec/sourceModelUri")),
    );
    set(service, "annotations", keys::LOCAL_MODEL_PVC, claim);
    set(service, "labels", keys::LOCAL_MODEL, name);
}

/// The first cache that holds the model, those of the namespace first, and the node group to take it from.
fn find_cache(service: &Value, uri: &str, caches: &Objects) -> Option<(Arc<Value>, String)> {
    let namespace = text(service, "/metadata/namespace");
    let wanted = annotation(service, keys::NODE_GROUP);
    let of_namespace = caches
        .of_kind(LOCAL_MODEL_API_VERSION, "LocalModelNamespaceCache")
        .filter(|(key, _)| key.namespace == namespace);
    let of_cluster = caches.of_kind(LOCAL_MODEL_API_VERSION, "LocalModelCache");
    of_namespace.chain(of_cluster).find_map(|(_, cache)| {
        let source = at(cache, "/spec/sourceModelUri")?.as_str()?;
        if !holds(source, uri) {
            return None;
        }
        let groups = at(cache, "/spec/nodeGroups")?.as_array()?;
        let mut groups = groups.iter().filter_map(Value::as_str);
        let group = match &wanted {
            Some(wanted) => groups.find(|group| group == wanted)?,
            None => groups.next()?,
        };
        Some((cache.clone(), group.to_owned()))
    })
}

/// Whether a cache of `source` holds `uri`: the same address, or one below it.
fn holds(source: &str, uri: &str) -> bool {
    let source = source.strip_suffix('/').unwrap_or(source);
    let uri = uri.strip_suffix('/').unwrap_or(uri);
    uri.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn annotation(service: &Value, key: &str) -> Option<String> {
    service["metadata"]["annotations"].get(key)?.as_str().map(str::to_owned)
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    at(value, pointer)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Sets or removes a label or annotation; an empty map goes away.
fn set(service: &mut Value, map: &str, key: &str, value: Option<String>) {
    if let Some(entries) = entry(service, &["metadata", map]).as_object_mut() {
        match value {
            Some(value) => entries.insert(key.to_owned(), value.into()),
            None => entries.remove(key),
        };
    }
    if let Some(fields) = service["metadata"].as_object_mut() {
        fields.retain(|name, value| {
            name != map || value.as_object().is_some_and(|entries| !entries.is_empty())
        });
    }
}

/// The mapping below `path`, made if need be.
fn entry<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut at = object;
    for name in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*name];
    }
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    at
}

#[cfg(test)]
mod tests {
    use kinds::Objects;
    use serde_json::{Value, json};

    use super::apply;

    fn service(spec: Value) -> Value {
        json!({"metadata": {"name": "x", "namespace": "a"}, "spec": spec})
    }

    #[test]
    fn the_model_is_called_like_the_service_unless_it_has_a_name() {
        let mut unnamed = service(json!({"model": {"uri": "hf://a/b", "name": ""}}));
        apply(&mut unnamed, None);
        assert_eq!(unnamed["spec"]["model"]["name"], "x");
        let mut named = service(json!({"model": {"uri": "hf://a/b", "name": "y"}}));
        apply(&mut named, None);
        assert_eq!(named["spec"]["model"]["name"], "y");
    }

    #[test]
    fn the_routing_group_label_follows_the_route_and_nobody_else() {
        let mut grouped = service(json!({"router": {"route": {"group": "g"}}}));
        apply(&mut grouped, None);
        assert_eq!(grouped["metadata"]["labels"], json!({"serving.kserve.io/routing-group": "g"}));
        grouped["spec"]["router"]["route"] = json!({});
        apply(&mut grouped, None);
        assert_eq!(grouped["metadata"]["labels"], Value::Null);
    }

    #[test]
    fn missing_containers_become_a_list_but_not_for_the_tokenizer() {
        let mut pods =
            service(json!({"template": {}, "router": {"scheduler": {"tokenizer": {"template": {}}}}}));
        apply(&mut pods, None);
        assert_eq!(pods["spec"]["template"], json!({"containers": []}));
        assert_eq!(pods["spec"]["router"]["scheduler"]["tokenizer"]["template"], json!({}));
    }

    #[test]
    fn a_cached_model_is_marked_with_its_cache_and_node_group() {
        let cache = |kind: &str, name: &str, namespace: Value| {
            json!({"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind,
                   "metadata": {"name": name, "namespace": namespace},
                   "spec": {"sourceModelUri": "hf://a/b", "nodeGroups": ["g1", "g2"]}})
        };
        let caches = Objects::from_documents([
            cache("LocalModelCache", "all", Value::Null),
            cache("LocalModelNamespaceCache", "own", "a".into()),
        ])
        .unwrap();
        let mut of_namespace = service(json!({"model": {"uri": "hf://a/b/c"}}));
        of_namespace["metadata"]["annotations"] = json!({"serving.kserve.io/nodegroup": "g2"});
        apply(&mut of_namespace, Some(&caches));
        let metadata = &of_namespace["metadata"];
        assert_eq!(metadata["labels"]["internal.serving.kserve.io/localmodel"], "own");
        assert_eq!(metadata["labels"]["internal.serving.kserve.io/localmodel-namespace"], "a");
        assert_eq!(metadata["annotations"]["internal.serving.kserve.io/localmodel-pvc-name"], "own-g2");

        of_namespace["spec"]["model"]["uri"] = "hf://a/bc".into();
        apply(&mut of_namespace, Some(&caches));
        assert_eq!(of_namespace["metadata"]["labels"], Value::Null);
    }
}
