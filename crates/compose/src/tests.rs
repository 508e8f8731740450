//! What a user sees of a composition.

use std::sync::Arc;

use kinds::Objects;
use serde_json::{Value, json};

use crate::{Error, Facts, Merged, Origin, compose, presets};

fn facts(spec: Value, objects: &[Value]) -> Facts {
    let service = json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": "chat", "namespace": "team"},
        "spec": spec,
    });
    let objects = Objects::from_documents(objects.to_vec()).unwrap();
    Facts { service: Arc::new(service), objects, ..Facts::default() }
}

fn config(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceServiceConfig",
        "metadata": {"name": name, "namespace": "team"},
        "spec": spec,
    })
}

fn composed(spec: Value, objects: &[Value]) -> Merged {
    compose(&facts(spec, objects)).unwrap_or_else(|error| panic!("{error}"))
}

fn model() -> Value {
    json!({"uri": "hf://acme/tiny", "name": "tiny"})
}

fn names(merged: &Merged) -> Vec<&str> {
    merged.applied_configs.iter().map(|config| config.name.as_str()).collect()
}

fn command(merged: &Merged, pod: &str) -> Vec<String> {
    let main = merged.spec_json().pointer(&format!("{pod}/containers/0")).unwrap();
    assert_eq!(main["name"], "main");
    main["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_spec_is_read_as_serde_reads_it() {
    use api::v1alpha2::LLMInferenceServiceSpec as Spec;
    use serde::Deserialize;

    let everything = json!({
        "model": model(),
        "storageInitializer": {"enabled": false},
        "replicas": 2,
        "scaling": {"minReplicas": 1, "maxReplicas": 2},
        "parallelism": {"tensor": 8, "dataRPCPort": 5555},
        "labels": {"a": "b"},
        "annotations": null,
        "template": {"containers": [{"name": "main"}]},
        "worker": {"containers": []},
        "kvCacheOffloading": {"cpu": "1Gi"},
        "rolloutStrategy": {"maxSurge": 1},
        "router": {"route": {}, "scheduler": {}},
        "prefill": {"replicas": 3},
        "tracing": {},
        "baseRefs": [{"name": "a"}],
        "unknown": 1,
    });
    let presets = presets::all().iter().map(|preset| &preset.document["spec"]);
    for spec in presets.chain([&everything, &json!({}), &Value::Null, &json!([1])]) {
        assert_eq!(Spec::read(spec).ok(), Spec::deserialize(spec).ok(), "{spec}");
    }
    assert!(Spec::read(&everything).is_ok());
    for (field, _) in everything.as_object().unwrap().iter().filter(|(field, _)| *field != "unknown") {
        let mut wrong = everything.clone();
        wrong[field] = json!("wrong");
        assert!(Spec::read(&wrong).is_err() && Spec::deserialize(&wrong).is_err(), "{field}");
    }
}

#[test]
fn a_model_alone_gets_an_engine_with_a_plain_command_line() {
    let merged = composed(json!({"model": model()}), &[]);
    assert_eq!(names(&merged), ["kserve-config-llm-template"]);
    assert_eq!(
        command(&merged, "/template"),
        [
            "vllm",
            "serve",
            "/mnt/models",
            "--served-model-name",
            "tiny",
            "publishers/team/models/tiny",
            "--port",
            "8000",
            "--disable-uvicorn-access-log",
            "--shutdown-timeout",
            "40"
        ]
    );
    assert_eq!(merged.warnings, []);
    assert!(!merged.applied_configs[0].stored);
}

#[test]
fn options_of_the_service_become_words_of_the_command_line() {
    let mut facts = facts(
        json!({"model": model(), "parallelism": {"tensor": 2}, "kvCacheOffloading": {"cpu": "1Gi", "evictionPolicy": "arc",
            "secondary": [{"fileSystem": {"emptyDir": {"size": "1Gi"}}}]}}),
        &[],
    );
    facts.settings.ingress.tls_enabled = true;
    let words = command(&compose(&facts).unwrap(), "/template");
    assert_eq!(
        words[11..],
        [
            "--tensor-parallel-size=2",
            "--kv-transfer-config={\"kv_connector\":\"OffloadingConnector\",\"kv_connector_extra_config\":\
             {\"cpu_bytes_to_use\":1073741824,\"eviction_policy\":\"arc\",\"secondary_tiers\":\
             [{\"root_dir\":\"/mnt/kv-cache-0\",\"type\":\"fs\"}],\"spec_name\":\"TieringOffloadingSpec\"},\
             \"kv_role\":\"kv_both\"}",
            "--enable-ssl-refresh",
            "--ssl-certfile=/var/run/kserve/tls/tls.crt",
            "--ssl-keyfile=/var/run/kserve/tls/tls.key",
        ]
    );
}

#[test]
fn every_topology_composes_from_our_presets_without_an_empty_word() {
    let workers = json!({"containers": []});
    let cases = [
        json!({}),
        json!({"worker": workers, "parallelism": {"data": 4, "dataLocal": 2, "expert": true}}),
        json!({"worker": workers, "parallelism": {"pipeline": 2, "tensor": 4}}),
        json!({"prefill": {}}),
        json!({"worker": workers, "parallelism": {"data": 2, "dataLocal": 1},
               "prefill": {"worker": workers, "parallelism": {"data": 2, "dataLocal": 1}}}),
        json!({"worker": workers, "parallelism": {"pipeline": 2},
               "prefill": {"worker": workers, "parallelism": {"pipeline": 2}}}),
        json!({"router": {"route": {}, "gateway": {}, "scheduler": {"tokenizer": {}, "config": {"inline": {
               "plugins": [{"type": "predicted-latency-producer"}]}}}}, "tracing": {}}),
    ];
    for tls_enabled in [false, true] {
        for case in &cases {
            let mut spec = case.clone();
            spec["model"] = model();
            let mut facts = facts(spec, &[]);
            facts.settings.ingress.tls_enabled = tls_enabled;
            let merged = compose(&facts).unwrap_or_else(|error| panic!("{case}: {error}"));
            no_empty_words(merged.spec_json(), "");
        }
    }
}

fn no_empty_words(value: &Value, at: &str) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| {
            assert!(item != "" && !item.as_str().is_some_and(|word| word.contains("{{")), "{at}/{i}: {item}");
            no_empty_words(item, &format!("{at}/{i}"));
        }),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| no_empty_words(field, &format!("{at}/{name}")))
        }
        _ => {}
    }
}

