//! What is said about a service.

use api::conditions::{Condition, ConditionStatus};
use api::v1alpha2::LLMInferenceServiceStatus;
use compose::Facts;
use jiff::Timestamp;
use kinds::Objects;
use serde_json::{Value, json};

use super::{carried_out, facts, plan, routed, service};
use crate::{Judged, Seen, judge};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Plans, carries out, adds what the cluster reports, and judges.
fn judged(
    facts: &Facts,
    reports: &[Value],
    previous: Option<&LLMInferenceServiceStatus>,
    now: Timestamp,
) -> Judged {
    let plan = plan(facts);
    let mut after = carried_out(facts, &plan);
    for report in reports {
        after.objects.add_document(report.clone()).unwrap();
    }
    let merged = compose::compose(facts).unwrap();
    let seen = Seen { objects: after.objects, ..Seen::default() };
    judge(facts, Ok(&merged), &plan, &seen, previous, now)
}

fn condition<'j>(judged: &'j Judged, name: &str) -> &'j Condition {
    judged.status.conditions.iter().find(|condition| condition.type_ == name).unwrap()
}

fn reason(judged: &Judged, name: &str) -> String {
    condition(judged, name).reason.clone().unwrap_or_default()
}

fn report(api_version: &str, kind: &str, name: &str, status: Value) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": "team"},
        "status": status,
    })
}

fn available(name: &str) -> Value {
    let status = json!({"availableReplicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    report("apps/v1", "Deployment", name, status)
}

fn accepted(kind: &str, api_version: &str, name: &str) -> Value {
    let conditions = json!([
        {"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs"},
    ]);
    let parent = json!({"parentRef": {"name": "kserve-ingress-gateway", "namespace": "kserve"}, "conditions": conditions});
    report(api_version, kind, name, json!({"parents": [parent]}))
}

fn all_is_well() -> Vec<Value> {
    vec![
        available("demo-kserve"),
        available("demo-kserve-router-scheduler"),
        accepted("HTTPRoute", "gateway.networking.k8s.io/v1", "demo-kserve-route"),
        accepted("InferencePool", "inference.networking.k8s.io/v1", "demo-inference-pool"),
    ]
}

#[test]
fn a_service_is_ready_when_a_request_would_be_answered() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let waiting = judged(&facts, &[], None, at(1));
    assert_eq!(condition(&waiting, "Ready").status, ConditionStatus::False);
    assert_eq!(reason(&waiting, "MainWorkloadReady"), "Progressing");
    let ready = judged(&facts, &all_is_well(), Some(&waiting.status), at(2));
    assert_eq!(condition(&ready, "Ready").status, ConditionStatus::True, "{:?}", ready.status.conditions);
    assert_eq!(ready.status.url.as_deref(), Some("http://203.0.113.7/team/demo"));
    assert_eq!(ready.events.len(), 1);
    assert_eq!(ready.events[0].reason, "LLMInferenceServiceReady");
    let lost = judged(&facts, &all_is_well()[1..], Some(&ready.status), at(3));
    assert_eq!(
        lost.events[0].message,
        "LLMInferenceService [demo] is no longer Ready because of: MainWorkloadReady, WorkloadsReady"
    );
}

#[test]
fn nothing_new_is_said_when_nothing_changed() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    for reports in [Vec::new(), all_is_well()] {
        let first = judged(&facts, &reports, None, at(1));
        let second = judged(&facts, &reports, Some(&first.status), at(100));
        assert_eq!(second.status, first.status);
        assert_eq!(second.events, []);
    }
}

#[test]
fn an_older_generation_of_a_deployment_does_not_count() {
    let facts = facts(service("demo", json!({})), &[]);
    let mut stale = available("demo-kserve");
    stale["status"]["observedGeneration"] = json!(1);
    let plan = plan(&facts);
    let mut after = carried_out(&facts, &plan);
    after.objects.add_document(stale).unwrap();
    let key = kinds::ObjectKey::new("apps/v1", "Deployment", Some("team"), "demo-kserve");
    let mut live = (**after.objects.get_key(&key).unwrap()).clone();
    live["metadata"]["generation"] = json!(2);
    after.objects.insert(live).unwrap();
    let merged = compose::compose(&facts).unwrap();
    let seen = Seen { objects: after.objects, ..Seen::default() };
    let judged = judge(&facts, Ok(&merged), &plan, &seen, None, at(1));
    assert_eq!(reason(&judged, "Ready"), "Progressing");
}

