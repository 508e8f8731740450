//! Strategic merge against examples and against a naive model.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{apply, diff};
use crate::keys::ListKeys;

fn pod(base: &Value, patch: &Value) -> Value {
    apply(base, patch, ListKeys::pod_spec()).unwrap()
}

fn refused(base: &Value, patch: &Value) -> String {
    apply(base, patch, ListKeys::pod_spec()).unwrap_err().to_string()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

fn containers(all: &[&str]) -> Value {
    json!({"containers": all.iter().map(|name| json!({"name": name, "image": "i"})).collect::<Vec<_>>()})
}

#[test]
fn an_item_of_a_known_key_merges_and_a_new_one_comes_first() {
    let merged = pod(&containers(&["a", "b"]), &json!({"containers": [{"name": "n"}]}));
    assert_eq!(names(&merged["containers"]), ["n", "a", "b"]);
    let merged = pod(&containers(&["a", "b"]), &json!({"containers": [{"name": "b", "image": "j"}]}));
    assert_eq!(merged["containers"], json!([{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]));
}

#[test]
fn an_item_of_the_base_precedes_only_what_follows_it_in_the_base() {
    let merged = pod(&containers(&["a", "z"]), &json!({"containers": [{"name": "b"}, {"name": "z"}]}));
    assert_eq!(names(&merged["containers"]), ["b", "a", "z"]);
}

#[test]
fn a_list_without_a_key_is_replaced() {
    let merged = pod(&json!({"tolerations": [{"key": "a"}]}), &json!({"tolerations": [{"key": "b"}]}));
    assert_eq!(merged, json!({"tolerations": [{"key": "b"}]}));
}

#[test]
fn null_deletes_and_leaves_no_trace_in_new_objects() {
    let merged = pod(
        &json!({"hostNetwork": true}),
        &json!({"hostNetwork": null, "nodeSelector": {"a": null, "b": "1"}}),
    );
    assert_eq!(merged, json!({"nodeSelector": {"b": "1"}}));
}

#[test]
fn directives_delete_and_replace_items_and_objects() {
    let base = containers(&["a", "b"]);
    assert_eq!(
        names(&pod(&base, &json!({"containers": [{"name": "a", "$patch": "delete"}]}))["containers"]),
        ["b"]
    );
    let replaced = json!({"containers": [{"$patch": "replace"}, {"name": "only"}]});
    assert_eq!(names(&pod(&base, &replaced)["containers"]), ["only"]);
    let labels = json!({"nodeSelector": {"a": "1"}});
    assert_eq!(
        pod(&labels, &json!({"nodeSelector": {"$patch": "replace", "b": "2"}})),
        json!({"nodeSelector": {"b": "2"}})
    );
    assert_eq!(pod(&labels, &json!({"nodeSelector": {"$patch": "delete"}})), json!({"nodeSelector": {}}));
    assert_eq!(pod(&json!({}), &json!({"nodeSelector": {"$patch": "replace", "b": "2"}})), json!({}));
}

#[test]
fn an_element_order_moves_items_that_the_patch_does_not_change() {
    let patch = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "j"}]});
    let merged = pod(&containers(&["a", "b"]), &patch);
    assert_eq!(merged["containers"], json!([{"name": "b", "image": "i"}, {"name": "a", "image": "j"}]));
}

#[test]
fn items_in_another_order_than_the_directive_are_refused() {
    let patch = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]});
    assert!(refused(&containers(&["a", "b"]), &patch).starts_with("The order in patch list:"));
}

#[test]
fn finalizers_unite_and_lose_what_is_deleted_from_the_list() {
    let meta = ListKeys::object_meta();
    let base = json!({"finalizers": ["a", "b"]});
    let apply = |patch: Value| super::apply(&base, &patch, meta).unwrap()["finalizers"].clone();
    assert_eq!(apply(json!({"$deleteFromPrimitiveList/finalizers": ["a"]})), json!(["b"]));
    assert_eq!(
        apply(json!({"$setElementOrder/finalizers": ["c", "b", "a"], "finalizers": ["c"]})),
        json!(["c", "b", "a"])
    );
}

#[test]
fn retained_keys_drop_the_other_source_of_a_volume() {
    let base = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    let patch =
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]});
    assert_eq!(pod(&base, &patch), json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}));
    let wrong = json!({"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/x"}}]});
    assert_eq!(refused(&base, &wrong), "patch content doesn't match retainKeys list");
}

#[test]
fn an_item_without_the_key_and_an_unknown_directive_are_named() {
    let base = containers(&["a"]);
    assert_eq!(
        refused(&base, &json!({"containers": [{"image": "x"}]})),
        "map: map[image:x] does not contain declared merge key: name"
    );
    assert_eq!(
        refused(&base, &json!({"containers": [{"name": "a", "$patch": "zap"}]})),
        "unknown patch type: zap in map: map[$patch:zap name:a]"
    );
}

