use serde_json::{Value, json};

use super::{
    Schema, ViolationType, apply_defaults, blocks_rules, check_rules, drop_nulls, prune, ruled_values,
    validate,
};

fn schema() -> Schema {
    Schema::parse(&json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
                    "count": {"type": "integer", "default": 1, "minimum": 1},
                    "mode": {"type": "string", "enum": ["a", "b"]},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "port": {"x-kubernetes-int-or-string": true},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "ports": {
                        "type": "array", "maxItems": 3,
                        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number", "protocol"],
                        "items": {"type": "object", "properties": {
                            "number": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}
                        }, "x-kubernetes-validations": [{"rule": "self.number > 0", "message": "no"}]}
                    }
                }
            }
        }
    }))
    .unwrap()
}

fn said(spec: Value) -> Vec<String> {
    validate(&schema(), &json!({"spec": spec}), None).iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_fields_go_and_are_named() {
    let mut document = json!({
        "apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x"}, "extra": 1,
        "spec": {"nam": "x", "free": {"any": 1}, "labels": {"k": "v"}, "ports": [{"number": 1, "x": 2}]}
    });
    assert_eq!(prune(&schema(), &mut document, None), ["extra", "spec.nam", "spec.ports[0].x"]);
    assert_eq!(document["spec"], json!({"free": {"any": 1}, "labels": {"k": "v"}, "ports": [{"number": 1}]}));
    assert_eq!(document["metadata"]["name"], "x");
}

#[test]
fn defaults_fill_what_is_absent_or_null_but_never_make_a_parent() {
    let mut document = json!({"spec": {"count": null, "ports": [{"number": 1}]}});
    apply_defaults(&schema(), &mut document);
    assert_eq!(document, json!({"spec": {"count": 1, "ports": [{"number": 1, "protocol": "TCP"}]}}));
    let mut empty = json!({});
    apply_defaults(&schema(), &mut empty);
    assert_eq!(empty, json!({}));
}

#[test]
fn nulls_go_where_null_is_no_value() {
    let mut document =
        json!({"spec": {"name": null, "count": null, "free": {"x": null}, "labels": {"a": null}}});
    drop_nulls(&schema(), &mut document);
    assert_eq!(document, json!({"spec": {"count": null, "free": {"x": null}, "labels": {}}}));
    let mut document = json!({"spec": {"free": null}});
    drop_nulls(&schema(), &mut document);
    assert_eq!(document, json!({"spec": {}}), "a field of which nothing is said is no exception");
}

#[test]
fn violations_are_said_as_an_api_server_says_them() {
    assert_eq!(said(json!({})), ["spec.name: Required value"]);
    assert_eq!(
        said(json!({"name": "UPPERCASE", "count": 0, "mode": "c"})),
        [
            "spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1",
            "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            "spec.name: Too long: may not be more than 5 bytes",
        ]
    );
    assert_eq!(
        said(json!({"name": 3, "port": 1.5})),
        [
            "spec.name: Invalid value: \"integer\": spec.name in body must be of type string: \"integer\"",
            "spec.port: Invalid value: \"number\": spec.port in body must be of type integer,string: \"number\"",
        ]
    );
}

#[test]
fn list_maps_refuse_two_items_of_one_key_defaults_included() {
    let twice =
        json!({"name": "x", "ports": [{"number": 1}, {"number": 2}, {"number": 1, "protocol": "TCP"}]});
    assert_eq!(said(twice), ["spec.ports[2]: Duplicate value: {\"number\":1,\"protocol\":\"TCP\"}"]);
}

#[test]
fn rules_come_with_their_value_and_the_old_item_of_the_same_key() {
    let schema = schema();
    let new = json!({"spec": {"ports": [{"number": 2, "protocol": "TCP", "new": true}]}});
    let old =
        json!({"spec": {"ports": [{"number": 1, "protocol": "TCP"}, {"number": 2, "protocol": "TCP"}]}});
    let ruled = ruled_values(&schema, &new, Some(&old));
    assert_eq!(ruled.len(), 1);
    assert_eq!(ruled[0].path(), "spec.ports[0]");
    assert_eq!(ruled[0].old, Some(&old["spec"]["ports"][1]));
}

