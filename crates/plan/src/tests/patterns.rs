//! Workloads of every pattern, and what reaches their pods.

use serde_json::{Value, json};

use super::{carried_out, container, facts, find, keys, plan, pod, routed, service};
use crate::Plan;

fn main_pod() -> Value {
    json!({"containers": [{"name": "main"}]})
}

fn disaggregated() -> Value {
    json!({
        "replicas": 1, "parallelism": {"data": 10, "dataLocal": 2}, "worker": main_pod(),
        "prefill": {"replicas": 1, "parallelism": {"data": 3, "dataLocal": 1}, "worker": main_pod()},
        "router": routed(),
    })
}

fn annotated(spec: Value, annotations: Value) -> Value {
    let mut service = service("demo", spec);
    service["metadata"]["annotations"] = annotations;
    service
}

fn planned(spec: Value) -> Plan {
    plan(&facts(service("demo", spec), &[]))
}

#[test]
fn groups_have_leaders_and_workers_with_their_roles() {
    let plan = planned(disaggregated());
    let main = &find(&plan, "LeaderWorkerSet", "demo-kserve-mn")["spec"]["leaderWorkerTemplate"];
    let prefill = &find(&plan, "LeaderWorkerSet", "demo-kserve-mn-prefill")["spec"]["leaderWorkerTemplate"];
    assert_eq!((&main["size"], &prefill["size"]), (&json!(5), &json!(3)));
    for (group, role) in [(main, "decode"), (prefill, "prefill")] {
        let leader = &group["leaderTemplate"]["metadata"]["labels"];
        assert_eq!(leader["llm-d.ai/role"], role);
        assert_eq!(leader["kserve.io/component"], "workload");
        assert!(group["workerTemplate"]["metadata"]["labels"]["kserve.io/component"].is_null());
    }
    let single = planned(json!({"worker": main_pod(), "parallelism": {"data": 1, "dataLocal": 1}}));
    let group = &find(&single, "LeaderWorkerSet", "demo-kserve-mn")["spec"]["leaderWorkerTemplate"];
    assert_eq!(group["size"], 1);
    assert_eq!(group["leaderTemplate"]["metadata"]["labels"]["llm-d.ai/role"], "both");
}

#[test]
fn a_leader_with_the_sidecar_runs_as_an_account_that_may_read_pods() {
    let plan = planned(disaggregated());
    let binding = find(&plan, "RoleBinding", "demo-kserve-mn-rb");
    assert_eq!(binding["subjects"][0]["name"], "demo-kserve-mn");
    assert_eq!(binding["roleRef"]["name"], "demo-kserve-mn-role");
    let rules = find(&plan, "Role", "demo-kserve-mn-role")["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["resources"] == json!(["pods"])));
    let group = &find(&plan, "LeaderWorkerSet", "demo-kserve-mn")["spec"]["leaderWorkerTemplate"];
    for template in ["leaderTemplate", "workerTemplate"] {
        assert_eq!(group[template]["spec"]["serviceAccountName"], "demo-kserve-mn");
    }
}

#[test]
fn accounts_that_we_make_pull_images_as_the_default_one_does() {
    let pulling = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"},
        "imagePullSecrets": [{"name": "registry"}],
    });
    let single = json!({"prefill": {"template": main_pod()}, "router": routed()});
    for (spec, accounts) in [
        (single, vec!["demo-kserve", "demo-epp-sa"]),
        (disaggregated(), vec!["demo-kserve-mn", "demo-kserve-mn-prefill"]),
    ] {
        let with = plan(&facts(service("demo", spec.clone()), std::slice::from_ref(&pulling)));
        let without = planned(spec);
        for account in accounts {
            let secrets = &find(&with, "ServiceAccount", account)["imagePullSecrets"];
            assert_eq!(*secrets, json!([{"name": "registry"}]), "{account}");
            assert!(find(&without, "ServiceAccount", account)["imagePullSecrets"].is_null());
        }
    }
}

#[test]
fn parts_that_an_edit_takes_out_go() {
    let before = facts(service("demo", disaggregated()), &[]);
    let mut after = carried_out(&before, &plan(&before));
    let gone = |after: &compose::Facts| -> Vec<String> {
        plan(after).absent.iter().map(|key| format!("{} {}", key.kind, key.name)).collect()
    };
    let mut spec = disaggregated();
    spec["prefill"] = Value::Null;
    after.service = service("demo", spec).into();
    assert!(gone(&after).contains(&"LeaderWorkerSet demo-kserve-mn-prefill".to_owned()));
    after.service = service("demo", json!({"router": routed()})).into();
    let gone = gone(&after);
    for key in ["LeaderWorkerSet demo-kserve-mn", "ServiceAccount demo-kserve-mn", "Role demo-kserve-mn-role"]
    {
        assert!(gone.contains(&key.to_owned()), "{key}: {gone:?}");
    }
}

