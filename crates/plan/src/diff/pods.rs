//! Pods and devices before and after.

use std::collections::BTreeMap;

use kinds::quantity::Quantity;
use kinds::{ObjectKey, Objects, keda};
use serde_json::Value;

use super::fields::is_below;
use super::{Diff, Verb};
use crate::workload::devices;

/// The pods of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    /// The Deployment or LeaderWorkerSet.
    pub workload: ObjectKey,
    /// Replicas before and after: pods of a Deployment, groups of a LeaderWorkerSet.
    pub replicas: (u32, u32),
    /// Pods before and after.
    pub pods: (u32, u32),
    /// How many of the pods that are there end and start anew, since their template changes.
    pub restarts: u32,
}

/// Devices of one resource that all pods together ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Devices {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

impl Devices {
    /// How many more; less than nothing if fewer.
    pub fn change(self) -> i64 {
        let (before, after) = (i64::try_from(self.before), i64::try_from(self.after));
        after.unwrap_or(i64::MAX).saturating_sub(before.unwrap_or(i64::MAX))
    }
}

/// Fills in what the writes of `diff` do to pods and devices. `before` and `after` hold all workloads, changed or not.
pub(super) fn count(diff: &mut Diff, before: &Objects, after: &Objects) {
    let mut devices: BTreeMap<String, Devices> = BTreeMap::new();
    let mut keys: Vec<&ObjectKey> = Vec::new();
    for (key, object) in before.iter().chain(after.iter()) {
        if shape(object).is_some() && !keys.contains(&key) {
            keys.push(key);
        }
    }
    for key in keys {
        let is_deleted =
            diff.writes.iter().any(|write| write.change.verb == Verb::Delete && write.change.key == *key);
        let old = before.get_key(key).map(|object| &**object);
        let new = after.get_key(key).map(|object| &**object).filter(|_| !is_deleted);
        let old_replicas = old.map(|old| replicas(old, before).unwrap_or(1));
        let new_replicas = new.map(|new| replicas(new, after).or(old_replicas).unwrap_or(1));
        let counts = |object: Option<&Value>, replicas: Option<u32>| -> (u32, u32) {
            let shape = object.and_then(shape);
            let replicas = replicas.unwrap_or(0);
            (replicas, shape.map_or(0, |shape| shape.size().saturating_mul(replicas)))
        };
        let (old_count, old_pods) = counts(old, old_replicas);
        let (new_count, new_pods) = counts(new, new_replicas);
        // Of the pods that stay; those that are too many only end.
        let kept_pods = old.and_then(shape).map_or(0, |shape| shape.size() * old_count.min(new_count));
        let restarts = if new.is_some() && changes_pods(diff, key) { kept_pods } else { 0 };
        if old_pods != new_pods || old_count != new_count || restarts > 0 {
            diff.pods.push(Pods {
                workload: key.clone(),
                replicas: (old_count, new_count),
                pods: (old_pods, new_pods),
                restarts,
            });
        }
        for (object, objects, replicas, is_old) in
            [(old, before, old_count, true), (new, after, new_count, false)]
        {
            for (name, amount) in object.map(|object| needs(object, objects)).unwrap_or_default() {
                let total = amount.saturating_mul(u64::from(replicas));
                let entry = devices.entry(name).or_default();
                *(if is_old { &mut entry.before } else { &mut entry.after }) += total;
            }
        }
    }
    diff.devices = devices.into_iter().filter(|(_, devices)| devices.before != devices.after).collect();
}

/// The pods of a workload's replica.
enum Shape<'a> {
    /// One pod.
    Single(&'a Value),
    /// A leader, and as many workers as make up the size.
    Group { leader: &'a Value, worker: &'a Value, size: u32 },
}

impl Shape<'_> {
    fn size(&self) -> u32 {
        match self {
            Shape::Single(_) => 1,
            Shape::Group { size, .. } => *size,
        }
    }
}

fn shape(object: &Value) -> Option<Shape<'_>> {
    match object["kind"].as_str()? {
        "Deployment" => Some(Shape::Single(&object["spec"]["template"]["spec"])),
        "LeaderWorkerSet" => {
            let group = &object["spec"]["leaderWorkerTemplate"];
            let worker = &group["workerTemplate"]["spec"];
            let leader = &group["leaderTemplate"]["spec"];
            let size = group["size"].as_u64().and_then(|size| u32::try_from(size).ok()).unwrap_or(1);
            Some(Shape::Group { leader: if leader.is_null() { worker } else { leader }, worker, size })
        }
        _ => None,
    }
}

