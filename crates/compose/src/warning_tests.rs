//! Whatever a user's list takes away from what others put there is said.

use std::sync::Arc;

use kinds::Objects;
use serde_json::{Value, json};

use crate::fixture::{self, main};
use crate::{Facts, Merged, compose};

const BASE: &str = "everything";

/// A service over a config that fills every kind of list.
fn composed(spec: Value) -> Merged {
    let base = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
        "metadata": {"name": BASE, "namespace": "team"},
        "spec": {"template": {
            "tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "spot", "operator": "Exists"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "imagePullSecrets": [{"name": "pull"}],
            "topologySpreadConstraints": [
                {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
            "initContainers": [{"name": "first", "image": "i"}],
            "containers": [
                {"name": "main", "args": ["--a", "--b"], "env": [{"name": "A", "value": "1"}],
                 "envFrom": [{"configMapRef": {"name": "m"}}],
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                 "securityContext": {"capabilities": {"add": ["NET_RAW"]}}},
                {"name": "side", "image": "s"}],
        }},
    });
    fixture::composed(json!({"baseRefs": [{"name": BASE}], "template": spec}), vec![base])
}

/// Fields that are warned of, with the number of items that are gone.
fn warned(spec: Value) -> Vec<(String, String)> {
    let merged = composed(spec);
    merged.warnings.iter().map(|warning| (warning.field.clone(), warning.message.clone())).collect()
}

#[test]
fn lists_without_a_key_are_replaced_and_that_is_said() {
    for (spec, field, gone) in [
        (main(json!({"args": ["--c"]})), "containers/0/args", "2 of its items are"),
        (main(json!({"args": ["--b", "--c"]})), "containers/0/args", "1 of its items is"),
        (
            main(json!({"envFrom": [{"secretRef": {"name": "s"}}]})),
            "containers/0/envFrom",
            "1 of its items is",
        ),
        (
            main(json!({"securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}})),
            "containers/0/securityContext/capabilities/add",
            "1 of its items is",
        ),
        (json!({"tolerations": [{"key": "tpu", "operator": "Exists"}]}), "tolerations", "2 of its items are"),
    ] {
        let said = warned(spec);
        assert_eq!(said.len(), 1, "{field}: {said:?}");
        assert_eq!(said[0].0, format!("/spec/template/{field}"));
        assert!(said[0].1.contains(gone) && said[0].1.contains("baseRef everything"), "{}", said[0].1);
    }
}

#[test]
fn lists_with_a_key_lose_nothing_and_nothing_is_said() {
    for spec in [
        main(json!({"env": [{"name": "B", "value": "2"}]})),
        main(json!({"env": [{"name": "A", "value": "2"}]})),
        main(json!({"volumeMounts": [{"name": "data", "mountPath": "/more"}]})),
        main(json!({"args": ["--a", "--b", "--c"]})),
        main(json!({"args": []})),
        json!({"containers": [{"name": "other", "image": "o"}]}),
        json!({"initContainers": [{"name": "second", "image": "i"}]}),
        json!({"volumes": [{"name": "more", "emptyDir": {}}]}),
        json!({"imagePullSecrets": [{"name": "other"}]}),
        json!({"topologySpreadConstraints": [
            {"topologyKey": "host", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}]}),
        json!({"tolerations": []}),
    ] {
        assert_eq!(warned(spec.clone()), [], "{spec}");
    }
    let merged = composed(json!({"containers": [{"name": "other", "image": "o"}]}));
    let names: Vec<&Value> = merged.spec_json()["template"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["name"])
        .collect();
    assert_eq!(names, ["other", "main", "side"]);
}

#[test]
fn what_the_result_breaks_is_told_with_the_path_of_the_field() {
    let base = |spec: Value| {
        json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
               "metadata": {"name": "b", "namespace": "team"}, "spec": spec})
    };
    let refused = |below: Value, own: Value| {
        let mut spec = own;
        spec["model"] = json!({"uri": "hf://a/b", "name": "m"});
        spec["baseRefs"] = json!([{"name": "b"}]);
        let service = json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
            "metadata": {"name": "chat", "namespace": "team"}, "spec": spec});
        let objects = Objects::from_documents(vec![base(below)]).unwrap();
        match compose(&Facts { service: Arc::new(service), objects, ..Facts::default() }) {
            Err(crate::Error::FixCombination { causes, .. }) => {
                causes.into_iter().map(|cause| cause.field).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    // A rule in CEL, a rule of the webhook, and the schema.
    assert_eq!(
        refused(json!({"scaling": {"maxReplicas": 3, "wva": {"hpa": {}}}}), json!({"replicas": 1})),
        ["spec"]
    );
    assert_eq!(
        refused(json!({"parallelism": {"data": 2, "dataLocal": 1}}), json!({"parallelism": {"pipeline": 2}})),
        ["spec.parallelism"]
    );
    assert_eq!(
        refused(
            json!({"router": {"route": {"http": {"spec": {"hostnames": ["{{ .Name }}_x"]}}}}}),
            json!({"router": {"route": {}}})
        ),
        ["spec.router.route.http.spec.hostnames[0]"]
    );
}

#[test]
fn an_accelerator_config_that_leaves_pods_to_another_one_is_warned_of() {
    let merged = |name: &str, spec: Value| {
        let mut whole = spec;
        whole["model"] = json!({"uri": "hf://a/b", "name": "m"});
        whole["baseRefs"] = json!([{"name": name}]);
        let service = json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
            "metadata": {"name": "chat", "namespace": "team"}, "spec": whole});
        compose(&Facts { service: Arc::new(service), ..Facts::default() }).unwrap_or_else(|e| panic!("{e}"))
    };
    let rocm = "kserve-config-llm-template-amd-rocm";
    assert_eq!(merged(rocm, json!({})).warnings, []);
    let split = merged(rocm, json!({"prefill": {}}));
    assert_eq!(split.warnings.len(), 1);
    assert_eq!(split.warnings[0].field, "/spec/baseRefs/0/name");
    let several = merged(
        "kserve-config-llm-multi-node-template-nvidia-cuda",
        json!({"parallelism": {"data": 2, "dataLocal": 1}}),
    );
    assert_eq!(several.warnings, []);
    assert_eq!(several.applied_configs[0].name, "kserve-config-llm-worker-data-parallel");
}