fn pod(status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "demo-kserve-abc", "namespace": "team",
            "labels": {
                "app.kubernetes.io/name": "demo",
                "app.kubernetes.io/part-of": "llminferenceservice",
                "app.kubernetes.io/component": "llminferenceservice-workload",
            },
        },
        "spec": {"containers": [{"name": "main"}]},
        "status": status,
    })
}

#[test]
fn a_pod_that_does_not_run_says_why() {
    let facts = facts(service("demo", json!({})), &[]);
    let cases = [
        (
            json!({"conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            }]}),
            "Unschedulable",
            "pod demo-kserve-abc: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        ),
        (
            json!({"containerStatuses": [{
                "name": "main",
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x:1\""}},
            }]}),
            "ImagePullBackOff",
            "pod demo-kserve-abc, container main: Back-off pulling image \"x:1\"",
        ),
        (
            json!({"containerStatuses": [{
                "name": "main",
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "loading\nno such model\n"}},
            }]}),
            "CrashLoopBackOff",
            "pod demo-kserve-abc, container main ended with exit code 1: no such model",
        ),
        (
            json!({"initContainerStatuses": [{
                "name": "storage-initializer",
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            }]}),
            "OOMKilled",
            "pod demo-kserve-abc, container storage-initializer ended with exit code 137",
        ),
        (
            json!({"initContainerStatuses": [{"name": "storage-initializer", "state": {"running": {}}}]}),
            "Initializing",
            "pod demo-kserve-abc waits for init container storage-initializer",
        ),
    ];
    for (status, reason_wanted, message) in cases {
        let judged = judged(&facts, &[pod(status)], None, at(1));
        assert_eq!(reason(&judged, "Ready"), reason_wanted);
        assert_eq!(condition(&judged, "MainWorkloadReady").message.as_deref(), Some(message));
    }
}

#[test]
fn what_the_api_server_refuses_is_reported_on_the_part_it_belongs_to() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let plan = plan(&facts);
    let merged = compose::compose(&facts).unwrap();
    let key =
        kinds::ObjectKey::new("gateway.networking.k8s.io/v1", "HTTPRoute", Some("team"), "demo-kserve-route");
    let seen =
        Seen { objects: Objects::new(), errors: vec![(key, "too many rules".to_owned())], ..Seen::default() };
    let judged = judge(&facts, Ok(&merged), &plan, &seen, None, at(1));
    assert_eq!(reason(&judged, "HTTPRoutesReady"), "HTTPRouteReconcileError");
    assert_eq!(reason(&judged, "Ready"), "HTTPRouteReconcileError");
    assert!(condition(&judged, "Ready").message.as_ref().unwrap().contains("too many rules"));
}

#[test]
fn a_service_that_cannot_be_composed_says_what_is_missing() {
    let spec = json!({"baseRefs": [{"name": "nowhere"}]});
    let facts = facts(service("demo", spec), &[]);
    let error = compose::compose(&facts).unwrap_err();
    let judged = judge(&facts, Err(&error), &crate::Plan::default(), &Seen::default(), None, at(1));
    assert_eq!(reason(&judged, "PresetsCombined"), "ConfigNotFound");
    assert_eq!(reason(&judged, "Ready"), "ConfigNotFound");
    assert_eq!(condition(&judged, "RouterReady").status, ConditionStatus::Unknown);
    assert!(judged.events[0].message.contains("nowhere"));
}

#[test]
fn a_missing_gateway_is_named_and_nothing_behind_it_is_made() {
    let router =
        json!({"route": {}, "gateway": {"refs": [{"name": "gone", "namespace": "edge"}]}, "scheduler": {}});
    let facts = facts(service("demo", json!({"router": router})), &[]);
    assert!(!super::keys(&plan(&facts)).iter().any(|key| key.starts_with("HTTPRoute")));
    let judged = judged(&facts, &[], None, at(1));
    assert_eq!(reason(&judged, "GatewaysReady"), "RefsInvalid");
    assert_eq!(condition(&judged, "Ready").message.as_deref(), Some("Gateway edge/gone does not exist"));
}

