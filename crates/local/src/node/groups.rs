//! What a LeaderWorkerSet wants next: groups of one leader pod and its workers, as LWS' own controller decides it. Objects
//! seen in, actions out; [`super::controllers`] carries them out.
//!
//! Two things differ here. The pods belong to the set itself, without StatefulSets between them. And
//! `LWS_LEADER_ADDRESS` is the leader's address instead of a name, as there is no DNS: workers are made when it is known.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kinds::leaderworkerset::{API_VERSION, LeaderWorkerSet, LeaderWorkerSetStatus};

use super::rollout::{
    Action, controlled_by, count, hash_letters, is_ready, name, owner, phase, resolve, whole_seconds,
};

/// Label with the name of the set, on each of its pods.
pub(crate) const SET: &str = "leaderworkerset.sigs.k8s.io/name";
const GROUP: &str = "leaderworkerset.sigs.k8s.io/group-index";
const GROUP_KEY: &str = "leaderworkerset.sigs.k8s.io/group-key";
const WORKER: &str = "leaderworkerset.sigs.k8s.io/worker-index";
const REVISION: &str = "leaderworkerset.sigs.k8s.io/template-revision-hash";
const SIZE: &str = "leaderworkerset.sigs.k8s.io/size";
const LEADER: &str = "leaderworkerset.sigs.k8s.io/leader-name";
const SUBGROUP: &str = "leaderworkerset.sigs.k8s.io/subgroup-index";
const SUBGROUP_KEY: &str = "leaderworkerset.sigs.k8s.io/subgroup-key";
const SUBGROUP_SIZE: &str = "leaderworkerset.sigs.k8s.io/subgroup-size";

/// The pods of one group that are there.
#[derive(Default)]
struct Group<'a> {
    leader: Option<&'a Pod>,
    workers: Vec<&'a Pod>,
}

impl<'a> Group<'a> {
    fn pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.leader.into_iter().chain(self.workers.iter().copied())
    }

    /// The leader, unless it is going.
    fn live_leader(&self) -> Option<&'a Pod> {
        self.leader.filter(|leader| !is_going(leader))
    }

    fn is_ready(&self, size: i32) -> bool {
        self.live_leader().is_some()
            && count(self.pods().count()) == size
            && self.pods().all(|pod| is_ready(pod) && !is_going(pod))
    }

    /// A container was started again, or a pod went: its engine waits for somebody who does not know it.
    fn is_broken(&self) -> bool {
        let restarted = |pod: &Pod| {
            let status = pod.status.as_ref();
            let containers = status.into_iter().flat_map(|status| {
                status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
            });
            containers.into_iter().any(|container| container.restart_count > 0)
        };
        self.live_leader().is_some()
            && self.pods().any(|pod| restarted(pod) || is_going(pod) || phase(pod) == "Failed")
    }
}

/// What a set wants, given the pods that carry its name. `held` says which groups are not to be made yet, because they
/// broke one time after the other.
pub(crate) fn decide(
    set: &LeaderWorkerSet,
    pods: &[&Pod],
    node: &str,
    held: &dyn Fn(i32) -> bool,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    if set.metadata.deletion_timestamp.is_some() {
        return actions;
    }
    let template = &set.spec.leader_worker_template;
    let (wanted, size) = (set.spec.replicas.unwrap_or(1).max(0), template.size.unwrap_or(1).max(1));
    let current = revision(set);
    let groups = groups(set, pods);
    let is_outdated =
        |group: &Group<'_>| group.live_leader().is_some_and(|leader| label(leader, REVISION) != current);
    let outdated = groups.range(..wanted).filter(|(_, group)| is_outdated(group)).count();
    let limits =
        set.spec.rollout_strategy.as_ref().and_then(|rollout| rollout.rolling_update_configuration.as_ref());
    let limit = |value: Option<_>, up: bool, default: i32| {
        value.map_or(default, |value| resolve(Some(value), wanted, up))
    };
    let most_surge = limit(limits.and_then(|limits| limits.max_surge.as_ref()), true, 0);
    let most_missing = limit(limits.and_then(|limits| limits.max_unavailable.as_ref()), false, 1);
    let surge = most_surge.min(count(outdated));
    let target = wanted + surge;

    let mut delete = |group: &Group<'_>| {
        let names: Vec<String> =
            group.pods().filter(|pod| !is_going(pod)).map(|pod| name(&pod.metadata)).collect();
        if !names.is_empty() {
            actions.push(Action::DeletePods(names));
        }
    };
    let mut broken = Vec::new();
    let recreates = template.restart_policy.as_deref() != Some("None");
    for (index, group) in &groups {
        if *index >= target || group.live_leader().is_none() {
            delete(group);
        } else if recreates && group.is_broken() {
            broken.push(*index);
        }
    }
    // From the last group to the first, as LWS does. A group that serves nobody costs nothing.
    let first = limits.and_then(|limits| limits.partition).unwrap_or(0);
    let missing = (0..target).filter(|index| !groups.get(index).is_some_and(|group| group.is_ready(size)));
    let mut budget = most_missing.max(i32::from(most_surge == 0)) + surge - count(missing.count());
    for (index, group) in
        groups.range(first.min(wanted)..wanted).rev().filter(|(_, group)| is_outdated(group))
    {
        if broken.contains(index) {
            continue;
        }
        let serves = group.is_ready(size);
        if !serves || budget > 0 {
            budget -= i32::from(serves);
            delete(group);
        }
    }
    for index in &broken {
        let group = &groups[index];
        actions.push(Action::RecreateGroup {
            group: *index,
            pods: group.pods().filter(|pod| !is_going(pod)).map(|pod| name(&pod.metadata)).collect(),
        });
    }
    for index in 0..target {
        match groups.get(&index) {
            None if !held(index) => {
                actions.push(Action::CreatePod(Box::new(leader_pod(set, index, size, &current, node))))
            }
            Some(group) if !broken.contains(&index) && !is_outdated(group) => {
                actions.extend(missing_workers(set, index, group, size, &current, node));
            }
            _ => {}
        }
    }
    let status = status(set, &groups, &current, wanted, size, now);
    if set.status.as_ref() != Some(&status) {
        actions.push(Action::GroupStatus(Box::new(status)));
    }
    actions
}

