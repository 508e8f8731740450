//! Routes, gateways, pools and the picker's configuration.

use serde_json::{Value, json};

use super::{carried_out, container, facts, find, keys, plan, pod, routed, service};
use crate::Plan;

fn planned(spec: Value) -> Plan {
    plan(&facts(service("demo", spec), &[]))
}

fn backends(plan: &Plan) -> Vec<Value> {
    let rules = find(plan, "HTTPRoute", "demo-kserve-route")["spec"]["rules"].as_array().unwrap();
    rules.iter().flat_map(|rule| rule["backendRefs"].as_array().cloned().unwrap_or_default()).collect()
}

fn gateway(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": name, "namespace": "team"},
        "spec": {"gatewayClassName": "class", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    })
}

fn config_text(plan: &Plan) -> String {
    let picker =
        container(pod(find(plan, "Deployment", "demo-kserve-router-scheduler")), "containers", "main");
    let args: Vec<String> =
        picker["args"].as_array().unwrap().iter().filter_map(|arg| arg.as_str().map(str::to_owned)).collect();
    let flags = args.iter().filter(|arg| arg.as_str() == "--config-text").count();
    assert_eq!(flags, 1, "{args:?}");
    args[args.iter().position(|arg| arg == "--config-text").unwrap() + 1].clone()
}

fn plugins(plan: &Plan) -> Vec<String> {
    let config = yaml::read_value(&config_text(plan)).unwrap();
    config["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["type"].as_str().map(str::to_owned))
        .collect()
}

fn with_config(plugins: Value) -> Value {
    let config = json!({
        "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", "plugins": plugins,
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "max-score-picker"}]}],
    });
    json!({"router": {"route": {}, "gateway": {}, "scheduler": {"config": {"inline": config}}}})
}

#[test]
fn a_managed_route_leads_to_the_pool_and_a_pickers_service_shows_its_ports() {
    let plan = planned(json!({"router": routed()}));
    let route = find(&plan, "HTTPRoute", "demo-kserve-route");
    assert_eq!(route["spec"]["parentRefs"][0]["name"], "kserve-ingress-gateway");
    assert!(
        backends(&plan).iter().any(|b| b["kind"] == "InferencePool" && b["name"] == "demo-inference-pool")
    );
    assert!(
        backends(&plan).iter().any(|b| b["kind"] == "Service" && b["name"] == "demo-kserve-workload-svc")
    );
    let ports = find(&plan, "Service", "demo-epp-service")["spec"]["ports"].as_array().unwrap();
    let ports: Vec<(&str, i64)> =
        ports.iter().map(|port| (port["name"].as_str().unwrap(), port["port"].as_i64().unwrap())).collect();
    assert_eq!(ports, [("grpc", 9002), ("grpc-health", 9003), ("metrics", 9090), ("zmq", 5557)]);
    let pool = find(&plan, "InferencePool", "demo-inference-pool");
    let selector = json!({
        "app.kubernetes.io/name": "demo", "app.kubernetes.io/part-of": "llminferenceservice", "kserve.io/component": "workload",
    });
    assert_eq!(pool["spec"]["selector"]["matchLabels"], selector);
}

#[test]
fn without_a_scheduler_requests_go_to_the_service() {
    let plan = planned(json!({"router": {"route": {}, "gateway": {}}}));
    assert!(backends(&plan).iter().all(|backend| backend["name"] == "demo-kserve-workload-svc"));
    assert!(keys(&plan).iter().all(|key| !key.starts_with("InferencePool")));
    let selector = &find(&plan, "Service", "demo-kserve-workload-svc")["spec"]["selector"];
    assert_eq!(selector.as_object().unwrap().len(), 3);
}

#[test]
fn a_pool_of_somebody_else_is_used_and_nothing_is_made_for_it() {
    let router = json!({"route": {}, "gateway": {}, "scheduler": {"pool": {"ref": {"name": "theirs"}}}});
    let plan = planned(json!({"router": router}));
    assert!(backends(&plan).iter().any(|b| b["kind"] == "InferencePool" && b["name"] == "theirs"));
    for key in keys(&plan) {
        assert!(
            !key.contains("epp") && !key.contains("router-scheduler") && !key.contains("tokenizer"),
            "{key}"
        );
    }
}

