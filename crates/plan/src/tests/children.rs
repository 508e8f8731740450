//! What a service is planned to have.

use serde_json::{Value, json};

use super::{container, facts, find, keys, plan, pod, routed, service};
use crate::{Part, Seen, judge};

#[test]
fn a_service_with_a_route_and_a_picker_has_all_it_needs_in_order() {
    let plan = plan(&facts(service("demo", json!({"router": routed()})), &[]));
    assert_eq!(
        keys(&plan),
        [
            "Deployment demo-kserve",
            "Service demo-kserve-workload-svc",
            "ServiceAccount demo-epp-sa",
            "ClusterRoleBinding team-demo-epp-auth-rb",
            "Role demo-epp-role",
            "RoleBinding demo-epp-rb",
            "Deployment demo-kserve-router-scheduler",
            "Service demo-epp-service",
            "InferencePool demo-inference-pool",
            "InferencePool demo-inference-pool",
            "HTTPRoute demo-kserve-route",
        ]
    );
    assert_eq!(plan.certificates.len(), 1);
    assert_eq!(plan.failure, None);
    assert_eq!(plan.absent, []);
}

#[test]
fn the_model_is_downloaded_beside_the_engine_and_mounted_read_only() {
    let plan = plan(&facts(service("demo", json!({})), &[]));
    let pod = pod(find(&plan, "Deployment", "demo-kserve"));
    let download = container(pod, "initContainers", "storage-initializer");
    assert_eq!(download["args"], json!(["hf://org/tiny", "/mnt/models"]));
    let mounts = container(pod, "containers", "main")["volumeMounts"].as_array().unwrap();
    assert!(mounts.contains(
        &json!({"mountPath": "/mnt/models", "name": "kserve-provision-location", "readOnly": true})
    ));
}

#[test]
fn a_folder_of_one_machine_is_refused_by_a_cluster_with_a_hint() {
    let spec = json!({"model": {"uri": "file:///models/tiny"}});
    let mut facts = facts(service("demo", spec), &[]);
    let refused = plan(&facts).failure.unwrap();
    assert_eq!(refused.part, Part::SingleNode);
    assert_eq!(refused.reason, "ReconcileSingleNodeWorkloadError");
    assert!(refused.hint.unwrap().contains("llmisvc up"));
    facts.one_machine = true;
    let plan = plan(&facts);
    let pod = pod(find(&plan, "Deployment", "demo-kserve"));
    let download = container(pod, "initContainers", "storage-initializer");
    assert_eq!(download["args"], json!(["file:///models/tiny", "/mnt/models"]));
}

#[test]
fn what_is_written_for_a_cluster_with_tls_and_accounts_runs_on_one_machine_and_says_what_differs() {
    let get = json!({"httpGet": {"path": "/health", "port": 8000, "scheme": "HTTPS"}});
    let main = |args: Value| {
        json!({"serviceAccountName": "reader", "containers": [
            {"name": "main", "args": args, "livenessProbe": get, "readinessProbe": get},
            {"name": "side", "image": "i", "livenessProbe": get},
        ]})
    };
    let spec = json!({
        "template": main(json!(["--seed=1"])), "worker": {"serviceAccountName": "reader"},
        "parallelism": {"data": 2, "dataLocal": 1},
        "prefill": {"template": main(json!(["--ssl-certfile=/c"]))},
    });
    let mut facts = facts(service("demo", spec), &[]);
    assert!(
        plan(&facts).failure.unwrap().message.contains("reader"),
        "a cluster starts no pod of that account"
    );
    facts.one_machine = true;
    let here = plan(&facts);
    assert_eq!(here.failure, None);
    let scheme = |pod: &Value, name: &str, probe: &str| {
        container(pod, "containers", name)[probe]["httpGet"]["scheme"].clone()
    };
    let leader = &find(&here, "LeaderWorkerSet", "demo-kserve-mn")["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
        ["spec"];
    assert_eq!(leader["serviceAccountName"], "reader");
    assert_eq!(scheme(leader, "main", "livenessProbe"), "HTTP");
    assert_eq!(scheme(leader, "main", "readinessProbe"), "HTTP");
    assert_eq!(scheme(leader, "side", "livenessProbe"), "HTTPS", "what a stranger serves is not known");
    let prefill = pod(find(&here, "Deployment", "demo-kserve-prefill"));
    assert_eq!(scheme(prefill, "main", "livenessProbe"), "HTTPS", "it has a certificate of its own");
    let said: Vec<&str> = here.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "ServiceAccount team/reader does not exist: pods run without it, and without its Secrets",
            "probes that ask for HTTPS are asked by HTTP, as engines serve without TLS here",
        ]
    );

    facts.settings.ingress.tls_enabled = true;
    let secure = plan(&facts);
    let leader = &find(&secure, "LeaderWorkerSet", "demo-kserve-mn")["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
        ["spec"];
    assert_eq!(scheme(leader, "main", "livenessProbe"), "HTTPS");
}