fn groups<'a>(set: &LeaderWorkerSet, pods: &[&'a Pod]) -> BTreeMap<i32, Group<'a>> {
    let uid = set.metadata.uid.as_deref().unwrap_or_default();
    let mut groups: BTreeMap<i32, Group<'a>> = BTreeMap::new();
    for pod in pods.iter().copied() {
        let Ok(index) = label(pod, GROUP).parse() else { continue };
        let group = groups.entry(index).or_default();
        if label(pod, WORKER) == "0" && controlled_by(&pod.metadata, uid) {
            group.leader = Some(pod);
        } else {
            group.workers.push(pod);
        }
    }
    groups
}

/// Workers that are not there yet, once their leader has an address, or is ready if the set waits for that.
fn missing_workers(
    set: &LeaderWorkerSet,
    index: i32,
    group: &Group<'_>,
    size: i32,
    current: &str,
    node: &str,
) -> Vec<Action> {
    let Some(leader) = group.live_leader() else { return Vec::new() };
    let Some(address) = leader.status.as_ref().and_then(|status| status.pod_ip.as_deref()) else {
        return Vec::new();
    };
    if set.spec.startup_policy.as_deref() == Some("LeaderReady") && !is_ready(leader) {
        return Vec::new();
    }
    let there: Vec<String> = group.workers.iter().map(|pod| name(&pod.metadata)).collect();
    (1..size)
        .map(|worker| worker_pod(set, index, worker, leader, address, size, current, node))
        .filter(|pod| !there.contains(&name(&pod.metadata)))
        .map(|pod| Action::CreatePod(Box::new(pod)))
        .collect()
}

fn leader_pod(set: &LeaderWorkerSet, index: i32, size: i32, current: &str, node: &str) -> Pod {
    let template = &set.spec.leader_worker_template;
    let own = template.leader_template.as_ref().unwrap_or(&template.worker_template);
    let address = EnvVar {
        name: "LWS_LEADER_ADDRESS".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: "status.podIP".to_owned(), api_version: None }),
            ..EnvVarSource::default()
        }),
        value: None,
    };
    let mut pod = pod(set, own, index, 0, address, size, current, node);
    pod.metadata.name = Some(format!("{}-{index}", name(&set.metadata)));
    pod
}

#[expect(clippy::too_many_arguments, reason = "what a worker is made of")]
fn worker_pod(
    set: &LeaderWorkerSet,
    index: i32,
    worker: i32,
    leader: &Pod,
    address: &str,
    size: i32,
    current: &str,
    node: &str,
) -> Pod {
    let own = &set.spec.leader_worker_template.worker_template;
    let address =
        EnvVar { name: "LWS_LEADER_ADDRESS".to_owned(), value: Some(address.to_owned()), value_from: None };
    let mut pod = pod(set, own, index, worker, address, size, current, node);
    let leader_name = name(&leader.metadata);
    pod.metadata.name = Some(format!("{leader_name}-{worker}"));
    pod.metadata.annotations.get_or_insert_default().insert(LEADER.to_owned(), leader_name);
    pod
}