#[test]
fn pods_of_a_group_know_their_place_without_a_shell() {
    let merged = composed(
        json!({"model": model(), "worker": {"containers": []}, "parallelism": {"data": 8, "dataLocal": 2, "expert": true}}),
        &[],
    );
    let leader = command(&merged, "/template").join(" ");
    assert!(leader.contains("--data-parallel-size=8 --data-parallel-size-local=2"), "{leader}");
    let worker = command(&merged, "/worker").join(" ");
    assert!(worker.contains("--headless --enable-expert-parallel"), "{worker}");
    assert!(worker.contains("--nnodes=4 --node-rank=$(LWS_WORKER_INDEX)"), "{worker}");
}

#[test]
fn all_presets_are_accepted_by_an_api_server_and_named_after_their_file() {
    assert_eq!(presets::all().len(), 25);
    for preset in presets::all() {
        assert_eq!(preset.document["metadata"]["name"], format!("kserve-{}", preset.name));
        if let Err(refusal) = api::admission::admit(&preset.document, api::admission::Request::default()) {
            panic!("{}: {refusal}", preset.name);
        }
        assert!(!crate::layer::normal(&preset.document["spec"], "").unwrap().is_null());
        let unknown = api::shape::unknown_fields(crate::layer::spec_type(), &preset.document["spec"]);
        assert_eq!(unknown, [], "{}", preset.name);
    }
}

#[test]
fn templates_see_what_a_base_ref_says() {
    // KServe renders with the unmerged service and fails on a nil pointer here.
    let base = config("big", json!({"parallelism": {"tensor": 4}}));
    let merged = composed(json!({"model": model(), "baseRefs": [{"name": "big"}]}), &[base]);
    assert!(command(&merged, "/template").contains(&"--tensor-parallel-size=4".to_owned()));
    assert_eq!(names(&merged), ["kserve-config-llm-template", "big"]);
}

#[test]
fn jinja_in_an_argument_is_literal_and_warned_of() {
    let jinja = "--chat-template={% for m in messages %}{{ m['content'] }}{% endfor %}";
    let spec = json!({"model": model(), "template": {"containers": [{"name": "main", "args": [jinja, "{{ .Name }}"]}]}});
    let merged = composed(spec, &[]);
    assert_eq!(merged.spec_json()["template"]["containers"][0]["args"], json!([jinja, "chat"]));
    assert_eq!(merged.warnings.len(), 1);
    assert_eq!(merged.warnings[0].field, "/spec/template/containers/0/args/0");
    assert!(merged.warnings[0].message.contains("taken literally"), "{}", merged.warnings[0].message);
}

