use proptest::prelude::*;

use super::*;

/// A step takes 10 ms and 1 ms for each token; the context costs nothing.
fn settings() -> Settings {
    Settings {
        max_num_seqs: 4,
        max_num_batched_tokens: 100,
        block_tokens: 4,
        cache_blocks: 101,
        pace: Pace { step_s: 0.01, per_token_s: 0.001, per_context_token_s: 0.0 },
        ..Settings::default()
    }
}

/// A job whose tokens nobody else has, unless `first` is the same.
fn job(first: u32, prompt: usize, output: usize) -> Job {
    Job {
        prompt: (0..prompt as u32).map(|token| first * 100_000 + token).collect(),
        output: (0..output as u32).map(|token| first * 100_000 + 50_000 + token).collect(),
        ..Job::default()
    }
}

fn run(engine: &mut Engine) -> Vec<Progress> {
    let mut progress = Vec::new();
    while let Some(due_ns) = engine.due_ns() {
        engine.advance(due_ns, &mut progress);
    }
    progress
}

fn ms(at_ns: u64) -> u64 {
    (at_ns + 500_000) / 1_000_000
}

#[test]
fn a_prompt_is_computed_in_one_step_and_each_token_in_one_more() {
    let mut engine = Engine::new(settings());
    engine.submit(job(1, 20, 3), 0);
    let times: Vec<u64> = run(&mut engine).iter().map(|done| ms(done.at_ns)).collect();
    assert_eq!(times, [30, 41, 52]);
    assert_eq!(engine.due_ns(), None, "an idle engine has nothing to wait for");
}

#[test]
fn a_prompt_that_another_engine_computed_costs_one_token_and_is_cached_afterwards() {
    let mut engine = Engine::new(settings());
    engine.submit(Job { fetched: true, ..job(1, 20, 1) }, 0);
    let progress = run(&mut engine);
    assert_eq!((ms(progress[0].at_ns), progress[0].cached_tokens), (11, 19));
    let counters = engine.counters();
    assert_eq!((counters.fetched_prompt_tokens, counters.cached_prompt_tokens), (19, 0));
    assert_eq!((counters.external_queries, counters.external_hits, counters.prefix_hits), (20, 19, 0));
    // The same prompt again: what is here is not fetched.
    engine.submit(Job { fetched: true, ..job(1, 20, 1) }, 1_000_000_000);
    run(&mut engine);
    let counters = engine.counters();
    assert_eq!((counters.fetched_prompt_tokens, counters.cached_prompt_tokens), (22, 16));
}

#[test]
fn a_long_prompt_is_computed_in_chunks_while_others_decode() {
    let mut engine = Engine::new(settings());
    let short = engine.submit(job(1, 4, 5), 0);
    let long = engine.submit(job(2, 198, 1), 0);
    let progress = run(&mut engine);
    // 99 tokens of the long prompt fit beside each token of the short answer.
    let of =
        |id| progress.iter().filter(|done| done.job == id).map(|done| ms(done.at_ns)).collect::<Vec<_>>();
    assert_eq!(of(short), [14, 124, 234, 245, 256]);
    assert_eq!(of(long), [234]);
}

#[test]
fn a_full_batch_makes_others_wait_in_order() {
    let mut engine = Engine::new(Settings { max_num_seqs: 2, ..settings() });
    let ids: Vec<JobId> = (0..4).map(|first| engine.submit(job(first, 4, 10), 0)).collect();
    let mut progress = Vec::new();
    engine.advance(30_000_000, &mut progress);
    assert_eq!((engine.load().running, engine.load().waiting), (2, 2));
    progress.extend(run(&mut engine));
    let order: Vec<JobId> = progress.iter().filter(|done| done.finished).map(|done| done.job).collect();
    assert_eq!(order, ids);
}

#[test]
fn a_prompt_that_was_computed_before_is_found_but_for_its_last_token() {
    let mut engine = Engine::new(settings());
    engine.submit(job(1, 40, 1), 0);
    run(&mut engine);
    engine.submit(job(1, 40, 1), 1_000_000_000);
    let progress = run(&mut engine);
    assert_eq!(progress[0].cached_tokens, 36, "the block with the last token is computed again");
    assert_eq!((engine.counters().prefix_queries, engine.counters().prefix_hits), (80, 36));
    assert_eq!(ms(progress[0].at_ns - 1_000_000_000), 14);
}

#[test]
fn a_conversation_finds_its_own_answer_in_the_cache() {
    let mut engine = Engine::new(settings());
    let first = job(1, 20, 21);
    let mut next = first.prompt.clone();
    next.extend(&first.output);
    next.extend([9, 9, 9]);
    engine.submit(first, 0);
    run(&mut engine);
    engine.submit(Job { prompt: next, output: vec![1], ..Job::default() }, 1_000_000_000);
    assert_eq!(run(&mut engine)[0].cached_tokens, 40);
}