#[test]
fn each_accelerator_has_its_image_devices_and_environment() {
    let merged = |name: &str| {
        let service = json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
            "metadata": {"name": "chat", "namespace": "team"},
            "spec": {"model": {"uri": "hf://a/b", "name": "m"},
                     "baseRefs": [{"name": format!("kserve-config-llm-template-{name}")}]}});
        compose(&Facts { service: Arc::new(service), ..Facts::default() }).unwrap_or_else(|e| panic!("{e}"))
    };
    for (name, image, resource) in [
        ("nvidia-cuda", "llm-d-cuda", Some("nvidia.com/gpu")),
        ("amd-rocm", "llm-d-rocm", Some("amd.com/gpu")),
        ("intel-gaudi", "llm-d-hpu", Some("habana.ai/gaudi")),
        ("ibm-spyre-x86", "vllm-spyre", Some("ibm.com/spyre_pf")),
        ("ibm-spyre-ppc64le", "vllm-spyre", Some("ibm.com/spyre_pf")),
        ("ibm-spyre-s390x", "vllm-spyre", Some("ibm.com/spyre_vf")),
        ("cpu", "llm-d-cpu", None),
    ] {
        let merged = merged(name);
        let engine = merged.spec_json().pointer("/template/containers/0").unwrap();
        assert_eq!(engine["name"], "main");
        assert!(engine["image"].as_str().unwrap().contains(image), "{name}");
        // The command line is the preset's, with no shell.
        assert_eq!(engine["command"][0], "vllm");
        assert_eq!(engine["args"], Value::Null);
        assert_eq!(engine["readinessProbe"]["httpGet"]["path"], "/health");
        match resource {
            Some(resource) => assert_eq!(engine["resources"]["limits"], json!({resource: "1"}), "{name}"),
            None => assert_eq!(engine["resources"], json!({}), "{name}"),
        }
        assert_eq!(merged.warnings, []);
    }
    let spyre = merged("ibm-spyre-s390x");
    assert_eq!(spyre.spec_json()["template"]["schedulerName"], "spyre-scheduler");
}