#[test]
fn on_one_machine_a_service_runs_with_its_fewest_replicas_and_says_that_nothing_scales() {
    let spec = json!({
        "model": {"uri": "hf://a/b"}, "scaling": {"minReplicas": 3, "maxReplicas": 5, "wva": {"hpa": {}}},
        "prefill": {"scaling": {"maxReplicas": 4, "wva": {"hpa": {}}}},
    });
    let mut facts = facts(service("demo", spec), &[]);
    facts.one_machine = true;
    let first = plan(&facts);
    assert_eq!(first.failure, None);
    let replicas =
        |plan: &crate::Plan, name: &str| find(plan, "Deployment", name)["spec"]["replicas"].clone();
    assert_eq!(replicas(&first, "demo-kserve"), json!(3));
    assert_eq!(replicas(&first, "demo-kserve-prefill"), json!(1));
    let kinds: Vec<&Value> =
        first.steps.iter().flat_map(|step| &step.objects).map(|object| &object["kind"]).collect();
    assert!(!kinds.iter().any(|kind| *kind == "HorizontalPodAutoscaler" || *kind == "ScaledObject"));
    let said: Vec<&str> = first.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "main workload: nothing scales on one machine: it runs with 3, unless `kubectl scale` says otherwise",
            "prefill workload: nothing scales on one machine: it runs with 1, unless `kubectl scale` says otherwise",
        ]
    );
    let judged = judge(
        &facts,
        Ok(&compose::compose(&facts).unwrap()),
        &first,
        &Seen::default(),
        None,
        jiff::Timestamp::UNIX_EPOCH,
    );
    for name in ["ScalingReady", "PrefillScalingReady"] {
        let condition = judged.status.conditions.iter().find(|condition| condition.type_ == name).unwrap();
        assert_eq!(condition.reason.as_deref(), Some("NotOnOneMachine"), "{name}");
    }

    // What a person has set stays.
    let mut live = find(&first, "Deployment", "demo-kserve").clone();
    live["spec"]["replicas"] = json!(2);
    live["metadata"]["managedFields"] =
        json!([{"manager": "kubectl", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    facts.objects.insert(live).unwrap();
    assert_eq!(replicas(&plan(&facts), "demo-kserve"), Value::Null);
}

#[test]
fn objects_of_gs_and_azure_are_downloaded() {
    for uri in ["gs://bucket/model", "azure://account/container/model", "https://example.com/model.tar.gz"] {
        let plan = plan(&facts(service("demo", json!({"model": {"uri": uri}})), &[]));
        let pod = pod(find(&plan, "Deployment", "demo-kserve"));
        assert_eq!(container(pod, "initContainers", "storage-initializer")["args"][0], uri);
    }
}

#[test]
fn an_unknown_scheme_ends_the_plan_before_any_half_of_it() {
    let plan = plan(&facts(service("demo", json!({"model": {"uri": "ftp://x/y"}, "router": routed()})), &[]));
    assert_eq!(keys(&plan), Vec::<String>::new());
    let failure = plan.failure.unwrap();
    assert_eq!(failure.condition, "MainWorkloadReady");
    assert!(failure.message.ends_with("unsupported schema in model URI: ftp://x/y"), "{}", failure.message);
}

#[test]
fn claims_and_images_are_mounted_without_an_initializer() {
    let spec = |uri: &str| json!({"model": {"uri": uri}, "storageInitializer": {"enabled": false}});
    let claim = plan(&facts(service("demo", spec("pvc://claim/sub/path")), &[]));
    let mounts =
        &container(pod(find(&claim, "Deployment", "demo-kserve")), "containers", "main")["volumeMounts"];
    let mount = json!({"mountPath": "/mnt/models", "name": "kserve-pvc-source", "readOnly": true, "subPath": "sub/path"});
    assert!(mounts.as_array().unwrap().contains(&mount), "{mounts}");
    let image = plan(&facts(service("demo", spec("oci+native://registry/model:1")), &[]));
    let volumes = pod(find(&image, "Deployment", "demo-kserve"))["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["image"]["reference"] == "registry/model:1"));
    let hub = plan(&facts(service("demo", spec("hf://org/tiny")), &[]));
    assert!(pod(find(&hub, "Deployment", "demo-kserve"))["initContainers"].is_null());
}

#[test]
fn credentials_of_the_default_account_reach_the_download_alone() {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"},
        "secrets": [{"name": "hub"}],
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub", "namespace": "team"},
        "data": {"HF_TOKEN": "dG9rZW4="},
    });
    let plan = plan(&facts(service("demo", json!({})), &[account, secret]));
    let pod = pod(find(&plan, "Deployment", "demo-kserve"));
    let token =
        json!({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"key": "HF_TOKEN", "name": "hub"}}});
    let env =
        |list: &str, name: &str| container(pod, list, name)["env"].as_array().cloned().unwrap_or_default();
    assert!(env("initContainers", "storage-initializer").contains(&token));
    assert!(!env("containers", "main").contains(&token));
}

