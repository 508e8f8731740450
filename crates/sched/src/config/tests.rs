use serde_json::json;

use super::*;
use crate::{scheduler::Decider, score::Scorer};

fn error(config: &Value) -> String {
    Scheduler::from_config(config).map(|_| ()).unwrap_err().to_string()
}

fn profile(plugins: Value, references: Value) -> Value {
    json!({
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": [{ "name": "default", "plugins": references }],
    })
}

/// Names and weights of the scorers.
fn scorers(scheduler: &Scheduler) -> Vec<(String, f64)> {
    scheduler.main.scorers.iter().map(|weighted| (weighted.name.to_string(), weighted.weight)).collect()
}

fn kserve_default() -> Value {
    profile(
        json!([
            { "type": "single-profile-handler" }, { "type": "queue-scorer" },
            { "type": "kv-cache-utilization-scorer" }, { "type": "prefix-cache-scorer" },
            { "type": "no-hit-lru-scorer" }, { "type": "max-score-picker" },
        ]),
        json!([
            { "pluginRef": "queue-scorer", "weight": 2 }, { "pluginRef": "kv-cache-utilization-scorer", "weight": 2.0 },
            { "pluginRef": "prefix-cache-scorer", "weight": 3 }, { "pluginRef": "no-hit-lru-scorer", "weight": 2 },
            { "pluginRef": "max-score-picker" },
        ]),
    )
}

#[test]
fn no_configuration_is_the_built_in_profile() {
    let scheduler = Scheduler::from_config(&Value::Null).unwrap();
    assert_eq!(
        scorers(&scheduler),
        [
            ("queue-scorer".to_owned(), 2.0),
            ("kv-cache-utilization-scorer".to_owned(), 2.0),
            ("prefix-cache-scorer".to_owned(), 3.0)
        ]
    );
    assert_eq!(scheduler.main.picker, Picker::MaxScore);
}

#[test]
fn the_profile_that_kserve_writes_is_read() {
    let scheduler = Scheduler::from_config(&kserve_default()).unwrap();
    let names: Vec<(String, f64)> = scorers(&scheduler);
    assert_eq!(names.len(), 4);
    assert_eq!(names[3], ("no-hit-lru-scorer".to_owned(), 2.0));
    assert_eq!(scheduler.producers.len(), 1, "both prefix scorers look at one index");
    assert!(scheduler.warnings().is_empty());
}

#[test]
fn without_profiles_every_filter_scorer_and_picker_takes_part_in_the_order_of_the_file() {
    let config = json!({ "plugins": [
        { "type": "kv-cache-utilization-scorer" }, { "type": "queue-scorer" }, { "type": "random-picker" },
        { "type": "decode-filter" }, { "type": "metrics-data-source" },
    ] });
    let scheduler = Scheduler::from_config(&config).unwrap();
    let names: Vec<String> = scorers(&scheduler).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["kv-cache-utilization-scorer", "queue-scorer"]);
    assert_eq!((scheduler.main.picker, scheduler.main.filters.len()), (Picker::Random, 1));
}

#[test]
fn a_picker_that_no_profile_names_is_used_all_the_same() {
    let plugins = json!([{ "type": "queue-scorer" }, { "type": "random-picker", "parameters": { "maxNumOfEndpoints": -1 } }]);
    let scheduler =
        Scheduler::from_config(&profile(plugins, json!([{ "pluginRef": "queue-scorer" }]))).unwrap();
    assert_eq!((scheduler.main.picker, scheduler.main.picks), (Picker::Random, 1));
}

#[test]
fn several_prefix_producers_are_kept_apart() {
    let config = profile(
        json!([
            { "type": "approx-prefix-cache-producer", "name": "cpu", "parameters": { "autoTune": false, "blockSize": 128, "lruCapacityPerServer": 9 } },
            { "type": "prefix-cache-scorer" },
            { "type": "prefix-cache-scorer", "name": "cpu-scorer", "parameters": { "prefixMatchInfoProducerName": "cpu" } },
        ]),
        json!([{ "pluginRef": "prefix-cache-scorer" }, { "pluginRef": "cpu-scorer" }]),
    );
    let scheduler = Scheduler::from_config(&config).unwrap();
    assert_eq!(scheduler.producers.len(), 2);
    let of = |number: usize| match scheduler.main.scorers[number].scorer {
        Scorer::PrefixCache { producer, .. } => {
            (&*scheduler.producers[producer].name, scheduler.producers[producer].capacity_blocks)
        }
        _ => panic!("a prefix scorer"),
    };
    assert_eq!(of(0), ("approx-prefix-cache-producer", 31_250));
    assert_eq!(of(1), ("cpu", 9));
}

#[test]
fn an_unknown_plugin_names_the_nearest() {
    let config = json!({ "plugins": [{ "type": "queue-scorer" }, { "type": "prefix-cache-score" }] });
    assert_eq!(
        error(&config),
        "plugins[1]: plugin type 'prefix-cache-score' is not registered; did you mean 'prefix-cache-scorer'?"
    );
    assert_eq!(
        error(&json!({ "plugins": [{ "type": "xyz" }] })),
        "plugins[0]: plugin type 'xyz' is not registered"
    );
}

