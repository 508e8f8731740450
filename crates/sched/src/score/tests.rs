use std::{borrow::Cow, sync::Arc};

use crate::{Adapters, Endpoint, Fleet, Ledger, Load, Pick, Request, Scheduler};

fn address(number: u8) -> std::net::SocketAddr {
    ([10, 0, 0, number], 8000).into()
}

fn fleet(loads: Vec<Load>) -> Fleet {
    let named = |(number, load)| Endpoint::new(format!("e{number}"), address(number)).with_load(load);
    Fleet::new((1_u8..).zip(loads).map(named).collect())
}

fn waiting(requests: f64) -> Load {
    Load { waiting: Some(requests), ..Load::default() }
}

/// The scores that one scorer gives, in the order of the fleet.
fn scores(plugin: serde_json::Value, fleet: &Fleet, ledger: &Ledger, request: &Request<'_>) -> Vec<f64> {
    let scheduler = Scheduler::from_config(&serde_json::json!({ "plugins": [plugin] })).unwrap();
    let pick = scheduler.pick(request, fleet, ledger).unwrap();
    pick.explanation.columns[0].scores.clone()
}

fn of_type(name: &str) -> serde_json::Value {
    serde_json::json!({ "type": name })
}

fn prompt(text: &str) -> Request<'_> {
    Request { model: "m", prompts: vec![Cow::Borrowed(text.as_bytes())], ..Request::default() }
}

fn send(scheduler: &Scheduler, request: &Request<'_>, fleet: &Fleet, ledger: &mut Ledger) -> Pick {
    let pick = scheduler.pick(request, fleet, ledger).unwrap();
    ledger.commit(pick.booking());
    pick
}

#[test]
fn the_queue_is_scored_between_the_shortest_and_the_longest() {
    let score = |loads| scores(of_type("queue-scorer"), &fleet(loads), &Ledger::new(), &Request::default());
    assert_eq!(score(vec![waiting(3.0), waiting(0.0), waiting(10.0)]), [0.7, 1.0, 0.0]);
    assert_eq!(score(vec![waiting(4.0), waiting(4.0)]), [1.0, 1.0], "equal queues are all good");
    assert_eq!(score(vec![waiting(99.0)]), [1.0]);
    assert_eq!(
        score(vec![waiting(2.0), Load::default()]),
        [0.0, 1.0],
        "what has said nothing counts as empty"
    );
}

#[test]
fn the_cache_is_scored_by_what_is_free() {
    let used = |ratio| Load { kv_used_ratio: Some(ratio), ..Load::default() };
    let fleet = fleet(vec![used(0.2), used(1.25), used(f64::NAN)]);
    let score = scores(of_type("kv-cache-utilization-scorer"), &fleet, &Ledger::new(), &Request::default());
    assert_eq!(score[..2], [0.8, 0.0], "scores are clamped");
    assert!(score[2].is_nan());
}

#[test]
fn running_requests_and_load_have_their_own_scales() {
    let running = |requests| Load { running: Some(requests), ..Load::default() };
    let fleet_running = fleet(vec![running(1.0), running(3.0)]);
    let request = Request::default();
    let score = scores(of_type("running-requests-size-scorer"), &fleet_running, &Ledger::new(), &request);
    assert_eq!(score, [1.0, 0.0]);
    let fleet = fleet(vec![waiting(0.0), waiting(64.0), waiting(500.0)]);
    assert_eq!(scores(of_type("load-aware-scorer"), &fleet, &Ledger::new(), &request), [0.5, 0.25, 0.0]);
}

#[test]
fn an_engine_that_has_the_adapter_comes_before_one_that_has_room_for_it() {
    let names = |list: &[&str]| list.iter().map(|name| Arc::from(*name)).collect();
    let with = |running: &[&str], waiting: &[&str], max| Load {
        adapters: Some(Adapters { max: Some(max), running: names(running), waiting: names(waiting) }),
        ..Load::default()
    };
    let fleet = fleet(vec![
        with(&["want"], &[], 1),
        with(&["a"], &[], 2),
        with(&["a"], &["want"], 1),
        with(&["a"], &[], 1),
        with(&["a"], &["b"], 2),
        Load::default(),
    ]);
    let request = Request { model: "want", ..Request::default() };
    let score = scores(of_type("lora-affinity-scorer"), &fleet, &Ledger::new(), &request);
    assert_eq!(score, [1.0, 0.8, 0.6, 0.0, 0.0, 0.0]);
}