#[test]
fn a_missing_secret_is_named() {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"},
        "secrets": [{"name": "gone"}],
    });
    let failure = plan(&facts(service("demo", json!({})), &[account])).failure.unwrap();
    assert!(failure.message.contains("team/gone"), "{}", failure.message);
}

#[test]
fn an_hpa_follows_the_wanted_number_of_replicas() {
    let scaling = json!({"minReplicas": 1, "maxReplicas": 4, "wva": {"hpa": {}}});
    let plan = plan(&facts(service("demo", json!({"scaling": scaling})), &[]));
    let hpa = find(&plan, "HorizontalPodAutoscaler", "demo-kserve-hpa");
    let target = &hpa["spec"]["metrics"][0]["external"]["target"];
    assert_eq!(*target, json!({"type": "AverageValue", "averageValue": "1"}));
    assert!(
        find(&plan, "Deployment", "demo-kserve")["spec"]["replicas"].is_null(),
        "the autoscaler sets them"
    );
}

#[test]
fn a_fallback_says_nothing_that_an_older_keda_does_not_know() {
    let fallback = |behavior: &str| {
        let keda = json!({
            "triggers": [{"type": "cron", "metadata": {}}],
            "fallback": {"failureThreshold": 3, "replicas": 2, "behavior": behavior},
        });
        let spec = json!({"scaling": {"maxReplicas": 4, "keda": keda}});
        let plan = plan(&facts(service("demo", spec), &[]));
        find(&plan, "ScaledObject", "demo-kserve-keda")["spec"]["fallback"].clone()
    };
    assert_eq!(fallback("static"), json!({"failureThreshold": 3, "replicas": 2}));
    assert_eq!(fallback("currentReplicas")["behavior"], "currentReplicas");
}

#[test]
fn a_rule_with_too_many_matches_is_split() {
    let adapters: Vec<Value> =
        (0..8).map(|n| json!({"name": format!("a{n}"), "uri": format!("hf://org/a{n}")})).collect();
    let model = json!({"uri": "hf://org/tiny", "name": "org/tiny", "lora": {"adapters": adapters}});
    let plan = plan(&facts(service("demo", json!({"model": model, "router": routed()})), &[]));
    let rules = find(&plan, "HTTPRoute", "demo-kserve-route")["spec"]["rules"].as_array().unwrap();
    let matches = |rule: &Value| rule["matches"].as_array().map_or(0, Vec::len);
    assert!(rules.iter().all(|rule| matches(rule) <= 64));
    assert!(rules.len() <= 16);
    let split: Vec<usize> = rules
        .iter()
        .filter(|rule| rule["name"].as_str().is_some_and(|name| name.starts_with("v1-model-routing")))
        .map(matches)
        .collect();
    assert_eq!(split, [64, 8], "eight paths for the model and for each adapter");
}

