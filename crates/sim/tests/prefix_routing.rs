//! Replicas and requests that share long prefixes, in virtual time: the scheduler keeps what belongs together on one
//! engine, chance does not.

// A test that cannot go on panics, also where it shares code with others.
#![allow(clippy::unwrap_used)]

use std::{borrow::Cow, collections::HashMap};

use sched::{Booking, Endpoint, Fleet, Ledger, Load, Request, Scheduler};
use sim::engine::{Engine, Job, JobId, Settings};

const MS: u64 = 1_000_000;
/// Engines say how they are this often, and the scheduler knows nothing newer.
const SCRAPE_NS: u64 = 50 * MS;
const BLOCK_TOKENS: u32 = 16;

/// Requests of several tenants, each with a long prompt of its own in front of a short question.
struct Workload {
    tenants: u32,
    requests: u64,
    shared_tokens: u32,
    question_tokens: u32,
    answer_tokens: u32,
    pause_ns: u64,
}

impl Workload {
    fn job(&self, number: u64) -> Job {
        let tenant = (spread(number) % u64::from(self.tenants)) as u32;
        let mut prompt: Vec<u32> = (0..self.shared_tokens).map(|token| tenant * 1_000_000 + token).collect();
        prompt.extend((0..self.question_tokens).map(|token| u32::MAX - (number as u32 * 1000 + token)));
        let output = (0..self.answer_tokens).map(|token| token ^ number as u32).collect();
        Job { prompt, output, stops: true, ..Job::default() }
    }
}

fn spread(number: u64) -> u64 {
    wire::prefix::chain_hash(&number.to_le_bytes(), 7)
}

struct Outcome {
    hit_ratio: f64,
    mean_ttft_s: f64,
    requests_per_engine: Vec<usize>,
}

/// Runs the workload on `replicas` engines that have `cache_blocks` in total.
fn run(scheduler: &Scheduler, replicas: u32, cache_blocks: u32, workload: &Workload) -> Outcome {
    let settings =
        Settings { block_tokens: BLOCK_TOKENS, cache_blocks: cache_blocks / replicas, ..Settings::default() };
    let mut engines: Vec<Engine> = (0..replicas).map(|_| Engine::new(settings.clone())).collect();
    let mut ledger = Ledger::new();
    let mut fleet = scrape(&engines, 0);
    let mut bookings: HashMap<(usize, JobId), Booking> = HashMap::new();
    let mut sent = vec![0; engines.len()];
    let mut scraped_ns = 0;
    for number in 0..workload.requests {
        let now_ns = number * workload.pause_ns;
        advance(&mut engines, now_ns, &mut ledger, &mut bookings);
        if now_ns - scraped_ns >= SCRAPE_NS {
            fleet = scrape(&engines, now_ns);
            scraped_ns = now_ns;
        }
        let job = workload.job(number);
        let bytes: Vec<u8> = job.prompt.iter().flat_map(|token| token.to_le_bytes()).collect();
        let request = Request {
            model: "m",
            prompts: vec![Cow::Owned(bytes)],
            seed: spread(number),
            now_ms: now_ns / MS,
            ..Request::default()
        };
        let pick = scheduler.pick(&request, &fleet, &ledger).unwrap();
        let place: usize = pick.endpoint().id.parse().unwrap();
        ledger.commit(pick.booking());
        let id = engines[place].submit(job, now_ns);
        bookings.insert((place, id), pick.booking().clone());
        sent[place] += 1;
    }
    advance(&mut engines, u64::MAX, &mut ledger, &mut bookings);
    assert!(bookings.is_empty(), "every request is answered");
    let sum = |count: fn(&Engine) -> u64| engines.iter().map(count).sum::<u64>() as f64;
    let ttft = engines
        .iter()
        .zip(&sent)
        .map(|(engine, sent)| engine.counters().mean_time_to_first_token_s().unwrap_or(0.0) * *sent as f64);
    Outcome {
        hit_ratio: sum(|engine| engine.counters().prefix_hits)
            / sum(|engine| engine.counters().prefix_queries),
        mean_ttft_s: ttft.sum::<f64>() / workload.requests as f64,
        requests_per_engine: sent,
    }
}

