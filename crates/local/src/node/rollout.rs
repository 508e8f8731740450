//! What a Deployment and a ReplicaSet want next: objects seen in, actions out, as Kubernetes' own
//! controllers decide it. Nothing here talks to the API; [`super::controllers`] carries the actions out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus,
};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kinds::leaderworkerset::LeaderWorkerSetStatus;
use sha2::{Digest, Sha256};

/// Annotation with the number of the rollout, on the Deployment and on each of its ReplicaSets.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Label that tells the pods of one template from those of the next.
pub(crate) const TEMPLATE_HASH: &str = "pod-template-hash";

/// One change that a controller wants made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Create this ReplicaSet.
    CreateReplicaSet(Box<ReplicaSet>),
    /// Set `spec.replicas` and the revision annotation of the ReplicaSet with this name.
    ScaleReplicaSet {
        /// Name in the Deployment's namespace.
        name: String,
        /// Wanted number of pods.
        replicas: i32,
        /// Revision to record; absent leaves it as it is.
        revision: Option<i64>,
    },
    /// Delete a ReplicaSet that has no pods and is beyond the history limit.
    DeleteReplicaSet(String),
    /// Create this many pods from the ReplicaSet's template.
    CreatePods(usize),
    /// Delete the pods of these names.
    DeletePods(Vec<String>),
    /// Create this pod.
    CreatePod(Box<Pod>),
    /// Delete the pods of a group that is broken, without waiting for what they still do.
    RecreateGroup {
        /// Index of the group.
        group: i32,
        /// Names of its pods.
        pods: Vec<String>,
    },
    /// Write the LeaderWorkerSet's status.
    GroupStatus(Box<LeaderWorkerSetStatus>),
    /// Write the ReplicaSet's status.
    ReplicaSetStatus(ReplicaSetStatus),
    /// Record the revision on the Deployment.
    DeploymentRevision(i64),
    /// Write the Deployment's status.
    DeploymentStatus(Box<DeploymentStatus>),
}

/// What a Deployment wants, given all ReplicaSets that it controls.
pub(crate) fn deployment(deployment: &Deployment, sets: &[&ReplicaSet], now: Timestamp) -> Vec<Action> {
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let mut sets: Vec<&ReplicaSet> = sets.to_vec();
    sets.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), set.metadata.name.clone()));
    let current = sets.iter().copied().find(|set| same_template(&spec.template, set));
    let old: Vec<&ReplicaSet> = sets
        .iter()
        .copied()
        .filter(|set| current.is_none_or(|new| new.metadata.name != set.metadata.name))
        .collect();

    let mut actions = Vec::new();
    if deployment.metadata.deletion_timestamp.is_some() {
        return actions;
    }
    if spec.paused != Some(true) {
        let newest = old.iter().map(|set| revision(&set.metadata)).max().unwrap_or(0) + 1;
        roll(deployment, current, &old, newest, &mut actions);
        if revision(&deployment.metadata) != newest.max(current.map_or(0, |set| revision(&set.metadata))) {
            actions.push(Action::DeploymentRevision(
                newest.max(current.map_or(0, |set| revision(&set.metadata))),
            ));
        }
        forget_history(deployment, &old, &mut actions);
    }
    let status = deployment_status(deployment, current, &sets, now);
    if deployment.status.as_ref() != Some(&status) {
        actions.push(Action::DeploymentStatus(Box::new(status)));
    }
    actions
}