#[test]
fn free_form_scheduler_config_cannot_merge_with_another() {
    let spec =
        |plugins: Value| json!({"router": {"scheduler": {"config": {"inline": {"plugins": plugins}}}}});
    let merged = apply(&spec(json!([1])), &spec(json!([2])), ListKeys::llm_inference_service_spec());
    assert_eq!(
        merged.unwrap_err().to_string(),
        "unable to find api field in struct RawExtension for the json field \"plugins\""
    );
}

#[test]
fn a_diff_says_only_what_changed() {
    let from = json!({"containers": [{"name": "a", "image": "i"}, {"name": "b"}], "hostNetwork": true});
    let to = json!({"containers": [{"name": "a", "image": "j"}]});
    assert_eq!(
        diff(&from, &to, ListKeys::pod_spec()),
        json!({
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"image": "j", "name": "a"}, {"$patch": "delete", "name": "b"}],
            "hostNetwork": null,
        })
    );
    assert_eq!(diff(&to, &to, ListKeys::pod_spec()), json!({}));
}

/// A pod spec with keyed, plain and scalar parts; keys are unique.
fn specs() -> impl Strategy<Value = Value> {
    let env = proptest::collection::btree_map("[a-d]", "[0-9]", 0..4).prop_shuffle_values();
    let container = (env, proptest::option::of("[xyz]"), proptest::collection::vec("[pq]", 0..3));
    let containers = proptest::collection::btree_map("[a-e]", container, 1..5);
    (containers, proptest::collection::btree_map("[k-m]", "[0-9]", 0..3), any::<bool>()).prop_map(
        |(list, selector, back)| {
            let mut items: Vec<Value> = list
                .into_iter()
                .map(|(name, (env, image, args))| {
                    let mut item = json!({"name": name, "env": env, "args": args});
                    if let Some(image) = image {
                        item["image"] = json!(image);
                    }
                    item
                })
                .collect();
            if back {
                items.reverse();
            }
            json!({"containers": items, "nodeSelector": selector})
        },
    )
}

trait ShuffleValues: Strategy {
    /// A map as a list of `{name, value}`, in any order.
    fn prop_shuffle_values(self) -> BoxedStrategy<Vec<Value>>;
}

impl<S> ShuffleValues for S
where
    S: Strategy<Value = std::collections::BTreeMap<String, String>> + 'static,
{
    fn prop_shuffle_values(self) -> BoxedStrategy<Vec<Value>> {
        self.prop_map(|map| {
            map.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>()
        })
        .prop_shuffle()
        .boxed()
    }
}

/// Merging without regard to order: objects unite, lists of named things unite by name, the rest is replaced.
fn naive(base: &Value, patch: &Value) -> Value {
    let named = |list: &[Value]| list.iter().all(|item| item.get("name").is_some());
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            let mut out = base.clone();
            for (key, value) in patch {
                let merged = base.get(key).map_or_else(|| value.clone(), |old| naive(old, value));
                out.insert(key.clone(), merged);
            }
            Value::Object(out)
        }
        (Value::Array(old), Value::Array(new))
            if named(old) && named(new) && !(old.is_empty() && new.is_empty()) =>
        {
            let mut out = std::collections::BTreeMap::new();
            for item in old.iter().chain(new) {
                let name = item["name"].as_str().unwrap().to_owned();
                let merged = out.get(&name).map_or_else(|| item.clone(), |old| naive(old, item));
                out.insert(name, merged);
            }
            Value::Array(out.into_values().collect())
        }
        _ => patch.clone(),
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) if list.iter().all(|item| item.get("name").is_some()) => {
            let mut list: Vec<Value> = list.iter().map(sorted).collect();
            list.sort_by_key(|item| item["name"].to_string());
            Value::Array(list)
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn a_merge_holds_what_the_naive_model_holds(base in specs(), patch in specs()) {
        prop_assert_eq!(sorted(&pod(&base, &patch)), sorted(&naive(&base, &patch)));
    }

    #[test]
    fn a_patched_list_keeps_the_order_of_the_patch(base in specs(), patch in specs()) {
        let merged = pod(&base, &patch);
        let wanted = names(&patch["containers"]);
        let kept: Vec<&str> = names(&merged["containers"]).into_iter().filter(|name| wanted.contains(name)).collect();
        prop_assert_eq!(kept, wanted);
    }

    #[test]
    fn a_diff_applied_gives_the_other_document(from in specs(), to in specs()) {
        let patch = diff(&from, &to, ListKeys::pod_spec());
        prop_assert_eq!(pod(&from, &patch), to);
    }
}