#[test]
fn a_named_account_gets_the_role_of_its_own_pattern() {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mine", "namespace": "team"}});
    let spec = json!({
        "template": {"serviceAccountName": "mine", "containers": [{"name": "main"}]},
        "prefill": {"template": {"containers": [{"name": "main"}]}},
        "router": routed(),
    });
    let plan = plan(&facts(service("demo", spec), &[account]));
    let keys = keys(&plan);
    assert!(keys.contains(&"Role demo-kserve-role".to_owned()), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("-kserve-mn-")), "{keys:?}");
    let binding = find(&plan, "RoleBinding", "demo-kserve-rb");
    assert_eq!(binding["subjects"][0]["name"], "mine");
}

#[test]
fn a_group_of_pods_has_the_size_that_its_parallelism_asks_for() {
    let spec = json!({
        "parallelism": {"data": 8, "dataLocal": 2, "tensor": 1},
        "worker": {"containers": [{"name": "main"}]},
        "router": routed(),
    });
    let plan = plan(&facts(service("demo", spec), &[]));
    let group = find(&plan, "LeaderWorkerSet", "demo-kserve-mn");
    assert_eq!(group["spec"]["leaderWorkerTemplate"]["size"], 4);
    assert!(!keys(&plan).contains(&"Deployment demo-kserve".to_owned()));
}

#[test]
fn a_picker_that_wants_tokens_gets_a_tokenizer_and_its_address() {
    let config = json!({
        "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig",
        "plugins": [{"type": "token-producer"}, {"type": "max-score-picker"}],
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "max-score-picker"}]}],
    });
    let router = json!({"route": {}, "gateway": {}, "scheduler": {"config": {"inline": config}}});
    let plan = plan(&facts(service("demo", json!({"router": router})), &[]));
    find(&plan, "Deployment", "demo-tokenizer");
    let picker =
        container(pod(find(&plan, "Deployment", "demo-kserve-router-scheduler")), "containers", "main");
    let args: Vec<&str> = picker["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        args.iter().any(|arg| arg.contains("http://demo-tokenizer.team.svc.cluster.local:8000")),
        "{args:?}"
    );
}

#[test]
fn adapters_of_a_model_in_an_image_lie_where_the_engine_looks() {
    let model = json!({
        "uri": "oci://registry/model:1", "name": "org/tiny",
        "lora": {"adapters": [{"name": "a", "uri": "hf://org/a"}]},
    });
    let mut facts = facts(service("demo", json!({"model": model})), &[]);
    facts.settings.storage_initializer.enable_modelcar = true;
    let plan = plan(&facts);
    let pod = pod(find(&plan, "Deployment", "demo-kserve"));
    let mount_of = |list: &str, name: &str| {
        let mounts = container(pod, list, name)["volumeMounts"].as_array().cloned().unwrap_or_default();
        mounts
            .into_iter()
            .find(|mount| mount["mountPath"] == "/mnt/lora/a")
            .map(|mount| mount["name"].clone())
    };
    let volume = mount_of("containers", "main");
    assert!(volume.is_some());
    assert_eq!(volume, mount_of("initContainers", "storage-initializer"));
    assert_ne!(volume, Some(json!("kserve-provision-location")), "that one is the modelcar's");
}

