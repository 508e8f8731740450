//! One container from its first start to its last end: started, probed, restarted with back-off, ended with grace.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Shared;
use super::backoff::BackOff;
use super::launch::{self, Failure, Handle, Run};
use super::pod::{Cell, Stop};
use super::probes::{self, Finding, Target};
use super::process::Exit;
use super::status::{Ended, State};

const SIGTERM: i32 = 15;
/// What is absent may come any moment (a Secret that is being written): look again this soon.
const RETRY: Duration = Duration::from_millis(500);

/// What a container's end means for the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has done its work, or was asked to end.
    Done,
    /// It failed, and its restart policy says never again.
    Failed,
}

/// When to start it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// Runs the container of record number `at` for as long as it has to run.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    container: Arc<Container>,
    at: usize,
    restart: Restart,
) -> Outcome {
    let mut back_off = BackOff::default();
    let mut launches = BackOff::default();
    let events = &shared.events;
    loop {
        if cell.stopping().is_some() {
            return Outcome::Done;
        }
        let run_number = cell.with(|records| records[at].restarts);
        let begun = Instant::now();
        let run = match launch::launch(&shared, &cell, &container, run_number).await {
            Ok(run) => run,
            Err(Failure { reason, message }) => {
                let failed = match reason {
                    "ContainerCreating" => "FailedMount",
                    _ => "Failed",
                };
                let news = cell.with(|records| {
                    let state = State::Waiting(reason.to_owned(), Some(message.clone()));
                    std::mem::replace(&mut records[at].state, state.clone()) != state
                });
                cell.changed();
                if news {
                    events.tell(&cell.pod(), Some(&container.name), false, failed, message);
                }
                let pause = match reason {
                    "ContainerCreating" | "CreateContainerConfigError" => RETRY,
                    _ => launches.after(Duration::ZERO).max(Duration::from_secs(2)),
                };
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = cell.stop_requested() => {}
                }
                continue;
            }
        };
        launches = BackOff::default();
        let started = Timestamp::now();
        cell.with(|records| {
            let record = &mut records[at];
            record.state = State::Running(started);
            record.pid = run.pid;
            record.started = container.startup_probe.is_none();
            record.ready = false;
        });
        cell.changed();
        events.tell(
            &cell.pod(),
            Some(&container.name),
            true,
            "Started",
            format!("Started container {}", container.name),
        );

        let log = Arc::clone(&run.log);
        let (exit, asked) = attend(&shared, &cell, &container, at, run).await;
        // The process is gone: nothing may be sent there from here on.
        let message = (exit.code != 0 || restart == Restart::Always).then(|| log.last_line()).flatten();
        let ended = Ended {
            code: exit.code,
            signal: exit.signal,
            reason: if exit.code == 0 { "Completed" } else { "Error" }.to_owned(),
            message,
            started: Some(started),
            finished: Timestamp::now(),
        };
        cell.with(|records| {
            let record = &mut records[at];
            record.state = State::Ended(ended.clone());
            record.started = false;
            record.ready = false;
            record.pid = None;
        });
        cell.changed();
        if asked {
            return Outcome::Done;
        }
        match restart {
            Restart::Never | Restart::OnFailure if exit.code == 0 => return Outcome::Done,
            Restart::Never => return Outcome::Failed,
            Restart::Always | Restart::OnFailure => {}
        }
        if exit.code == 0 {
            // vLLM exits 0 when a worker has died: that is no success of something that has to serve.
            tracing::warn!(
                pod = cell.name(),
                container = container.name,
                "the container ended with exit code 0, though it should serve; it is started again"
            );
        }
        let pause = back_off.after(begun.elapsed());
        if !pause.is_zero() {
            let pod = format!("{}_{}({})", cell.name(), cell.namespace(), cell.uid());
            let message =
                format!("back-off {} restarting failed container={} pod={pod}", words(pause), container.name);
            cell.with(|records| {
                let record = &mut records[at];
                record.state = State::Waiting("CrashLoopBackOff".to_owned(), Some(message.clone()));
                record.last = Some(ended.clone());
            });
            cell.changed();
            let message = format!("Back-off restarting failed container {} in pod {pod}", container.name);
            events.tell(&cell.pod(), Some(&container.name), false, "BackOff", message);
            tokio::select! {
                () = sleep(pause) => {}
                _ = cell.stop_requested() => return Outcome::Done,
            }
        }
        cell.with(|records| {
            let record = &mut records[at];
            record.last = Some(ended);
            record.restarts += 1;
        });
    }
}