#[test]
fn a_text_in_several_places_counts_in_each() {
    let bad = "{{ messages[0] }}";
    let merged = composed(
        json!({"model": model(), "template": {"containers": [{"name": "main", "env": [
            {"name": "A", "value": bad}, {"name": "B", "value": bad},
        ]}]}}),
        &[],
    );
    let fields: Vec<&str> = merged.warnings.iter().map(|warning| warning.field.as_str()).collect();
    let value = |index: usize| format!("/spec/template/containers/0/env/{index}/value");
    assert_eq!(fields, [value(0), value(1)]);

    // What fails in metadata is left as it is, and is an error all the same where it counts.
    let fails = "{{ .Spec.Nothing }}";
    let mut facts = facts(json!({"model": model(), "labels": {"x": fails}}), &[]);
    Arc::make_mut(&mut facts.service)["metadata"]["annotations"] = json!({"x": fails});
    match compose(&facts) {
        Err(Error::FixTemplate { field, .. }) => assert_eq!(field.as_deref(), Some("/spec/labels/x")),
        other => panic!("{:?}", other.err()),
    }

    let name = "{{ .ObjectMeta.Name }}";
    let base = config(
        "base",
        json!({"labels": {"a": name, name: name}, "template": {"containers": [{
            "name": "main", "args": [name, "{{ omitEmpty }}", name, "{{ omitEmpty }}"],
        }]}}),
    );
    let merged = composed(json!({"model": model(), "baseRefs": [{"name": "base"}]}), &[base]);
    let spec = merged.spec_json();
    assert_eq!(spec["labels"], json!({"a": "chat", "chat": "chat"}));
    assert_eq!(spec["template"]["containers"][0]["args"], json!(["chat", "chat"]));
}

#[test]
fn a_template_that_names_nothing_is_an_error_with_the_nearest_field() {
    let spec = json!({"model": model(), "template": {"containers": [
        {"name": "main", "args": ["{{ .Spec.Parallelizm.Tensor }}"]}]}});
    let error = compose(&facts(spec, &[])).unwrap_err();
    assert_eq!(error.field(), Some("/spec/template/containers/0/args/0"));
    assert_eq!(error.hint().as_deref(), Some("did you mean .Parallelism?"));
    assert_eq!(error.reason(), "CombineBaseError");
    assert!(
        error
            .to_string()
            .ends_with("can't evaluate field Parallelizm in type v1alpha2.LLMInferenceServiceSpec"),
        "{error}"
    );
}

#[test]
fn a_construct_across_strings_is_rendered_as_the_whole_text() {
    let spec = json!({"model": model(), "template": {"containers": [
        {"name": "main", "args": ["{{ if .Spec.Prefill }}--a", "--b{{ end }}", "{{ .Name }}"]}]}});
    let merged = composed(spec, &[]);
    assert_eq!(merged.spec_json()["template"]["containers"][0]["args"], json!(["", "chat"]));
}

#[test]
fn a_value_cannot_break_out_of_its_string() {
    let spec = json!({"model": {"uri": "hf://a/b", "name": "x\",\"--evil"}});
    let error = compose(&facts(spec, &[])).unwrap_err();
    assert!(error.to_string().starts_with("failed to unmarshal config from template"), "{error}");
    assert!(error.field().is_some());
}

#[test]
fn a_list_that_takes_the_place_of_a_presets_is_warned_of() {
    let spec = json!({"model": model(), "template": {"containers": [{"name": "main", "command": ["vllm", "serve"]}]}});
    let merged = composed(spec, &[]);
    assert_eq!(command(&merged, "/template"), ["vllm", "serve"]);
    assert_eq!(merged.warnings[0].field, "/spec/template/containers/0/command");
    assert!(
        merged.warnings[0].message.contains("preset kserve-config-llm-template"),
        "{:?}",
        merged.warnings
    );
}