#[test]
fn a_service_without_a_route_has_one_address_inside_the_cluster() {
    let facts = facts(service("demo", json!({})), &[]);
    let judged = judged(&facts, &[available("demo-kserve")], None, at(1));
    assert_eq!(condition(&judged, "Ready").status, ConditionStatus::True);
    let addresses: Vec<_> =
        judged.status.addresses.iter().filter_map(|address| address.url.as_deref()).collect();
    assert_eq!(addresses, ["http://demo-kserve-workload-svc.team.svc.cluster.local"]);
    assert_eq!(judged.status.url, None);
}

#[test]
fn a_pool_without_a_route_waits_for_one_on_a_cluster_and_is_led_to_on_one_machine() {
    let mut facts = facts(service("demo", json!({"router": {"scheduler": {}}})), &[]);
    let pool = accepted("InferencePool", "inference.networking.k8s.io/v1", "demo-inference-pool");
    let waits = judged(&facts, std::slice::from_ref(&pool), None, at(1));
    assert_eq!(reason(&waits, "InferencePoolReady"), "WaitingForGateway");
    facts.one_machine = true;
    let led_to = judged(&facts, &[pool], None, at(1));
    assert_eq!(condition(&led_to, "InferencePoolReady").status, ConditionStatus::True);
    let before = judged(&facts, &[], None, at(1));
    assert_eq!(reason(&before, "InferencePoolReady"), "WaitingForGateway");
}

/// The plan's children as a cluster has them, each edited, and the judgement of that.
fn judged_live(facts: &Facts, edit: impl Fn(&mut Value)) -> Judged {
    let plan = plan(facts);
    let mut after = carried_out(facts, &plan);
    for report in all_is_well() {
        after.objects.add_document(report).unwrap();
    }
    let mut live = Objects::new();
    for (_, object) in after.objects {
        let mut object = (*object).clone();
        edit(&mut object);
        live.insert(object).unwrap();
    }
    let merged = compose::compose(facts).unwrap();
    judge(facts, Ok(&merged), &plan, &Seen { objects: live, ..Seen::default() }, None, at(1))
}

#[test]
fn what_was_reported_of_an_older_generation_is_not_trusted() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let trusted = judged_live(&facts, |object| object["metadata"]["generation"] = json!(2));
    assert_eq!(condition(&trusted, "Ready").status, ConditionStatus::True, "who does not count is believed");
    let outdated = |kind: &'static str, name: &'static str| {
        judged_live(&facts, move |object| {
            object["metadata"]["generation"] = json!(2);
            if object["kind"] == kind && object["metadata"]["name"] == name {
                object["status"]["observedGeneration"] = json!(1);
                for parent in object["status"]["parents"].as_array_mut().into_iter().flatten() {
                    for condition in parent["conditions"].as_array_mut().into_iter().flatten() {
                        condition["observedGeneration"] = json!(1);
                    }
                }
            }
        })
    };
    for (kind, name, type_) in [
        ("Deployment", "demo-kserve", "MainWorkloadReady"),
        ("Deployment", "demo-kserve-router-scheduler", "SchedulerWorkloadReady"),
        ("HTTPRoute", "demo-kserve-route", "HTTPRoutesReady"),
        ("InferencePool", "demo-inference-pool", "InferencePoolReady"),
    ] {
        let judged = outdated(kind, name);
        assert_eq!(condition(&judged, type_).status, ConditionStatus::False, "{kind} {name}");
        assert_eq!(condition(&judged, "Ready").status, ConditionStatus::False, "{kind} {name}");
    }
}

