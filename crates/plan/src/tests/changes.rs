//! What a change would do, told before it is done.

use jiff::Timestamp;
use kinds::Objects;
use serde_json::{Value, json};

use super::{carried_out, facts, objects, plan, routed, service};
use crate::{Diff, Plan, Verb, diff, diff_live};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn planned(spec: Value) -> Plan {
    plan(&facts(service("demo", spec), &[]))
}

/// `verb Kind name`, without the certificate.
fn writes(diff: &Diff) -> Vec<String> {
    diff.writes
        .iter()
        .filter(|write| write.change.key.kind != "Secret")
        .map(|write| {
            format!("{} {} {}", write.change.verb.as_str(), write.change.key.kind, write.change.key.name)
        })
        .collect()
}

fn fields(diff: &Diff) -> Vec<String> {
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
    diff.writes
        .iter()
        .flat_map(|write| &write.fields)
        .map(|change| format!("{}: {} -> {}", change.field, shown(&change.from), shown(&change.to)))
        .collect()
}

fn gpu(count: &str) -> Value {
    json!({"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": count}}}]})
}

#[test]
fn a_plan_does_not_differ_from_itself() {
    let plan = planned(json!({"router": routed()}));
    assert_eq!(diff(&plan, &plan), Diff::default());
    assert!(diff(&plan, &plan).is_empty());
}

#[test]
fn more_replicas_need_more_devices_and_restart_nothing() {
    let diff = diff(
        &planned(json!({"template": gpu("2"), "replicas": 1})),
        &planned(json!({"template": gpu("2"), "replicas": 3})),
    );
    assert_eq!(writes(&diff), ["update Deployment demo-kserve"]);
    assert_eq!(fields(&diff), ["spec.replicas: 1 -> 3"]);
    assert_eq!((diff.pods[0].replicas, diff.pods[0].pods, diff.pods[0].restarts), ((1, 3), (1, 3), 0));
    let devices = diff.devices["nvidia.com/gpu"];
    assert_eq!((devices.before, devices.after, devices.change()), (2, 6, 4));
}

