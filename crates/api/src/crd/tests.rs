use kinds::schema::Schema;
use serde_json::{Value, json};

use super::{Edition, Kind, Version, crd, crds, root_schema};

/// `kubectl apply` keeps the whole object in one annotation, and annotations have 256 KiB in all.
const ANNOTATIONS_BYTES: usize = 256 * 1024;

#[test]
fn the_installed_crds_fit_into_the_annotation_of_kubectl_apply() {
    for crd in crds(Edition::Installed, None) {
        let bytes = crd.to_string().len();
        assert!(bytes < ANNOTATIONS_BYTES - 2048, "{}: {bytes} bytes", crd["metadata"]["name"]);
    }
}

#[test]
fn kubectl_explains_our_own_fields() {
    fn count(node: &Value) -> usize {
        let fields = node["properties"].as_object().into_iter().flatten();
        let own: usize =
            fields.map(|(_, field)| usize::from(field["description"].is_string()) + count(field)).sum();
        own + node.get("items").map_or(0, count)
    }
    for kind in [Kind::Service, Kind::Config] {
        for edition in [Edition::Full, Edition::Installed] {
            for version in crd(kind, edition, None)["spec"]["versions"].as_array().unwrap() {
                let schema = &version["schema"]["openAPIV3Schema"];
                let of =
                    |pointer: &str| schema.pointer(pointer).and_then(|node| node["description"].as_str());
                assert_eq!(of("/properties/spec/properties/model"), Some("Which model, under which name."));
                for pointer in [
                    "/properties/spec",
                    "/properties/status/properties/conditions",
                    "/properties/spec/properties/baseRefs",
                    "/properties/spec/properties/prefill/properties/parallelism/properties/dataLocal",
                    "/properties/spec/properties/router/properties/scheduler/properties/config/properties/ref",
                    "/properties/spec/properties/scaling/properties/keda/properties/triggers/items/properties/type",
                ] {
                    assert!(of(pointer).is_some_and(|text| text.len() > 10), "{pointer}");
                }
                assert!(count(schema) > 120, "{}: {}", version["name"], count(schema));
                let pod = "/properties/spec/properties/template/properties/containers";
                assert_eq!(of(pod), None);
            }
        }
    }
}

#[test]
fn every_schema_is_structural_and_compiles() {
    for edition in [Edition::Full, Edition::Installed] {
        for crd in crds(edition, None) {
            for version in crd["spec"]["versions"].as_array().unwrap() {
                Schema::parse(&version["schema"]["openAPIV3Schema"]).unwrap();
            }
        }
    }
}

#[test]
fn containers_are_required_for_the_tokenizer_alone() {
    let schema = root_schema(Kind::Service, Version::V1alpha2);
    let spec = &schema["properties"]["spec"]["properties"];
    assert_eq!(spec["template"]["required"], Value::Null);
    let scheduler = &spec["router"]["properties"]["scheduler"]["properties"];
    assert_eq!(scheduler["tokenizer"]["properties"]["template"]["required"], json!(["containers"]));
    assert_eq!(scheduler["config"]["properties"]["ref"]["required"], json!(["key"]));
}

#[test]
fn configs_take_templates_where_services_want_names() {
    let pattern = |kind| {
        let schema = root_schema(kind, Version::V1alpha2);
        let selector = "/properties/spec/properties/router/properties/scheduler/properties/pool/properties/spec/properties/endpointPickerRef/properties/name/minLength";
        let group = "/properties/spec/properties/router/properties/route/properties/group/pattern";
        (schema.pointer(selector).is_some(), schema.pointer(group).is_some())
    };
    assert_eq!(pattern(Kind::Service), (true, true));
    assert_eq!(pattern(Kind::Config), (false, true));
}

#[test]
fn a_config_may_hold_a_part_of_a_pool() {
    let required = |kind, version| {
        let schema = root_schema(kind, version);
        let pool = "/properties/spec/properties/router/properties/scheduler/properties/pool/properties/spec";
        let pool = schema.pointer(pool).unwrap().clone();
        let of = |pointer: &str| pool.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
        let picker = "/properties/endpointPickerRef";
        (
            of("/required"),
            of(&format!("{picker}/required")),
            of(&format!("{picker}/properties/port/required")),
        )
    };
    assert_eq!(required(Kind::Service, Version::V1alpha2), (3, 1, 1));
    assert_eq!(required(Kind::Config, Version::V1alpha2), (0, 0, 1), "a port that is given has a number");
    assert_eq!(required(Kind::Config, Version::V1alpha1).0, 2);
}

#[test]
fn kubectl_prints_url_ready_reason_age() {
    let crd = crd(Kind::Service, Edition::Installed, None);
    let columns: Vec<&str> = crd["spec"]["versions"][1]["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["priority"].is_null())
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["URL", "Ready", "Reason", "Age"]);
    assert_eq!(crd["spec"]["names"]["shortNames"], json!(["llmisvc"]));
    assert_eq!(crd["spec"]["versions"][1]["storage"], true);
}
