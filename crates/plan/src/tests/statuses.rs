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