#[test]
fn of_a_text_that_breaks_length_and_pattern_the_length_is_told() {
    assert_eq!(
        said(json!({"name": "UP"})),
        ["spec.name: Invalid value: \"UP\": spec.name in body should match '^[a-z]*$'"]
    );
    assert_eq!(said(json!({"name": ""})).len(), 1);
}

#[test]
fn a_rule_that_does_not_hold_is_said_at_its_value() {
    let document = json!({"spec": {"name": "x", "ports": [{"number": 1}, {"number": 0}]}});
    let schema = schema();
    let said = |known: Option<bool>| -> Vec<String> {
        check_rules(&schema, &document, None, |_, _| known).iter().map(|(said, _)| said.to_string()).collect()
    };
    assert_eq!(said(None), ["spec.ports[1]: Invalid value: no"]);
    assert_eq!(said(Some(true)), Vec::<String>::new());
    assert_eq!(said(Some(false)).len(), 2);
}

#[test]
fn what_an_update_leaves_alone_is_not_judged_again() {
    let schema = schema();
    let old = json!({"spec": {"name": "x", "count": 0, "ports": [{"number": 0, "protocol": "TCP"}]}});
    let mut new = old.clone();
    new["spec"]["mode"] = json!("a");
    assert_eq!(validate(&schema, &new, Some(&old)), []);
    assert!(check_rules(&schema, &new, Some(&old), |_, _| None).is_empty());
    new["spec"]["count"] = json!(-1);
    assert_eq!(validate(&schema, &new, Some(&old)).len(), 1);
}

#[test]
fn a_rule_about_change_waits_for_an_old_value() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"size": {
        "type": "integer",
        "x-kubernetes-validations": [{
            "rule": "self == oldSelf", "messageExpression": "'was ' + string(oldSelf)", "reason": "FieldValueForbidden"
        }]
    }}}))
    .unwrap();
    let (new, old) = (json!({"size": 2}), json!({"size": 1}));
    assert!(check_rules(&schema, &new, None, |_, _| None).is_empty());
    let found = check_rules(&schema, &new, Some(&old), |_, _| None);
    assert_eq!(found[0].0.to_string(), "size: Forbidden: was 1");
}

#[test]
fn a_part_that_cannot_be_used_is_an_error_for_some_and_open_for_others() {
    let odd = json!({"type": "object", "properties": {
        "a": {"type": "text"}, "b": {"type": "string", "pattern": "(?=x)"}, "c": 5
    }});
    assert!(Schema::parse(&odd).is_err());
    let anything = json!({"a": {"b": 1}, "b": "y", "c": [1]});
    assert_eq!(validate(&Schema::read(&odd), &anything, None), []);
}

#[test]
fn metadata_is_pruned_by_the_schema_that_is_given_for_it() {
    let metadata = Schema::read(&json!({"type": "object", "properties": {"name": {"type": "string"}}}));
    let mut document = json!({"kind": "K", "metadata": {"name": "x", "nam": "y"}, "spec": {}});
    assert_eq!(prune(&schema(), &mut document, Some(&metadata)), ["metadata.nam"]);
    assert_eq!(document["metadata"], json!({"name": "x"}));
}

#[test]
fn alternatives_are_counted() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "size": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "one": {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    }}))
    .unwrap();
    let said = |document: Value| -> Vec<String> {
        validate(&schema, &document, None).iter().map(ToString::to_string).collect()
    };
    assert_eq!(said(json!({"size": "1Gi", "one": {"a": 1}})), Vec::<String>::new());
    assert!(said(json!({"size": true}))[1].contains("(anyOf)"));
    assert!(said(json!({"one": {"a": 1, "b": 2}}))[0].contains("Found 2 valid alternatives"));
}

#[test]
fn a_wrong_type_keeps_rules_from_being_checked_and_a_wrong_number_does_not() {
    let blocking = |spec: Value| blocks_rules(&validate(&schema(), &json!({"spec": spec}), None));
    assert!(blocking(json!({"name": 1})));
    assert!(!blocking(json!({"name": "x", "count": 0})));
    assert_eq!(validate(&schema(), &json!({"spec": 1}), None)[0].type_, ViolationType::TypeInvalid);
}
