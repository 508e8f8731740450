//! One test for each rule of the catalogue, called like the rule: its example is refused at one field, with words that
//! name the cause and a hint.

use std::collections::BTreeSet;

use kinds::schema::ViolationType;
use serde_json::{Value, json};

use super::{Finding, RULES, Verdict, catalogue, config, main_container, service};

/// Parts of a spec that `spec.prefill` has as well.
const WORKLOAD: [&str; 5] =
    ["spec.worker", "spec.parallelism", "spec.scaling", "spec.kvCacheOffloading", "spec.rolloutStrategy"];

fn read(yaml: &str) -> Value {
    let mut object = yaml::read_value(yaml).unwrap();
    object["metadata"]["name"] = "x".into();
    object
}

fn verdict(rule: &str, object: &Value, old: &Value) -> Verdict {
    match object["kind"].as_str() {
        Some(_) => config(object, None),
        None if rule == "container-main" => {
            Verdict { findings: main_container(object), warnings: Vec::new() }
        }
        None => service(object, (rule == "size-is-fixed").then_some(old), false),
    }
}

fn found(rule: &str, object: &Value, old: &Value) -> Finding {
    let findings = verdict(rule, object, old).findings;
    let mut of_rule: Vec<Finding> = findings.iter().filter(|finding| finding.rule == rule).cloned().collect();
    assert_eq!(of_rule.len(), 1, "{rule}: {findings:?}");
    of_rule.remove(0)
}

fn breaks(test: &str, field: &str, type_: ViolationType, words: &str) {
    let rule = test.replace('_', "-");
    let example = catalogue::find(&rule).unwrap_or_else(|| panic!("no rule {rule}")).example;
    let (mut object, mut old) = (read(example), json!({"spec": {"parallelism": {"pipeline": 2}}}));
    let finding = found(&rule, &object, &old);
    assert_eq!(finding.violation.field.as_deref(), Some(field));
    assert_eq!(finding.violation.type_, type_);
    assert!(finding.violation.detail.contains(words), "{}", finding.violation.detail);
    assert!(finding.hint().len() > 8, "{}", finding.hint());

    if WORKLOAD.iter().any(|part| field.starts_with(part)) {
        for object in [&mut object, &mut old] {
            object["spec"] = json!({"prefill": object["spec"]});
        }
        let finding = found(&rule, &object, &old);
        assert_eq!(finding.violation.field.unwrap(), field.replacen("spec.", "spec.prefill.", 1));
    }
}

macro_rules! broken {
    ($($test:ident: $field:literal, $type:ident, $words:literal;)*) => {
        $(#[test]
        fn $test() {
            breaks(stringify!($test), $field, ViolationType::$type, $words);
        })*

        const TESTED: &[&str] = &[$(stringify!($test)),*];
    };
}