/// Whether the write of a workload ends the pods that run. A LeaderWorkerSet replaces its groups for a new network, too.
fn changes_pods(diff: &Diff, key: &ObjectKey) -> bool {
    let writes = diff.writes.iter().filter(|write| write.change.key == *key);
    writes.flat_map(|write| &write.fields).any(|change| {
        ["spec.template", "spec.leaderWorkerTemplate", "spec.networkConfig"]
            .iter()
            .any(|field| is_below(change, field))
    })
}

/// The number of replicas that an object asks for, or that its autoscaler begins with.
fn replicas(object: &Value, objects: &Objects) -> Option<u32> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    if let Some(replicas) = number(&object["spec"]["replicas"]) {
        return Some(replicas);
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let scalers = [
        ("autoscaling/v2", "HorizontalPodAutoscaler", "minReplicas"),
        (keda::API_VERSION, "ScaledObject", "minReplicaCount"),
    ];
    scalers.into_iter().find_map(|(api_version, kind, field)| {
        objects
            .of_kind_in(api_version, kind, namespace)
            .map(|(_, scaler)| &scaler["spec"])
            .find(|spec| {
                spec["scaleTargetRef"]["kind"] == object["kind"]
                    && spec["scaleTargetRef"]["name"] == object["metadata"]["name"]
            })
            .and_then(|spec| number(&spec[field]))
    })
}

/// Devices that one replica needs.
fn needs(object: &Value, objects: &Objects) -> BTreeMap<String, u64> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |pod: &Value, times: u32| {
        for (name, amount) in pod_needs(pod, namespace, objects) {
            *sum.entry(name).or_default() += amount.saturating_mul(u64::from(times));
        }
    };
    match shape(object) {
        Some(Shape::Single(pod)) => add(pod, 1),
        Some(Shape::Group { leader, worker, size }) => {
            add(leader, size.min(1));
            add(worker, size.saturating_sub(1));
        }
        None => {}
    }
    sum
}

/// Devices that a pod needs: its containers' and sidecars' together, or an init container's if that asks for more.
fn pod_needs(pod: &Value, namespace: &str, objects: &Objects) -> BTreeMap<String, u64> {
    let containers = |field: &str| pod[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    let is_sidecar = |container: &Value| container["restartPolicy"] == "Always";
    for container in containers("initContainers") {
        for (name, amount) in extended(&container["resources"]) {
            if is_sidecar(container) {
                *sum.entry(name).or_default() += amount;
            } else {
                let most = most.entry(name.clone()).or_default();
                *most = (*most).max(amount + sum.get(&name).copied().unwrap_or(0));
            }
        }
    }
    for container in containers("containers") {
        for (name, amount) in extended(&container["resources"]) {
            *sum.entry(name).or_default() += amount;
        }
    }
    for (name, amount) in most {
        let sum = sum.entry(name).or_default();
        *sum = (*sum).max(amount);
    }
    for claim in containers("resourceClaims") {
        let Some(template) = claim["resourceClaimTemplateName"].as_str() else { continue };
        let known = objects.get(devices::API_VERSION, "ResourceClaimTemplate", Some(namespace), template);
        let Some(known) = known else {
            *sum.entry(format!("ResourceClaimTemplate/{template}")).or_default() += 1;
            continue;
        };
        for request in known["spec"]["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
            let exactly = &request["exactly"];
            let class = exactly["deviceClassName"].as_str().unwrap_or_default();
            *sum.entry(format!("DeviceClass/{class}")).or_default() += exactly["count"].as_u64().unwrap_or(1);
        }
    }
    sum
}

/// Extended resources: those whose name has a domain that is not Kubernetes' own.
fn extended(resources: &Value) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for field in ["requests", "limits"] {
        for (name, amount) in resources[field].as_object().into_iter().flatten() {
            let Some((domain, _)) = name.split_once('/') else { continue };
            if domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") {
                continue;
            }
            let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
            let Ok(amount) = Quantity::parse(&text) else { continue };
            found.insert(name.clone(), u64::try_from(amount.ceil()).unwrap_or(0));
        }
    }
    found
}