#[test]
fn another_template_restarts_the_pods_that_are_there() {
    let image = |image: &str| json!({"containers": [{"name": "main", "image": image}]});
    let spec = |name: &str| json!({"template": image(name), "replicas": 2});
    let diff = diff(&planned(spec("registry/vllm:1")), &planned(spec("registry/vllm:2")));
    assert_eq!(
        fields(&diff),
        [r#"spec.template.spec.containers[main].image: "registry/vllm:1" -> "registry/vllm:2""#]
    );
    assert_eq!(diff.pods[0].restarts, 2);
    assert!(diff.devices.is_empty());
}

#[test]
fn a_group_restarts_as_a_whole_and_its_workers_count() {
    let spec = |gpus: &str| {
        json!({
            "replicas": 2, "parallelism": {"data": 4, "dataLocal": 1},
            "template": gpu(gpus), "worker": gpu(gpus),
        })
    };
    let diff = diff(&planned(spec("1")), &planned(spec("8")));
    let pods = &diff.pods[0];
    assert_eq!(pods.workload.kind, "LeaderWorkerSet");
    assert_eq!((pods.replicas, pods.pods, pods.restarts), ((2, 2), (8, 8), 8));
    assert_eq!((diff.devices["nvidia.com/gpu"].before, diff.devices["nvidia.com/gpu"].after), (8, 64));
}

#[test]
fn from_one_pattern_to_another_pods_go_and_come() {
    let multi = json!({
        "parallelism": {"data": 2, "dataLocal": 1}, "template": gpu("4"), "worker": gpu("4"),
    });
    let diff = diff(&planned(json!({"template": gpu("4")})), &planned(multi));
    let written = writes(&diff);
    assert!(written.contains(&"create LeaderWorkerSet demo-kserve-mn".to_owned()), "{written:?}");
    assert_eq!(written.last().unwrap(), "delete Deployment demo-kserve");
    let counts: Vec<(u32, u32, u32)> = diff.pods.iter().map(|p| (p.pods.0, p.pods.1, p.restarts)).collect();
    assert_eq!(counts, [(1, 0, 0), (0, 2, 0)]);
    assert_eq!(diff.devices["nvidia.com/gpu"].change(), 4);
}

#[test]
fn devices_of_any_vendor_and_claimed_ones_count_by_name() {
    for name in ["amd.com/gpu", "habana.ai/gaudi", "ibm.com/spyre_pf", "google.com/tpu"] {
        let spec = json!({"template": {"containers": [
            {"name": "main", "resources": {"requests": {name: 4, "cpu": "8", "ephemeral-storage": "1Gi"}, "limits": {name: 4}}},
        ]}});
        let diff = diff(&Plan::default(), &planned(spec));
        assert_eq!(diff.devices.keys().collect::<Vec<_>>(), [name]);
        assert_eq!(diff.devices[name].after, 4);
    }
    let mut claimed = service("demo", json!({"replicas": 3}));
    claimed["metadata"]["annotations"] = json!({
        "serving.kserve.io/exp-dra-device-class": "gpu.example.com",
        "serving.kserve.io/exp-dra-device-count": "2",
    });
    let diff = diff(&planned(json!({"replicas": 3})), &plan(&facts(claimed, &[])));
    assert_eq!(diff.devices["DeviceClass/gpu.example.com"].after, 6);
}

#[test]
fn an_autoscaled_workload_begins_with_the_least_replicas() {
    let scaling = json!({"minReplicas": 2, "maxReplicas": 8, "wva": {"hpa": {}}});
    let diff = diff(&Plan::default(), &planned(json!({"template": gpu("1"), "scaling": scaling})));
    assert_eq!(diff.pods[0].replicas, (0, 2));
    assert_eq!(diff.devices["nvidia.com/gpu"].after, 2);
}

/// The objects of a plan as an API server gives them back.
fn stored(plan: &Plan) -> Objects {
    let mut live = Objects::new();
    for object in objects(plan) {
        let mut object = object.clone();
        object["metadata"]["uid"] = json!("u-9");
        object["metadata"]["resourceVersion"] = json!("77");
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        if object["kind"] == "Deployment" {
            object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
            object["spec"]["revisionHistoryLimit"] = json!(10);
            object["spec"]["progressDeadlineSeconds"] = json!(600);
            if object["spec"]["replicas"].is_null() {
                object["spec"]["replicas"] = json!(5);
            }
            let pod = &mut object["spec"]["template"]["spec"];
            pod["restartPolicy"] = json!("Always");
            pod["dnsPolicy"] = json!("ClusterFirst");
            pod["schedulerName"] = json!("default-scheduler");
            for list in ["containers", "initContainers"] {
                for container in pod[list].as_array_mut().into_iter().flatten() {
                    container["terminationMessagePath"] = json!("/dev/termination-log");
                    for port in container["ports"].as_array_mut().into_iter().flatten() {
                        port["protocol"] = json!("TCP");
                    }
                }
            }
            object["status"] = json!({"replicas": 5});
        }
        if object["kind"] == "Service" {
            object["spec"]["clusterIP"] = json!("10.96.0.9");
            object["spec"]["clusterIPs"] = json!(["10.96.0.9"]);
            object["spec"]["internalTrafficPolicy"] = json!("Cluster");
        }
        live.insert(object).unwrap();
    }
    live
}

/// A plan without its certificate, which is another test's matter.
fn uncertified(spec: Value) -> Plan {
    Plan { certificates: Vec::new(), ..planned(spec) }
}

fn edited(live: &Objects, kind: &str, edit: impl FnOnce(&mut Value)) -> Objects {
    let mut live = live.clone();
    let (_, object) = live.iter().find(|(key, _)| key.kind == kind).unwrap();
    let mut object = (**object).clone();
    edit(&mut object);
    live.insert(object).unwrap();
    live
}

#[test]
fn what_a_server_fills_in_is_no_difference() {
    let plan = uncertified(json!({"router": routed()}));
    let live = stored(&plan);
    assert_eq!(diff_live(&plan, &live, now()), Diff::default());
}

#[test]
fn quantities_are_compared_by_their_amount_and_other_text_by_its_letters() {
    let spec = |memory: &str, argument: &str| {
        json!({"template": {"containers": [
            {"name": "main", "args": [argument], "resources": {"limits": {"memory": memory, "cpu": "0.5"}}},
        ]}})
    };
    let plan = uncertified(spec("1024Mi", "1000m"));
    let live = stored(&uncertified(spec("1Gi", "1000m")));
    assert_eq!(diff_live(&plan, &live, now()), Diff::default());
    let other = stored(&uncertified(spec("1Gi", "1")));
    assert_eq!(diff_live(&plan, &other, now()).writes.len(), 1);
}

#[test]
fn without_a_record_what_is_neither_wanted_nor_a_default_goes() {
    let plan = uncertified(json!({}));
    let live = edited(&stored(&plan), "Deployment", |object| {
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "a"});
        object["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "OLD", "value": "1"}));
        object["metadata"]["labels"]["team"] = json!("red");
    });
    let diff = diff_live(&plan, &live, now());
    assert_eq!(
        fields(&diff),
        [
            r#"spec.template.spec.containers[main].env[OLD]: {"name":"OLD","value":"1"} -> -"#,
            r#"spec.template.spec.nodeSelector: {"zone":"a"} -> -"#,
        ]
    );
    assert_eq!(diff.pods[0].restarts, 5, "as many as run");
}