broken! {
    route_refs_and_spec: "spec.router.route.http", Invalid, "choose one";
    route_refs_and_managed_gateway: "spec.router.route.http.refs", Invalid, "cannot be used with a managed gateway";
    route_parents_and_gateway_refs: "spec.router.route.http.spec", Invalid, "conflict with custom gateway refs";
    group_and_ingress: "spec.router.route.group", Invalid, "requires Gateway API routing";
    weight_without_group: "spec.router.route.group", Required, "weight requires group";
    group_without_weight: "spec.router.route.weight", Required, "group requires weight";
    group_and_route_refs: "spec.router.route.group", Invalid, "cannot be used with custom HTTPRoute refs";
    worker_without_parallelism: "spec.worker", Invalid, "parallelism must be configured";
    pipeline_and_data: "spec.parallelism", Invalid, "cannot set both";
    data_without_data_local: "spec.parallelism.dataLocal", Invalid, "dataLocal must be set when data is set";
    data_local_without_data: "spec.parallelism.data", Invalid, "data must be set when dataLocal is set";
    parallelism_not_positive: "spec.parallelism.pipeline", Invalid, "must be greater than 0";
    scheduler_replicas: "spec.router.scheduler.replicas", Invalid, "greater than zero";
    scheduler_config_empty: "spec.router.scheduler.config", Invalid, "either inline or ref is required";
    scheduler_config_twice: "spec.router.scheduler.config", Invalid, "both inline and ref are set";
    scheduler_config_inline: "spec.router.scheduler.config.inline", Invalid, "inline configuration is invalid";
    scheduler_config_ref: "spec.router.scheduler.config.ref.name", Invalid, "name is empty";
    scaling_and_replicas: "spec.scaling", Invalid, "mutually exclusive";
    min_above_max: "spec.scaling.minReplicas", Invalid, "(4) cannot exceed maxReplicas (3)";
    wva_and_keda: "spec.scaling", Invalid, "choose one scaling mechanism";
    neither_wva_nor_keda: "spec.scaling", Required, "either wva or keda";
    keda_without_triggers: "spec.scaling.keda.triggers", Required, "at least one trigger";
    hpa_and_keda: "spec.scaling.wva", Invalid, "choose one actuator backend";
    neither_hpa_nor_keda: "spec.scaling.wva", Required, "either hpa or keda";
    variant_cost: "spec.scaling.wva.variantCost", Invalid, "non-negative numeric string";
    wva_scaling_modifiers: "spec.scaling.wva.keda.advanced.scalingModifiers", Forbidden, "WVA controls";
    hpa_name: "spec.scaling.wva.keda.advanced.horizontalPodAutoscalerConfig.name", Forbidden, "the controller manages the HPA name";
    idle_without_min: "spec.scaling.minReplicas", Required, "minReplicas is required";
    idle_not_below_min: "spec.scaling.wva.keda.idleReplicaCount", Invalid, "must be less than minReplicas (1)";
    scaling_modes_differ: "spec.prefill.scaling", Invalid, "decode uses wva but prefill uses direct keda";
    actuators_differ: "spec.prefill.scaling.wva", Invalid, "decode uses hpa but prefill uses keda";
    lora_limit: "spec.model.lora.maxRank", Invalid, "maxRank must be at least 1";
    adapter_name: "spec.model.lora.adapters[0].name", Required, "adapter name is required";
    adapter_path: "spec.model.lora.adapters[0].name", Invalid, "lead out of it";
    adapter_twice: "spec.model.lora.adapters[1].name", Invalid, "same as adapters[0]";
    adapter_like_model: "spec.model.lora.adapters[0].name", Invalid, "must differ from base model name";
    cache_without_cpu: "spec.kvCacheOffloading.cpu", Required, "cpu must be set";
    cache_tier_kind: "spec.kvCacheOffloading.secondary[0].fileSystem", Required, "fileSystem must be set";
    cache_tier_volume: "spec.kvCacheOffloading.secondary[0].fileSystem", Required, "exactly one of emptyDir or pvc";
    cache_tier_claim: "spec.kvCacheOffloading.secondary[0].fileSystem.pvc", Required, "exactly one of spec or ref";
    cache_tier_claim_name: "spec.kvCacheOffloading.secondary[0].fileSystem.pvc.ref.name", Required, "name is required";
    rollout_amount: "spec.rolloutStrategy.maxSurge", Invalid, "must not be greater than 100%";
    rollout_stuck: "spec.rolloutStrategy", Invalid, "cannot both be zero";
    rollout_needs_surge: "spec.rolloutStrategy.maxSurge", Required, "maxSurge is required";
    device_class_missing: "metadata.annotations[serving.kserve.io/exp-dra-device-class]", Required, "is required to enable managed DRA";
    device_class: "metadata.annotations[serving.kserve.io/exp-dra-device-class]", Invalid, "DNS subdomain";
    device_count: "metadata.annotations[serving.kserve.io/exp-dra-device-count]", Invalid, "must be >= 1";
    device_selector: "metadata.annotations[serving.kserve.io/exp-dra-cel-selector]", Invalid, "at least one non-empty CEL expression";
    device_container: "metadata.annotations[serving.kserve.io/exp-dra-container-name]", Invalid, "DNS label";
    size_is_fixed: "spec.parallelism", NotSupported, "previous size 2, curr size 3";
    confidential_resource: "spec.model.confidential.resourceId", Invalid, "kbs:///<repo>/<type>/<tag>";
    container_main: "spec.template.containers[0].name", Invalid, "called main";
    config_base_refs: "spec.baseRefs", Forbidden, "not a permitted field";
}

#[test]
fn every_rule_has_a_test_of_its_name_and_a_heading_on_the_page() {
    let rules: BTreeSet<String> = RULES.iter().map(|rule| rule.id.to_owned()).collect();
    assert_eq!(rules.len(), RULES.len(), "two rules of one name");
    let tested: BTreeSet<String> = TESTED.iter().map(|test| test.replace('_', "-")).collect();
    assert_eq!(tested, rules);
    let page = include_str!("../../../../docs/validation.md");
    let headings: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("## `")?.strip_suffix('`')?.to_owned()))
        .collect();
    assert_eq!(headings, rules);
}

