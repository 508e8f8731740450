use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// A set, its pods, and a node agent that does at once what it is asked.
struct World {
    set: LeaderWorkerSet,
    pods: Vec<Pod>,
    /// Whether new pods become ready at once.
    ready: bool,
    made: usize,
}

impl World {
    fn new(spec: Value) -> Self {
        let set = json!({"metadata": {"name": "big", "namespace": "team", "uid": "set-uid"}, "spec": spec});
        let set = serde_json::from_value(set).expect("a set");
        Self { set, pods: Vec::new(), ready: true, made: 0 }
    }

    /// One round: what was decided is done. The names of pods that were made and that went.
    fn round(&mut self, held: &[i32]) -> (Vec<String>, Vec<String>) {
        let pods: Vec<&Pod> = self.pods.iter().collect();
        let actions = decide(&self.set, &pods, "node", &|group| held.contains(&group), Timestamp::UNIX_EPOCH);
        let (mut made, mut gone) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::CreatePod(mut pod) => {
                    made.push(name(&pod.metadata));
                    self.made += 1;
                    pod.metadata.uid = Some(format!("uid-{}", self.made));
                    let ready = if self.ready { "True" } else { "False" };
                    pod.status = serde_json::from_value(json!({
                        "phase": "Running", "podIP": format!("127.1.0.{}", self.made),
                        "conditions": [{"type": "Ready", "status": ready}],
                        "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": self.ready, "restartCount": 0}],
                    }))
                    .ok();
                    self.pods.push(*pod);
                }
                Action::DeletePods(names) | Action::RecreateGroup { pods: names, .. } => gone.extend(names),
                Action::GroupStatus(status) => self.set.status = Some(*status),
                other => panic!("{other:?} is none of a group's actions"),
            }
        }
        self.pods.retain(|pod| !gone.contains(&name(&pod.metadata)));
        (made, gone)
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            let before = self.set.status.clone();
            if self.round(&[]) == (Vec::new(), Vec::new()) && self.set.status == before {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.names());
    }

    fn names(&self) -> BTreeSet<String> {
        self.pods.iter().map(|pod| name(&pod.metadata)).collect()
    }

    fn pod(&self, wanted: &str) -> &Pod {
        self.pods.iter().find(|pod| name(&pod.metadata) == wanted).expect("the pod")
    }

    fn condition(&self, kind: &str) -> Option<(String, String)> {
        let conditions = &self.set.status.as_ref()?.conditions;
        let found = conditions.iter().find(|condition| condition.type_ == kind)?;
        Some((found.status.clone(), found.message.clone()))
    }
}

fn spec(replicas: i32, size: i32, image: &str) -> Value {
    let template = |role: &str| {
        json!({"metadata": {"labels": {"role": role}}, "spec": {
            "containers": [{"name": "main", "image": image, "env": [{"name": "RANK", "value": "$(LWS_WORKER_INDEX)"}]}],
        }})
    };
    json!({"replicas": replicas, "startupPolicy": "LeaderCreated", "leaderWorkerTemplate": {
        "size": size, "leaderTemplate": template("leader"), "workerTemplate": template("worker"),
        "restartPolicy": "RecreateGroupOnPodRestart",
    }})
}

