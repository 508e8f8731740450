//! What the last run left in statuses is not known to hold: its engines are gone. A node's pods are taken for not ready
//! when the node comes back; here everything that was said because of them is taken back as well, before anybody looks.

use futures_util::StreamExt;
use futures_util::stream::iter;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::node::groups::SET;

/// Reason of every condition that is taken back.
const REASON: &str = "Restarted";
/// Writes at once: enough to fill the store's group commits.
const AT_ONCE: usize = 64;

/// Changes a status in place.
type TakeBack = fn(&mut Value);

/// Takes back what pods, Deployments, LeaderWorkerSets and services said about engines that ran. Pods of groups go: their
/// containers would be started again, and then their groups made anew.
///
/// # Errors
/// The API server does not answer.
pub(super) async fn forget(client: &kube::Client) -> Result<(), kube::Error> {
    let kinds: [(&str, &str, &str, TakeBack); 4] = [
        ("", "v1", "Pod", pod),
        ("apps", "v1", "Deployment", deployment),
        ("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", deployment),
        ("serving.kserve.io", "v1alpha2", "LLMInferenceService", service),
    ];
    for (group, version, kind, take_back) in kinds {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let objects = match all.list(&ListParams::default()).await {
            Ok(objects) => objects.items,
            // Somebody has taken the definition away.
            Err(kube::Error::Api(error)) if error.code == 404 => continue,
            Err(error) => return Err(error),
        };
        let writes = objects.into_iter().filter_map(|mut object| {
            let is_of_group = object.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(SET));
            let status = object.data.get_mut("status")?;
            let before = status.clone();
            take_back(status);
            if *status == before && !is_of_group {
                return None;
            }
            object.metadata.managed_fields = None;
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
            let name = object.metadata.name.clone().unwrap_or_default();
            Some(async move {
                if is_of_group {
                    return api.delete(&name, &DeleteParams::default().grace_period(0)).await.map(drop);
                }
                api.replace_status(&name, &PostParams::default(), &object).await.map(drop)
            })
        });
        let mut running = iter(writes).buffer_unordered(AT_ONCE);
        while let Some(written) = running.next().await {
            written?;
        }
    }
    Ok(())
}

fn pod(status: &mut Value) {
    set(status, &["Ready", "ContainersReady"], "False");
    for container in status["containerStatuses"].as_array_mut().into_iter().flatten() {
        container["ready"] = json!(false);
        container["started"] = json!(false);
    }
}

fn deployment(status: &mut Value) {
    set(status, &["Available"], "False");
    if let Some(fields) = status.as_object_mut() {
        fields.remove("readyReplicas");
        fields.remove("availableReplicas");
    }
}

fn service(status: &mut Value) {
    set(status, &["Ready"], "Unknown");
}

fn set(status: &mut Value, types: &[&str], value: &str) {
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if condition["type"].as_str().is_some_and(|type_| types.contains(&type_))
            && condition["status"] == "True"
        {
            condition["status"] = json!(value);
            condition["reason"] = json!(REASON);
            condition["message"] = json!("the engines of the last run are gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_the_last_run_is_not_ready_and_what_was_false_keeps_its_reason() {
        let mut status = json!({
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"},
                           {"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [{"name": "main", "ready": true, "started": true}],
        });
        pod(&mut status);
        assert_eq!(status["conditions"][0]["status"], "False");
        assert_eq!(status["conditions"][1]["status"], "True");
        assert_eq!(status["conditions"][2]["reason"], "ContainersNotReady");
        assert_eq!(status["containerStatuses"][0]["ready"], false);
    }
}
