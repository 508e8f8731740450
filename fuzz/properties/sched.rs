//! Any JSON as the configuration of an endpoint picker, and a pick with what comes of it.
//!
//! Nothing may panic, and what is picked is an endpoint of the fleet.

use std::borrow::Cow;

use sched::{Endpoint, Fleet, Ledger, Load, Request, Scheduler};

pub(crate) fn hold(input: &[u8]) {
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(input) else { return };
    let scheduler = match Scheduler::from_config(&config) {
        Ok(scheduler) => scheduler,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let endpoint = |number: u8| {
        Endpoint::new(format!("default/pod-{number}"), ([10, 0, 0, number], 8000).into()).with_load(Load {
            waiting: Some(f64::from(number % 3)),
            running: Some(f64::from(number)),
            kv_used_ratio: Some(f64::from(number) / 10.0),
            cache_block_tokens: Some(16),
            cache_blocks: Some(100),
            adapters: None,
            measured_at_ms: Some(0),
        })
    };
    let fleet = Fleet::new((1..6).map(endpoint).collect());
    let mut ledger = Ledger::new();
    for seed in 0..4 {
        let request = Request {
            model: "m",
            prompts: vec![Cow::Borrowed(
                &b"a prompt that is long enough to have more than one block of tokens"[..],
            )],
            seed,
            ..Request::default()
        };
        if let Ok(pick) = scheduler.pick(&request, &fleet, &ledger) {
            assert!(fleet.endpoints().iter().any(|endpoint| endpoint.id == pick.endpoint().id));
            ledger.commit(pick.booking());
        }
    }
}
