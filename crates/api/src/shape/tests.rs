use serde_json::{Value, json};

use super::{Error, GoField, TABLE, Type, find, is_marshalled, marshal, root, unknown_fields, zero};

fn spec(value: Value) -> Value {
    marshal(find("api.LLMInferenceServiceSpec").unwrap(), &value).unwrap()
}

#[test]
fn every_line_of_the_table_is_read_and_every_type_it_names_exists() {
    fn check(type_: &Type, of: &str) {
        match type_ {
            Type::Struct(named) => assert!(find(named.name).is_some(), "{of} names {}", named.name),
            Type::Pointer(inner) | Type::List(inner) | Type::Map(inner) => check(inner, of),
            _ => {}
        }
    }
    assert!(TABLE.types.len() > 150, "{}", TABLE.types.len());
    for (name, type_) in &TABLE.types {
        for field in type_.fields.values() {
            check(&field.type_, &format!("{name}.{}", field.json));
        }
        for embedded in &type_.embedded {
            assert!(find(embedded).is_some(), "{name} embeds {embedded}");
        }
    }
    assert_eq!(TABLE.patterns.len(), 12);
}

#[test]
fn an_empty_spec_is_written_with_an_empty_model() {
    assert_eq!(zero(find("api.LLMInferenceServiceSpec").unwrap()), json!({"model": {"uri": ""}}));
}

#[test]
fn empty_values_are_left_out_and_pointers_to_empty_values_are_kept() {
    let written = spec(json!({
        "model": {"uri": "hf://a/b", "name": ""}, "replicas": 0, "labels": {}, "tracing": {}, "baseRefs": [],
        "parallelism": {"tensor": 1, "expert": false},
        "template": {"containers": [], "nodeSelector": {}, "serviceAccountName": "", "hostNetwork": false}
    }));
    assert_eq!(
        written,
        json!({"model": {"uri": "hf://a/b", "name": ""}, "replicas": 0, "tracing": {}, "parallelism": {"tensor": 1},
               "template": {"containers": []}})
    );
}

#[test]
fn what_go_would_write_otherwise_is_seen_without_writing_it() {
    let type_ = find("api.LLMInferenceServiceSpec").unwrap();
    let main = |container: Value| json!({"model": {"uri": "x"}, "template": {"containers": [container]}});
    for as_written in [
        json!({"model": {"uri": ""}, "replicas": 0, "template": {"containers": null}}),
        main(json!({"name": "main", "resources": {"limits": {"memory": "1Gi", "cpu": "2"}}})),
    ] {
        assert!(is_marshalled(type_, &as_written), "{as_written}");
        assert_eq!(spec(as_written.clone()), as_written);
    }
    for other in [
        json!({}),
        json!({"model": {"uri": "x", "unknown": 1}}),
        json!({"model": {"uri": "x"}, "labels": {}}),
        json!({"model": {"uri": "x"}, "labels": {"a": null}}),
        json!({"model": {"uri": "x"}, "replicas": "1"}),
        main(json!({"name": "main"})),
        main(json!({"name": "main", "resources": {"limits": {"memory": "1024Mi"}}})),
        main(json!({"name": "main", "resources": {"limits": {"cpu": 2}}})),
        main(json!({"name": "main", "resources": {}, "env": [{"name": "A", "value": ""}]})),
    ] {
        assert!(!is_marshalled(type_, &other), "{other}");
        assert_ne!(marshal(type_, &other).ok(), Some(other));
    }
}

#[test]
fn structs_held_by_value_are_always_written_and_quantities_are_canonical() {
    let written = spec(json!({"model": {"uri": "x"}, "template": {"containers": [
        {"name": "main", "env": [{"name": "A", "value": ""}], "extra": 1},
        {"resources": {"limits": {"memory": "1024Mi", "cpu": 2}}}
    ]}}));
    assert_eq!(
        written["template"]["containers"],
        json!([{"name": "main", "env": [{"name": "A"}], "resources": {}},
               {"name": "", "resources": {"limits": {"memory": "1Gi", "cpu": "2"}}}])
    );
}

#[test]
fn null_is_absent() {
    assert_eq!(spec(json!({"model": null, "router": null, "replicas": null})), json!({"model": {"uri": ""}}));
}

#[test]
fn a_wrong_type_is_named_with_its_path() {
    let refused = marshal(
        find("api.LLMInferenceServiceSpec").unwrap(),
        &json!({"template": {"containers": [{"name": "main", "args": "--x"}]}}),
    );
    assert_eq!(
        refused,
        Err(Error::WrongType {
            path: "template.containers[0].args".to_owned(),
            found: "text",
            wanted: "a list"
        })
    );
}

#[test]
fn writing_twice_changes_nothing() {
    let once = spec(json!({"model": {"uri": "x"}, "kvCacheOffloading": {}, "scaling": {"keda": {}},
        "router": {"scheduler": {"pool": {"spec": {"selector": {}}}}}}));
    assert_eq!(spec(once.clone()), once);
    assert_eq!(once["kvCacheOffloading"], json!({"cpu": "0"}));
    assert_eq!(once["scaling"], json!({"keda": {"triggers": null}, "maxReplicas": 0}));
    assert_eq!(once["router"]["scheduler"]["pool"]["spec"], json!({}));
}

#[test]
fn go_names_reach_fields_embedded_ones_included() {
    let service = root("serving.kserve.io/v1alpha2", "LLMInferenceService").unwrap();
    let step = |of: &'static super::Struct, name: &str| match of.go_field(name) {
        Some(GoField::Field(field)) => field.json,
        Some(GoField::Embedded(of)) => of.name,
        None => "nothing",
    };
    let spec = find("api.LLMInferenceServiceSpec").unwrap();
    assert_eq!(step(service, "ObjectMeta"), "metadata");
    assert_eq!(step(spec, "KVCacheOffloading"), "kvCacheOffloading");
    assert_eq!(step(spec, "WorkloadSpec"), "api.WorkloadSpec");
    assert_eq!(step(spec, "Nope"), "nothing");
    assert_eq!(spec.go_name(), "v1alpha2.LLMInferenceServiceSpec");
    assert_eq!(spec.field("parallelism").unwrap().type_.go_name(), "*v1alpha2.ParallelismSpec");
}

#[test]
fn unknown_fields_come_with_their_place_and_the_nearest_known_name() {
    let service = root("serving.kserve.io/v1alpha2", "LLMInferenceService").unwrap();
    let found = unknown_fields(
        service,
        &json!({"apiVersion": "x", "kind": "y", "metadata": {"name": "a", "labels": {"any": "thing"}},
                "spec": {"replica": 1, "model": {"uri": "x"},
                         "template": {"containers": [{"name": "main", "comand": []}]}, "zzzzzz": 1}}),
    );
    let told: Vec<_> = found.iter().map(|field| (field.path.as_str(), field.nearest)).collect();
    assert_eq!(
        told,
        [
            ("spec.replica", Some("replicas")),
            ("spec.template.containers[0].comand", Some("command")),
            ("spec.zzzzzz", None)
        ]
    );
    assert_eq!(found[1].pointer, "/spec/template/containers/0/comand");
}
