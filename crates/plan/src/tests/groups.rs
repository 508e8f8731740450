//! Services that share the requests for a model, and what holds when one of them goes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{carried_out, facts, find, plan, service};
use crate::{Judged, Seen, awaited_member, judge, judge_awaiting};

fn member(name: &str) -> Value {
    let router = json!({"route": {"group": "g", "weight": 1}, "gateway": {}, "scheduler": {}});
    service(name, json!({"router": router, "model": {"uri": "hf://org/tiny", "name": "org/tiny"}}))
}

fn leaving(name: &str) -> Value {
    let mut service = member(name);
    service["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    service
}

/// A member's route with that back-end.
fn route(member: &str, backend: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": format!("{member}-kserve-route"), "namespace": "team"},
        "spec": {"rules": [{"backendRefs": [{"kind": "InferencePool", "name": backend, "port": 8000}]}]},
    })
}

#[test]
fn a_deleted_member_waits_until_no_other_route_leads_to_it() {
    for backend in ["a-inference-pool", "a-kserve-workload-svc"] {
        let waits = facts(leaving("a"), &[member("b"), route("b", backend)]);
        assert_eq!(awaited_member(&waits).as_deref(), Some("b"));
    }
    let free =
        facts(leaving("a"), &[member("b"), route("b", "b-inference-pool"), route("a", "a-inference-pool")]);
    assert_eq!(awaited_member(&free), None);
}

#[test]
fn members_that_go_together_do_not_wait_for_each_other_or_for_another_group() {
    let both = facts(leaving("a"), &[leaving("b"), route("b", "a-inference-pool")]);
    assert_eq!(awaited_member(&both), None);
    let mut other = member("b");
    other["spec"]["router"]["route"]["group"] = json!("h");
    assert_eq!(awaited_member(&facts(leaving("a"), &[other, route("b", "a-inference-pool")])), None);
    let mut alone = leaving("a");
    alone["spec"]["router"]["route"] = json!({});
    assert_eq!(awaited_member(&facts(alone, &[member("b"), route("b", "a-inference-pool")])), None);
}

#[test]
fn a_member_that_waits_says_for_whom() {
    let facts = facts(leaving("a"), &[]);
    let status = judge_awaiting(&facts, "b", None, Timestamp::UNIX_EPOCH);
    let group = status.conditions.iter().find(|condition| condition.type_ == "GroupReady").unwrap();
    assert_eq!(group.status, api::conditions::ConditionStatus::False);
    assert_eq!(group.reason.as_deref(), Some("FinalizationPending"));
    assert_eq!(group.message.as_deref(), Some("waiting for member b to remove backendRef before deletion"));
    assert_eq!(group.severity.as_deref(), Some("Info"));
}

/// A member as it is once it serves those models.
fn serving(name: &str, weight: i32, models: &[&str]) -> Value {
    let mut member = member(name);
    member["spec"]["router"]["route"]["weight"] = json!(weight);
    let models: Vec<Value> = models.iter().map(|model| json!({"name": model})).collect();
    member["status"] = json!({
        "conditions": [{"type": "RouterReady", "status": "True"}],
        "workloads": {"primary": {"readyReplicas": 1}, "scheduler": {"readyReplicas": 1}},
        "addresses": [{"url": "http://x", "models": models}],
        "router": {"scheduler": {"inferencePool": {"name": format!("{name}-inference-pool")}}},
    });
    member
}

const TINY: [&str; 2] = ["publishers/team/models/org/tiny", "org/tiny"];

/// Name and weight of each back-end that the group shares in `a`'s route.
fn shared(peers: &[Value]) -> Vec<(String, i64)> {
    let plan = plan(&facts(serving("a", 3, &TINY), peers));
    let rules = find(&plan, "HTTPRoute", "a-kserve-route")["spec"]["rules"].as_array().unwrap().clone();
    let rule = rules.iter().find(|rule| {
        rule["name"] == "v1-publisher-path-catch-all" || rule.to_string().contains("/publishers/")
    });
    rule.unwrap()["backendRefs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|backend| {
            (backend["name"].as_str().unwrap().to_owned(), backend["weight"].as_i64().unwrap_or(1))
        })
        .collect()
}