fn roll(
    deployment: &Deployment,
    current: Option<&ReplicaSet>,
    old: &[&ReplicaSet],
    newest: i64,
    actions: &mut Vec<Action>,
) {
    let wanted = wanted_replicas(deployment);
    let recreate = strategy(deployment) == "Recreate";
    let total: i32 = current.into_iter().chain(old.iter().copied()).map(replicas).sum();
    let (surge, unavailable) = fenceposts(deployment);

    // Old pods of a `Recreate` must be gone, not only unwanted, before new ones start.
    let old_gone = old.iter().all(|set| replicas(set) == 0 && actual(set) == 0);
    let target = match current {
        _ if recreate && !old_gone => current.map_or(0, replicas),
        None if recreate => wanted,
        None => (wanted + surge - total).clamp(0, wanted),
        Some(_) if recreate => wanted,
        Some(set) if replicas(set) >= wanted => wanted,
        Some(set) => replicas(set) + (wanted + surge - total).clamp(0, wanted - replicas(set)),
    };
    match current {
        None => actions.push(Action::CreateReplicaSet(Box::new(replica_set(deployment, target, newest)))),
        Some(set) => {
            let stale = revision(&set.metadata) < newest;
            if replicas(set) != target || stale {
                actions.push(Action::ScaleReplicaSet {
                    name: name(&set.metadata),
                    replicas: target,
                    revision: stale.then_some(newest),
                });
            }
        }
    }

    let mut scale = |set: &ReplicaSet, replicas: i32| {
        actions.push(Action::ScaleReplicaSet { name: name(&set.metadata), replicas, revision: None });
    };
    if recreate {
        old.iter().filter(|set| replicas(set) > 0).for_each(|set| scale(set, 0));
        return;
    }
    let minimum = wanted - unavailable;
    let new_unavailable = current.map_or(0, |set| replicas(set) - available(set));
    let mut budget = total - minimum - new_unavailable;
    if budget <= 0 {
        return;
    }
    // Pods of old templates that are not available cost nothing: they go first.
    let mut keep: Vec<i32> = old.iter().map(|set| replicas(set)).collect();
    for (set, keep) in old.iter().zip(&mut keep) {
        let dead = (*keep - available(set)).clamp(0, budget);
        *keep -= dead;
        budget -= dead;
    }
    let up: i32 = current.into_iter().chain(old.iter().copied()).map(available).sum();
    let mut spare = (up - minimum).max(0);
    for keep in &mut keep {
        let gone = (*keep).min(spare);
        *keep -= gone;
        spare -= gone;
    }
    for (set, keep) in old.iter().zip(keep) {
        if keep != replicas(set) {
            scale(set, keep);
        }
    }
}

fn forget_history(deployment: &Deployment, old: &[&ReplicaSet], actions: &mut Vec<Action>) {
    let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10).max(0);
    let mut idle: Vec<&&ReplicaSet> = old
        .iter()
        .filter(|set| replicas(set) == 0 && actual(set) == 0 && set.metadata.deletion_timestamp.is_none())
        .collect();
    idle.sort_by_key(|set| revision(&set.metadata));
    let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    actions.extend(idle[..surplus].iter().map(|set| Action::DeleteReplicaSet(name(&set.metadata))));
}

/// What a ReplicaSet wants, given all pods that it controls.
pub(crate) fn replica_set_pods(set: &ReplicaSet, pods: &[&Pod], now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    // Pods that ended or are going count no more; their replacement starts at once.
    let active: Vec<&Pod> = pods
        .iter()
        .copied()
        .filter(|pod| {
            pod.metadata.deletion_timestamp.is_none() && !matches!(phase(pod), "Succeeded" | "Failed")
        })
        .collect();
    let wanted = usize::try_from(replicas(set)).unwrap_or(0);
    if set.metadata.deletion_timestamp.is_none() {
        if active.len() < wanted {
            actions.push(Action::CreatePods(wanted - active.len()));
        } else if active.len() > wanted {
            let mut rank = active.clone();
            // Kubernetes takes first what serves least: not ready before ready, young before old.
            rank.sort_by_key(|pod| {
                (is_ready(pod), std::cmp::Reverse(pod.metadata.creation_timestamp.clone()))
            });
            actions.push(Action::DeletePods(
                rank[..active.len() - wanted].iter().map(|pod| name(&pod.metadata)).collect(),
            ));
        }
    }
    let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let ready = active.iter().filter(|pod| is_ready(pod)).count();
    let available = active.iter().filter(|pod| is_available(pod, min_ready, now)).count();
    let mut status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: (!active.is_empty()).then(|| count(active.len())),
        ready_replicas: (ready > 0).then(|| count(ready)),
        available_replicas: (available > 0).then(|| count(available)),
        observed_generation: set.metadata.generation,
        ..ReplicaSetStatus::default()
    };
    status.conditions = set.status.as_ref().and_then(|status| status.conditions.clone());
    status.terminating_replicas = set.status.as_ref().and_then(|status| status.terminating_replicas);
    if set.status.as_ref() != Some(&status) {
        actions.push(Action::ReplicaSetStatus(status));
    }
    actions
}