#[test]
fn a_prefix_is_scored_by_the_share_of_the_prompt_that_was_sent_there() {
    let long = "x".repeat(64 * 4 * 3);
    let fleet = fleet(vec![Load::default(); 3]);
    let scheduler = Scheduler::default();
    let mut ledger = Ledger::new();
    let first = send(&scheduler, &prompt(&long), &fleet, &mut ledger);
    let longer = format!("{long}{}", "y".repeat(64 * 4));
    let pick = scheduler.pick(&prompt(&longer), &fleet, &ledger).unwrap();
    assert_eq!(pick.endpoint().id, first.endpoint().id);
    assert_eq!(pick.explanation.score("prefix-cache-scorer", &first.endpoint().id), Some(0.75));
    let other_model = Request { model: "other", ..prompt(&long) };
    let pick = scheduler.pick(&other_model, &fleet, &ledger).unwrap();
    assert!(
        pick.explanation.columns[2].scores.iter().all(|score| *score == 0.0),
        "another model is another prefix"
    );
}

#[test]
fn the_length_of_a_match_can_count_beside_its_share() {
    let plugin =
        serde_json::json!({ "type": "prefix-cache-scorer", "parameters": { "matchLengthWeight": 0.5 } });
    let fleet = fleet(vec![Load::default()]);
    let text = "x".repeat(64 * 4 * 128);
    let half = &text[..64 * 4 * 64];
    let mut ledger = Ledger::new();
    send(&Scheduler::default(), &prompt(half), &fleet, &mut ledger);
    assert_eq!(scores(plugin, &fleet, &ledger, &prompt(&text)), [0.375]);
}

#[test]
fn new_prefixes_go_round_among_the_endpoints() {
    let config = serde_json::json!({ "plugins": [{ "type": "no-hit-lru-scorer" }] });
    let scheduler = Scheduler::from_config(&config).unwrap();
    let fleet = fleet(vec![Load::default(); 3]);
    let mut ledger = Ledger::new();
    let order: Vec<String> = (0..6)
        .map(|number| {
            send(&scheduler, &prompt(&format!("prompt {number}")), &fleet, &mut ledger)
                .endpoint()
                .id
                .to_string()
        })
        .collect();
    assert_eq!(order, ["e1", "e2", "e3", "e1", "e2", "e3"]);
    let known = scheduler.pick(&prompt("prompt 4"), &fleet, &ledger).unwrap();
    assert_eq!(known.explanation.columns[0].scores, [0.5, 0.5, 0.5], "a known prefix is no new one");
}

#[test]
fn requests_in_flight_count_until_they_are_released() {
    let fleet = fleet(vec![Load::default(); 3]);
    let mut ledger = Ledger::new();
    let pick = Scheduler::default().pick(&prompt("hello"), &fleet, &ledger).unwrap();
    let on = |number: usize| pick.booking_for(&fleet.endpoints()[number]);
    for booking in [on(0), on(0), on(2)] {
        ledger.commit(&booking);
    }
    let score = |ledger: &Ledger| scores(of_type("active-request-scorer"), &fleet, ledger, &prompt("hello"));
    assert_eq!(score(&ledger), [0.0, 1.0, 0.5]);
    assert_eq!(ledger.requests_in_flight(&fleet.endpoints()[0]), 2);
    ledger.release(&on(0));
    ledger.release(&on(0));
    assert_eq!(score(&ledger), [1.0, 1.0, 0.0]);
    let plugin =
        serde_json::json!({ "type": "token-load-scorer", "parameters": { "queueThresholdTokens": 8 } });
    assert_eq!(
        scores(plugin, &fleet, &ledger, &prompt("hello"))[..2],
        [0.75, 0.75],
        "its own two tokens count too"
    );
}

#[test]
fn what_the_index_remembers_is_bounded_by_the_engines_own_cache() {
    let load = Load { cache_blocks: Some(64), cache_block_tokens: Some(16), ..Load::default() };
    let fleet = fleet(vec![load]);
    let mut ledger = Ledger::new();
    // 64 blocks of 16 tokens are 16 blocks of 64 tokens.
    send(&Scheduler::default(), &prompt(&"x".repeat(64 * 4 * 40)), &fleet, &mut ledger);
    assert_eq!(ledger.prefix_blocks(), 16);
}
