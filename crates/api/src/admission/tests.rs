use serde_json::{Value, json};

use super::{Admitted, Refusal, Request, admit};

fn create(kind: &str, version: &str, spec: Value) -> Result<Admitted, Refusal> {
    let object = json!({"apiVersion": format!("serving.kserve.io/{version}"), "kind": kind,
                        "metadata": {"name": "x", "namespace": "a"}, "spec": spec});
    admit(&object, Request::default())
}

fn fields(refusal: &Refusal) -> Vec<&str> {
    refusal.causes.iter().map(|cause| cause.violation.field.as_deref().unwrap_or("-")).collect()
}

#[test]
fn a_service_is_stored_with_its_defaults_and_without_what_nobody_knows() {
    let stored = create(
        "LLMInferenceService",
        "v1alpha2",
        json!({"model": {"uri": "hf://a/b"}, "replicas": 2, "surprise": 1,
               "template": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1024Mi"}},
                                            "ports": [{"containerPort": 80}]}]}}),
    )
    .unwrap();
    assert_eq!(stored.pruned, ["spec.surprise"]);
    assert_eq!(stored.object["spec"]["model"], json!({"uri": "hf://a/b", "name": "x"}));
    let container = &stored.object["spec"]["template"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}]));
}

#[test]
fn missing_values_are_filled_in_for_services_and_refused_in_configs() {
    let stored = create("LLMInferenceService", "v1alpha2", json!({"kvCacheOffloading": {}})).unwrap();
    assert_eq!(stored.object["spec"]["model"]["uri"], "");
    assert_eq!(stored.object["spec"]["kvCacheOffloading"], json!({"cpu": "0", "evictionPolicy": "lru"}));
    let refusal =
        create("LLMInferenceServiceConfig", "v1alpha2", json!({"model": {"name": "x"}})).unwrap_err();
    assert_eq!(fields(&refusal), ["spec.model.uri", "-"]);
}

#[test]
fn empty_values_that_the_user_wrote_are_held_to_the_schema() {
    let refs = json!({"model": {"uri": "x"}, "router": {"gateway": {"refs": [{"name": ""}]}}});
    let refusal = create("LLMInferenceService", "v1alpha2", refs).unwrap_err();
    assert_eq!(fields(&refusal), ["spec.router.gateway.refs[0].name"]);
    let kept =
        create("LLMInferenceService", "v1alpha2", json!({"model": {"uri": "x"}, "labels": {}})).unwrap();
    assert_eq!(kept.object["spec"]["labels"], json!({}));
    let nulls =
        create("LLMInferenceService", "v1alpha2", json!({"model": {"uri": "x"}, "replicas": null})).unwrap();
    assert_eq!(nulls.object["spec"].get("replicas"), None);
}

#[test]
fn configs_keep_their_templates_and_their_own_words() {
    let spec = json!({"template": {"containers": [{"name": "main", "image": "{{ .Spec.Model.Name }}",
        "resources": {"limits": {"memory": "1024Mi"}}, "workingDir": "{{ .Name }}"}]}});
    let stored = create("LLMInferenceServiceConfig", "v1alpha2", spec.clone()).unwrap();
    assert_eq!(stored.object["spec"], spec);
}

#[test]
fn the_older_version_is_stored_as_the_newer_one() {
    let stored = create(
        "LLMInferenceService",
        "v1alpha1",
        json!({"model": {"uri": "hf://a/b", "criticality": "Critical"}, "router": {"scheduler": {"pool": {"spec": {
            "selector": {"a": "b"}, "targetPortNumber": 8000, "extensionRef": {"name": "e", "failureMode": "FailOpen"}}}}}}),
    )
    .unwrap();
    assert_eq!(stored.object["apiVersion"], "serving.kserve.io/v1alpha2");
    assert_eq!(
        stored.object["spec"]["router"]["scheduler"]["pool"]["spec"],
        json!({"selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{"number": 8000}], "appProtocol": "http",
               "endpointPickerRef": {"name": "e", "group": "", "kind": "Service", "failureMode": "FailOpen", "port": {"number": 9002}}})
    );
}

#[test]
fn rules_of_the_schema_come_before_those_of_the_webhook() {
    let refusal = create(
        "LLMInferenceService",
        "v1alpha2",
        json!({"model": {"uri": "x"}, "replicas": 1, "scaling": {"maxReplicas": 2, "wva": {"hpa": {}}},
               "router": {"scheduler": {"replicas": 0}}}),
    )
    .unwrap_err();
    assert_eq!((refusal.code, fields(&refusal)), (422, vec!["spec"]));
    assert_eq!(refusal.causes[0].hint(), "remove replicas to scale, or scaling to keep the number fixed");
}

#[test]
fn keda_behaviour_can_be_said() {
    let scaling = json!({"maxReplicas": 2, "wva": {"keda": {"advanced": {"horizontalPodAutoscalerConfig": {
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}}}}});
    create("LLMInferenceService", "v1alpha2", json!({"model": {"uri": "x"}, "scaling": scaling})).unwrap();
}

#[test]
fn what_go_cannot_read_is_a_bad_request_with_its_place() {
    let refusal =
        create("LLMInferenceService", "v1alpha2", json!({"model": {"uri": "http://[::1"}})).unwrap_err();
    assert_eq!((refusal.code, fields(&refusal)), (400, vec!["spec.model.uri"]));
    let refusal =
        create("LLMInferenceService", "v1alpha2", json!({"template": {"containers": "x"}})).unwrap_err();
    assert_eq!((refusal.code, fields(&refusal)), (400, vec!["spec.template.containers"]));
}

#[test]
fn admitting_what_is_stored_changes_nothing() {
    let spec = json!({"model": {"uri": "hf://a/b"}, "router": {"route": {"http": {"spec": {"hostnames": ["a.example"]}}}},
                      "scaling": {"maxReplicas": 2, "wva": {"hpa": {}}}});
    let once = create("LLMInferenceService", "v1alpha2", spec).unwrap().object;
    assert_eq!(
        once["spec"]["router"]["route"]["http"]["spec"]["rules"][0]["matches"][0]["path"]["value"],
        "/"
    );
    assert_eq!(admit(&once, Request::default()).unwrap().object, once);
}

#[test]
fn other_kinds_pass_untouched() {
    let other =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A"}, "data": {"a": null}});
    assert_eq!(admit(&other, Request::default()).unwrap().object, other);
}