/// `10s`, `1m20s`: as Go prints durations.
fn words(pause: Duration) -> String {
    let seconds = pause.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

/// Watches a run until it ends by itself or is ended; whether it was asked to.
async fn attend(
    shared: &Arc<Shared>,
    cell: &Arc<Cell>,
    container: &Arc<Container>,
    at: usize,
    mut run: Run,
) -> (Exit, bool) {
    let (tell, mut findings) = mpsc::unbounded_channel();
    let watch: BoxFuture<'static, ()> = match &run.handle {
        Handle::Process(control) => {
            let target =
                Target { pod_ip: cell.pod_ip(), control: control.clone(), container: Arc::clone(container) };
            if let Some(start) =
                container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone())
            {
                let (control, ip, container) = (control.clone(), cell.pod_ip(), Arc::clone(container));
                tokio::spawn(async move { hook(&start, Some(&control), &ip, &container).await });
            }
            Box::pin(probes::watch(target, move |finding| drop(tell.send(finding))))
        }
        Handle::Task { ready, .. } => {
            let mut ready = ready.clone();
            Box::pin(async move {
                loop {
                    let now = *ready.borrow_and_update();
                    if now {
                        let _ = tell.send(Finding::Started);
                    }
                    let _ = tell.send(Finding::Ready(now));
                    if ready.changed().await.is_err() {
                        return;
                    }
                }
            })
        }
    };
    let probing = AbortOnDrop(tokio::spawn(watch));
    loop {
        tokio::select! {
            biased;
            exit = &mut run.exit => return (exit, false),
            stop = cell.stop_requested() => {
                drop(probing);
                let exit = end(shared, cell, container, &mut run, stop).await;
                return (exit, true);
            }
            Some(finding) = findings.recv() => {
                if let Some(which) = note(shared, cell, container, at, finding) {
                    let message = format!("Container {} failed {which} probe, will be restarted", container.name);
                    shared.events.tell(&cell.pod(), Some(&container.name), true, "Killing", message);
                    drop(probing);
                    let stop = Stop { deadline: Instant::now() + cell.grace(), machine: false };
                    let exit = end(shared, cell, container, &mut run, stop).await;
                    return (exit, false);
                }
            }
        }
    }
}

/// Records a finding; names the probe that demands a restart.
fn note(shared: &Shared, cell: &Cell, container: &Container, at: usize, finding: Finding) -> Option<String> {
    match finding {
        Finding::Started => cell.with(|records| records[at].started = true),
        Finding::Ready(ready) => cell.with(|records| records[at].ready = ready),
        Finding::Unhealthy(which, message) => {
            let message = format!("{which} probe failed: {message}");
            shared.events.tell(&cell.pod(), Some(&container.name), false, "Unhealthy", message);
            return None;
        }
        Finding::Dead(which) => return Some(which.to_lowercase()),
    }
    cell.changed();
    None
}

/// Ends a run: the hook and SIGTERM within the grace, then SIGKILL.
async fn end(shared: &Shared, cell: &Cell, container: &Container, run: &mut Run, mut stop: Stop) -> Exit {
    let message = format!("Stopping container {}", container.name);
    shared.events.tell(&cell.pod(), Some(&container.name), true, "Killing", message);
    let control = match &run.handle {
        Handle::Task { stop: ask, abort, .. } => {
            ask.send_replace(true);
            return match timeout_at(stop.deadline, &mut run.exit).await {
                Ok(exit) => exit,
                Err(_) => {
                    abort.iter().for_each(tokio::task::AbortHandle::abort);
                    Exit { code: 137, signal: Some(9) }
                }
            };
        }
        Handle::Process(control) => control.clone(),
    };
    let hook_of = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    // A hook that only waits gives routers time to forget the pod. When the machine ends, its router has ended already.
    let address = cell.pod_ip();
    if let Some(handler) = hook_of.filter(|handler| !(stop.machine && only_waits(handler))) {
        tokio::select! {
            () = hook(handler, Some(&control), &address, container) => {}
            exit = &mut run.exit => return exit,
            () = sleep_until(stop.deadline) => {}
            sooner = cell.machine_ends(), if !stop.machine => stop = sooner,
        }
    }
    control.signal(SIGTERM);
    loop {
        tokio::select! {
            exit = &mut run.exit => return exit,
            () = sleep_until(stop.deadline) => break,
            sooner = cell.machine_ends(), if !stop.machine => stop = sooner,
        }
    }
    control.kill();
    (&mut run.exit).await
}

async fn hook(
    handler: &LifecycleHandler,
    control: Option<&super::process::Control>,
    ip: &str,
    container: &Container,
) {
    if let Some(pause) = &handler.sleep {
        sleep(Duration::from_secs(u64::try_from(pause.seconds).unwrap_or(0))).await;
    } else if let (Some(exec), Some(control)) = (&handler.exec, control) {
        control.exec(exec.command.clone().unwrap_or_default()).await;
    } else if let Some(get) = &handler.http_get {
        probes::call(get, ip, container).await;
    }
}

/// `sleep` in one of its spellings.
fn only_waits(handler: &LifecycleHandler) -> bool {
    if handler.sleep.is_some() {
        return true;
    }
    let command = handler.exec.as_ref().and_then(|exec| exec.command.as_deref()).unwrap_or_default();
    let words: Vec<&str> = command.iter().flat_map(|word| word.split_whitespace()).collect();
    let rest = match words.as_slice() {
        [shell, "-c", rest @ ..] if shell.ends_with("sh") => rest,
        all => all,
    };
    matches!(rest, [sleep, _] if sleep.rsplit('/').next() == Some("sleep"))
}

/// Ends a task with whoever waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