#[test]
fn a_group_of_an_older_generation_and_a_gateway_that_is_not_programmed_do_not_count() {
    let spec = json!({
        "worker": {"containers": [{"name": "main"}]}, "parallelism": {"data": 2, "dataLocal": 1},
    });
    let multi = facts(service("demo", spec), &[]);
    let group = |observed: i64| {
        let status =
            json!({"conditions": [{"type": "Available", "status": "True", "observedGeneration": observed}]});
        let mut live = report("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "demo-kserve-mn", status);
        live["metadata"]["generation"] = json!(3);
        live["spec"] = json!({});
        condition(&judged(&multi, &[live], None, at(1)), "WorkerWorkloadReady").status
    };
    assert_eq!(
        (group(3), group(0), group(2)),
        (ConditionStatus::True, ConditionStatus::True, ConditionStatus::False)
    );

    let router = json!({"route": {}, "gateway": {"refs": [{"name": "edge", "namespace": "team"}]}});
    let gateway = |status: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "team", "generation": 2},
            "spec": {"gatewayClassName": "class", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
            "status": {"conditions": [status]},
        })
    };
    let programmed = |status: Value| {
        let facts = facts(service("demo", json!({"router": router})), &[gateway(status)]);
        let judged = judged(&facts, &[], None, at(1));
        condition(&judged, "GatewaysReady").clone()
    };
    assert_eq!(programmed(json!({"type": "Programmed", "status": "True"})).status, ConditionStatus::True);
    for status in [
        json!({"type": "Programmed", "status": "False", "reason": "AddressNotAssigned"}),
        json!({"type": "Programmed", "status": "True", "observedGeneration": 1}),
        json!({"type": "Accepted", "status": "True"}),
    ] {
        let waiting = programmed(status);
        assert_eq!(waiting.status, ConditionStatus::False);
        assert_eq!(waiting.message.as_deref(), Some("The following Gateways are not ready: [team/edge]"));
    }
}

#[test]
fn a_rollout_that_hangs_is_told_although_older_pods_answer() {
    let facts = facts(service("demo", json!({})), &[]);
    for order in [[0, 1], [1, 0]] {
        let conditions = [
            json!({"type": "Available", "status": "True"}),
            json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}),
        ];
        let status = json!({"availableReplicas": 1, "conditions": order.map(|at| conditions[at].clone())});
        let judged = judged(&facts, &[report("apps/v1", "Deployment", "demo-kserve", status)], None, at(1));
        assert_eq!(reason(&judged, "Ready"), "ProgressDeadlineExceeded");
    }
}

#[test]
fn a_picker_that_does_not_run_says_why_and_an_evicted_pod_is_past() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let mut picker = pod(json!({"containerStatuses": [{
        "name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
    }]}));
    picker["metadata"]["name"] = json!("picker-1");
    picker["metadata"]["labels"]["app.kubernetes.io/component"] =
        json!("llminferenceservice-router-scheduler");
    let judged_with = |pods: &[Value]| judged(&facts, pods, None, at(1));
    assert_eq!(reason(&judged_with(&[picker]), "SchedulerWorkloadReady"), "ErrImagePull");
    let mut evicted =
        pod(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}));
    evicted["metadata"]["name"] = json!("demo-kserve-aaa");
    let gated = pod(json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "Scheduling is blocked",
    }]}));
    assert_eq!(reason(&judged_with(std::slice::from_ref(&evicted)), "MainWorkloadReady"), "Evicted");
    let both = judged_with(&[evicted, gated]);
    assert_eq!(reason(&both, "MainWorkloadReady"), "SchedulingGated");
}

