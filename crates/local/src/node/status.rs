//! A pod's status from what its containers do, as the kubelet words it. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rollout::whole_seconds;

/// What one container does now and did before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Name of the container.
    pub name: String,
    /// Its image, as written.
    pub image: String,
    /// An init container, also one that stays (`restartPolicy: Always`).
    pub init: bool,
    /// An init container that stays.
    pub sidecar: bool,
    /// What it does now.
    pub state: State,
    /// How its run before ended.
    pub last: Option<Ended>,
    /// Starts after the first.
    pub restarts: i32,
    /// It runs and its startup probe, if it has one, has succeeded.
    pub started: bool,
    /// It serves.
    pub ready: bool,
    /// Process id of its first process; absent inside this process.
    pub pid: Option<i32>,
}

/// A container's current state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// Not started, with the kubelet's reason and a message.
    Waiting(String, Option<String>),
    /// Started at that time.
    Running(Timestamp),
    /// Ended.
    Ended(Ended),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    /// Exit code; 128 + signal.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kubelet's word: `Completed`, `Error`, …
    pub reason: String,
    /// The last words of its log.
    pub message: Option<String>,
    /// When it started; absent if unknown.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
}

/// What is known of the pod beside its containers.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Its address.
    pub pod_ip: String,
    /// The machine's address.
    pub host_ip: String,
    /// When the agent took it.
    pub start_time: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// The pod's status; `before` is the status that the API has.
pub(crate) fn pod_status(
    pod: &Pod,
    records: &[Record],
    facts: &Facts,
    before: Option<&PodStatus>,
) -> PodStatus {
    let uid = pod.metadata.uid.as_deref().unwrap_or("");
    let (init, main): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|record| record.init);
    let statuses = |records: &[&Record]| -> Option<Vec<ContainerStatus>> {
        (!records.is_empty()).then(|| records.iter().map(|record| container_status(record, uid)).collect())
    };
    let incomplete: Vec<&str> =
        init.iter().filter(|record| !initialized(record)).map(|record| record.name.as_str()).collect();
    let unready: Vec<&str> = main
        .iter()
        .chain(init.iter().filter(|record| record.sidecar))
        .filter(|record| !record.ready)
        .map(|record| record.name.as_str())
        .collect();
    let phase = phase(pod, &init, &main);
    let finished = matches!(phase, "Succeeded" | "Failed");

    let mut conditions: Vec<PodCondition> =
        before.and_then(|status| status.conditions.clone()).unwrap_or_default();
    let gates: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.readiness_gates.iter().flatten())
        .map(|gate| gate.condition_type.as_str())
        .filter(|gate| {
            !conditions.iter().any(|condition| condition.type_ == *gate && condition.status == "True")
        })
        .collect();
    let done = finished.then_some("PodCompleted");
    let mut set = |kind: &str, holds: bool, reason: Option<&str>, message: Option<String>| {
        let reason = if kind == "PodScheduled" {
            None
        } else {
            done.filter(|_| !holds || kind == "Initialized").or(reason)
        };
        set_condition(&mut conditions, kind, holds, reason, message, facts.now);
    };
    set("PodScheduled", true, None, None);
    let listed =
        |what: &str, names: &[&str]| Some(format!("containers with {what} status: [{}]", names.join(" ")));
    if incomplete.is_empty() {
        set("Initialized", true, None, None);
    } else {
        set("Initialized", false, Some("ContainersNotInitialized"), listed("incomplete", &incomplete));
    }
    if unready.is_empty() {
        set("ContainersReady", true, None, None);
    } else {
        set("ContainersReady", false, Some("ContainersNotReady"), listed("unready", &unready));
    }
    if !unready.is_empty() {
        set("Ready", false, Some("ContainersNotReady"), listed("unready", &unready));
    } else if let Some(gate) = gates.first() {
        let message =
            format!("corresponding condition of pod readiness gate \"{gate}\" does not exist or is not True");
        set("Ready", false, Some("ReadinessGatesNotReady"), Some(message));
    } else {
        set("Ready", true, None, None);
    }

    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        container_statuses: statuses(&main),
        init_container_statuses: statuses(&init),
        host_ip: Some(facts.host_ip.clone()),
        host_ips: Some(vec![HostIP { ip: facts.host_ip.clone() }]),
        pod_ip: Some(facts.pod_ip.clone()),
        pod_ips: Some(vec![PodIP { ip: facts.pod_ip.clone() }]),
        start_time: Some(Time(whole_seconds(facts.start_time))),
        qos_class: before
            .and_then(|status| status.qos_class.clone())
            .or_else(|| Some("BestEffort".to_owned())),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn phase(pod: &Pod, init: &[&Record], main: &[&Record]) -> &'static str {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let ended = |record: &Record| match &record.state {
        State::Ended(ended) => Some(ended.code),
        _ => None,
    };
    if policy == "Never"
        && init.iter().any(|record| !record.sidecar && ended(record).is_some_and(|code| code != 0))
    {
        return "Failed";
    }
    if init.iter().any(|record| !initialized(record)) {
        return "Pending";
    }
    if main.iter().any(|record| matches!(record.state, State::Waiting(..)) && record.last.is_none()) {
        return "Pending";
    }
    let codes: Option<Vec<i32>> = main.iter().map(|record| ended(record)).collect();
    match (codes, policy) {
        (Some(codes), "Never") if codes.iter().any(|code| *code != 0) => "Failed",
        (Some(codes), "Never" | "OnFailure") if codes.iter().all(|code| *code == 0) => "Succeeded",
        _ => "Running",
    }
}