#[test]
fn other_cache_keys_and_switched_off_caching_find_nothing() {
    let mut engine = Engine::new(settings());
    engine.submit(job(1, 40, 1), 0);
    run(&mut engine);
    engine.submit(Job { cache_key: "tenant".into(), ..job(1, 40, 1) }, 1_000_000_000);
    assert_eq!(run(&mut engine)[0].cached_tokens, 0);

    let mut engine = Engine::new(Settings { prefix_caching: false, ..settings() });
    for _ in 0..2 {
        engine.submit(job(1, 40, 1), 0);
        run(&mut engine);
    }
    assert_eq!(engine.counters().prefix_hits, 0);
}

#[test]
fn the_ends_of_prompts_are_forgotten_before_their_beginnings() {
    let mut engine = Engine::new(Settings { cache_blocks: 16, ..settings() });
    engine.submit(job(1, 40, 1), 0);
    run(&mut engine);
    // 15 blocks: 11 were used; this one needs 8, of which 4 are taken from the first job's end.
    engine.submit(job(2, 29, 1), 1_000_000_000);
    run(&mut engine);
    engine.submit(job(1, 40, 1), 2_000_000_000);
    assert_eq!(run(&mut engine)[0].cached_tokens, 28);
}

#[test]
fn the_cache_is_in_use_only_while_jobs_run() {
    let mut engine = Engine::new(settings());
    let id = engine.submit(job(1, 40, 50), 0);
    assert_eq!(engine.load().kv_used_ratio, 0.1);
    engine.abort(id);
    assert_eq!(engine.load().kv_used_ratio, 0.0);
    assert_eq!(engine.counters().aborted, 1);
    assert!(run(&mut engine).is_empty());
}

#[test]
fn jobs_that_outgrow_the_cache_give_way_and_are_completed_later() {
    let mut engine = Engine::new(Settings { cache_blocks: 21, ..settings() });
    for first in 0..3 {
        engine.submit(job(first, 16, 40), 0);
    }
    let progress = run(&mut engine);
    assert_eq!(progress.iter().filter(|done| done.finished).count(), 3);
    assert!(engine.counters().preemptions > 0);
    assert_eq!(engine.counters().generation_tokens, 120, "what was generated is not generated again");
}

#[test]
fn a_job_waits_for_an_adapters_place_and_lets_others_pass() {
    let mut engine = Engine::new(Settings { max_loras: 1, ..settings() });
    let with = |first, adapter: &str| Job { adapter: Some(adapter.into()), ..job(first, 4, 5) };
    engine.submit(with(1, "sql"), 0);
    let law = engine.submit(with(2, "law"), 0);
    let base = engine.submit(job(3, 4, 5), 0);
    let mut progress = Vec::new();
    engine.advance(30_000_000, &mut progress);
    let load = engine.load();
    assert_eq!((load.running, load.waiting, load.deferred), (2, 1, 1));
    assert_eq!((&*load.running_adapters[0], &*load.waiting_adapters[0]), ("sql", "law"));
    progress.extend(run(&mut engine));
    let finished: Vec<JobId> = progress.iter().filter(|done| done.finished).map(|done| done.job).collect();
    assert!(finished.iter().position(|id| *id == base) < finished.iter().position(|id| *id == law));
}

#[test]
fn a_faster_engine_does_the_same_in_less_time() {
    let finish = |speed: f64| {
        let mut engine = Engine::new(Settings { pace: settings().pace.at_speed(speed), ..settings() });
        engine.submit(job(1, 20, 30), 0);
        run(&mut engine).last().unwrap().at_ns
    };
    assert_eq!(ms(finish(1.0)), ms(finish(10.0) * 10));
}

proptest! {
    #[test]
    fn every_job_completes_once_and_gives_back_its_blocks(
        jobs in proptest::collection::vec((0_u32..4, 1_usize..60, 1_usize..30, 0_u64..200), 1..25),
        aborted in proptest::collection::vec(any::<bool>(), 25),
        cache_blocks in 24_u32..80,
    ) {
        let mut engine = Engine::new(Settings { cache_blocks, ..settings() });
        let mut progress = Vec::new();
        let mut now_ns = 0;
        let mut kept = Vec::new();
        for ((first, prompt, output, pause_ms), abort) in jobs.into_iter().zip(aborted) {
            now_ns += pause_ms * 1_000_000;
            engine.advance(now_ns, &mut progress);
            let id = engine.submit(job(first, prompt, output), now_ns);
            if abort { engine.abort(id) } else { kept.push((id, output)) }
            prop_assert!(engine.load().kv_used_ratio <= 1.0);
        }
        progress.extend(run(&mut engine));
        for (id, output) in kept {
            let counts: Vec<usize> = progress.iter().filter(|done| done.job == id).map(|done| done.generated).collect();
            prop_assert_eq!(counts, (1..=output).collect::<Vec<_>>());
        }
        prop_assert_eq!(engine.load(), Load::default());
        prop_assert!(progress.is_sorted_by_key(|done| done.at_ns));
    }
}
