//! Server-side apply against examples and its laws.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Error, Kind, Writer, apply, update};
use crate::Schema;
use crate::fields::PathSet;
use crate::keys::{ListKeys, zero};

fn widget() -> Schema {
    Schema::custom_resource(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer"},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "words": {"type": "array", "items": {"type": "string"}},
            "settings": {"type": "object", "additionalProperties": {"type": "string"}},
            "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "note": {"type": "string"}}}},
        }}}}),
    )
}

/// A server of one kind: holds the object, tells who did what.
struct Server {
    schema: Schema,
    zero: Value,
    api_version: &'static str,
    kind: &'static str,
    object: Option<Value>,
}

impl Server {
    fn of_widgets() -> Self {
        Self { schema: widget(), zero: json!({}), api_version: "g/v1", kind: "Widget", object: None }
    }

    fn of_deployments() -> Self {
        let schema = Schema::built_in(&Value::Null, ListKeys::of_kind("apps", "Deployment"));
        Self {
            schema,
            zero: zero("apps", "Deployment"),
            api_version: "apps/v1",
            kind: "Deployment",
            object: None,
        }
    }

    fn with_kind<T>(&self, then: impl FnOnce(&Kind<'_>) -> T) -> T {
        let at_version = |value: &Value, version: &str| {
            (version == self.api_version).then(|| (value.clone(), self.schema.clone()))
        };
        then(&Kind {
            api_version: self.api_version,
            schema: &self.schema,
            zero: &self.zero,
            ignored: &PathSet::default(),
            at_version: &at_version,
        })
    }

    fn whole(&self, spec: &Value) -> Value {
        json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": "w"}, "spec": spec})
    }

    fn store(&mut self, mut object: Value) {
        object["metadata"]["uid"] = json!("u");
        self.object = Some(object);
    }

    fn apply_as(&mut self, manager: &str, spec: &Value, force: bool) -> Result<(), Error> {
        let writer = Writer { manager, subresource: None, now: Some("2026-01-01T00:00:00Z") };
        let applied = self.whole(spec);
        let object = self.with_kind(|kind| apply(self.object.as_ref(), &applied, kind, &writer, force))?;
        self.store(object);
        Ok(())
    }

    fn put_as(&mut self, manager: &str, spec: &Value) {
        let writer = Writer { manager, subresource: None, now: Some("2026-01-01T00:00:00Z") };
        let mut new = self.object.clone().unwrap_or_else(|| self.whole(spec));
        new["spec"] = spec.clone();
        let object = self.with_kind(|kind| update(self.object.as_ref(), &new, kind, &writer));
        self.store(object);
    }

    fn spec(&self) -> &Value {
        &self.object.as_ref().unwrap()["spec"]
    }

    fn owned(&self, manager: &str, operation: &str) -> Value {
        let list = self.object.as_ref().unwrap()["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let entry =
            list.into_iter().find(|entry| entry["manager"] == manager && entry["operation"] == operation);
        entry.map_or(Value::Null, |entry| entry["fieldsV1"]["f:spec"].clone())
    }
}

#[test]
fn two_managers_share_a_value_until_both_leave_it_out() {
    let mut server = Server::of_widgets();
    server.apply_as("a", &json!({"size": 1, "settings": {"x": "1"}}), false).unwrap();
    server.apply_as("b", &json!({"settings": {"x": "1"}}), false).unwrap();
    server.apply_as("a", &json!({"size": 1}), false).unwrap();
    assert_eq!(server.spec(), &json!({"size": 1, "settings": {"x": "1"}}));
    server.apply_as("b", &json!({}), false).unwrap();
    assert_eq!(server.spec(), &json!({"size": 1}));
}

#[test]
fn another_value_conflicts_and_force_takes_it() {
    let mut server = Server::of_widgets();
    server.apply_as("a", &json!({"size": 1, "settings": {"x": "1"}}), false).unwrap();
    let refused = server.apply_as("b", &json!({"size": 2}), false).unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.size");
    let two = server.apply_as("b", &json!({"size": 2, "settings": {"x": "2"}}), false).unwrap_err();
    assert_eq!(
        two.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.settings.x\n- .spec.size"
    );
    server.apply_as("b", &json!({"size": 2}), true).unwrap();
    assert_eq!(server.owned("a", "Apply"), json!({"f:settings": {"f:x": {}}}));
    assert_eq!(server.owned("b", "Apply"), json!({"f:size": {}}));
}

#[test]
fn an_update_owns_what_it_changes_and_an_apply_does_not_remove_it() {
    let mut server = Server::of_widgets();
    server.apply_as("a", &json!({"size": 1, "words": ["x"]}), false).unwrap();
    server.put_as("u", &json!({"size": 5, "words": ["x"]}));
    assert_eq!(server.owned("a", "Apply"), json!({"f:words": {}}));
    assert_eq!(server.owned("u", "Update"), json!({"f:size": {}}));
    server.apply_as("a", &json!({"words": ["x"]}), false).unwrap();
    assert_eq!(server.spec()["size"], 5);
    let refused = server.apply_as("a", &json!({"size": 1, "words": ["x"]}), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"u\" using g/v1: .spec.size"
    );
}

#[test]
fn items_of_sets_and_keyed_lists_have_owners_of_their_own() {
    let mut server = Server::of_widgets();
    server.apply_as("a", &json!({"tags": ["b", "a"], "ports": [{"port": 1}]}), false).unwrap();
    server
        .apply_as("b", &json!({"tags": ["c", "a"], "ports": [{"port": 1, "protocol": "UDP"}]}), false)
        .unwrap();
    assert_eq!(
        server.spec(),
        &json!({"tags": ["b", "c", "a"], "ports": [{"port": 1}, {"port": 1, "protocol": "UDP"}]})
    );
    server.apply_as("a", &json!({"tags": ["b"]}), false).unwrap();
    assert_eq!(server.spec(), &json!({"tags": ["b", "c", "a"], "ports": [{"port": 1, "protocol": "UDP"}]}));
}

#[test]
fn a_shared_item_takes_the_applied_order_once_something_changes() {
    let mut server = Server::of_deployments();
    let env = |items: &[(&str, &str)]| {
        let env: Vec<Value> =
            items.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({"template": {"spec": {"containers": [{"name": "m", "env": env}]}}})
    };
    server.apply_as("a", &env(&[("B", "1"), ("A", "1")]), false).unwrap();
    server.apply_as("b", &env(&[("Z", "1"), ("B", "1")]), false).unwrap();
    server.apply_as("a", &env(&[("A", "1"), ("B", "1")]), false).unwrap();
    assert_eq!(server.spec(), &env(&[("Z", "1"), ("B", "1"), ("A", "1")]));
    server.apply_as("a", &env(&[("A", "2"), ("B", "1")]), false).unwrap();
    assert_eq!(server.spec(), &env(&[("Z", "1"), ("A", "2"), ("B", "1")]));
}

#[test]
fn what_does_not_fit_the_schema_is_named() {
    let mut server = Server::of_widgets();
    let refused =
        |server: &mut Server, spec: Value| server.apply_as("a", &spec, false).unwrap_err().to_string();
    let about = "failed to create typed patch object (/w; g/v1, Kind=Widget): ";
    assert_eq!(
        refused(&mut server, json!({"nope": 1})),
        format!("{about}.spec.nope: field not declared in schema")
    );
    assert_eq!(
        refused(&mut server, json!({"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]})),
        format!("{about}.spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]")
    );
    assert_eq!(
        refused(&mut server, json!({"size": "x"})),
        format!("{about}.spec.size: expected numeric (int or float), got string")
    );
}

#[test]
fn a_creator_does_not_own_what_its_kind_always_writes() {
    let mut server = Server::of_deployments();
    server.put_as(
        "c",
        &json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "Recreate"}}),
    );
    assert_eq!(
        server.owned("c", "Update"),
        json!({"f:replicas": {}, "f:selector": {}, "f:strategy": {"f:type": {}}})
    );
}

#[test]
fn an_emptied_record_is_not_kept_on_and_the_next_apply_meets_an_unknown_owner() {
    let mut server = Server::of_widgets();
    server.put_as("u", &json!({"size": 1}));
    let mut cleared = server.object.clone().unwrap();
    cleared["metadata"]["managedFields"] = json!([]);
    let writer = Writer { manager: "u", subresource: None, now: None };
    let object = server.with_kind(|kind| update(server.object.as_ref(), &cleared, kind, &writer));
    assert!(object["metadata"].get("managedFields").is_none());
    server.object = Some(object);
    let refused = server.apply_as("a", &json!({"size": 2}), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using g/v1: .spec.size"
    );
}

#[test]
fn kubectl_takes_over_what_its_client_side_apply_set() {
    let mut server = Server::of_widgets();
    server.put_as("kubectl-client-side-apply", &json!({"size": 1}));
    let last = server.whole(&json!({"size": 1})).to_string();
    let mut object = server.object.clone().unwrap();
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    server.object = Some(object);
    assert!(server.apply_as("other", &json!({"size": 2}), false).is_err());
    server.apply_as("kubectl", &json!({"size": 2}), false).unwrap();
    assert_eq!(server.spec(), &json!({"size": 2}));
    let annotation = &server.object.as_ref().unwrap()["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert!(annotation.as_str().unwrap().contains("\"size\":2"));
}

#[test]
fn the_oldest_of_more_than_ten_updates_are_put_together() {
    let mut server = Server::of_widgets();
    server.put_as("m00", &json!({"settings": {"k00": "v"}}));
    for at in 1..13 {
        let mut spec = server.spec().clone();
        spec["settings"][format!("k{at:02}")] = json!("v");
        server.put_as(&format!("m{at:02}"), &spec);
    }
    let list = server.object.as_ref().unwrap()["metadata"]["managedFields"].as_array().unwrap().clone();
    assert_eq!(list.len(), 10);
    assert!(list.iter().any(|entry| entry["manager"] == "ancient-changes"));
}

#[test]
fn field_sets_survive_their_written_form() {
    let written = json!({"f:a": {".": {}, "k:{\"n\":\"x\",\"p\":1}": {".": {}, "f:b": {}}, "v:\"s\"": {}, "i:3": {}}, "f:c": {}});
    assert_eq!(PathSet::from_value(&written).unwrap().to_value(), written);
    assert!(PathSet::from_value(&json!({"x:a": {}})).is_none());
}

fn specs(keys: &'static str) -> impl Strategy<Value = Value> {
    let settings = proptest::collection::btree_map(keys, "[0-9]", 0..4);
    let tags = proptest::collection::btree_set(keys, 0..4);
    (settings, tags).prop_map(|(settings, tags)| json!({"settings": settings, "tags": tags}))
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(first in specs("[a-d]"), second in specs("[c-f]")) {
        let mut server = Server::of_widgets();
        server.apply_as("a", &first, false).unwrap();
        server.apply_as("b", &second, true).unwrap();
        let before = server.object.clone();
        server.apply_as("b", &second, false).unwrap();
        prop_assert_eq!(server.object, before);
    }

    #[test]
    fn managers_of_different_fields_commute(first in specs("[a-d]"), second in specs("[p-s]")) {
        let run = |order: [(&str, &Value); 2]| {
            let mut server = Server::of_widgets();
            for (manager, spec) in order {
                server.apply_as(manager, spec, false).unwrap();
            }
            let mut object = server.object.unwrap();
            object["spec"]["tags"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
            object["spec"].clone()
        };
        prop_assert_eq!(run([("a", &first), ("b", &second)]), run([("b", &second), ("a", &first)]));
    }

    #[test]
    fn an_applier_that_leaves_everything_out_leaves_what_others_own(first in specs("[a-d]"), second in specs("[c-f]")) {
        let mut alone = Server::of_widgets();
        alone.apply_as("a", &first, false).unwrap();
        let mut both = Server::of_widgets();
        both.apply_as("a", &first, false).unwrap();
        if both.apply_as("b", &second, false).is_ok() {
            both.apply_as("b", &json!({}), false).unwrap();
            // What was empty goes with what others put into it.
            let shown = |server: &Server| {
                let mut spec = server.spec().clone();
                spec.as_object_mut().unwrap().retain(|_, value| *value != json!([]) && *value != json!({}));
                spec
            };
            prop_assert_eq!(shown(&both), shown(&alone));
        }
    }
}