#[test]
fn only_labels_and_annotations_of_known_beginnings_reach_pods() {
    let annotations = json!({
        "kueue.x-k8s.io/a": "1", "prometheus.io/port": "8000", "k8s.v1.cni.cncf.io/networks": "net",
        "leaderworkerset.sigs.k8s.io/exclusive-topology": "zone", "test": "no",
        "serving.kserve.io/model-based-routing-enabled": "false",
    });
    let mut labelled = annotated(
        json!({"worker": main_pod(), "parallelism": {"data": 2, "dataLocal": 1}}),
        annotations.clone(),
    );
    labelled["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "q", "test": "no"});
    let plan_of_group = plan(&facts(labelled.clone(), &[]));
    let group = find(&plan_of_group, "LeaderWorkerSet", "demo-kserve-mn");
    labelled["spec"] = json!({"model": {"uri": "hf://org/tiny", "name": "org/tiny"}});
    let plan_of_one = plan(&facts(labelled, &[]));
    let deployment = find(&plan_of_one, "Deployment", "demo-kserve");
    let template = &group["spec"]["leaderWorkerTemplate"];
    for (metadata, grouped) in [
        (&group["metadata"], true),
        (&template["leaderTemplate"]["metadata"], true),
        (&template["workerTemplate"]["metadata"], true),
        (&deployment["metadata"], false),
        (&deployment["spec"]["template"]["metadata"], false),
    ] {
        assert_eq!(metadata["labels"]["kueue.x-k8s.io/queue-name"], "q");
        assert!(metadata["labels"]["test"].is_null() && metadata["annotations"]["test"].is_null());
        for known in ["kueue.x-k8s.io/a", "prometheus.io/port", "k8s.v1.cni.cncf.io/networks"] {
            assert_eq!(metadata["annotations"][known], annotations[known], "{known}");
        }
        let topology = &metadata["annotations"]["leaderworkerset.sigs.k8s.io/exclusive-topology"];
        assert_eq!(*topology == "zone", grouped);
        assert!(metadata["annotations"]["serving.kserve.io/model-based-routing-enabled"].is_null());
    }
}

#[test]
fn the_number_of_replicas_is_the_services_if_it_says_one() {
    for (kind, name, spec) in [
        ("Deployment", "demo-kserve", json!({})),
        (
            "LeaderWorkerSet",
            "demo-kserve-mn",
            json!({"worker": main_pod(), "parallelism": {"data": 2, "dataLocal": 1}}),
        ),
    ] {
        let unsaid = planned(spec.clone());
        assert!(
            find(&unsaid, kind, name)["spec"]["replicas"].is_null(),
            "the server's default, or who scales it"
        );
        let mut said = spec;
        said["replicas"] = json!(2);
        let facts = facts(service("demo", said), &[]);
        let mut after = carried_out(&facts, &plan(&facts));
        let key = after.objects.iter().find(|(key, _)| key.kind == kind).unwrap().0.clone();
        let mut live = (**after.objects.get_key(&key).unwrap()).clone();
        live["spec"]["replicas"] = json!(7);
        after.objects.insert(live).unwrap();
        assert_eq!(find(&plan(&after), kind, name)["spec"]["replicas"], 2);
    }
}

#[test]
fn managed_devices_reach_the_container_that_is_meant_in_every_pod() {
    let with = |more: Value| {
        let mut annotations = json!({
            "serving.kserve.io/exp-dra-device-class": " gpu.example.com ",
            "serving.kserve.io/exp-dra-device-count": "2",
            "serving.kserve.io/exp-dra-cel-selector": "device.driver == 'a'\n\ndevice.attributes['x'].y",
        });
        for (name, value) in more.as_object().unwrap() {
            annotations[name] = value.clone();
        }
        annotations
    };
    let side = json!({"template": {"containers": [{"name": "main"}, {"name": "side", "image": "i"}]}});
    let first = plan(&facts(annotated(side.clone(), with(json!({}))), &[]));
    let claim =
        &find(&first, "ResourceClaimTemplate", "demo-managed-dra")["spec"]["spec"]["devices"]["requests"][0];
    assert_eq!(claim["name"], "device");
    assert_eq!(claim["exactly"]["deviceClassName"], "gpu.example.com");
    assert_eq!(claim["exactly"]["count"], 2);
    assert_eq!(claim["exactly"]["selectors"].as_array().unwrap().len(), 2);
    let spec = pod(find(&first, "Deployment", "demo-kserve"));
    assert_eq!(spec["resourceClaims"][0]["resourceClaimTemplateName"], "demo-managed-dra");
    let claims = |plan: &Plan, name: &str| {
        container(pod(find(plan, "Deployment", "demo-kserve")), "containers", name)["resources"]["claims"]
            .clone()
    };
    assert_eq!(
        (claims(&first, "main"), claims(&first, "side")),
        (json!([{"name": "managed-device"}]), Value::Null)
    );
    let named = with(json!({"serving.kserve.io/exp-dra-container-name": "side"}));
    let second = plan(&facts(annotated(side, named), &[]));
    assert_eq!(
        (claims(&second, "main"), claims(&second, "side")),
        (Value::Null, json!([{"name": "managed-device"}]))
    );
    let groups = plan(&facts(annotated(disaggregated(), with(json!({}))), &[]));
    for name in ["demo-kserve-mn", "demo-kserve-mn-prefill"] {
        let template = &find(&groups, "LeaderWorkerSet", name)["spec"]["leaderWorkerTemplate"];
        for part in ["leaderTemplate", "workerTemplate"] {
            assert_eq!(
                template[part]["spec"]["resourceClaims"][0]["name"], "managed-device",
                "{name} {part}"
            );
        }
    }
}

#[test]
fn managed_devices_that_are_no_longer_asked_for_go() {
    let before = facts(annotated(json!({}), json!({"serving.kserve.io/exp-dra-device-class": "gpu"})), &[]);
    let mut after = carried_out(&before, &plan(&before));
    after.service = service("demo", json!({})).into();
    let gone = plan(&after).absent;
    assert_eq!(gone.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["demo-managed-dra"]);
}

#[test]
fn a_cache_tier_is_a_volume_with_the_number_of_its_place() {
    let plan = planned(json!({"kvCacheOffloading": {"cpu": "1Gi", "secondary": [
        {"fileSystem": {"emptyDir": {"size": "5Gi"}}},
        {"fileSystem": {"pvc": {"ref": {"name": "claim", "path": "sub"}}}},
        {"fileSystem": {"pvc": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "9Gi"}}}}}},
    ]}}));
    let pod = pod(find(&plan, "Deployment", "demo-kserve"));
    let volume = |name: &str| {
        pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name).unwrap().clone()
    };
    assert_eq!(volume("kv-cache-secondary-0")["emptyDir"]["sizeLimit"], "5Gi");
    assert_eq!(volume("kv-cache-secondary-1")["persistentVolumeClaim"]["claimName"], "claim");
    assert!(volume("kv-cache-secondary-2")["ephemeral"]["volumeClaimTemplate"]["spec"].is_object());
    let main = container(pod, "containers", "main");
    let mounts = main["volumeMounts"].as_array().unwrap();
    for (tier, sub_path) in [(0, Value::Null), (1, json!("sub")), (2, Value::Null)] {
        let path = format!("/mnt/kv-cache-{tier}");
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path.as_str()).unwrap();
        assert_eq!(mount["subPath"], sub_path);
    }
    assert_eq!(main["resources"]["requests"]["ephemeral-storage"], "5Gi");
}