#[test]
fn a_users_route_takes_the_place_of_ours() {
    let before = facts(service("demo", json!({"router": routed()})), &[]);
    let mut after = carried_out(&before, &plan(&before));
    let own = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "mine", "namespace": "team"},
        "spec": {"parentRefs": [{"name": "kserve-ingress-gateway", "namespace": "kserve"}], "rules": []},
    });
    after.objects.insert(own).unwrap();
    after.service =
        service("demo", json!({"router": {"route": {"http": {"refs": [{"name": "mine"}]}}}})).into();
    let gone: Vec<String> = plan(&after).absent.iter().map(|key| key.to_string()).collect();
    assert!(gone.iter().any(|key| key.ends_with("team/demo-kserve-route")), "{gone:?}");
    after.service = service("demo", json!({})).into();
    assert!(plan(&after).absent.iter().any(|key| key.kind == "HTTPRoute"));
}

#[test]
fn gateways_that_are_named_replace_the_default_one_with_their_listener() {
    let router = |section: Value| {
        let mut reference = json!({"name": "edge"});
        if !section.is_null() {
            reference["sectionName"] = section;
        }
        json!({"router": {"route": {}, "gateway": {"refs": [reference]}}})
    };
    for section in [json!("https"), Value::Null] {
        let plan = plan(&facts(service("demo", router(section.clone())), &[gateway("edge")]));
        let parents = find(&plan, "HTTPRoute", "demo-kserve-route")["spec"]["parentRefs"].as_array().unwrap();
        assert_eq!(parents.len(), 1);
        assert_eq!((&parents[0]["name"], &parents[0]["sectionName"]), (&json!("edge"), &section));
    }
}

#[test]
fn what_a_router_refers_to_has_to_exist_and_heals_when_it_comes() {
    let route = |parents: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "mine", "namespace": "team"},
            "spec": {"parentRefs": parents},
        })
    };
    let by_gateway = json!({"route": {}, "gateway": {"refs": [{"name": "gone"}]}});
    let by_parent = json!({"route": {"http": {"spec": {"parentRefs": [{"name": "gone"}]}}}});
    let by_route = json!({"route": {"http": {"refs": [{"name": "mine"}]}}});
    let cases = [
        (&by_gateway, vec![], "GatewaysReady", "Gateway team/gone does not exist"),
        (
            &by_parent,
            vec![],
            "HTTPRoutesReady",
            "Managed HTTPRoute references non-existent Gateway team/gone",
        ),
        (&by_route, vec![], "HTTPRoutesReady", "HTTPRoute team/mine does not exist"),
        (
            &by_route,
            vec![route(json!([]))],
            "HTTPRoutesReady",
            "HTTPRoute target validation failed: HTTPRoute team/mine has no parent gateway references",
        ),
        (
            &by_route,
            vec![route(json!([{"name": "gone"}]))],
            "HTTPRoutesReady",
            "HTTPRoute target validation failed: HTTPRoute team/mine references non-existent Gateway team/gone",
        ),
    ];
    for (router, objects, condition, message) in cases {
        let failure = plan(&facts(service("demo", json!({"router": router})), &objects)).failure.unwrap();
        assert_eq!((failure.condition.as_str(), failure.reason.as_str()), (condition, "RefsInvalid"));
        assert_eq!(failure.message, message);
    }
    let healed = [gateway("gone"), route(json!([{"name": "gone"}]))];
    for router in [by_gateway, by_parent, by_route] {
        assert_eq!(plan(&facts(service("demo", json!({"router": router})), &healed)).failure, None);
    }
}

