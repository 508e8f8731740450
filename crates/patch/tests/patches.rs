//! JSON merge patch and JSON patch, as clients see them.
#![allow(clippy::unwrap_used)]

use patch::{json as json_patch, merge};
use proptest::prelude::*;
use serde_json::{Value, json};

fn apply(base: Value, patch: Value) -> Value {
    json_patch::apply(&base, &patch).unwrap()
}

fn refused(base: Value, patch: Value) -> String {
    json_patch::apply(&base, &patch).unwrap_err().to_string()
}

#[test]
fn a_merge_patch_deletes_with_null_and_replaces_lists() {
    let base = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
    let patch = json!({"a": {"b": null}, "l": [3], "n": {"x": null, "y": 1}});
    assert_eq!(merge::apply(&base, &patch), json!({"a": {"c": 2}, "l": [3], "n": {"y": 1}}));
}

#[test]
fn each_operation_does_its_part() {
    assert_eq!(
        apply(json!({"l": [1]}), json!([{"op": "add", "path": "/l/-", "value": 2}])),
        json!({"l": [1, 2]})
    );
    assert_eq!(
        apply(json!({"l": [1, 3]}), json!([{"op": "add", "path": "/l/1", "value": 2}])),
        json!({"l": [1, 2, 3]})
    );
    assert_eq!(apply(json!({"l": [1, 2]}), json!([{"op": "remove", "path": "/l/-1"}])), json!({"l": [1]}));
    assert_eq!(apply(json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}])), json!({"b": 1}));
    assert_eq!(
        apply(json!({"a": 1}), json!([{"op": "copy", "from": "/a", "path": "/b"}])),
        json!({"a": 1, "b": 1})
    );
    assert_eq!(
        apply(json!({"a/b~": 1}), json!([{"op": "test", "path": "/a~1b~0", "value": 1}])),
        json!({"a/b~": 1})
    );
}

#[test]
fn replacing_a_missing_key_adds_it() {
    assert_eq!(
        apply(json!({"d": {}}), json!([{"op": "replace", "path": "/d/k", "value": 1}])),
        json!({"d": {"k": 1}})
    );
}

#[test]
fn what_cannot_be_done_is_refused() {
    let base = || json!({"d": {"k": "v"}, "l": [1]});
    for patch in [
        json!([{"op": "remove", "path": "/d/none"}]),
        json!([{"op": "add", "path": "/none/deep", "value": 1}]),
        json!([{"op": "add", "path": "d", "value": 1}]),
        json!([{"op": "add", "path": "/l/7", "value": 1}]),
        json!([{"op": "replace", "path": "/l/1", "value": 1}]),
        json!([{"op": "test", "path": "/d/k", "value": "w"}]),
        json!([{"op": "zap", "path": "/d/k"}]),
        json!({"op": "add"}),
    ] {
        assert!(json_patch::apply(&base(), &patch).is_err(), "{patch}");
    }
    assert_eq!(
        refused(base(), json!([{"op": "remove", "path": "/d/none"}])),
        "error in remove for path: '/d/none': Unable to remove nonexistent key: none: missing value"
    );
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..9i64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-e]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_merge_diff_applied_gives_the_other_document(from in documents(), to in documents()) {
        prop_assert_eq!(merge::apply(&from, &merge::diff(&from, &to)), to);
    }
}
