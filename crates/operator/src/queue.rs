//! One pass per key (a service, a config) at a time, at most so many at once, failed ones again with growing delay.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use kube::runtime::scheduler::{ScheduleRequest, debounced_scheduler};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What a pass asks for at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing to do until something changes.
    AwaitChange,
    /// Something was written; look at what the server made of it.
    Again,
    /// Something failed that may work later; the delay grows with each failure in a row.
    Retry,
}

/// First and longest delay after failures, as controller-runtime's default limiter has them (5 ms is below what a
/// local API server needs to recover from anything, so the first is longer).
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// Runs `pass` for every key that arrives until `stop` turns true, then waits for the running passes. Keys that arrive
/// again within `debounce` become one pass.
pub(crate) async fn run<K, F, Fut>(
    keys: mpsc::UnboundedReceiver<K>,
    concurrency: usize,
    debounce: Duration,
    mut stop: watch::Receiver<bool>,
    pass: F,
) where
    K: Clone + Eq + Hash,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Next> + Send + 'static,
{
    let (again, again_receiver) = mpsc::unbounded_channel::<ScheduleRequest<K>>();
    let now = unfold(keys, |mut keys| async move {
        let key = keys.recv().await?;
        Some((ScheduleRequest { message: key, run_at: Instant::now() }, keys))
    });
    let later =
        unfold(again_receiver, |mut again| async move { again.recv().await.map(|request| (request, again)) });
    let requests = pin!(futures_util::stream::select(Box::pin(now), Box::pin(later)));
    let mut due = pin!(debounced_scheduler(requests, debounce));
    let mut running = HashSet::new();
    let mut failures: HashMap<K, u32> = HashMap::new();
    let mut passes: JoinSet<Next> = JoinSet::new();
    let mut keys_of_passes: HashMap<tokio::task::Id, K> = HashMap::new();
    loop {
        let has_room = passes.len() < concurrency;
        let busy = &running;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(done) = passes.join_next_with_id(), if !passes.is_empty() => {
                // A pass that panicked is a defect of ours; its key is tried again like after any failure.
                let (id, next) = done.unwrap_or_else(|error| (error.id(), Next::Retry));
                let Some(key) = keys_of_passes.remove(&id) else { continue };
                running.remove(&key);
                let delay = match next {
                    Next::AwaitChange => { failures.remove(&key); None }
                    Next::Again => { failures.remove(&key); Some(Duration::ZERO) }
                    Next::Retry => {
                        let count = failures.entry(key.clone()).or_default();
                        *count += 1;
                        Some(retry_delay(*count))
                    }
                };
                if let Some(delay) = delay {
                    let _ = again.send(ScheduleRequest { message: key, run_at: Instant::now() + delay });
                }
            }
            key = async { due.as_mut().hold_unless(|key| !busy.contains(key)).next().await }, if has_room => {
                let Some(key) = key else { break };
                running.insert(key.clone());
                let task = passes.spawn(pass(key.clone()));
                keys_of_passes.insert(task.id(), key);
            }
        }
    }
    while passes.join_next().await.is_some() {}
}

fn retry_delay(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(RETRY_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_changes_becomes_one_pass_and_a_failed_pass_comes_again_later() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (stop_sender, stop) = watch::channel(false);
        let passes = Arc::new(AtomicUsize::new(0));
        let counted = passes.clone();
        let queue = tokio::spawn(run(receiver, 4, Duration::from_millis(10), stop, move |_| {
            let pass = counted.fetch_add(1, Ordering::SeqCst);
            async move { if pass < 2 { Next::Retry } else { Next::AwaitChange } }
        }));
        for _ in 0..10 {
            sender.send("x").unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(passes.load(Ordering::SeqCst), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(passes.load(Ordering::SeqCst), 3, "two failures, then rest");
        stop_sender.send(true).unwrap();
        queue.await.unwrap();
    }

    #[test]
    fn delays_double_and_end_at_five_minutes() {
        assert_eq!(retry_delay(1), RETRY_FIRST);
        assert_eq!(retry_delay(2), RETRY_FIRST * 2);
        assert_eq!(retry_delay(60), RETRY_LONGEST);
    }
}
