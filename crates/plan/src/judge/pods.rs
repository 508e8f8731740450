//! Why pods do not run, in the words of the pods themselves.

use api::keys;
use serde_json::Value;

use super::Sight;
use crate::subject::{Subject, name_label};

/// Reasons of a waiting container that name a cause; the others are steps on the way.
const CAUSES: [&str; 9] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "ErrImageNeverPull",
];

/// Reason and message of the first pod of these components that says why it does not run.
pub(super) fn cause(subject: &Subject, sight: Sight, components: &[&str]) -> Option<(String, String)> {
    let name = name_label(subject.name);
    let mut pods: Vec<&Value> = sight
        .of_kind_in("v1", "Pod", subject.namespace)
        .into_iter()
        .filter(|pod| {
            let labels = &pod["metadata"]["labels"];
            labels[keys::APP_NAME] == name.as_str()
                && components.iter().any(|component| labels[keys::APP_COMPONENT] == *component)
                && pod["metadata"]["deletionTimestamp"].is_null()
        })
        .collect();
    pods.sort_by_key(|pod| pod["metadata"]["name"].as_str());
    // A pod that has ended for good is the past of those that came for it.
    let (ended, living): (Vec<&Value>, Vec<&Value>) =
        pods.into_iter().partition(|pod| pod["status"]["phase"] == "Failed");
    let living_cause = || living.iter().find_map(|pod| pod_cause(pod));
    let ended_cause = || ended.iter().find_map(|pod| failure(pod).or_else(|| pod_cause(pod)));
    living_cause().or_else(|| living.iter().find_map(|pod| progress(pod))).or_else(ended_cause)
}

/// A pod that was ended from outside, such as by eviction.
fn failure(pod: &Value) -> Option<(String, String)> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let reason = pod["status"]["reason"].as_str().filter(|reason| !reason.is_empty())?;
    let message = pod["status"]["message"].as_str().unwrap_or_default();
    Some((reason.to_owned(), format!("pod {name}: {}", last_line(message))))
}

fn pod_cause(pod: &Value) -> Option<(String, String)> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let unplaced = list(&pod["status"]["conditions"])
        .filter(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")
        .find_map(|condition| {
            let reason = condition["reason"].as_str()?;
            let message = condition["message"].as_str().unwrap_or_default();
            // A gate is held by a queue that waits for room.
            matches!(reason, "Unschedulable" | "SchedulingGated").then_some((reason, message))
        });
    if let Some((reason, message)) = unplaced {
        return Some((reason.to_owned(), format!("pod {name}: {message}")));
    }
    let statuses = &pod["status"];
    list(&statuses["initContainerStatuses"])
        .chain(list(&statuses["containerStatuses"]))
        .find_map(|status| container_cause(name, status))
}

fn container_cause(pod: &str, status: &Value) -> Option<(String, String)> {
    let container = status["name"].as_str().unwrap_or_default();
    let waiting = status["state"]["waiting"]["reason"].as_str();
    let ended = [&status["state"]["terminated"], &status["lastState"]["terminated"]]
        .into_iter()
        .find(|ended| ended["exitCode"].as_i64().is_some_and(|code| code != 0));
    // A container that runs again after a failure is given its chance.
    if !status["state"]["running"].is_null() {
        return None;
    }
    if let Some(ended) = ended {
        let reason = ended["reason"].as_str().unwrap_or("Error");
        let word = match (reason, waiting) {
            ("OOMKilled", _) => "OOMKilled",
            (_, Some("CrashLoopBackOff")) => "CrashLoopBackOff",
            (reason, _) => reason,
        };
        let code = ended["exitCode"].as_i64().unwrap_or_default();
        let last = last_line(ended["message"].as_str().unwrap_or_default());
        let last = if last.is_empty() { String::new() } else { format!(": {last}") };
        return Some((
            word.to_owned(),
            format!("pod {pod}, container {container} ended with exit code {code}{last}"),
        ));
    }
    let reason = waiting.filter(|reason| CAUSES.contains(reason))?;
    let message = status["state"]["waiting"]["message"].as_str().unwrap_or_default();
    Some((reason.to_owned(), format!("pod {pod}, container {container}: {}", last_line(message))))
}

/// An init container that runs is what the pod waits for.
fn progress(pod: &Value) -> Option<(String, String)> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let sidecars: Vec<&str> = list(&pod["spec"]["initContainers"])
        .filter(|container| container["restartPolicy"] == "Always")
        .filter_map(|container| container["name"].as_str())
        .collect();
    let running = list(&pod["status"]["initContainerStatuses"]).find(|status| {
        !status["state"]["running"].is_null() && !sidecars.iter().any(|sidecar| status["name"] == *sidecar)
    })?;
    let container = running["name"].as_str().unwrap_or_default();
    Some(("Initializing".to_owned(), format!("pod {name} waits for init container {container}")))
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
