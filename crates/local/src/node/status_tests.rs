use serde_json::json;

use super::*;

fn pod(policy: &str) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"uid": "u"}, "spec": {"containers": [], "restartPolicy": policy}}),
    )
    .expect("a pod")
}

fn record(init: bool, state: State) -> Record {
    Record {
        name: if init { "init" } else { "main" }.into(),
        image: "i".into(),
        init,
        sidecar: false,
        state,
        last: None,
        restarts: 0,
        started: false,
        ready: false,
        pid: None,
    }
}

fn ended(code: i32) -> State {
    State::Ended(Ended {
        code,
        signal: None,
        reason: "x".into(),
        message: None,
        started: None,
        finished: Timestamp::UNIX_EPOCH,
    })
}

fn waiting() -> State {
    State::Waiting("ContainerCreating".into(), None)
}

fn facts(second: i64) -> Facts {
    let now = Timestamp::from_second(second).expect("a time");
    Facts { pod_ip: "127.1.1.1".into(), host_ip: "127.0.0.1".into(), start_time: Timestamp::UNIX_EPOCH, now }
}

fn phase_of(policy: &str, records: &[Record]) -> String {
    pod_status(&pod(policy), records, &facts(1), None).phase.expect("a phase")
}

#[test]
fn phases_are_those_of_the_kubelet() {
    let running = State::Running(Timestamp::UNIX_EPOCH);
    let init = |state| record(true, state);
    let main = |state| record(false, state);
    for (policy, records, want) in [
        ("Always", vec![init(running.clone()), main(waiting())], "Pending"),
        ("Always", vec![init(ended(0)), main(waiting())], "Pending"),
        ("Always", vec![init(ended(0)), main(running.clone())], "Running"),
        ("Always", vec![main(ended(1))], "Running"),
        ("Never", vec![main(ended(0))], "Succeeded"),
        ("Never", vec![main(ended(1))], "Failed"),
        ("OnFailure", vec![main(ended(1))], "Running"),
        ("Never", vec![init(ended(1)), main(waiting())], "Failed"),
    ] {
        assert_eq!(phase_of(policy, &records), want, "{policy} {records:?}");
    }
    let mut crashing = main(waiting());
    crashing.last = Some(Ended {
        code: 1,
        signal: None,
        reason: "Error".into(),
        message: None,
        started: None,
        finished: Timestamp::UNIX_EPOCH,
    });
    assert_eq!(phase_of("Always", &[crashing]), "Running");
}

#[test]
fn conditions_say_which_container_is_missing_and_keep_their_time() {
    let mut main = record(false, State::Running(Timestamp::UNIX_EPOCH));
    let first = pod_status(&pod("Always"), std::slice::from_ref(&main), &facts(10), None);
    let find = |status: &PodStatus, kind: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind)
            .cloned()
            .expect("a condition")
    };
    let ready = find(&first, "Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("ContainersNotReady")));
    assert_eq!(ready.message.as_deref(), Some("containers with unready status: [main]"));
    main.ready = true;
    let second = pod_status(&pod("Always"), std::slice::from_ref(&main), &facts(20), Some(&first));
    let third = pod_status(&pod("Always"), &[main], &facts(30), Some(&second));
    assert_eq!(find(&third, "Ready").status, "True");
    assert_eq!(find(&third, "Ready").last_transition_time, find(&second, "Ready").last_transition_time);
    assert_ne!(find(&second, "Ready").last_transition_time, ready.last_transition_time);
}

#[test]
fn conditions_of_others_stay_and_gates_hold_readiness_back() {
    let pod: Pod = serde_json::from_value(json!({
        "spec": {"containers": [], "readinessGates": [{"conditionType": "example.com/gate"}]},
    }))
    .expect("a pod");
    let mut main = record(false, State::Running(Timestamp::UNIX_EPOCH));
    main.ready = true;
    let closed = pod_status(&pod, std::slice::from_ref(&main), &facts(1), None);
    assert!(closed.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "False"));
    let before: PodStatus =
        serde_json::from_value(json!({"conditions": [{"type": "example.com/gate", "status": "True"}]}))
            .expect("a status");
    let open = pod_status(&pod, &[main], &facts(1), Some(&before));
    assert!(open.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True"));
    assert!(open.conditions.iter().flatten().any(|c| c.type_ == "example.com/gate"));
}