#[test]
fn with_a_record_only_what_was_ours_goes() {
    let plan = uncertified(json!({}));
    let with_record = |manager: &str| {
        edited(&stored(&plan), "Deployment", |object| {
            object["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "a"});
            object["spec"]["template"]["spec"]["hostname"] = json!("h");
            object["metadata"]["managedFields"] = json!([{
                "manager": manager, "operation": "Apply", "apiVersion": "apps/v1",
                "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {}}}}},
            }]);
        })
    };
    assert_eq!(
        fields(&diff_live(&plan, &with_record("llmisvc"), now())),
        [r#"spec.template.spec.nodeSelector: {"zone":"a"} -> -"#]
    );
    assert_eq!(diff_live(&plan, &with_record("kubectl"), now()), Diff::default());
}

#[test]
fn a_new_order_of_variables_is_one_change() {
    let plan = uncertified(json!({}));
    let live = edited(&stored(&plan), "Deployment", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap().swap(0, 1);
    });
    let changes = fields(&diff_live(&plan, &live, now()));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("spec.template.spec.containers[main].env (order)"), "{changes:?}");
}

#[test]
fn a_strangers_object_is_named_and_not_written() {
    let plan = uncertified(json!({}));
    let live = edited(&stored(&plan), "Service", |object| {
        object["metadata"]["ownerReferences"] = json!([]);
        object["spec"]["ports"] = json!([]);
    });
    let diff = diff_live(&plan, &live, now());
    assert!(diff.writes.is_empty() && !diff.is_empty());
    assert_eq!(diff.foreign[0].name, "demo-kserve-workload-svc");
}

#[test]
fn a_certificate_says_why_it_is_issued_anew() {
    let facts = facts(service("demo", json!({})), &[]);
    let plan = plan(&facts);
    let first = diff_live(&plan, &Objects::new(), now());
    assert_eq!(first.writes[0].change.verb, Verb::Create);
    assert_eq!(first.writes[0].change.to_string(), "create v1 Secret team/demo-kserve-self-signed-certs");
    let mut live = carried_out(&facts, &plan).objects;
    assert_eq!(diff_live(&plan, &live, now()), Diff::default(), "a dump without its secrets");
    let mut secret = plan.certificates[0].secret.clone();
    secret["data"] = json!({"tls.key": "bm8ga2V5", "tls.crt": "bm8ga2V5"});
    live.insert(secret).unwrap();
    let later = diff_live(&plan, &live, now());
    assert_eq!(later.writes[0].change.verb, Verb::Update);
    assert_eq!(later.writes[0].reason, Some("tls.key is not a key"));
}

#[test]
fn a_stopped_service_loses_its_pods() {
    let facts = facts(service("demo", json!({"template": gpu("2"), "router": routed()})), &[]);
    let after = carried_out(&facts, &plan(&facts));
    let diff = diff_live(&crate::teardown(&after), &after.objects, now());
    assert!(diff.writes.iter().all(|write| write.change.verb == Verb::Delete));
    assert_eq!(diff.devices["nvidia.com/gpu"].change(), -2);
    assert!(diff.pods.iter().all(|pods| pods.pods.1 == 0 && pods.restarts == 0));
}
