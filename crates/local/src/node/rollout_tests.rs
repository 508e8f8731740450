use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn web(replicas: i32, image: &str, strategy: Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas, "strategy": strategy,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}},
        },
    }))
    .expect("a deployment")
}

/// The ReplicaSet that a Deployment makes, as it is later: with pods, some of them available.
fn set_of(deployment: &Deployment, revision: i64, replicas: i32, available: i32) -> ReplicaSet {
    let mut set = replica_set(deployment, replicas, revision);
    set.status = Some(ReplicaSetStatus {
        replicas,
        available_replicas: Some(available),
        ready_replicas: Some(available),
        ..ReplicaSetStatus::default()
    });
    set
}

/// Only what changes sizes: name's image by position, wanted size.
fn scaled(actions: &[Action]) -> Vec<(String, i32)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::ScaleReplicaSet { name, replicas, .. } => Some((name.clone(), *replicas)),
            _ => None,
        })
        .collect()
}

#[test]
fn percentages_round_surge_up_and_unavailable_down() {
    let rolling = |surge: Value, unavailable: Value| json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
    assert_eq!(fenceposts(&web(3, "a", json!({}))), (1, 0));
    assert_eq!(fenceposts(&web(10, "a", rolling(json!("25%"), json!("25%")))), (3, 2));
    assert_eq!(fenceposts(&web(10, "a", rolling(json!(2), json!("50%")))), (2, 5));
    assert_eq!(fenceposts(&web(4, "a", rolling(json!(0), json!(0)))), (0, 1));
    assert_eq!(fenceposts(&web(4, "a", rolling(json!("0%"), json!("1%")))), (0, 1));
}

#[test]
fn a_new_deployment_gets_a_set_with_all_its_replicas() {
    let actions = deployment(&web(3, "a", json!({})), &[], now());
    let Some(Action::CreateReplicaSet(set)) = actions.first() else { panic!("{actions:?}") };
    assert_eq!(set.spec.as_ref().and_then(|spec| spec.replicas), Some(3));
    let labels = set.metadata.labels.as_ref().expect("labels");
    let hash = &labels[TEMPLATE_HASH];
    assert_eq!(set.metadata.name.as_deref(), Some(format!("web-{hash}").as_str()));
    assert_eq!(set.metadata.annotations.as_ref().expect("annotations")[REVISION], "1");
    let pod = pod_of(set, "here");
    assert_eq!(pod.metadata.generate_name.as_deref(), Some(format!("web-{hash}-").as_str()));
    assert_eq!(pod.spec.and_then(|spec| spec.node_name).as_deref(), Some("here"));
}

#[test]
fn a_rolling_update_never_leaves_its_fenceposts() {
    let rolling = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}});
    let new = web(4, "b", rolling.clone());
    let mut old_set = set_of(&web(4, "a", rolling), 1, 4, 4);
    let actions = deployment(&new, &[&old_set], now());
    let Some(Action::CreateReplicaSet(created)) = actions.first() else { panic!("{actions:?}") };
    assert_eq!(replicas(created), 1, "one surge pod");
    assert_eq!(scaled(&actions), [(name(&old_set.metadata), 3)], "one may be missing");

    // Step by step to the end: new pods become available one reconcile later.
    let mut new_set = set_of(&new, 2, 1, 0);
    old_set = set_of(&web(4, "a", json!({})), 1, 3, 3);
    old_set.metadata.name = Some("web-old".into());
    for _ in 0..20 {
        let total = replicas(&new_set) + replicas(&old_set);
        let up = available(&new_set) + available(&old_set);
        assert!(total <= 5 && up >= 3, "{total} pods, {up} available");
        let actions = deployment(&new, &[&new_set, &old_set], now());
        let (mut new_size, mut old_size) = (replicas(&new_set), replicas(&old_set));
        for (target, size) in scaled(&actions) {
            if target == "web-old" { old_size = size } else { new_size = size }
        }
        let came_up = replicas(&new_set).min(new_size);
        new_set = set_of(&new, 2, new_size, came_up);
        old_set = set_of(&web(4, "a", json!({})), 1, old_size, old_size);
        old_set.metadata.name = Some("web-old".into());
    }
    assert_eq!((replicas(&new_set), replicas(&old_set)), (4, 0));
}