#[test]
fn models_of_every_kind_reach_leaders_workers_and_prefill() {
    let with = |uri: &str| {
        let mut spec = disaggregated();
        spec["model"] = json!({"uri": uri});
        let mut facts = facts(service("demo", spec), &[]);
        facts.settings.storage_initializer.enable_modelcar = true;
        plan(&facts)
    };
    let pods = |plan: &Plan| -> Vec<Value> {
        ["demo-kserve-mn", "demo-kserve-mn-prefill"]
            .iter()
            .flat_map(|name| {
                let template = &find(plan, "LeaderWorkerSet", name)["spec"]["leaderWorkerTemplate"];
                ["leaderTemplate", "workerTemplate"].map(|part| template[part]["spec"].clone())
            })
            .collect()
    };
    for pod in pods(&with("hf://org/tiny")) {
        let download = container(&pod, "initContainers", "storage-initializer");
        assert_eq!(download["args"], json!(["hf://org/tiny", "/mnt/models"]));
    }
    for pod in pods(&with("pvc://claim/sub")) {
        assert!(pod["volumes"].to_string().contains(r#""claimName":"claim""#));
    }
    for pod in pods(&with("oci://registry/model:1")) {
        assert_eq!(pod["shareProcessNamespace"], true);
        let car = container(&pod, "initContainers", "modelcar-init");
        for limit in ["limits", "requests"] {
            assert!(
                car["resources"][limit]["cpu"].is_string() && car["resources"][limit]["memory"].is_string()
            );
        }
        let env = container(&pod, "containers", "main")["env"].as_array().unwrap();
        assert!(env.contains(&json!({"name": "MODEL_INIT_MODE", "value": "async"})));
    }
}

#[test]
fn a_users_initializer_keeps_its_environment_but_not_what_it_runs() {
    let template = json!({
        "containers": [{"name": "main"}],
        "initContainers": [{
            "name": "storage-initializer", "args": ["mine"], "env": [{"name": "HF_XET_HIGH_PERFORMANCE", "value": "0"}],
        }],
    });
    let plan = planned(json!({"template": template}));
    let download =
        container(pod(find(&plan, "Deployment", "demo-kserve")), "initContainers", "storage-initializer");
    assert_eq!(download["args"][0], "hf://org/tiny");
    let env = download["env"].as_array().unwrap();
    assert_eq!(env.iter().filter(|variable| variable["name"] == "HF_XET_HIGH_PERFORMANCE").count(), 1);
    assert!(env.contains(&json!({"name": "HF_XET_HIGH_PERFORMANCE", "value": "0"})));
    assert!(plan.findings.iter().any(|finding| finding.reason == "StorageInitializerOverride"));
}

#[test]
fn a_bucket_is_read_with_the_secrets_values_before_the_accounts_and_the_installations() {
    let secret = |annotations: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": "team", "annotations": annotations},
            "data": {"AWS_ACCESS_KEY_ID": "YQ==", "AWS_SECRET_ACCESS_KEY": "Yg=="},
        })
    };
    let account = |fields: Value| {
        let mut account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "team"}});
        account["secrets"] = fields["secrets"].clone();
        account["metadata"]["annotations"] = fields["annotations"].clone();
        account
    };
    let env = |objects: &[Value]| {
        let mut facts = facts(service("demo", json!({"model": {"uri": "s3://bucket/a"}})), objects);
        let s3 = &mut facts.settings.credentials.s3;
        s3.access_key_id_name = "AWS_ACCESS_KEY_ID".to_owned();
        s3.secret_access_key_name = "AWS_SECRET_ACCESS_KEY".to_owned();
        s3.region = "global".to_owned();
        let plan = plan(&facts);
        let download =
            container(pod(find(&plan, "Deployment", "demo-kserve")), "initContainers", "storage-initializer");
        download["env"].as_array().cloned().unwrap_or_default()
    };
    let by_secret = env(&[
        account(json!({"secrets": [{"name": "s3"}]})),
        secret(
            json!({"serving.kserve.io/s3-region": "near", "serving.kserve.io/s3-endpoint": "http://minio:9000"}),
        ),
    ]);
    for wanted in [
        json!({"name": "AWS_DEFAULT_REGION", "value": "near"}),
        json!({"name": "S3_ENDPOINT", "value": "minio:9000"}),
        json!({"name": "S3_USE_HTTPS", "value": "0"}),
        json!({"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"}),
        json!({"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"key": "AWS_ACCESS_KEY_ID", "name": "s3"}}}),
    ] {
        assert!(by_secret.contains(&wanted), "{wanted}: {by_secret:?}");
    }
    let by_role = env(&[account(json!({"annotations": {
        "eks.amazonaws.com/role-arn": "arn", "serving.kserve.io/s3-useanoncredential": "true",
    }}))]);
    assert!(by_role.contains(&json!({"name": "awsAnonymousCredential", "value": "true"})), "{by_role:?}");
    assert!(by_role.contains(&json!({"name": "AWS_DEFAULT_REGION", "value": "global"})), "{by_role:?}");
    assert!(by_role.iter().all(|variable| variable["name"] != "AWS_ACCESS_KEY_ID"));
}

#[test]
fn a_bundle_of_authorities_is_copied_and_mounted_where_objects_are_fetched() {
    let bundle = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "corp", "namespace": "kserve"},
        "data": {"cabundle.crt": "PEM"},
    });
    let mut facts = facts(service("demo", json!({"model": {"uri": "s3://bucket/a"}})), &[bundle]);
    facts.settings.storage_initializer.ca_bundle_config_map_name = "corp".to_owned();
    facts.settings.storage_initializer.ca_bundle_volume_mount_path = "/certs".to_owned();
    let plan = plan(&facts);
    assert_eq!(find(&plan, "ConfigMap", "global-ca-bundle")["data"]["cabundle.crt"], "PEM");
    let download =
        container(pod(find(&plan, "Deployment", "demo-kserve")), "initContainers", "storage-initializer");
    let env = download["env"].as_array().unwrap();
    assert!(
        env.contains(&json!({"name": "CA_BUNDLE_CONFIGMAP_NAME", "value": "global-ca-bundle"})),
        "{env:?}"
    );
    assert!(env.contains(&json!({"name": "CA_BUNDLE_VOLUME_MOUNT_POINT", "value": "/certs"})), "{env:?}");
    let mounts = download["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["name"] == "cabundle-cert" && mount["mountPath"] == "/certs"));
}