#[test]
fn a_program_gets_adapters_plain_and_a_shell_gets_them_quoted() {
    let model = json!({
        "uri": "hf://org/tiny", "name": "org/tiny",
        "lora": {"adapters": [{"name": "a", "uri": "hf://org/a"}]},
    });
    let modules = |spec: Value| {
        let plan = plan(&facts(service("demo", spec), &[]));
        let main = container(pod(find(&plan, "Deployment", "demo-kserve")), "containers", "main").clone();
        let args: Vec<String> = serde_json::from_value(main["args"].clone()).unwrap();
        args[args.iter().position(|arg| arg == "--lora-modules").unwrap() + 1].clone()
    };
    assert_eq!(modules(json!({"model": model})), r#"{"name":"a","path":"/mnt/lora/a"}"#);
    let shell = json!({"containers": [{"name": "main", "command": ["/bin/sh", "-c", "eval \"vllm serve $@\"", "--"]}]});
    assert_eq!(modules(json!({"model": model, "template": shell})), r#"'{"name":"a","path":"/mnt/lora/a"}'"#);
}

#[test]
fn a_bundle_of_authorities_that_does_not_exist_is_told() {
    let mut facts = facts(service("demo", json!({})), &[]);
    facts.settings.storage_initializer.ca_bundle_config_map_name = "corp".to_owned();
    let findings = plan(&facts).findings;
    assert!(findings.iter().any(|finding| finding.message.contains("kserve/corp")), "{findings:?}");
}

fn monitored() -> Value {
    let mut service = service("demo", json!({"router": routed()}));
    service["metadata"]["annotations"] = json!({"serving.kserve.io/enable-prometheus-scraping": "true"});
    service
}

fn monitor_definitions() -> [Value; 2] {
    ["podmonitors", "servicemonitors"].map(|plural| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
        })
    })
}

#[test]
fn monitors_are_made_for_those_who_ask_where_the_cluster_knows_them() {
    let known = monitor_definitions();
    let unasked = plan(&facts(service("demo", json!({"router": routed()})), &known));
    assert!(keys(&unasked).iter().all(|key| !key.contains("Monitor")), "{:?}", keys(&unasked));
    let mut facts = facts(monitored(), &known);
    facts.settings.ingress.tls_enabled = true;
    let asked = plan(&facts);
    let engines = find(&asked, "PodMonitor", "demo-kserve-engine");
    let pods = find(&asked, "Deployment", "demo-kserve");
    let labels = &pods["spec"]["template"]["metadata"]["labels"];
    for (key, value) in engines["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(labels[key], *value);
    }
    assert_eq!(engines["spec"]["podMetricsEndpoints"][0]["scheme"], "https");
    let picker = find(&asked, "ServiceMonitor", "demo-kserve-picker");
    let service = find(&asked, "Service", "demo-epp-service");
    for (key, value) in picker["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(service["metadata"]["labels"][key], *value);
    }
    assert_eq!(asked.steps.last().unwrap().part, Part::Monitors);
}

#[test]
fn monitors_that_nobody_would_read_are_told_and_those_no_longer_asked_for_go() {
    let lacking = plan(&facts(monitored(), &[]));
    assert!(lacking.findings.iter().any(|finding| finding.reason == "MonitoringCRDNotFound"));
    assert!(keys(&lacking).iter().all(|key| !key.contains("Monitor")));
    let before = facts(monitored(), &monitor_definitions());
    let mut after = super::carried_out(&before, &plan(&before));
    after.service = service("demo", json!({"router": routed()})).into();
    let gone: Vec<String> = plan(&after).absent.iter().map(|key| key.name.clone()).collect();
    assert_eq!(gone, ["demo-kserve-engine", "demo-kserve-picker"]);
}

#[test]
fn adapters_with_names_of_models_have_folders_and_volumes_of_their_own() {
    let model = json!({
        "uri": "hf://org/tiny", "name": "org/tiny",
        "lora": {"adapters": [
            {"name": "Org/A_1.x", "uri": "pvc://claim/a"},
            {"name": "a/b", "uri": "pvc://claim/b"},
            {"name": "a-b", "uri": "pvc://claim/c"},
        ]},
    });
    let plan = plan(&facts(service("demo", json!({"model": model})), &[]));
    let mounts =
        &container(pod(find(&plan, "Deployment", "demo-kserve")), "containers", "main")["volumeMounts"];
    let paths: Vec<&str> = mounts
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|mount| mount["mountPath"].as_str())
        .filter(|path| path.starts_with("/mnt/lora/"))
        .collect();
    let distinct: std::collections::BTreeSet<&&str> = paths.iter().collect();
    assert_eq!(distinct.len(), 3, "{paths:?}");
    assert!(paths.contains(&"/mnt/lora/Org-A_1.x") && paths.contains(&"/mnt/lora/a-b"), "{paths:?}");
}