#[test]
fn routing_by_model_can_be_off_forced_or_left_to_the_gateway() {
    use compose::ModelRouting::{Disabled, Enabled, Forced};
    let mut shy = gateway("edge");
    shy["metadata"]["annotations"] = json!({"serving.kserve.io/model-based-routing-enabled": "false"});
    let adapters = json!([{"name": "a", "uri": "hf://org/a"}]);
    let spec = |own: &str| {
        json!({
            "model": {"uri": "hf://org/tiny", "name": "org/tiny", "lora": {"adapters": adapters}},
            "annotations": {"serving.kserve.io/model-based-routing-enabled": own},
            "router": {"route": {}, "gateway": {"refs": [{"name": "edge"}]}},
        })
    };
    for (mode, gateway, own, by_model) in [
        (Enabled, gateway("edge"), "true", true),
        (Enabled, shy.clone(), "true", false),
        (Forced, shy, "true", true),
        (Disabled, gateway("edge"), "true", false),
        (Forced, gateway("edge"), "false", false),
    ] {
        let mut facts = facts(service("demo", spec(own)), &[gateway]);
        facts.settings.ingress.model_routing = mode;
        let plan = plan(&facts);
        let route = find(&plan, "HTTPRoute", "demo-kserve-route").to_string();
        for model in ["publishers/team/models/org/tiny", "publishers/team/models/a"] {
            assert_eq!(route.contains(&format!(r#""value":"{model}""#)), by_model, "{mode:?} {own} {model}");
        }
    }
}

#[test]
fn the_generated_configuration_fits_the_pattern() {
    let plain = plugins(&planned(json!({"router": routed()})));
    for plugin in [
        "queue-scorer",
        "kv-cache-utilization-scorer",
        "prefix-cache-scorer",
        "no-hit-lru-scorer",
        "max-score-picker",
    ] {
        assert!(plain.contains(&plugin.to_owned()), "{plain:?}");
    }
    let split =
        planned(json!({"router": routed(), "prefill": {"template": {"containers": [{"name": "main"}]}}}));
    for plugin in [
        "disagg-headers-handler",
        "prefill-filter",
        "decode-filter",
        "disagg-profile-handler",
        "active-request-scorer",
    ] {
        assert!(plugins(&split).contains(&plugin.to_owned()), "{:?}", plugins(&split));
    }
    assert!(config_text(&split).contains("prefill") && config_text(&split).contains("decode"));
    let adapters =
        json!({"uri": "hf://org/tiny", "lora": {"adapters": [{"name": "a", "uri": "hf://org/a"}]}});
    let with_adapters = plugins(&planned(json!({"router": routed(), "model": adapters})));
    assert!(with_adapters.contains(&"lora-affinity-scorer".to_owned()), "{with_adapters:?}");
}

#[test]
fn several_pickers_elect_a_leader_and_one_does_not() {
    let flags = |scheduler: Value| {
        let plan = planned(json!({"router": {"route": {}, "gateway": {}, "scheduler": scheduler}}));
        let picker =
            container(pod(find(&plan, "Deployment", "demo-kserve-router-scheduler")), "containers", "main");
        picker["args"].to_string().matches("--ha-enable-leader-election").count()
    };
    assert_eq!(flags(json!({})), 0);
    assert_eq!(flags(json!({"replicas": 1})), 0);
    assert_eq!(flags(json!({"replicas": 2})), 1);
    let own = json!({"replicas": 2, "template": {"containers": [{"name": "main", "args": ["--ha-enable-leader-election"]}]}});
    assert_eq!(flags(own), 1);
    let role = planned(json!({"router": routed()}));
    let rules = find(&role, "Role", "demo-epp-role")["rules"].to_string();
    for word in
        ["leases", "delete", "llm-d.ai", "inferencemodelrewrites", "inferenceobjectives", "inferencemodels"]
    {
        assert!(rules.contains(word), "{word}");
    }
}

#[test]
fn the_old_precise_scorer_becomes_the_three_plugins_of_today() {
    let old = json!([
        {"type": "precise-prefix-cache-scorer", "parameters": {
            "tokenProcessorConfig": {"blockSize": 128, "hashSeed": "99"},
            "indexerConfig": {"tokenizersPoolConfig": {"modelName": "wrong", "uds": {"socketFile": "/old"}}},
        }},
        {"type": "max-score-picker"},
    ]);
    let plan = planned(with_config(old));
    let order = plugins(&plan);
    let place = |name: &str| order.iter().position(|plugin| plugin == name).unwrap();
    assert!(place("token-producer") < place("precise-prefix-cache-producer"));
    assert!(place("precise-prefix-cache-producer") < place("prefix-cache-scorer"));
    let text = config_text(&plan);
    for word in ["demo-tokenizer.team.svc.cluster.local", "/mnt/models/base", "128", "99"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("/old") && !text.contains("wrong"), "{text}");
    assert!(plan.findings.iter().any(|finding| finding.reason == "DeprecatedPlugin"));
    find(&plan, "Deployment", "demo-tokenizer");
    assert!(!config_text(&planned(with_config(json!([{"type": "max-score-picker"}])))).contains("token"));
}

#[test]
fn the_prefix_scorer_loses_what_newer_pickers_refuse() {
    let text = |parameters: Value| {
        let mut plugin = json!({"type": "prefix-cache-scorer"});
        if !parameters.is_null() {
            plugin["parameters"] = parameters;
        }
        let plan = planned(with_config(json!([plugin, {"type": "max-score-picker"}])));
        let config = yaml::read_value(&config_text(&plan)).unwrap();
        let plugins = config["plugins"].as_array().unwrap().clone();
        plugins.into_iter().find(|plugin| plugin["type"] == "prefix-cache-scorer").unwrap()["parameters"]
            .clone()
    };
    let kept = json!({"prefixMatchInfoProducerName": "mine"});
    assert_eq!(
        text(json!({"blockSize": 5, "hashBlockSize": 5, "prefixMatchInfoProducerName": "mine"})),
        kept
    );
    assert_eq!(text(json!({"blockSize": 5})), Value::Null);
    assert_eq!(text(Value::Null), Value::Null);
}

#[test]
fn a_tokenizer_comes_and_goes_with_what_asks_for_it() {
    let asked = json!({"router": {"route": {}, "gateway": {}, "scheduler": {"tokenizer": {}}}});
    let before = facts(service("demo", asked), &[]);
    let first = plan(&before);
    let service_of_it = find(&first, "Service", "demo-tokenizer");
    assert_eq!(service_of_it["spec"]["ports"][0]["name"], "render-http");
    assert_eq!(service_of_it["spec"]["ports"][0]["port"], 8000);
    let labels = &find(&first, "Deployment", "demo-tokenizer")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(service_of_it["spec"]["selector"], *labels);
    let mut after = carried_out(&before, &first);
    after.service = service("demo", json!({"router": routed()})).into();
    let gone: Vec<String> =
        plan(&after).absent.iter().map(|key| format!("{} {}", key.kind, key.name)).collect();
    assert_eq!(gone, ["Deployment demo-tokenizer", "Service demo-tokenizer"]);
}

#[test]
fn the_pickers_account_has_what_the_engines_account_has() {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "mine", "namespace": "team", "annotations": {"role": "reader"}},
        "imagePullSecrets": [{"name": "registry"}],
    });
    let template = json!({"serviceAccountName": "mine", "containers": [{"name": "main"}]});
    let with = plan(&facts(service("demo", json!({"template": template, "router": routed()})), &[account]));
    let copied = find(&with, "ServiceAccount", "demo-epp-sa");
    assert_eq!(copied["metadata"]["annotations"]["role"], "reader");
    assert_eq!(copied["imagePullSecrets"], json!([{"name": "registry"}]));
    let without = planned(json!({"router": routed()}));
    let plain = find(&without, "ServiceAccount", "demo-epp-sa");
    assert!(plain["metadata"]["annotations"].is_null() && plain["imagePullSecrets"].is_null());
}