#[test]
fn an_autoscaler_says_how_it_is() {
    let scaling = json!({"maxReplicas": 2, "wva": {"hpa": {}}});
    let hpa_facts = facts(service("demo", json!({"scaling": scaling})), &[]);
    let hpa = |status: Value| {
        let reports = [
            available("demo-kserve"),
            report("autoscaling/v2", "HorizontalPodAutoscaler", "demo-kserve-hpa", status),
        ];
        let judged = judged(&hpa_facts, &reports, None, at(1));
        let found = condition(&judged, "ScalingReady").clone();
        (found.status, found.reason.unwrap_or_default(), condition(&judged, "Ready").status)
    };
    let able =
        |status: &str| json!({"type": "AbleToScale", "status": status, "reason": "Able", "message": "m"});
    let active = |status: &str| json!({"type": "ScalingActive", "status": status, "reason": "FailedGetExternalMetric"});
    let (status, reason, ready) = hpa(json!({}));
    assert_eq!(
        (status, reason.as_str(), ready),
        (ConditionStatus::False, "HPAProgressing", ConditionStatus::False)
    );
    assert_eq!(hpa(json!({"conditions": [able("True"), active("True")]})).0, ConditionStatus::True);
    assert_eq!(hpa(json!({"conditions": [able("True"), active("False")]})).1, "FailedGetExternalMetric");

    let keda = json!({"maxReplicas": 2, "keda": {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}});
    let keda_facts = facts(service("demo", json!({"scaling": keda})), &[]);
    let scaled = |ready: Option<&str>| {
        let mut conditions: Vec<Value> = ["Active", "Fallback", "Paused"]
            .iter()
            .map(|name| json!({"type": name, "status": "False"}))
            .collect();
        conditions.extend(
            ready.map(|ready| json!({"type": "Ready", "status": ready, "reason": "ScaledObjectCheckFailed"})),
        );
        let report =
            report("keda.sh/v1alpha1", "ScaledObject", "demo-kserve-keda", json!({"conditions": conditions}));
        let judged = judged(&keda_facts, &[available("demo-kserve"), report], None, at(1));
        let found = condition(&judged, "ScalingReady").clone();
        (found.status, found.reason.unwrap_or_default())
    };
    assert_eq!(scaled(Some("True")).0, ConditionStatus::True);
    assert_eq!(scaled(Some("False")).1, "ScaledObjectCheckFailed");
    assert_eq!(scaled(Some("Unknown")).1, "ScaledObjectProgressing");
    assert_eq!(scaled(None).1, "ScaledObjectProgressing");
}

#[test]
fn an_autoscaler_that_the_cluster_does_not_know_is_told_with_an_event() {
    let scaling = json!({"maxReplicas": 2, "keda": {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}});
    let facts = facts(service("demo", json!({"scaling": scaling})), &[]);
    let plan = plan(&facts);
    let key = kinds::ObjectKey::new("keda.sh/v1alpha1", "ScaledObject", Some("team"), "demo-kserve-keda");
    let message = "no matches for kind \"ScaledObject\" in version \"keda.sh/v1alpha1\"".to_owned();
    let seen = Seen { errors: vec![(key, message)], ..Seen::default() };
    let merged = compose::compose(&facts).unwrap();
    let first = judge(&facts, Ok(&merged), &plan, &seen, None, at(1));
    assert_eq!(reason(&first, "MainWorkloadReady"), "ScalingCRDNotFound");
    let told =
        |judged: &Judged| judged.events.iter().filter(|event| event.reason == "ScalingCRDNotFound").count();
    assert_eq!(told(&first), 1);
    assert_eq!(told(&judge(&facts, Ok(&merged), &plan, &seen, Some(&first.status), at(2))), 0);
}

#[test]
fn monitors_that_cannot_be_made_keep_nothing_from_being_ready() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let mut plan = plan(&facts);
    let monitor = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "m", "namespace": "team"}});
    let key = kinds::ObjectKey::of(&monitor).unwrap();
    plan.steps.push(crate::Step { part: crate::Part::Monitors, objects: vec![monitor] });
    let mut after = carried_out(&facts, &plan);
    for report in all_is_well() {
        after.objects.add_document(report).unwrap();
    }
    let seen =
        Seen { objects: after.objects, errors: vec![(key, "forbidden".to_owned())], ..Seen::default() };
    let merged = compose::compose(&facts).unwrap();
    let judged = judge(&facts, Ok(&merged), &plan, &seen, None, at(1));
    assert_eq!(reason(&judged, "MonitorsReady"), "ReconcileMonitorsError");
    assert_eq!(condition(&judged, "Ready").status, ConditionStatus::True);
}