/// Rules that several values or fields break.
#[test]
fn the_other_ways_to_break_a_rule_are_found_as_well() {
    let tier = |files: &str| {
        format!("spec: {{kvCacheOffloading: {{cpu: 1Gi, secondary: [{{fileSystem: {files}}}]}}}}")
    };
    let dra = |rest: &str| {
        format!(
            "metadata: {{annotations: {{serving.kserve.io/exp-dra-device-class: a, serving.kserve.io/exp-dra-{rest}}}}}"
        )
    };
    let claims = "{pvc: {spec: {accessModes: []}, ref: {name: a}}}";
    for (rule, example, field) in [
        ("parallelism-not-positive", "spec: {parallelism: {data: 0, dataLocal: 1}}".into(), "spec.parallelism.data"),
        ("parallelism-not-positive", "spec: {parallelism: {data: 1, dataLocal: -1}}".into(), "spec.parallelism.dataLocal"),
        ("worker-without-parallelism", "spec: {worker: {containers: []}}".into(), "spec.worker"),
        ("route-parents-and-gateway-refs", "spec: {router: {gateway: {refs: [{name: a, sectionName: s}]}, route: {http: {spec: {parentRefs: [{name: a}]}}}}}".into(), "spec.router.route.http.spec"),
        ("weight-without-group", "spec: {router: {route: {weight: 0}}}".into(), "spec.router.route.group"),
        ("lora-limit", "spec: {model: {lora: {maxAdapters: 0}}}".into(), "spec.model.lora.maxAdapters"),
        ("lora-limit", "spec: {model: {lora: {maxCpuAdapters: -1}}}".into(), "spec.model.lora.maxCpuAdapters"),
        ("adapter-name", "spec: {model: {lora: {adapters: [{name: '', uri: 'hf://a/b'}]}}}".into(), "spec.model.lora.adapters[0].name"),
        ("adapter-path", "spec: {model: {lora: {adapters: [{name: '.', uri: 'hf://a/b'}]}}}".into(), "spec.model.lora.adapters[0].name"),
        ("adapter-like-model", "spec: {model: {lora: {adapters: [{name: x, uri: 'hf://a/b'}]}}}".into(), "spec.model.lora.adapters[0].name"),
        ("cache-without-cpu", "spec: {kvCacheOffloading: {secondary: [{fileSystem: {emptyDir: {size: 1Gi}}}]}}".into(), "spec.kvCacheOffloading.cpu"),
        ("cache-tier-volume", tier("{emptyDir: {size: 1Gi}, pvc: {ref: {name: a}}}"), "spec.kvCacheOffloading.secondary[0].fileSystem"),
        ("cache-tier-claim", tier(claims), "spec.kvCacheOffloading.secondary[0].fileSystem.pvc"),
        ("rollout-amount", "spec: {rolloutStrategy: {maxUnavailable: -1}}".into(), "spec.rolloutStrategy.maxUnavailable"),
        ("rollout-amount", "spec: {rolloutStrategy: {maxUnavailable: half}}".into(), "spec.rolloutStrategy.maxUnavailable"),
        ("rollout-stuck", "spec: {rolloutStrategy: {maxUnavailable: 50%, maxSurge: 0%}}".into(), "spec.rolloutStrategy"),
        ("hpa-name", "spec: {scaling: {maxReplicas: 1, keda: {triggers: [{type: cron}], advanced: {horizontalPodAutoscalerConfig: {name: x}}}}}".into(), "spec.scaling.keda.advanced.horizontalPodAutoscalerConfig.name"),
        ("idle-without-min", "spec: {scaling: {maxReplicas: 1, keda: {triggers: [{type: cron}], idleReplicaCount: 0}}}".into(), "spec.scaling.minReplicas"),
        ("idle-not-below-min", "spec: {scaling: {minReplicas: 1, maxReplicas: 1, keda: {triggers: [{type: cron}], idleReplicaCount: 2}}}".into(), "spec.scaling.keda.idleReplicaCount"),
        ("device-class", "metadata: {annotations: {serving.kserve.io/exp-dra-device-class: ' '}}".into(), "metadata.annotations[serving.kserve.io/exp-dra-device-class]"),
        ("device-count", dra("device-count: many"), "metadata.annotations[serving.kserve.io/exp-dra-device-count]"),
        ("device-container", dra("container-name: ' '"), "metadata.annotations[serving.kserve.io/exp-dra-container-name]"),
    ] {
        let example: String = example;
        let finding = found(rule, &read(&example), &Value::Null);
        assert_eq!(finding.violation.field.as_deref(), Some(field), "{example}");
    }
}

#[test]
fn what_only_looks_like_a_broken_rule_is_accepted() {
    for fine in [
        "spec: {scaling: {maxReplicas: 1, keda: {triggers: [{type: cron}], advanced: {scalingModifiers: {formula: a}}}}}",
        "spec: {scaling: {minReplicas: 1, maxReplicas: 1, keda: {triggers: [{type: cron}], idleReplicaCount: 0}}}",
        "spec: {kvCacheOffloading: {cpu: \"0\"}}",
        "spec: {rolloutStrategy: {maxUnavailable: 0}}",
        "spec: {rolloutStrategy: {maxUnavailable: 0, maxSurge: 1%}}",
        "spec: {model: {lora: {adapters: [{name: a/b, uri: 'hf://a/b'}]}}}",
        "metadata: {annotations: {serving.kserve.io/exp-dra-device-class: a.b, serving.kserve.io/exp-dra-device-count: ' '}}",
        "spec: {parallelism: {data: 4, dataLocal: 4}}",
        "spec: {router: {route: {group: g, weight: 0}}}",
        "spec: {router: {gateway: {refs: [{name: g}]}, route: {http: {refs: [{name: mine}]}}}}",
    ] {
        assert_eq!(service(&read(fine), None, false).findings, [], "{fine}");
    }
}

#[test]
fn encryption_that_has_no_effect_is_a_warning() {
    for (scheme, warnings) in [("oci", 1), ("pvc", 1), ("hf", 0)] {
        let object =
            read(&format!("spec: {{model: {{uri: '{scheme}://a/b', confidential: {{enabled: true}}}}}}"));
        let verdict = service(&object, None, false);
        assert_eq!((verdict.findings.len(), verdict.warnings.len()), (0, warnings), "{scheme}");
    }
}