#[test]
fn a_cached_model_is_mounted_from_its_claim() {
    let mut cached = annotated(
        json!({"model": {"uri": "hf://org/tiny"}}),
        json!({
            "internal.serving.kserve.io/localmodel-sourceuri": "hf://org/tiny",
            "internal.serving.kserve.io/localmodel-pvc-name": "cache-nodes",
        }),
    );
    cached["metadata"]["labels"] = json!({"internal.serving.kserve.io/localmodel": "cache"});
    let plan = plan(&facts(cached, &[]));
    let pod = pod(find(&plan, "Deployment", "demo-kserve"));
    assert!(pod["initContainers"].is_null());
    let mount = container(pod, "containers", "main")["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|mount| mount["name"] == "kserve-pvc-source")
        .cloned()
        .unwrap();
    assert!(mount["subPath"].as_str().unwrap().starts_with("models/"), "{mount}");
}

#[test]
fn traces_are_asked_for_once_and_never_over_what_the_user_said() {
    let spec = json!({
        "tracing": {"exporterEndpoint": "http://otel:4317"},
        "template": {"containers": [{
            "name": "main", "args": ["--otlp-traces-endpoint=http://mine:1"], "env": [{"name": "OTEL_SERVICE_NAME", "value": "mine"}],
        }]},
        "prefill": {"template": main_pod()},
        "router": routed(),
    });
    let plan = planned(spec);
    let args = |name: &str| {
        container(pod(find(&plan, "Deployment", name)), "containers", "main")["args"].to_string()
    };
    assert!(!args("demo-kserve").contains("http://otel:4317"), "{}", args("demo-kserve"));
    assert!(args("demo-kserve").contains("--collect-detailed-traces"));
    assert!(args("demo-kserve-prefill").contains("http://otel:4317"));
    assert!(args("demo-kserve-router-scheduler").contains("--tracing=true"));
    let env =
        container(pod(find(&plan, "Deployment", "demo-kserve")), "containers", "main")["env"].to_string();
    assert!(
        env.contains(r#""name":"OTEL_SERVICE_NAME","value":"mine""#)
            && !env.contains("inference-server-decode")
    );
    let untraced = planned(json!({"router": routed()}));
    assert!(
        !untraced
            .steps
            .iter()
            .any(|step| step.objects.iter().any(|object| object.to_string().contains("OTEL_")))
    );
    assert!(keys(&untraced).contains(&"Deployment demo-kserve".to_owned()));
}

#[test]
fn a_confidential_model_is_decrypted_by_the_download() {
    let model = |more: Value| {
        let mut model = json!({
            "uri": "hf://org/tiny", "confidential": {"enabled": true, "resourceId": "kbs:///repo/type/tag"},
        });
        if !more.is_null() {
            model["lora"] = more;
        }
        json!({"model": model})
    };
    for adapters in [Value::Null, json!({"adapters": [{"name": "a", "uri": "hf://org/a"}]})] {
        let plan = planned(model(adapters));
        let download =
            container(pod(find(&plan, "Deployment", "demo-kserve")), "initContainers", "storage-initializer");
        let env = download["env"].as_array().unwrap();
        assert!(env.contains(&json!({"name": "CONFIDENTIAL_ENABLED", "value": "true"})), "{env:?}");
        assert!(env.contains(&json!({"name": "CONFIDENTIAL_RESOURCE_ID", "value": "kbs:///repo/type/tag"})));
    }
}