/// A pod of a group, bound to `node`, without name.
#[expect(clippy::too_many_arguments, reason = "what a pod of a group is made of")]
fn pod(
    set: &LeaderWorkerSet,
    template: &PodTemplateSpec,
    index: i32,
    worker: i32,
    leader_address: EnvVar,
    size: i32,
    current: &str,
    node: &str,
) -> Pod {
    let set_name = name(&set.metadata);
    let meta = template.metadata.clone().unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let group_key = hash_letters(
        format!("{}/{set_name}-{index}", set.metadata.namespace.as_deref().unwrap_or_default()).as_bytes(),
    );
    if let Some(subgroup_size) = subgroup_size(set) {
        // Where the leader is one more than the subgroups hold, it is in the first beside its workers.
        let place = if (size - 1) % subgroup_size == 0 { (worker - 1).max(0) } else { worker };
        let subgroup = place / subgroup_size;
        labels.insert(SUBGROUP.to_owned(), subgroup.to_string());
        labels.insert(SUBGROUP_KEY.to_owned(), hash_letters(format!("{group_key}/{subgroup}").as_bytes()));
        annotations.insert(SUBGROUP_SIZE.to_owned(), subgroup_size.to_string());
    }
    for (key, value) in [
        (SET, set_name.clone()),
        (GROUP, index.to_string()),
        (WORKER, worker.to_string()),
        (GROUP_KEY, group_key),
        (REVISION, current.to_owned()),
    ] {
        labels.insert(key.to_owned(), value);
    }
    annotations.insert(SIZE.to_owned(), size.to_string());
    let mut spec = template.spec.clone();
    if let Some(spec) = &mut spec {
        spec.node_name.get_or_insert_with(|| node.to_owned());
        spec.subdomain.get_or_insert(set_name);
        let value = |name: &str, value: i32| EnvVar {
            name: name.to_owned(),
            value: Some(value.to_string()),
            value_from: None,
        };
        let own = [leader_address, value("LWS_GROUP_SIZE", size), value("LWS_WORKER_INDEX", worker)];
        for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
            let theirs = container.env.take().unwrap_or_default();
            // First, so that the others may refer to them.
            let ours = own.iter().filter(|var| theirs.iter().all(|other| other.name != var.name)).cloned();
            container.env = Some(ours.chain(theirs.iter().cloned()).collect());
        }
    }
    Pod {
        metadata: ObjectMeta {
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner(API_VERSION, "LeaderWorkerSet", &set.metadata)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

fn subgroup_size(set: &LeaderWorkerSet) -> Option<i32> {
    let size = set.spec.leader_worker_template.rest.get("subGroupPolicy")?.get("subGroupSize")?.as_i64()?;
    i32::try_from(size).ok().filter(|size| *size > 0)
}

fn status(
    set: &LeaderWorkerSet,
    groups: &BTreeMap<i32, Group<'_>>,
    current: &str,
    wanted: i32,
    size: i32,
    now: Timestamp,
) -> LeaderWorkerSetStatus {
    let led = |group: &&Group<'_>| group.live_leader().is_some();
    let is_current =
        |group: &Group<'_>| group.leader.is_some_and(|leader| label(leader, REVISION) == current);
    let there = groups.values().filter(led).count();
    let updated = groups.values().filter(led).filter(|group| is_current(group)).count();
    let ready = groups.values().filter(|group| group.is_ready(size)).count();
    let serving =
        groups.range(..wanted).filter(|(_, group)| group.is_ready(size) && is_current(group)).count();
    let is_updating = groups.values().any(|group| group.leader.is_some() && !is_current(group));

    let before = set.status.clone().unwrap_or_default();
    let mut conditions = before.conditions;
    let mut mark = |kind: &str, holds: bool, reason: &str, message: String| {
        // What was never so needs no word.
        if holds || conditions.iter().any(|condition| condition.type_ == kind) {
            set_condition(&mut conditions, kind, holds, reason, message, now);
        }
    };
    let done = count(serving) == wanted && count(there) == wanted;
    let some_ready = format!("{serving} of {wanted} groups are ready");
    if done {
        mark("Available", true, "AllGroupsReady", "All replicas are ready".to_owned());
    } else {
        mark("Available", false, "GroupsNotReady", some_ready);
    }
    mark("Progressing", !done, "GroupsProgressing", "Replicas are progressing".to_owned());
    mark(
        "UpdateInProgress",
        !done && is_updating,
        "GroupsUpdating",
        "Rolling Upgrade is in progress".to_owned(),
    );
    LeaderWorkerSetStatus {
        conditions,
        replicas: Some(count(there)),
        ready_replicas: Some(count(ready)),
        updated_replicas: Some(count(updated)),
        hpa_pod_selector: Some(format!("{SET}={},{WORKER}=0", name(&set.metadata))),
        rest: before.rest,
    }
}

fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let status = if holds { "True" } else { "False" };
    let at = conditions.iter().position(|condition| condition.type_ == kind);
    let same = at.map(|at| &conditions[at]).filter(|condition| condition.status == status);
    let since =
        same.map_or_else(|| Time(whole_seconds(now)), |condition| condition.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        observed_generation: None,
    };
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// A name for what the pods of a group are made from.
fn revision(set: &LeaderWorkerSet) -> String {
    let template = &set.spec.leader_worker_template;
    let made_from = serde_json::json!([template.leader_template, template.worker_template]);
    hash_letters(made_from.to_string().as_bytes())
}

fn label<'a>(pod: &'a Pod, key: &str) -> &'a str {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map_or("", String::as_str)
}

fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