/// A pod of a ReplicaSet, bound to `node`: nothing has to be scheduled on one machine.
pub(crate) fn pod_of(set: &ReplicaSet, node: &str) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let mut spec = template.spec;
    if let Some(spec) = &mut spec {
        spec.node_name.get_or_insert_with(|| node.to_owned());
    }
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(&set.metadata))),
            namespace: set.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner("apps/v1", "ReplicaSet", &set.metadata)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

fn replica_set(deployment: &Deployment, replicas: i32, revision: i64) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let hash =
        template_hash(&spec.template, deployment.status.as_ref().and_then(|status| status.collision_count));
    let mut template = spec.template;
    let meta = template.metadata.get_or_insert_default();
    meta.labels.get_or_insert_default().insert(TEMPLATE_HASH.to_owned(), hash.clone());
    let labels = meta.labels.clone();
    let mut match_labels = spec.selector.match_labels.unwrap_or_default();
    match_labels.insert(TEMPLATE_HASH.to_owned(), hash.clone());
    let mut annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    annotations.insert(REVISION.to_owned(), revision.to_string());
    annotations.insert(
        "deployment.kubernetes.io/desired-replicas".to_owned(),
        wanted_replicas(deployment).to_string(),
    );
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", name(&deployment.metadata))),
            namespace: deployment.metadata.namespace.clone(),
            labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner("apps/v1", "Deployment", &deployment.metadata)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector { match_labels: Some(match_labels), ..spec.selector },
            template: Some(template),
        }),
        status: None,
    }
}

fn deployment_status(
    deployment: &Deployment,
    current: Option<&ReplicaSet>,
    sets: &[&ReplicaSet],
    now: Timestamp,
) -> DeploymentStatus {
    let before = deployment.status.clone().unwrap_or_default();
    let sum = |field: fn(&ReplicaSetStatus) -> Option<i32>| -> i32 {
        sets.iter().filter_map(|set| set.status.as_ref().and_then(field)).sum()
    };
    let some = |number: i32| (number > 0).then_some(number);
    let up = sum(|status| status.available_replicas);
    let total: i32 = sets.iter().map(|set| replicas(set)).sum();
    let updated = current.map_or(0, actual);
    let actual_total = sum(|status| Some(status.replicas));
    let wanted = wanted_replicas(deployment);
    let (_, unavailable) = fenceposts(deployment);

    let mut conditions = before.conditions.clone().unwrap_or_default();
    let (progress, reason, message) = progress(deployment, current, &before, updated, actual_total, up, now);
    set_condition(&mut conditions, "Progressing", progress, reason, message, now);
    if up >= wanted - unavailable {
        let message = "Deployment has minimum availability.".to_owned();
        set_condition(&mut conditions, "Available", "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        set_condition(&mut conditions, "Available", "False", "MinimumReplicasUnavailable", message, now);
    }
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(actual_total),
        updated_replicas: some(updated),
        ready_replicas: some(sum(|status| status.ready_replicas)),
        available_replicas: some(up),
        unavailable_replicas: some((total - up).max(0)),
        conditions: Some(conditions),
        ..before
    }
}

/// The Progressing condition: status, reason, message.
fn progress(
    deployment: &Deployment,
    current: Option<&ReplicaSet>,
    before: &DeploymentStatus,
    updated: i32,
    actual_total: i32,
    up: i32,
    now: Timestamp,
) -> (&'static str, &'static str, String) {
    let wanted = wanted_replicas(deployment);
    let Some(set) = current else {
        return ("True", "NewReplicaSetCreated", "Created new replica set".to_owned());
    };
    let set_name = name(&set.metadata);
    if updated == wanted && actual_total == wanted && up == wanted {
        let message = format!("ReplicaSet \"{set_name}\" has successfully progressed.");
        return ("True", "NewReplicaSetAvailable", message);
    }
    let moved = before.updated_replicas.unwrap_or(0) != updated
        || before.available_replicas.unwrap_or(0) != up
        || before.replicas.unwrap_or(0) != actual_total
        || before.observed_generation != deployment.metadata.generation;
    let last = before.conditions.iter().flatten().find(|condition| condition.type_ == "Progressing");
    let deadline = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds).unwrap_or(600);
    let since = last.and_then(|condition| condition.last_update_time.as_ref()).map_or(now, |time| time.0);
    let complete_before =
        last.is_some_and(|condition| condition.reason.as_deref() == Some("NewReplicaSetAvailable"));
    if !moved && !complete_before && now.duration_since(since).as_secs() > i64::from(deadline) {
        let message = format!("ReplicaSet \"{set_name}\" has timed out progressing.");
        return ("False", "ProgressDeadlineExceeded", message);
    }
    if !moved && complete_before {
        // A pod that fails after the rollout ended does not reopen the rollout.
        let message = last.and_then(|condition| condition.message.clone()).unwrap_or_default();
        return ("True", "NewReplicaSetAvailable", message);
    }
    ("True", "ReplicaSetUpdated", format!("ReplicaSet \"{set_name}\" is progressing."))
}