#[test]
fn pods_of_the_old_template_that_never_came_up_go_first() {
    let new = web(2, "b", json!({}));
    let mut stuck = set_of(&web(2, "a", json!({})), 1, 2, 0);
    stuck.metadata.name = Some("web-old".into());
    let new_set = set_of(&new, 2, 1, 1);
    let actions = deployment(&new, &[&new_set, &stuck], now());
    assert!(scaled(&actions).contains(&("web-old".into(), 1)), "{actions:?}");
}

#[test]
fn recreate_waits_until_the_old_pods_are_gone() {
    let strategy = json!({"type": "Recreate"});
    let new = web(2, "b", strategy.clone());
    let old_set = set_of(&web(2, "a", strategy.clone()), 1, 2, 2);
    let actions = deployment(&new, &[&old_set], now());
    assert!(
        actions.iter().any(|action| matches!(action, Action::CreateReplicaSet(set) if replicas(set) == 0))
    );
    assert_eq!(scaled(&actions), [(name(&old_set.metadata), 0)]);
    let gone = set_of(&web(2, "a", strategy), 1, 0, 0);
    let new_set = set_of(&new, 2, 0, 0);
    assert_eq!(scaled(&deployment(&new, &[&gone, &new_set], now())), [(name(&new_set.metadata), 2)]);
}

#[test]
fn a_settled_deployment_wants_nothing() {
    let mut web = web(2, "a", json!({}));
    let set = set_of(&web, 1, 2, 2);
    for action in deployment(&web, &[&set], now()) {
        match action {
            Action::DeploymentStatus(status) => web.status = Some(*status),
            Action::DeploymentRevision(revision) => {
                web.metadata.annotations = Some(BTreeMap::from([(REVISION.into(), revision.to_string())]));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(deployment(&web, &[&set], now()), []);
    let status = web.status.expect("a status");
    assert_eq!((status.ready_replicas, status.unavailable_replicas), (Some(2), None));
    let reasons: Vec<_> =
        status.conditions.into_iter().flatten().filter_map(|condition| condition.reason).collect();
    assert_eq!(reasons, ["NewReplicaSetAvailable", "MinimumReplicasAvailable"]);
}

#[test]
fn a_rollout_that_does_not_move_exceeds_its_deadline() {
    let mut web = web(1, "a", json!({}));
    let set = set_of(&web, 1, 1, 0);
    let status = |actions: Vec<Action>| {
        actions.into_iter().find_map(|action| match action {
            Action::DeploymentStatus(status) => Some(*status),
            _ => None,
        })
    };
    web.status = status(deployment(&web, &[&set], now()));
    let later = now() + jiff::SignedDuration::from_secs(601);
    let stuck = status(deployment(&web, &[&set], later)).expect("a change");
    let progressing =
        stuck.conditions.into_iter().flatten().find(|condition| condition.type_ == "Progressing");
    assert_eq!(
        progressing.and_then(|condition| condition.reason).as_deref(),
        Some("ProgressDeadlineExceeded")
    );
}

fn pod(name: &str, ready: bool, deleting: bool) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "deletionTimestamp": deleting.then_some("2026-01-01T00:00:00Z")},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" },
                                   "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .expect("a pod")
}

#[test]
fn a_set_replaces_pods_that_are_going_and_takes_away_those_that_serve_least() {
    let set = set_of(&web(2, "a", json!({})), 1, 2, 2);
    let pods = [pod("a", true, false), pod("b", true, true)];
    let actions = replica_set_pods(&set, &pods.iter().collect::<Vec<_>>(), now());
    assert_eq!(actions[0], Action::CreatePods(1));
    let pods = [pod("a", true, false), pod("b", false, false), pod("c", true, false)];
    let actions = replica_set_pods(&set, &pods.iter().collect::<Vec<_>>(), now());
    assert_eq!(actions[0], Action::DeletePods(vec!["b".into()]));
}

#[test]
fn an_available_pod_has_been_ready_for_min_ready_seconds() {
    let ready = pod("a", true, false);
    assert!(is_available(&ready, 0, now()));
    assert!(!is_available(&ready, 10, now() + jiff::SignedDuration::from_secs(9)));
    assert!(is_available(&ready, 10, now() + jiff::SignedDuration::from_secs(10)));
}
