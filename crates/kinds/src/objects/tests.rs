use serde_json::{Value, json};

use super::{Error, ObjectKey, Objects};

fn config_map(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"a": "b"}})
}

#[test]
fn objects_of_a_kind_come_out_by_namespace_and_name() {
    let objects = Objects::from_documents([
        config_map("b", "x"),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "a"}}),
        config_map("a", "z"),
        config_map("a", "y"),
        json!({"apiVersion": "v1", "kind": "ConfigMapper", "metadata": {"name": "s"}}),
    ])
    .unwrap();
    let names: Vec<String> = objects.of_kind("v1", "ConfigMap").map(|(key, _)| key.to_string()).collect();
    assert_eq!(names, ["v1 ConfigMap a/y", "v1 ConfigMap a/z", "v1 ConfigMap b/x"]);
}

#[test]
fn a_document_with_only_a_status_reports_on_the_object_of_its_name() {
    let report = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "a"}, "status": {"ready": true}});
    let objects = Objects::from_documents([config_map("a", "x"), report]).unwrap();
    let member = objects.get("v1", "ConfigMap", Some("a"), "x").unwrap();
    assert_eq!(member["data"]["a"], "b");
    assert_eq!(member["status"]["ready"], true);
}

#[test]
fn a_list_stands_for_its_items() {
    let objects = Objects::from_documents([
        json!({"apiVersion": "v1", "kind": "List", "items": [config_map("a", "x"), config_map("a", "y")]}),
        Value::Null,
    ])
    .unwrap();
    assert_eq!(objects.len(), 2);
}

#[test]
fn a_document_without_identity_is_refused_with_the_missing_field() {
    let refused = |document| Objects::from_documents([document]).unwrap_err();
    assert_eq!(refused(json!({"kind": "A", "metadata": {"name": "x"}})), Error::MissingField("apiVersion"));
    assert_eq!(refused(json!({"apiVersion": "v1", "kind": "A"})), Error::MissingField("metadata.name"));
    assert_eq!(refused(json!(["a"])), Error::NotAnObject("a list"));
}

#[test]
fn a_key_knows_its_group_and_version() {
    let core = ObjectKey::new("v1", "Pod", Some(""), "x");
    assert_eq!((core.group(), core.version(), core.namespace.as_deref()), ("", "v1", None));
    let route = ObjectKey::new("gateway.networking.k8s.io/v1", "HTTPRoute", Some("a"), "x");
    assert_eq!((route.group(), route.version()), ("gateway.networking.k8s.io", "v1"));
}
