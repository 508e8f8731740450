use std::{borrow::Cow, collections::BTreeMap};

use proptest::prelude::*;

use super::*;
use crate::Load;

fn endpoint(number: u8, waiting: f64) -> Endpoint {
    let load = Load {
        waiting: Some(waiting),
        running: Some(0.0),
        kv_used_ratio: Some(0.0),
        measured_at_ms: Some(0),
        ..Load::default()
    };
    Endpoint::new(format!("ns/pod-{number}-rank-0"), ([10, 0, 0, number], 8000).into()).with_load(load)
}

fn fleet(waiting: &[f64]) -> Fleet {
    Fleet::new((1_u8..).zip(waiting).map(|(number, waiting)| endpoint(number, *waiting)).collect())
}

fn picked(scheduler: &Scheduler, fleet: &Fleet, seed: u64) -> String {
    let request = Request { seed, ..Request::default() };
    scheduler.pick(&request, fleet, &Ledger::new()).unwrap().endpoint().address.ip().to_string()
}

#[test]
fn the_best_total_wins_and_the_explanation_adds_up() {
    let fleet = Fleet::new(vec![
        endpoint(1, 3.0),
        endpoint(2, 0.0).with_load(Load { waiting: Some(0.0), kv_used_ratio: Some(0.1), ..Load::default() }),
        endpoint(3, 10.0),
    ]);
    let pick = Scheduler::default().pick(&Request::default(), &fleet, &Ledger::new()).unwrap();
    assert_eq!(&*pick.endpoint().id, "ns/pod-2-rank-0");
    let totals: Vec<f64> = pick.explanation.rows().map(|(_, total)| total).collect();
    assert_eq!(totals, [3.4, 3.8, 2.0]);
    assert_eq!(pick.explanation.score("queue-scorer", "ns/pod-1-rank-0"), Some(0.7));
    assert_eq!(pick.explanation.score("queue-scorer", "ns/pod-9-rank-0"), None);
    let order: Vec<&str> = pick.fallbacks().map(|endpoint| &*endpoint.id).collect();
    assert_eq!(order, ["ns/pod-1-rank-0", "ns/pod-3-rank-0"]);
}

#[test]
fn equal_totals_are_decided_by_the_seed_and_spread() {
    let fleet = fleet(&[0.0; 4]);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..4000 {
        let picked = picked(&Scheduler::default(), &fleet, seed);
        assert_eq!(picked, self::picked(&Scheduler::default(), &fleet, seed), "equal seeds, equal picks");
        *counts.entry(picked).or_default() += 1;
    }
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| (900..1100).contains(count)), "{counts:?}");
}

#[test]
fn the_random_policy_ignores_load_and_the_seed_drives_it() {
    let fleet = fleet(&[0.0, 100.0]);
    let random = Scheduler::policy("random").unwrap();
    let second = (0..1000).filter(|seed| picked(&random, &fleet, *seed) == "10.0.0.2").count();
    assert!((400..600).contains(&second), "{second}");
    assert!(
        (0..1000).all(|seed| picked(&Scheduler::policy("least-queue").unwrap(), &fleet, seed) == "10.0.0.1")
    );
}

#[test]
fn round_robin_takes_turns() {
    let fleet = fleet(&[0.0, 9.0, 0.0]);
    let scheduler = Scheduler::policy("round-robin").unwrap();
    let mut ledger = Ledger::new();
    let mut order = Vec::new();
    for _ in 0..6 {
        let pick = scheduler.pick(&Request::default(), &fleet, &ledger).unwrap();
        ledger.commit(pick.booking());
        order.push(pick.endpoint().address.ip().to_string());
    }
    assert_eq!(order[..3], ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(order[..3], order[3..]);
}

#[test]
fn weighted_random_follows_the_weights() {
    let config = serde_json::json!({ "plugins": [
        { "type": "kv-cache-utilization-scorer" },
        { "type": "weighted-random-picker" },
    ] });
    let scheduler = Scheduler::from_config(&config).unwrap();
    let used = |number, ratio| {
        endpoint(number, 0.0).with_load(Load { kv_used_ratio: Some(ratio), ..Load::default() })
    };
    let fleet = Fleet::new(vec![used(1, 0.25), used(2, 0.75), used(3, 1.0)]);
    let count = |ip: &str| (0..4000).filter(|seed| picked(&scheduler, &fleet, *seed) == ip).count();
    assert!((2900..3100).contains(&count("10.0.0.1")), "three of four");
    assert_eq!(count("10.0.0.3"), 0);
}

#[test]
fn an_endpoint_that_is_not_ready_is_not_picked() {
    let fleet = Fleet::new(vec![endpoint(1, 0.0).with_ready(false), endpoint(2, 50.0)]);
    let pick = Scheduler::default().pick(&Request::default(), &fleet, &Ledger::new()).unwrap();
    assert_eq!(&*pick.endpoint().id, "ns/pod-2-rank-0");
    assert_eq!(pick.fallbacks().count(), 0);
}

#[test]
fn a_refusal_has_words_a_status_and_a_reason() {
    let refusal = |request: &Request<'_>, fleet: &Fleet| {
        Scheduler::default().pick(request, fleet, &Ledger::new()).map(|_| ()).unwrap_err()
    };
    let request = Request::default();
    let none = refusal(&request, &Fleet::default());
    assert_eq!((none.status(), none.reason()), (503, "rejected-no-endpoints"));
    assert_eq!(none.to_string(), "no engine serves this model: the pool has no endpoint");
    let starting = Fleet::new(vec![endpoint(1, 0.0).with_ready(false)]);
    assert_eq!(refusal(&request, &starting), Refusal::NoneReady { not_ready: 1 });
    let elsewhere = Request { subset: Some(vec!["10.9.9.9:80"]), ..Request::default() };
    assert_eq!(refusal(&elsewhere, &fleet(&[0.0])), Refusal::EmptySubset);
}