fn set_condition(
    conditions: &mut Vec<DeploymentCondition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let time = Some(Time(whole_seconds(now)));
    let position = conditions.iter().position(|condition| condition.type_ == kind);
    let old = position.map(|at| conditions[at].clone());
    if old.as_ref().is_some_and(|old| {
        old.status == status
            && old.reason.as_deref() == Some(reason)
            && old.message.as_deref() == Some(&message)
    }) {
        return;
    }
    let transition = match &old {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        _ => time.clone(),
    };
    let condition = DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: time,
        last_transition_time: transition,
    };
    match position {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// Surge and unavailable pods that a rolling update may use, in pods. Kubernetes rounds surge up and
/// unavailable down, and allows one unavailable pod where both would be 0.
pub(crate) fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    if strategy(deployment) == "Recreate" {
        return (0, 0);
    }
    let wanted = wanted_replicas(deployment);
    let rolling = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref())
        .and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()), wanted, true);
    let unavailable = resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(wanted)) }
}

/// A number of pods, or a part of `of` in percent.
pub(crate) fn resolve(value: Option<&IntOrString>, of: i32, round_up: bool) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(number)) => return (*number).max(0),
        Some(IntOrString::String(text)) => {
            let Some(digits) = text.strip_suffix('%') else { return text.parse().unwrap_or(0).max(0) };
            digits.parse::<i64>().unwrap_or(25)
        }
        None => 25,
    };
    let hundredths = percent.max(0) * i64::from(of);
    let pods = if round_up { (hundredths + 99) / 100 } else { hundredths / 100 };
    i32::try_from(pods).unwrap_or(i32::MAX)
}

fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut text = serde_json::to_vec(template).unwrap_or_default();
    text.extend(collisions.unwrap_or(0).to_le_bytes());
    hash_letters(&text)
}

/// Ten letters that stand for a text.
pub(crate) fn hash_letters(text: &[u8]) -> String {
    // Vowels and look-alikes are left out, as Kubernetes does, so that no hash spells a word.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    Sha256::digest(text)[..10]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

fn same_template(template: &PodTemplateSpec, set: &ReplicaSet) -> bool {
    let Some(mut other) = set.spec.as_ref().and_then(|spec| spec.template.clone()) else { return false };
    let mut ours = template.clone();
    for template in [&mut ours, &mut other] {
        if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
            labels.remove(TEMPLATE_HASH);
        }
        if template.metadata.as_ref().is_some_and(|meta| meta.labels.as_ref().is_some_and(BTreeMap::is_empty))
        {
            template.metadata.get_or_insert_default().labels = None;
        }
    }
    ours == other
}

pub(crate) fn owner(api_version: &str, kind: &str, meta: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name(meta),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether `meta` names `uid` as its controller.
pub(crate) fn controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready =
        conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    ready_since(pod).is_some_and(|since| {
        min_ready_seconds == 0 || now.duration_since(since).as_secs() >= i64::from(min_ready_seconds)
    })
}

fn strategy(deployment: &Deployment) -> &str {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()).unwrap_or("RollingUpdate")
}

fn wanted_replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).max(0)
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn revision(meta: &ObjectMeta) -> i64 {
    let text = meta.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) fn name(meta: &ObjectMeta) -> String {
    meta.name.clone().unwrap_or_default()
}

pub(crate) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// API timestamps have whole seconds; finer ones would not survive the store and look like a change.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