#[test]
fn a_missing_config_is_named_with_the_nearest_ones() {
    let base = config("fast-gpu", json!({}));
    let error =
        compose(&facts(json!({"model": model(), "baseRefs": [{"name": "fast-gpus"}]}), &[base])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "LLMInferenceServiceConfig \"fast-gpus\" not found in namespaces [team kserve]"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean fast-gpu?"));
    assert_eq!(error.field(), Some("/spec/baseRefs/0/name"));
    assert_eq!(error.reason(), "ConfigNotFound");
}

#[test]
fn an_object_of_a_presets_name_replaces_it() {
    let own = config(
        "kserve-config-llm-template",
        json!({"template": {"containers": [{"name": "main", "image": "own:1"}]}}),
    );
    let merged = composed(json!({"model": model()}), &[own]);
    assert_eq!(
        merged.spec_json()["template"]["containers"],
        json!([{"name": "main", "image": "own:1", "resources": {}}])
    );
    assert_eq!(merged.applied_configs[0].namespace, "team");
}

#[test]
fn origins_tell_preset_base_and_service_apart() {
    let base = config(
        "gpu",
        json!({"template": {"containers": [
        {"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}),
    );
    let merged = composed(
        json!({"model": model(), "baseRefs": [{"name": "gpu"}], "replicas": 2, "router": {"scheduler": {}},
               "template": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}),
        &[base],
    );
    let of = |pointer: &str| merged.origins.of(pointer).clone();
    assert_eq!(
        of("/spec/template/containers/0/image"),
        Origin::Preset("kserve-config-llm-template".to_owned())
    );
    assert_eq!(
        of("/spec/template/containers/0/resources/limits/nvidia.com~1gpu"),
        Origin::BaseRef("gpu".to_owned())
    );
    assert_eq!(of("/spec/template/containers/0/env/0/value"), Origin::Service);
    assert_eq!(
        of("/spec/template/containers/0/env/1/value"),
        Origin::Preset("kserve-config-llm-template".to_owned())
    );
    assert_eq!(of("/spec/replicas"), Origin::Service);
    assert!(matches!(of("/spec/router/scheduler/template/serviceAccountName"), Origin::Composed(_)));
    let fields = merged.origins.fields(&merged.document);
    assert!(
        fields.iter().any(|(pointer, origin)| pointer == "/spec/replicas" && **origin == Origin::Service)
    );
}

#[test]
fn layers_that_contradict_each_other_are_refused_with_the_configs() {
    let base = config("scaled", json!({"scaling": {"minReplicas": 1, "maxReplicas": 3, "wva": {"hpa": {}}}}));
    let error =
        compose(&facts(json!({"model": model(), "replicas": 2, "baseRefs": [{"name": "scaled"}]}), &[base]))
            .unwrap_err();
    assert_eq!(error.reason(), "InvalidRenderedConfig");
    assert_eq!(
        error.to_string(),
        "dry-run validation failed after merging configs [Preset:kserve/kserve-config-llm-template, UserRef:team/scaled]: \
         spec: Invalid value: replicas and scaling are mutually exclusive; use scaling for autoscaled deployments or \
         replicas for static deployments"
    );
    assert_eq!(error.applied_configs().len(), 2);
}

#[test]
fn a_service_stays_with_the_presets_it_first_had() {
    let mut facts = facts(json!({"model": model(), "router": {"route": {}}}), &[]);
    let mut service = (*facts.service).clone();
    service["status"]["annotations"] =
        json!({"serving.kserve.io/config-llm-template": "v1-kserve-config-llm-template"});
    facts.service = Arc::new(service);
    facts.config_prefix = "v2-kserve-".to_owned();
    let merged = compose(&facts).unwrap();
    // The route belongs to the gateway's version and is never pinned.
    assert_eq!(names(&merged), ["v2-kserve-config-llm-router-route", "v1-kserve-config-llm-template"]);
    assert_eq!(merged.pins["serving.kserve.io/config-llm-tracing"], "v2-kserve-config-llm-tracing");
    assert_eq!(merged.pins.len(), 11);
    facts.pin_presets = false;
    assert_eq!(compose(&facts).unwrap().applied_configs[1].name, "v2-kserve-config-llm-template");
}

#[test]
fn the_picker_config_comes_inline_or_from_a_config_map() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "picker", "namespace": "team"},
                     "data": {"epp": "plugins:\n- type: queue-scorer\n"}});
    let spec = |config: Value| json!({"model": model(), "router": {"scheduler": {"config": config}}});
    let merged = composed(spec(json!({"ref": {"name": "picker", "key": "epp"}})), &[map]);
    let config = merged.scheduler_config.unwrap();
    assert_eq!(config.text, "plugins:\n- type: queue-scorer\n");
    assert_eq!(config.config_map, Some(("team".to_owned(), "picker".to_owned())));
    assert_eq!(
        merged.document["spec"]["router"]["scheduler"]["config"],
        json!({"inline": {"plugins": [{"type": "queue-scorer"}]}})
    );
    let missing = compose(&facts(spec(json!({"ref": {"name": "picker", "key": "epp"}})), &[])).unwrap_err();
    assert!(matches!(&missing, Error::CreateConfigMap { config_map, .. } if config_map == "team/picker"));
}

#[test]
fn an_adapter_of_an_unknown_scheme_is_refused_with_its_field() {
    let spec = json!({"model": {"uri": "hf://a/b", "name": "m", "lora": {"adapters": [{"name": "a", "uri": "gs://x/y"}]}}});
    let error = compose(&facts(spec, &[])).unwrap_err();
    assert_eq!(error.field(), Some("/spec/model/lora/adapters/0/uri"));
    assert!(error.to_string().contains("unsupported URI scheme \"gs://\""), "{error}");
}