#[test]
fn a_port_of_the_picker_that_the_user_says_is_kept() {
    let pool = json!({"spec": {"endpointPickerRef": {"name": "demo-epp-service", "port": {"number": 8080}}}});
    let plan = planned(json!({"router": {"route": {}, "gateway": {}, "scheduler": {"pool": pool}}}));
    assert_eq!(
        find(&plan, "InferencePool", "demo-inference-pool")["spec"]["endpointPickerRef"]["port"]["number"],
        8080
    );
}

#[test]
fn a_latency_predictor_brings_its_servers() {
    let servers = |plugin: &str| {
        let plan = planned(with_config(json!([{"type": plugin}, {"type": "max-score-picker"}])));
        let pod = pod(find(&plan, "Deployment", "demo-kserve-router-scheduler")).clone();
        let names: Vec<String> = pod["containers"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|container| container["name"].as_str().map(str::to_owned))
            .collect();
        ["training-server", "prediction-server"].map(|name| names.contains(&name.to_owned()))
    };
    assert_eq!(servers("predicted-latency-producer"), [true, true]);
    assert_eq!(servers("queue-scorer"), [false, false]);
}

#[test]
fn without_tls_the_secret_stays_and_the_service_says_http() {
    let mut facts = facts(service("demo", json!({"router": routed()})), &[]);
    for (tls, scheme) in [(false, "http"), (true, "https")] {
        facts.settings.ingress.tls_enabled = tls;
        let plan = plan(&facts);
        assert_eq!(plan.certificates.len(), 1);
        let port = &find(&plan, "Service", "demo-kserve-workload-svc")["spec"]["ports"][0];
        assert_eq!((&port["name"], &port["appProtocol"]), (&json!(scheme), &json!(scheme)));
    }
}