fn advance(
    engines: &mut [Engine],
    now_ns: u64,
    ledger: &mut Ledger,
    bookings: &mut HashMap<(usize, JobId), Booking>,
) {
    let mut progress = Vec::new();
    for (place, engine) in engines.iter_mut().enumerate() {
        engine.advance(now_ns, &mut progress);
        for done in progress.drain(..).filter(|done| done.finished) {
            if let Some(booking) = bookings.remove(&(place, done.job)) {
                ledger.release(&booking);
            }
        }
    }
}

fn scrape(engines: &[Engine], now_ns: u64) -> Fleet {
    let endpoint = |(place, engine): (usize, &Engine)| {
        let load = engine.load();
        Endpoint::new(place.to_string(), ([127, 0, 0, 1], 8000 + place as u16).into()).with_load(Load {
            waiting: Some(load.waiting as f64),
            running: Some(load.running as f64),
            kv_used_ratio: Some(load.kv_used_ratio),
            cache_block_tokens: Some(engine.settings().block_tokens),
            cache_blocks: Some(u64::from(engine.settings().cache_blocks)),
            adapters: None,
            measured_at_ms: Some(now_ns / MS),
        })
    };
    Fleet::new(engines.iter().enumerate().map(endpoint).collect())
}

/// Twelve tenants whose prompts fill most of the cache of all engines together, and four times that of one.
fn shared_prefixes() -> (u32, Workload) {
    let workload = Workload {
        tenants: 12,
        requests: 420,
        shared_tokens: 2048,
        question_tokens: 48,
        answer_tokens: 24,
        pause_ns: 100 * MS,
    };
    (12 * 2048 / BLOCK_TOKENS * 5 / 4, workload)
}

#[test]
fn three_replicas_hit_their_caches_nearly_as_often_as_one_engine_with_all_the_cache() {
    let (cache_blocks, workload) = shared_prefixes();
    let one = run(&Scheduler::default(), 1, cache_blocks, &workload);
    let three = run(&Scheduler::default(), 3, cache_blocks, &workload);
    let chance = run(&Scheduler::policy("random").unwrap(), 3, cache_blocks, &workload);
    assert!(one.hit_ratio > 0.85, "one engine: {}", one.hit_ratio);
    assert!(three.hit_ratio >= 0.9 * one.hit_ratio, "three: {}, one: {}", three.hit_ratio, one.hit_ratio);
    assert!(chance.hit_ratio < 0.6 * one.hit_ratio, "random: {}, one: {}", chance.hit_ratio, one.hit_ratio);
    assert!(
        three.mean_ttft_s < 0.5 * chance.mean_ttft_s,
        "{} against {}",
        three.mean_ttft_s,
        chance.mean_ttft_s
    );
}

#[test]
fn one_shared_prefix_is_computed_about_once_for_each_replica() {
    let workload = Workload {
        tenants: 1,
        requests: 300,
        shared_tokens: 4096,
        question_tokens: 64,
        answer_tokens: 32,
        pause_ns: 40 * MS,
    };
    let one = run(&Scheduler::default(), 1, 1500, &workload);
    let three = run(&Scheduler::default(), 3, 1500, &workload);
    assert!(three.hit_ratio >= 0.9 * one.hit_ratio, "three: {}, one: {}", three.hit_ratio, one.hit_ratio);
}

#[test]
fn no_replica_is_left_idle_and_the_same_seed_gives_the_same_run() {
    let (cache_blocks, workload) = shared_prefixes();
    let first = run(&Scheduler::default(), 3, cache_blocks, &workload);
    let again = run(&Scheduler::default(), 3, cache_blocks, &workload);
    assert_eq!(first.requests_per_engine, again.requests_per_engine);
    assert_eq!(first.hit_ratio.to_bits(), again.hit_ratio.to_bits());
    let least = first.requests_per_engine.iter().min().unwrap();
    assert!(*least >= 420 / 10, "{:?}", first.requests_per_engine);
}