fn initialized(record: &Record) -> bool {
    if record.sidecar {
        return record.started;
    }
    matches!(&record.state, State::Ended(ended) if ended.code == 0)
}

fn container_status(record: &Record, uid: &str) -> ContainerStatus {
    let ready = if record.init && !record.sidecar { initialized(record) } else { record.ready };
    let ran = record.restarts > 0 || !matches!(record.state, State::Waiting(..));
    ContainerStatus {
        name: record.name.clone(),
        image: record.image.clone(),
        image_id: String::new(),
        container_id: ran.then(|| {
            let short: String = uid.chars().filter(|c| *c != '-').take(12).collect();
            format!("process://{short}-{}-{}", record.name, record.restarts)
        }),
        ready,
        started: Some(record.started),
        restart_count: record.restarts,
        state: Some(container_state(&record.state)),
        last_state: Some(
            record
                .last
                .clone()
                .map_or_else(ContainerState::default, |last| container_state(&State::Ended(last))),
        ),
        ..ContainerStatus::default()
    }
}

fn container_state(state: &State) -> ContainerState {
    let time = |time: Timestamp| Some(Time(whole_seconds(time)));
    match state {
        State::Waiting(reason, message) => ContainerState {
            waiting: Some(ContainerStateWaiting { reason: Some(reason.clone()), message: message.clone() }),
            ..ContainerState::default()
        },
        State::Running(since) => ContainerState {
            running: Some(ContainerStateRunning { started_at: time(*since) }),
            ..ContainerState::default()
        },
        State::Ended(ended) => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: ended.code,
                signal: ended.signal,
                reason: Some(ended.reason.clone()),
                message: ended.message.clone(),
                started_at: ended.started.and_then(time),
                finished_at: time(ended.finished),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
    }
}

fn set_condition(
    conditions: &mut Vec<PodCondition>,
    kind: &str,
    holds: bool,
    reason: Option<&str>,
    message: Option<String>,
    now: Timestamp,
) {
    let status = if holds { "True" } else { "False" };
    let position = conditions.iter().position(|condition| condition.type_ == kind);
    let same = position.map(|at| &conditions[at]).filter(|old| old.status == status);
    let since =
        same.and_then(|old| old.last_transition_time.clone()).or_else(|| Some(Time(whole_seconds(now))));
    let condition = PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        message,
        last_transition_time: since,
        ..PodCondition::default()
    };
    match position {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