#[test]
fn a_stopped_service_says_so_on_every_condition_even_if_it_cannot_be_composed() {
    let mut stopped = service("demo", json!({"baseRefs": [{"name": "nowhere"}]}));
    stopped["metadata"]["annotations"] = json!({"serving.kserve.io/stop": "True"});
    let facts = facts(stopped, &[]);
    let error = compose::compose(&facts).unwrap_err();
    let judged = judge(&facts, Err(&error), &crate::teardown(&facts), &Seen::default(), None, at(1));
    for type_ in [
        "PresetsCombined",
        "MainWorkloadReady",
        "WorkerWorkloadReady",
        "PrefillWorkloadReady",
        "PrefillWorkerWorkloadReady",
        "SchedulerWorkloadReady",
        "TokenizerReady",
        "InferencePoolReady",
        "GatewaysReady",
        "HTTPRoutesReady",
        "WorkloadsReady",
        "RouterReady",
        "Ready",
    ] {
        assert_eq!(reason(&judged, type_), "Stopped", "{type_}");
    }
    assert!(
        condition(&judged, "PresetsCombined")
            .message
            .as_ref()
            .unwrap()
            .starts_with("Service is stopped with warning: ")
    );
    assert!(
        judged.status.addresses.is_empty()
            && judged.status.workloads.is_none()
            && judged.status.router.is_none()
    );
}

#[test]
fn an_edit_clears_the_conditions_of_what_it_takes_out() {
    let spec = json!({
        "router": {"route": {}, "gateway": {}, "scheduler": {"tokenizer": {}}},
        "scaling": {"maxReplicas": 2, "wva": {"hpa": {}}},
    });
    let whole = judged(&facts(service("demo", spec), &[]), &[], None, at(1));
    let names = ["SchedulerWorkloadReady", "TokenizerReady", "InferencePoolReady", "ScalingReady"];
    for name in names {
        assert_eq!(condition(&whole, name).status, ConditionStatus::False);
    }
    assert_eq!(
        whole.status.workloads.as_ref().unwrap().scheduler.as_ref().unwrap().workload.name,
        "demo-kserve-router-scheduler"
    );
    let edited = facts(service("demo", json!({"router": {"route": {}, "gateway": {}}})), &[]);
    let after = judged(&edited, &[], Some(&whole.status), at(2));
    for name in names {
        assert!(after.status.conditions.iter().all(|condition| condition.type_ != name), "{name}");
    }
    let workloads = after.status.workloads.unwrap();
    assert!(workloads.scheduler.is_none() && workloads.primary.is_some() && workloads.service.is_some());
}

#[test]
fn reports_of_gateways_that_are_not_used_do_not_count() {
    let facts = facts(service("demo", json!({"router": routed()})), &[]);
    let with = |kind: &str, api_version: &str, name: &str, extra: Value| {
        let mut reports = all_is_well();
        for report in reports.iter_mut().filter(|report| report["kind"] == kind) {
            let mut changed = accepted(kind, api_version, name);
            changed["status"]["parents"].as_array_mut().unwrap().push(extra.clone());
            *report = changed;
        }
        let judged = judged(&facts, &reports, None, at(1));
        condition(&judged, "Ready").status
    };
    let refused = json!({
        "parentRef": {"name": "old-gateway", "namespace": "kserve"},
        "conditions": [{"type": "Accepted", "status": "False", "reason": "Gone"}],
    });
    let pool = ("InferencePool", "inference.networking.k8s.io/v1", "demo-inference-pool");
    assert_eq!(with(pool.0, pool.1, pool.2, refused), ConditionStatus::True);
    // A controller of policies reports on the route and accepts nothing.
    let policy = json!({
        "parentRef": {"name": "kserve-ingress-gateway", "namespace": "kserve"}, "controllerName": "example.com/policy",
        "conditions": [{"type": "example.com/Affected", "status": "True"}],
    });
    let route = ("HTTPRoute", "gateway.networking.k8s.io/v1", "demo-kserve-route");
    assert_eq!(with(route.0, route.1, route.2, policy.clone()), ConditionStatus::True);
    let mut alone = all_is_well();
    alone[2] = report(route.1, route.0, route.2, json!({"parents": [policy]}));
    assert_eq!(reason(&judged(&facts, &alone, None, at(1)), "Ready"), "HTTPRoutesNotReady");
    let mut mismatch = all_is_well();
    let refusal = json!({
        "parentRef": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
        "conditions": [{"type": "Accepted", "status": "False", "reason": "NoMatchingParent"}],
    });
    mismatch[2] = report(route.1, route.0, route.2, json!({"parents": [refusal]}));
    let message =
        condition(&judged(&facts, &mismatch, None, at(1)), "HTTPRoutesReady").message.clone().unwrap();
    assert!(message.contains("NoMatchingParent"), "{message}");
}