#[test]
fn references_and_names_are_checked() {
    let plugins = json!([{ "type": "queue-scorer" }]);
    assert_eq!(
        error(&profile(plugins.clone(), json!([{ "pluginRef": "queue-scorrer" }]))),
        "schedulingProfiles[default].plugins[0] references undefined plugin 'queue-scorrer'; did you mean 'queue-scorer'?"
    );
    assert_eq!(
        error(&profile(plugins.clone(), json!([{ "weight": 2 }]))),
        "schedulingProfiles[default].plugins[0]: is missing a 'pluginRef'"
    );
    let twice = json!({ "plugins": [{ "type": "queue-scorer" }, { "type": "queue-scorer" }] });
    assert_eq!(
        error(&twice),
        "plugins[1]: duplicate plugin name 'queue-scorer'; give one of them another name"
    );
    assert_eq!(
        error(&json!({ "plugins": [{ "name": "foo" }] })),
        "plugins[0]: plugin 'foo' is missing a type"
    );
    let nameless = json!({ "plugins": plugins, "schedulingProfiles": [{ "plugins": [] }] });
    assert_eq!(error(&nameless), "schedulingProfiles[0]: the profile is missing a name");
    let two = json!({ "plugins": plugins, "schedulingProfiles": [{ "name": "a" }, { "name": "b" }] });
    assert!(error(&two).contains("there are 2 profiles (a, b) and no profile handler"));
}

#[test]
fn fields_and_parameters_are_decoded_strictly() {
    assert!(error(&json!({ "foo": 1 })).contains("unknown field `foo`"));
    assert!(error(&json!({ "kind": "Picker" })).contains("must be EndpointPickerConfig, not 'Picker'"));
    assert!(error(&json!({ "apiVersion": "llm-d.ai/v9" })).contains("must be llm-d.ai/v1alpha1"));
    assert!(error(&json!({ "featureGates": ["dataLayer"] })).contains("feature gate 'dataLayer' is unknown"));
    let unknown = json!({ "plugins": [{ "type": "prefix-cache-scorer", "parameters": { "blockSize": 5 } }] });
    assert!(error(&unknown).starts_with("plugins[0].parameters: unknown field `blockSize`"));
    let text =
        profile(json!([{ "type": "queue-scorer" }]), json!([{ "pluginRef": "queue-scorer", "weight": "2" }]));
    assert!(error(&text).contains("invalid type: string \"2\""));
    let block = json!({ "plugins": [{ "type": "approx-prefix-cache-producer", "parameters": { "autoTune": false, "blockSizeTokens": 0 } }] });
    assert!(error(&block).contains("blockSizeTokens must be > 0"));
    let ignored = json!({ "plugins": [{ "type": "single-profile-handler", "parameters": { "x": 1 } }] });
    assert!(Scheduler::from_config(&ignored).is_ok(), "a plugin without parameters takes any");
}

#[test]
fn what_is_not_built_yet_says_so() {
    let config = json!({ "plugins": [{ "type": "header-profile-handler" }] });
    assert_eq!(
        error(&config),
        "plugins[0]: plugin type 'header-profile-handler' is not supported yet; remove the plugin"
    );
    let config = profile(json!([{ "type": "queue-scorer" }, { "type": "latency-slo-admitter" }]), json!([]));
    assert!(error(&config).contains("plugins[1]: plugin type 'latency-slo-admitter' is not supported yet"));
    let elsewhere = profile(json!([{ "type": "openai-parser" }]), json!([{ "pluginRef": "openai-parser" }]));
    assert_eq!(Scheduler::from_config(&elsewhere).unwrap().warnings().len(), 1);
}

#[test]
fn a_saturation_detector_is_found_in_its_old_and_new_place() {
    let detector = json!([{ "type": "concurrency-detector", "parameters": { "maxConcurrency": 2 } }]);
    let new = json!({ "plugins": detector, "flowControl": { "saturationDetector": { "pluginRef": "concurrency-detector" } },
        "schedulingProfiles": [{ "name": "p" }] });
    let old = json!({ "plugins": detector, "saturationDetector": { "pluginRef": "concurrency-detector" },
        "schedulingProfiles": [{ "name": "p" }] });
    for config in [new, old] {
        let scheduler = Scheduler::from_config(&config).unwrap();
        assert!(matches!(scheduler.saturation, Saturation::Concurrency { max_requests: 2.0, .. }));
    }
    let wrong = json!({ "plugins": [{ "type": "queue-scorer" }], "saturationDetector": { "pluginRef": "queue-scorer" } });
    assert_eq!(
        error(&wrong),
        "saturationDetector: plugin 'queue-scorer' is a queue-scorer, not a saturation detector"
    );
    for threshold in [json!("1s"), json!(1_000_000_000_u64)] {
        let config = json!({ "plugins": [{ "type": "utilization-detector", "parameters": { "metricsStalenessThreshold": threshold } }] });
        let scheduler = Scheduler::from_config(&config).unwrap();
        assert!(matches!(scheduler.saturation, Saturation::Utilization { staleness_ms: 1000, .. }));
    }
}