fn set_of(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn leaders_come_first_and_every_pod_knows_its_place() {
    let mut world = World::new(spec(2, 3, "a"));
    assert_eq!(world.round(&[]).0, ["big-0", "big-1"]);
    assert_eq!(world.condition("Progressing").map(|(status, _)| status).as_deref(), Some("True"));
    assert_eq!(world.condition("Available"), None, "it has not been available yet");
    assert_eq!(world.round(&[]).0, ["big-0-1", "big-0-2", "big-1-1", "big-1-2"]);
    world.settle();
    let status = world.set.status.clone().expect("a status");
    assert_eq!(
        (status.replicas, status.ready_replicas, status.updated_replicas),
        (Some(2), Some(2), Some(2))
    );
    assert_eq!(world.condition("Available").map(|(status, _)| status).as_deref(), Some("True"));
    assert_eq!(world.condition("Progressing").map(|(status, _)| status).as_deref(), Some("False"));

    let worker = serde_json::to_value(world.pod("big-1-2")).expect("JSON");
    assert_eq!(
        worker["spec"]["containers"][0]["env"],
        json!([
            {"name": "LWS_LEADER_ADDRESS", "value": "127.1.0.2"},
            {"name": "LWS_GROUP_SIZE", "value": "3"},
            {"name": "LWS_WORKER_INDEX", "value": "2"},
            {"name": "RANK", "value": "$(LWS_WORKER_INDEX)"},
        ])
    );
    let labels = &worker["metadata"]["labels"];
    assert_eq!(
        (&labels[GROUP], &labels[WORKER], &labels["role"]),
        (&json!("1"), &json!("2"), &json!("worker"))
    );
    assert_eq!(worker["metadata"]["annotations"][LEADER], "big-1");
    assert_eq!(worker["metadata"]["ownerReferences"][0]["uid"], "set-uid");
    let leader = serde_json::to_value(world.pod("big-1")).expect("JSON");
    assert_eq!(
        leader["spec"]["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["fieldPath"],
        "status.podIP"
    );
    assert_eq!(leader["metadata"]["labels"][GROUP_KEY], labels[GROUP_KEY]);
    assert_eq!(leader["metadata"]["annotations"][SIZE], "3");
}

#[test]
fn workers_may_wait_until_their_leader_is_ready() {
    let mut world = World::new(spec(1, 2, "a"));
    world.set.spec.startup_policy = Some("LeaderReady".to_owned());
    world.ready = false;
    world.settle();
    assert_eq!(world.names(), set_of(&["big-0"]));
    let ready = world.pods[0].status.as_mut().expect("a status").conditions.as_mut().expect("conditions");
    ready[0].status = "True".to_owned();
    world.settle();
    assert_eq!(world.names(), set_of(&["big-0", "big-0-1"]));
    assert_eq!(world.condition("Available"), None, "the worker is not ready");
}

#[test]
fn a_set_scales_by_whole_groups() {
    let mut world = World::new(spec(3, 2, "a"));
    world.settle();
    world.set.spec.replicas = Some(1);
    let (made, gone) = world.round(&[]);
    assert_eq!((made.len(), gone.len()), (0, 4));
    world.settle();
    assert_eq!(world.names(), set_of(&["big-0", "big-0-1"]));
    world.set.spec.replicas = Some(0);
    world.settle();
    assert_eq!(world.names(), set_of(&[]));
    assert_eq!(world.condition("Available").map(|(status, _)| status).as_deref(), Some("True"));
}

#[test]
fn a_new_template_replaces_one_group_after_the_other_from_the_last_on() {
    let mut world = World::new(spec(2, 2, "a"));
    world.settle();
    let template =
        serde_json::from_value(spec(2, 2, "b")["leaderWorkerTemplate"].clone()).expect("a template");
    world.set.spec.leader_worker_template = template;
    assert_eq!(world.round(&[]).1, ["big-1", "big-1-1"]);
    assert_eq!(world.condition("UpdateInProgress").map(|(status, _)| status).as_deref(), Some("True"));
    assert_eq!(world.round(&[]), (vec!["big-1".to_owned()], Vec::new()), "the other still serves");
    world.settle();
    let images =
        world.pods.iter().map(|pod| pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone()));
    assert!(images.into_iter().all(|image| image.as_deref() == Some("b")));
    assert_eq!(world.condition("UpdateInProgress").map(|(status, _)| status).as_deref(), Some("False"));
}

#[test]
fn a_surge_group_serves_while_the_others_are_replaced() {
    let mut given = spec(1, 2, "a");
    given["rolloutStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdateConfiguration": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut world = World::new(given);
    world.settle();
    let template =
        serde_json::from_value(spec(1, 2, "b")["leaderWorkerTemplate"].clone()).expect("a template");
    world.set.spec.leader_worker_template = template;
    assert_eq!(world.round(&[]), (vec!["big-1".to_owned()], Vec::new()));
    assert_eq!(world.round(&[]), (vec!["big-1-1".to_owned()], Vec::new()));
    assert_eq!(world.round(&[]).1, ["big-0", "big-0-1"], "now there is one too many");
    world.settle();
    assert_eq!(world.names(), set_of(&["big-0", "big-0-1"]));
}

#[test]
fn a_group_in_which_a_container_was_restarted_is_made_anew_unless_it_is_held() {
    let mut world = World::new(spec(2, 2, "a"));
    world.settle();
    let restart = |world: &mut World| {
        let pod = world.pods.iter_mut().find(|pod| name(&pod.metadata) == "big-0-1").expect("the worker");
        pod.status.as_mut().expect("a status").container_statuses.as_mut().expect("containers")[0]
            .restart_count = 1;
    };
    restart(&mut world);
    assert_eq!(world.round(&[]), (Vec::new(), vec!["big-0".to_owned(), "big-0-1".to_owned()]));
    assert_eq!(world.round(&[0]).0, [] as [&str; 0], "it breaks again and again");
    assert_eq!(
        world.condition("Available"),
        Some(("False".to_owned(), "1 of 2 groups are ready".to_owned()))
    );
    assert_eq!(world.round(&[]).0, ["big-0"]);

    world.set.spec.leader_worker_template.restart_policy = Some("None".to_owned());
    world.settle();
    restart(&mut world);
    assert_eq!(world.round(&[]), (Vec::new(), Vec::new()), "the pod alone is restarted");
}

#[test]
fn subgroups_are_numbered_with_the_leader_in_the_first() {
    let mut given = spec(1, 5, "a");
    given["leaderWorkerTemplate"]["subGroupPolicy"] = json!({"subGroupSize": 2});
    let mut world = World::new(given);
    world.settle();
    let place = |name: &str| label(world.pod(name), SUBGROUP).to_owned();
    assert_eq!(["big-0", "big-0-1", "big-0-2", "big-0-3", "big-0-4"].map(place), ["0", "0", "0", "1", "1"]);
}