#[test]
fn a_subset_is_compared_by_address_without_port() {
    let fleet = fleet(&[0.0, 50.0]);
    let ids = |subset: Vec<&'static str>| {
        let request = Request { subset: Some(subset), ..Request::default() };
        Scheduler::default().pick(&request, &fleet, &Ledger::new()).unwrap().endpoint().id.to_string()
    };
    assert_eq!(ids(vec!["10.0.0.2"]), "ns/pod-2-rank-0");
    assert_eq!(ids(vec!["[::1]:80", "10.0.0.2:9999"]), "ns/pod-2-rank-0");
}

#[test]
fn a_saturated_fleet_drops_what_may_be_dropped_and_nothing_else() {
    let fleet = fleet(&[5.0, 7.0]);
    let pick = |priority, now_ms| {
        let request = Request { priority, now_ms, ..Request::default() };
        Scheduler::default().pick(&request, &fleet, &Ledger::new()).map(|_| ())
    };
    assert_eq!(pick(-1, 100), Err(Refusal::Saturated));
    assert_eq!(pick(0, 100), Ok(()));
    let idle = self::fleet(&[0.0, 0.0]);
    let sheddable = |now_ms| Request { priority: -1, now_ms, ..Request::default() };
    assert!(Scheduler::default().pick(&sheddable(100), &idle, &Ledger::new()).is_ok());
    let stale = Scheduler::default().pick(&sheddable(1000), &idle, &Ledger::new()).map(|_| ());
    assert_eq!(stale, Err(Refusal::Saturated), "what was measured long ago counts as full");
}

#[test]
fn filters_keep_engines_by_role_and_label() {
    let labelled = |number, role: &str| {
        endpoint(number, 0.0).with_labels(BTreeMap::from([("llm-d.ai/role".to_owned(), role.to_owned())]))
    };
    let fleet = Fleet::new(vec![labelled(1, "prefill"), labelled(2, "decode"), endpoint(3, 50.0)]);
    let picks = |config: serde_json::Value| {
        let scheduler = Scheduler::from_config(&config).unwrap();
        let pick = scheduler.pick(&Request::default(), &fleet, &Ledger::new())?;
        Ok::<_, Refusal>(
            pick.explanation.rows().map(|(endpoint, _)| endpoint.address.ip().to_string()).collect(),
        )
    };
    let ips = |list: &[&str]| Ok(list.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(
        picks(serde_json::json!({ "plugins": [{ "type": "decode-filter" }] })),
        ips(&["10.0.0.2", "10.0.0.3"])
    );
    assert_eq!(picks(serde_json::json!({ "plugins": [{ "type": "prefill-filter" }] })), ips(&["10.0.0.1"]));
    let selector = serde_json::json!({ "plugins": [{ "type": "label-selector-filter", "parameters": {
        "matchExpressions": [{ "key": "llm-d.ai/role", "operator": "NotIn", "values": ["prefill"] }] } }] });
    assert_eq!(picks(selector), ips(&["10.0.0.2", "10.0.0.3"]));
    let none = serde_json::json!({ "plugins": [{ "type": "encode-filter" }] });
    let refusal: Refusal = picks(none).unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.to_string()),
        (429, "no endpoint passes the filter encode-filter".to_owned())
    );
}

proptest! {
    #[test]
    fn a_pick_is_one_of_the_best_and_the_order_of_the_fleet_does_not_matter(
        waiting in proptest::collection::vec(0_u8..6, 1..20),
        seed in any::<u64>(),
        prompt in "[ab]{0,900}",
    ) {
        let endpoints: Vec<Endpoint> =
            (1_u8..).zip(&waiting).map(|(number, waiting)| endpoint(number, f64::from(*waiting))).collect();
        let reversed = Fleet::new(endpoints.iter().rev().cloned().collect());
        let fleet = Fleet::new(endpoints);
        let request = Request { seed, prompts: vec![Cow::Borrowed(prompt.as_bytes())], ..Request::default() };
        let mut ledger = Ledger::new();
        let first = Scheduler::default().pick(&request, &fleet, &ledger).unwrap();
        ledger.commit(first.booking());
        let one = Scheduler::default().pick(&request, &fleet, &ledger).unwrap();
        let other = Scheduler::default().pick(&request, &reversed, &ledger).unwrap();
        prop_assert_eq!(&one.endpoint().id, &other.endpoint().id);
        let best = one.explanation.rows().map(|(_, total)| total).fold(f64::MIN, f64::max);
        let chosen = one.explanation.rows().find(|(endpoint, _)| endpoint.id == one.endpoint().id).unwrap().1;
        prop_assert_eq!(chosen, best);
        prop_assert!(one.fallbacks().all(|fallback| fallback.id != one.endpoint().id));
    }
}