#[test]
fn an_unknown_policy_names_those_that_there_are() {
    assert_eq!(
        Scheduler::policy("randon").map(|_| ()).unwrap_err().to_string(),
        "no scheduling policy is called 'randon'; known are default, random, round-robin, least-queue; did you mean 'random'?"
    );
    assert!(POLICIES.iter().all(|name| Scheduler::policy(name).is_ok()));
}

/// The configuration that KServe writes for a service with prefill, with other parameters for its handler.
fn disaggregated(handler: Value, deciders: Value) -> Value {
    let mut plugins = vec![
        json!({ "type": "disagg-headers-handler" }),
        json!({ "type": "prefill-filter" }),
        json!({ "type": "decode-filter" }),
        json!({ "type": "prefix-cache-scorer" }),
        handler,
    ];
    plugins.extend(deciders.as_array().cloned().unwrap_or_default());
    json!({ "plugins": plugins, "schedulingProfiles": [
        { "name": "prefill", "plugins": [{ "pluginRef": "prefill-filter" }, { "pluginRef": "prefix-cache-scorer" }] },
        { "name": "decode", "plugins": [{ "pluginRef": "decode-filter" }, { "pluginRef": "prefix-cache-scorer" }] },
    ] })
}

#[test]
fn the_handlers_of_disaggregated_serving_are_read_in_all_their_dialects() {
    let always = json!([{ "type": "always-disagg-pd-decider" }]);
    let uncached = json!([{ "type": "prefix-based-pd-decider", "name": "by-size", "parameters": { "nonCachedTokens": 100 } }]);
    let by_size = Decider::Uncached { uncached_tokens: 100, prompt_tokens: 0, producer: 0 };
    for (kind, parameters, deciders, expected) in [
        (
            "disagg-profile-handler",
            json!({ "deciders": { "prefill": "always-disagg-pd-decider" } }),
            &always,
            Some(Decider::Always),
        ),
        ("disagg-profile-handler", json!({ "deciders": { "prefill": "by-size" } }), &uncached, Some(by_size)),
        (
            "disagg-profile-handler",
            json!({ "prefillDeciderPluginName": "by-size" }),
            &uncached,
            Some(by_size),
        ),
        ("disagg-profile-handler", json!({ "stageOrder": "prefill-first" }), &always, Some(Decider::Always)),
        ("disagg-profile-handler", json!({}), &always, None),
        (
            "pd-profile-handler",
            json!({ "threshold": 0, "hashBlockSize": 5 }),
            &json!([]),
            Some(Decider::Always),
        ),
        ("pd-profile-handler", json!({ "threshold": 399 }), &json!([]), Some(by_size)),
        (
            "pd-profile-handler",
            json!({ "deciderPluginName": "by-size", "primaryPort": 8000 }),
            &uncached,
            Some(by_size),
        ),
    ] {
        let config = disaggregated(json!({ "type": kind, "parameters": parameters }), deciders.clone());
        let scheduler = Scheduler::from_config(&config).unwrap();
        assert_eq!(&*scheduler.main.name, "decode");
        assert_eq!(
            scheduler.prefill.as_ref().map(|prefill| prefill.decider),
            expected,
            "{kind} {parameters}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_handler_is_named() {
    let handler = |parameters: Value| {
        let handler = json!({ "type": "disagg-profile-handler", "parameters": parameters });
        error(&disaggregated(handler, json!([{ "type": "always-disagg-pd-decider" }])))
    };
    assert_eq!(
        handler(json!({ "stageOrder": "foo" })),
        "plugins[4].parameters.stageOrder: invalid stage order 'foo', must be decode-first or prefill-first"
    );
    assert!(
        handler(json!({ "deciders": { "prefill": "nope" } })).contains("references undefined plugin 'nope'")
    );
    assert!(
        handler(json!({ "deciders": { "prefill": "decode-filter" } }))
            .contains("is a decode-filter, not a decider")
    );
    assert_eq!(
        handler(json!({ "profiles": { "decode": "decoder" } })),
        "schedulingProfiles: disagg-profile-handler 'disagg-profile-handler' runs the profile 'decoder', which is not \
         there; did you mean 'decode'?"
    );
    let single = disaggregated(json!({ "type": "single-profile-handler" }), json!([]));
    assert!(error(&single).contains("single-profile-handler 'single-profile-handler' can only run one"));
    let two =
        disaggregated(json!({ "type": "single-profile-handler" }), json!([{ "type": "pd-profile-handler" }]));
    assert!(error(&two).contains("multiple profile handlers found"));
}