#[test]
fn a_template_with_its_own_configuration_is_left_alone() {
    for flag in ["--config-text", "--config-file", "-configText", "--configFile"] {
        let template = json!({"containers": [{"name": "main", "args": [flag, "mine"]}]});
        let plan =
            planned(json!({"router": {"route": {}, "gateway": {}, "scheduler": {"template": template}}}));
        let picker =
            container(pod(find(&plan, "Deployment", "demo-kserve-router-scheduler")), "containers", "main");
        let args = picker["args"].to_string();
        assert_eq!(args.matches("onfig").count(), 1, "{flag}: {args}");
        assert!(args.contains("mine"), "{args}");
    }
}

#[test]
fn older_configurations_are_brought_to_the_pickers_version() {
    let config = |version: &str, plugins: Value| {
        let mut spec = with_config(plugins);
        let scheduler = &mut spec["router"]["scheduler"];
        scheduler["config"]["inline"]["apiVersion"] = json!("inference.networking.x-k8s.io/v1alpha1");
        scheduler["annotations"] = json!({"app.kubernetes.io/version": version});
        yaml::read_value(&config_text(&planned(spec))).unwrap()
    };
    let old = json!([
        {"type": "prefill-header-handler"},
        {"type": "pd-profile-handler", "parameters": {"threshold": 5, "hashBlockSize": 5}},
        {"type": "max-score-picker"},
    ]);
    let untouched = config("0.6.0", old.clone());
    assert_eq!(untouched["plugins"][1]["type"], "pd-profile-handler");
    assert_eq!(untouched["apiVersion"], "inference.networking.x-k8s.io/v1alpha1");
    let renamed = config("0.7.0", old.clone());
    let types: Vec<&str> =
        renamed["plugins"].as_array().unwrap().iter().filter_map(|plugin| plugin["type"].as_str()).collect();
    assert_eq!(
        types,
        ["disagg-headers-handler", "prefix-based-pd-decider", "disagg-profile-handler", "max-score-picker"],
        "a decider comes before the handler that uses it"
    );
    assert_eq!(renamed["plugins"][1]["parameters"]["nonCachedTokens"], 2);
    assert_eq!(renamed["plugins"][2]["parameters"]["deciders"]["prefill"], "prefix-based-pd-decider");
    assert!(!renamed.to_string().contains("hashBlockSize"));
    assert_eq!(renamed["apiVersion"], "inference.networking.x-k8s.io/v1alpha1");
    let zero =
        json!([{"type": "pd-profile-handler", "parameters": {"threshold": 0}}, {"type": "max-score-picker"}]);
    assert_eq!(config("0.7.0", zero)["plugins"][0]["type"], "always-disagg-pd-decider");
    for (threshold, tokens) in
        [(json!(100), 25), (json!(5), 2), (json!(1), 1), (json!(3), 1), (json!(7.0), 2), (json!(0.5), 1)]
    {
        let plugins = json!([{"type": "pd-profile-handler", "parameters": {"threshold": threshold}}, {"type": "max-score-picker"}]);
        assert_eq!(
            config("0.7.0", plugins)["plugins"][0]["parameters"]["nonCachedTokens"],
            tokens,
            "{threshold}"
        );
    }
    let extractor = json!([{"type": "model-server-protocol-metrics"}, {"type": "max-score-picker"}]);
    assert_eq!(config("0.7.0", extractor.clone())["plugins"][0]["type"], "model-server-protocol-metrics");
    assert_eq!(config("0.8.0", extractor)["plugins"][0]["type"], "core-metrics-extractor");
    assert_eq!(config("0.9.0", old)["apiVersion"], "llm-d.ai/v1alpha1");
}
