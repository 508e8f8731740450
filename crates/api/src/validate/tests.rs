use std::path::Path;

use kinds::schema::ViolationType;
use serde_json::{Value, json};

use super::{catalogue, main_container, name_violation, service};

fn read(example: &str) -> Value {
    let mut object = yaml::read_value(example).unwrap();
    object["metadata"]["name"] = "x".into();
    object
}

#[test]
fn a_plain_service_breaks_no_rule() {
    let object = read(
        "spec: {model: {uri: 'hf://a/b'}, replicas: 3, router: {route: {}, gateway: {}, scheduler: {}}, \
         rolloutStrategy: {maxUnavailable: '50%', maxSurge: 1}}",
    );
    assert_eq!(service(&object, None, false), Default::default());
}

#[test]
fn parents_that_equal_the_gateway_refs_are_only_a_warning_and_in_the_older_version_an_error() {
    let object = read(
        "spec: {router: {gateway: {refs: [{name: b}, {name: a, namespace: n}]}, \
         route: {http: {spec: {parentRefs: [{name: a, namespace: n}, {name: b}]}}}}}",
    );
    let verdict = service(&object, None, false);
    assert_eq!((verdict.findings.len(), verdict.warnings.len()), (0, 1));
    assert_eq!(service(&object, None, true).findings[0].rule, "route-parents-and-gateway-refs");
}

#[test]
fn a_service_that_is_being_deleted_may_lose_its_finalizer_whatever_it_says() {
    let mut object = read("spec: {router: {scheduler: {replicas: 0}}}");
    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(service(&object, Some(&json!({})), false).findings, []);
    assert_eq!(service(&object, None, false).findings.len(), 1);
}

#[test]
fn a_size_that_stays_may_be_said_in_other_words() {
    let old = json!({"spec": {"parallelism": {"data": 4, "dataLocal": 2}}});
    let same = read("spec: {parallelism: {pipeline: 2}, worker: {containers: []}}");
    assert_eq!(service(&same, Some(&old), false).findings, []);
    let other = read("spec: {parallelism: {data: 8, dataLocal: 2}}");
    let found = &service(&other, Some(&old), false).findings[0];
    assert_eq!((found.rule, found.violation.type_), ("size-is-fixed", ViolationType::NotSupported));
}

#[test]
fn one_object_can_break_several_rules_at_once() {
    let object =
        read("spec: {scaling: {minReplicas: 4, maxReplicas: 3}, replicas: 1, router: {route: {weight: 1}}}");
    let rules: Vec<_> = service(&object, None, false).findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(
        rules,
        ["weight-without-group", "scaling-and-replicas", "min-above-max", "neither-wva-nor-keda"]
    );
}

#[test]
fn a_sidecar_with_an_image_may_stand_beside_the_engine() {
    let rules = |containers: &str| {
        main_container(&read(&format!("spec: {{template: {{containers: {containers}}}}}"))).len()
    };
    assert_eq!(rules("[{name: main}, {name: a, image: x}]"), 0);
    assert_eq!(rules("[{name: a, image: x}, {name: b, image: x}]"), 0);
    assert_eq!(rules("[{name: vllm, image: x}]"), 1);
    assert_eq!(rules("[{name: a, image: x}, {name: kserve-container}]"), 1);
    assert_eq!(
        main_container(&read("spec: {baseRefs: [{name: c}], template: {containers: [{name: a}]}}")),
        []
    );
}

#[test]
fn names_are_subdomains_of_at_most_253_bytes() {
    let named = |name: &str| name_violation(&json!({"metadata": {"name": name}}));
    assert_eq!(named("a.b-c.1"), None);
    for bad in ["Bad_Name", "-a", "a-", "a..b", &"x".repeat(254)] {
        assert_eq!(named(bad).unwrap().field.as_deref(), Some("metadata.name"), "{bad}");
    }
    assert_eq!(name_violation(&json!({"metadata": {"generateName": "a-"}})), None);
    assert_eq!(name_violation(&json!({})).unwrap().type_, ViolationType::Required);
}

#[test]
fn the_page_of_the_catalogue_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/validation.md");
    let page = catalogue::markdown();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "run with UPDATE_GENERATED=1");
}