fn judged(peers: &[Value]) -> Judged {
    let facts = facts(serving("a", 3, &TINY), peers);
    let plan = plan(&facts);
    let seen = Seen { objects: carried_out(&facts, &plan).objects, ..Seen::default() };
    judge(&facts, Ok(&compose::compose(&facts).unwrap()), &plan, &seen, None, Timestamp::UNIX_EPOCH)
}

#[test]
fn members_share_requests_by_weight_and_their_own_path_stays_theirs() {
    let both = shared(&[serving("b", 7, &TINY)]);
    assert_eq!(both, [("a-inference-pool".to_owned(), 3), ("b-inference-pool".to_owned(), 7)]);
    let plan = plan(&facts(serving("a", 3, &TINY), &[serving("b", 7, &TINY)]));
    let route = find(&plan, "HTTPRoute", "a-kserve-route");
    assert_eq!(route["metadata"]["labels"]["serving.kserve.io/routing-group"], "g");
    for rule in route["spec"]["rules"].as_array().unwrap() {
        let path = rule["matches"][0]["path"]["value"].as_str().unwrap_or_default();
        if path.starts_with("/team/a") {
            assert_eq!(rule["backendRefs"].as_array().unwrap().len(), 1, "{path}");
        }
    }
}

#[test]
fn a_member_that_cannot_answer_gets_no_requests() {
    let alone = [("a-inference-pool".to_owned(), 3)];
    let mut waiting = serving("b", 7, &TINY);
    waiting["status"]["conditions"][0]["status"] = json!("False");
    assert_eq!(shared(&[waiting]), alone);
    let mut empty = serving("b", 7, &TINY);
    empty["status"]["workloads"]["primary"]["readyReplicas"] = json!(0);
    assert_eq!(shared(&[empty]), alone);
    let mut deleted = serving("b", 7, &TINY);
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(shared(&[deleted]), alone);
    let mut left = serving("b", 7, &TINY);
    left["spec"]["router"]["route"] = json!({});
    assert_eq!(shared(&[left]), alone);
}

#[test]
fn a_stopped_member_gets_no_requests_and_keeps_its_place_and_weight() {
    let mut stopped = serving("b", 7, &TINY);
    stopped["metadata"]["annotations"] = json!({"serving.kserve.io/stop": "true"});
    assert_eq!(shared(std::slice::from_ref(&stopped)), [("a-inference-pool".to_owned(), 3)]);
    let group = judged(&[stopped]).status.router.unwrap().group.unwrap();
    let members: Vec<(&str, i32, bool)> =
        group.members.iter().map(|member| (member.name.as_str(), member.weight, member.stopped)).collect();
    assert_eq!(members, [("a", 3, false), ("b", 7, true)]);
}

#[test]
fn members_with_other_models_are_a_group_of_their_own_and_told() {
    let other = serving("c", 1, &["publishers/team/models/org/other", "org/other"]);
    assert_eq!(shared(std::slice::from_ref(&other)), [("a-inference-pool".to_owned(), 3)]);
    let judged = judged(&[other]);
    let condition =
        |name: &str| judged.status.conditions.iter().find(|condition| condition.type_ == name).unwrap();
    assert_eq!(condition("GroupReady").status, api::conditions::ConditionStatus::True);
    assert_eq!(condition("GroupDegraded").status, api::conditions::ConditionStatus::True);
    assert_eq!(condition("GroupDegraded").reason.as_deref(), Some("MemberDivergence"));
    assert!(judged.events.iter().any(|event| event.reason == "MemberDivergence"));
}

#[test]
fn names_that_two_services_serve_are_told_unless_they_are_a_group() {
    let told = |peer: Value| {
        let findings = plan(&facts(serving("a", 3, &TINY), &[peer])).findings;
        findings.iter().filter(|finding| finding.reason == "ModelNameCollision").count()
    };
    let mut alone = serving("b", 7, &TINY);
    alone["spec"]["router"]["route"] = json!({});
    assert_eq!(told(alone.clone()), 1);
    alone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(told(alone), 0);
    assert_eq!(told(serving("b", 7, &TINY)), 0);
    let mut adapter = service(
        "b",
        json!({"model": {
            "uri": "hf://org/other", "name": "org/other", "lora": {"adapters": [{"name": "org/tiny", "uri": "hf://a/b"}]},
        }}),
    );
    adapter["spec"]["router"] = json!({"route": {}});
    assert_eq!(told(adapter), 1, "from the spec, while nothing is reported");
}