fn with_role(number: u8, role: &str) -> Endpoint {
    endpoint(number, 0.0).with_labels(BTreeMap::from([("llm-d.ai/role".to_owned(), role.to_owned())]))
}

fn disaggregated(decider: serde_json::Value) -> Scheduler {
    let name = decider["type"].clone();
    Scheduler::from_config(&serde_json::json!({
        "plugins": [
            { "type": "prefill-filter" }, { "type": "decode-filter" }, { "type": "prefix-cache-scorer" }, decider,
            { "type": "disagg-profile-handler", "parameters": { "deciders": { "prefill": name } } },
        ],
        "schedulingProfiles": [
            { "name": "prefill", "plugins": [{ "pluginRef": "prefill-filter" }, { "pluginRef": "prefix-cache-scorer" }] },
            { "name": "decode", "plugins": [{ "pluginRef": "decode-filter" }, { "pluginRef": "prefix-cache-scorer" }] },
        ],
    }))
    .unwrap()
}

#[test]
fn a_prompt_is_computed_by_one_endpoint_and_answered_by_another() {
    let scheduler = disaggregated(serde_json::json!({ "type": "always-disagg-pd-decider" }));
    let fleet = Fleet::new(vec![with_role(1, "prefill"), with_role(2, "decode"), with_role(3, "prefill")]);
    let mut ledger = Ledger::new();
    let prompt = "a prompt that fills some blocks ".repeat(40);
    let request = Request { prompts: vec![Cow::from(prompt.as_bytes())], ..Request::default() };
    let pick = scheduler.pick(&request, &fleet, &ledger).unwrap();
    let prefill = pick.prefill().expect("a second endpoint");
    assert_eq!(&*pick.endpoint().id, "ns/pod-2-rank-0");
    assert_eq!((&*pick.explanation.profile, &*prefill.explanation.profile), ("decode", "prefill"));
    ledger.commit(pick.booking());
    ledger.commit(prefill.booking());
    assert_eq!(ledger.requests_in_flight(prefill.endpoint()), 1);
    // The endpoint that computed the prompt has it in its cache, whatever decides between equals.
    for seed in 1..20 {
        let again = scheduler.pick(&Request { seed, ..request.clone() }, &fleet, &ledger).unwrap();
        assert_eq!(again.prefill().map(|pick| pick.endpoint().address), Some(prefill.endpoint().address));
    }

    let alone = Fleet::new(vec![with_role(2, "decode")]);
    let pick = scheduler.pick(&request, &alone, &Ledger::new()).unwrap();
    assert!(pick.prefill().is_none(), "nobody to prefill: the other does all");
    let nobody = scheduler.pick(&request, &Fleet::new(vec![with_role(1, "prefill")]), &Ledger::new());
    assert!(matches!(nobody, Err(Refusal::AllFiltered { .. })));
}

#[test]
fn a_prompt_that_is_short_or_cached_where_it_is_answered_stays_there() {
    let decider =
        serde_json::json!({ "type": "prefix-based-pd-decider", "parameters": { "nonCachedTokens": 100 } });
    let scheduler = disaggregated(decider);
    let fleet = Fleet::new(vec![with_role(1, "prefill"), with_role(2, "decode")]);
    let mut ledger = Ledger::new();
    let long = "x".repeat(1024);
    let disaggregates = |prompt: &str, ledger: &Ledger| {
        let request = Request { prompts: vec![Cow::from(prompt.as_bytes())], ..Request::default() };
        let pick = scheduler.pick(&request, &fleet, ledger).unwrap();
        (pick.prefill().is_some(), pick.booking().clone())
    };
    assert!(!disaggregates("short", &ledger).0);
    let (first, booking) = disaggregates(&long, &ledger);
    assert!(first);
    ledger.commit(&booking);
    assert!(!disaggregates(&long, &ledger).0, "it is cached now");
}

#[test]
fn a_policy_keeps_the_stages_and_changes_how_they_choose() {
    let own = disaggregated(serde_json::json!({ "type": "always-disagg-pd-decider" }));
    let scheduler = own.with_policy(&Scheduler::policy("round-robin").unwrap());
    let fleet = Fleet::new(vec![with_role(1, "prefill"), with_role(2, "decode"), with_role(3, "prefill")]);
    let pick = scheduler.pick(&Request::default(), &fleet, &Ledger::new()).unwrap();
    assert_eq!(pick.explanation.picker, "round-robin-picker");
    assert_eq!(&*pick.endpoint().id, "ns/pod-2-rank-0");
    assert_eq!(pick.prefill().map(|pick| &*pick.endpoint().id), Some("ns/pod-1-rank-0"));
}
