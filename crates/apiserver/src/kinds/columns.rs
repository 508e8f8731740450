//! The columns of the built-in kinds in a table. Descriptions are those of the fields, from the schemas.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{BuiltIn, schema};

/// A column: name, type, where its description comes from (a field, or `=` and words: those of the original, which describes
/// some columns by the fields of versions that it serves no more), priority.
type Column = (&'static str, &'static str, &'static str, u8);

const READY: &str = "=Number of the pod with ready state";
const CONTAINERS: Column = ("Containers", "string", "=Names of each container in the template.", 1);
const IMAGES: Column = ("Images", "string", "=Images referenced by each container in the template.", 1);
const AGE: Column = ("Age", "string", "metadata.creationTimestamp", 0);

fn of(kind: &str) -> &'static [Column] {
    match kind {
        "Deployment" => &[
            ("Ready", "string", READY, 0),
            ("Up-to-date", "string", "status.updatedReplicas", 0),
            ("Available", "string", "status.availableReplicas", 0),
            AGE,
            CONTAINERS,
            IMAGES,
            (
                "Selector",
                "string",
                "=Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment.",
                1,
            ),
        ],
        "ReplicaSet" => &[
            ("Desired", "integer", "spec.replicas", 0),
            ("Current", "integer", "status.replicas", 0),
            ("Ready", "integer", "status.readyReplicas", 0),
            AGE,
            CONTAINERS,
            IMAGES,
            (
                "Selector",
                "string",
                "=Selector is a label query over pods that should match the replica count. If the selector is empty, it is defaulted to the labels present on the pod template. Label keys and values that must match in order to be controlled by this replica set. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
                1,
            ),
        ],
        "ReplicationController" => &[
            ("Desired", "integer", "spec.replicas", 0),
            ("Current", "integer", "status.replicas", 0),
            ("Ready", "integer", "status.readyReplicas", 0),
            AGE,
            CONTAINERS,
            IMAGES,
            ("Selector", "string", "spec.selector", 1),
        ],
        "StatefulSet" => &[("Ready", "string", READY, 0), AGE, CONTAINERS, IMAGES],
        "DaemonSet" => &[
            ("Desired", "integer", "status.desiredNumberScheduled", 0),
            ("Current", "integer", "status.currentNumberScheduled", 0),
            (
                "Ready",
                "integer",
                "=The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and ready.",
                0,
            ),
            ("Up-to-date", "integer", "status.updatedNumberScheduled", 0),
            ("Available", "integer", "status.numberAvailable", 0),
            ("Node Selector", "string", "spec.template.spec.nodeSelector", 0),
            AGE,
            CONTAINERS,
            IMAGES,
            (
                "Selector",
                "string",
                "=A label query over pods that are managed by the daemon set. Must match in order to be controlled. If empty, defaulted to labels on Pod template. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
                1,
            ),
        ],
        "Pod" => &[
            ("Ready", "string", "=The aggregate readiness state of this pod for accepting traffic.", 0),
            ("Status", "string", "=The aggregate status of the containers in this pod.", 0),
            (
                "Restarts",
                "string",
                "=The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
                0,
            ),
            AGE,
            ("IP", "string", "status.podIP", 1),
            ("Node", "string", "spec.nodeName", 1),
            ("Nominated Node", "string", "status.nominatedNodeName", 1),
            ("Readiness Gates", "string", "spec.readinessGates", 1),
        ],
        "Service" => &[
            ("Type", "string", "spec.type", 0),
            ("Cluster-IP", "string", "spec.clusterIP", 0),
            ("External-IP", "string", "spec.externalIPs", 0),
            ("Port(s)", "string", "spec.ports", 0),
            AGE,
            ("Selector", "string", "spec.selector", 1),
        ],
        "ConfigMap" => &[("Data", "string", "data", 0), AGE],
        "Secret" => &[("Type", "string", "type", 0), ("Data", "string", "data", 0), AGE],
        "ServiceAccount" => &[("Secrets", "string", "secrets", 0), AGE],
        "Namespace" => &[("Status", "string", "=The status of the namespace", 0), AGE],
        "Node" => &[
            ("Status", "string", "=The status of the node", 0),
            ("Roles", "string", "=The roles of the node", 0),
            AGE,
            ("Version", "string", "status.nodeInfo.kubeletVersion", 0),
        ],
        "Event" => &[
            ("Last Seen", "string", "lastTimestamp", 0),
            ("Type", "string", "type", 0),
            ("Reason", "string", "reason", 0),
            ("Object", "string", "involvedObject", 0),
            ("Subobject", "string", "involvedObject.fieldPath", 1),
            ("Source", "string", "source", 1),
            ("Message", "string", "message", 0),
            ("First Seen", "string", "firstTimestamp", 1),
            ("Count", "string", "count", 1),
            ("Name", "string", "metadata.name", 1),
        ],
        "HorizontalPodAutoscaler" => &[
            ("Reference", "string", "spec.scaleTargetRef", 0),
            (
                "Targets",
                "string",
                "=metrics contains the specifications for which to use to calculate the desired replica count (the maximum replica count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between the target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod count is increased, and vice-versa.  See the individual metric source types for more information about how each type of metric must respond.",
                0,
            ),
            ("MinPods", "string", "spec.minReplicas", 0),
            ("MaxPods", "string", "spec.maxReplicas", 0),
            ("Replicas", "string", "status.currentReplicas", 0),
            AGE,
        ],
        "CronJob" => &[
            ("Schedule", "string", "spec.schedule", 0),
            ("Timezone", "string", "spec.timeZone", 0),
            ("Suspend", "boolean", "spec.suspend", 0),
            ("Active", "integer", "status.active", 0),
            ("Last Schedule", "string", "status.lastScheduleTime", 0),
            AGE,
            CONTAINERS,
            IMAGES,
            ("Selector", "string", "spec.jobTemplate.spec.selector", 1),
        ],
        "Job" => &[
            ("Status", "string", "=Status of the job.", 0),
            ("Completions", "string", "status.succeeded", 0),
            ("Duration", "string", "=Time required to complete the job.", 0),
            AGE,
            CONTAINERS,
            IMAGES,
            ("Selector", "string", "spec.selector", 1),
        ],
        "PersistentVolumeClaim" => &[
            ("Status", "string", "status.phase", 0),
            ("Volume", "string", "spec.volumeName", 0),
            ("Capacity", "string", "status.capacity", 0),
            ("Access Modes", "string", "status.accessModes", 0),
            ("StorageClass", "string", "spec.storageClassName", 0),
            AGE,
            ("VolumeMode", "string", "spec.volumeMode", 1),
        ],
        "Lease" => &[("Holder", "string", "spec.holderIdentity", 0), AGE],
        "Role" | "ClusterRole" | "CustomResourceDefinition" => {
            &[("Created At", "date", "metadata.creationTimestamp", 0)]
        }
        "RoleBinding" | "ClusterRoleBinding" => &[("Role", "string", "roleRef", 0), AGE],
        _ => &[AGE],
    }
}

/// The column definitions of a kind.
pub(crate) fn definitions(built_in: &'static BuiltIn) -> Value {
    let node = schema::of(built_in);
    let mut list: Vec<Value> = of(built_in.kind)
        .iter()
        .map(|(name, kind, source, priority)| {
            let description = match source.strip_prefix('=') {
                Some(words) => words.to_owned(),
                None => node.description_of(source).unwrap_or_default().to_owned(),
            };
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
        })
        .collect();
    if built_in.kind != "Event" {
        list.insert(0, name());
    }
    json!(list)
}

/// The column that all tables begin with.
pub(crate) fn name() -> Value {
    let description = crate::crd::metadata_schema().description_of("name").unwrap_or_default();
    json!({"name": "Name", "type": "string", "format": "name", "description": description, "priority": 0})
}

pub(crate) fn age() -> String {
    crate::crd::metadata_schema().description_of("creationTimestamp").unwrap_or_default().to_owned()
}

/// The cells of an object.
pub(crate) fn cells(built_in: &BuiltIn, object: &Value, now: Timestamp) -> Vec<Value> {
    let metadata = &object["metadata"];
    let (spec, status) = (&object["spec"], &object["status"]);
    let name = metadata["name"].clone();
    let age = json!(since(&metadata["creationTimestamp"], now));
    let number = |value: &Value| json!(value.as_i64().unwrap_or(0));
    let template = &spec["template"]["spec"];
    let selector = || json!(pairs(&spec["selector"]["matchLabels"]));
    let texts = |value: &Value, field: &str| {
        let list: Vec<&str> =
            value["containers"].as_array().into_iter().flatten().filter_map(|c| c[field].as_str()).collect();
        json!(list.join(","))
    };
    let ready = || {
        json!(format!(
            "{}/{}",
            status["readyReplicas"].as_i64().unwrap_or(0),
            spec["replicas"].as_i64().unwrap_or(0)
        ))
    };
    match built_in.kind {
        "Deployment" => vec![
            name,
            ready(),
            number(&status["updatedReplicas"]),
            number(&status["availableReplicas"]),
            age,
            texts(template, "name"),
            texts(template, "image"),
            selector(),
        ],
        "ReplicaSet" | "ReplicationController" => vec![
            name,
            number(&spec["replicas"]),
            number(&status["replicas"]),
            number(&status["readyReplicas"]),
            age,
            texts(template, "name"),
            texts(template, "image"),
            if built_in.kind == "ReplicaSet" { selector() } else { json!(pairs(&spec["selector"])) },
        ],
        "StatefulSet" => vec![name, ready(), age, texts(template, "name"), texts(template, "image")],
        "DaemonSet" => vec![
            name,
            number(&status["desiredNumberScheduled"]),
            number(&status["currentNumberScheduled"]),
            number(&status["numberReady"]),
            number(&status["updatedNumberScheduled"]),
            number(&status["numberAvailable"]),
            json!(pairs(&template["nodeSelector"])),
            age,
            texts(template, "name"),
            texts(template, "image"),
            selector(),
        ],
        "Pod" => pod(object, name, age),
        "Service" => vec![
            name,
            spec["type"].clone(),
            json!(spec["clusterIP"].as_str().unwrap_or("<none>")),
            json!(external(object)),
            json!(ports(spec)),
            age,
            json!(pairs(&spec["selector"])),
        ],
        "ConfigMap" => {
            let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
            vec![name, json!(count("data") + count("binaryData")), age]
        }
        "Secret" => vec![
            name,
            object["type"].clone(),
            json!(object["data"].as_object().map_or(0, serde_json::Map::len)),
            age,
        ],
        "ServiceAccount" => vec![name, json!(object["secrets"].as_array().map_or(0, Vec::len)), age],
        "Namespace" => vec![name, status["phase"].clone(), age],
        "Node" => {
            let ready = status["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            let version = json!(status["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default());
            vec![name, json!(if ready { "Ready" } else { "NotReady" }), json!("<none>"), age, version]
        }
        "Event" => event(object, name, now),
        "HorizontalPodAutoscaler" => vec![
            name,
            json!(format!(
                "{}/{}",
                text(&spec["scaleTargetRef"]["kind"]),
                text(&spec["scaleTargetRef"]["name"])
            )),
            json!("<unknown>"),
            spec["minReplicas"].clone(),
            spec["maxReplicas"].clone(),
            number(&status["currentReplicas"]),
            age,
        ],
        "CronJob" => {
            let inside = &spec["jobTemplate"]["spec"]["template"]["spec"];
            vec![
                name,
                spec["schedule"].clone(),
                json!(spec["timeZone"].as_str().unwrap_or("<none>")),
                spec["suspend"].clone(),
                json!(status["active"].as_array().map_or(0, Vec::len)),
                json!(since_or(&status["lastScheduleTime"], now, "<none>")),
                age,
                texts(inside, "name"),
                texts(inside, "image"),
                json!(pairs(&spec["jobTemplate"]["spec"]["selector"]["matchLabels"])),
            ]
        }
        "Job" => {
            let condition = |kind: &str| {
                status["conditions"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|c| c["type"] == kind && c["status"] == "True")
            };
            let state = if condition("Complete") {
                "Complete"
            } else if condition("Failed") {
                "Failed"
            } else {
                "Running"
            };
            let done = format!(
                "{}/{}",
                status["succeeded"].as_i64().unwrap_or(0),
                spec["completions"].as_i64().unwrap_or(1)
            );
            vec![
                name,
                json!(state),
                json!(done),
                json!(""),
                age,
                texts(template, "name"),
                texts(template, "image"),
                selector(),
            ]
        }
        "PersistentVolumeClaim" => vec![
            name,
            json!(text(&status["phase"])),
            json!(text(&spec["volumeName"])),
            json!(text(&status["capacity"]["storage"])),
            json!(crate::rest::strings(&status["accessModes"]).join(",")),
            json!(text(&spec["storageClassName"])),
            age,
            json!(text(&spec["volumeMode"])),
        ],
        "Lease" => vec![name, json!(text(&spec["holderIdentity"])), age],
        "Role" | "ClusterRole" | "CustomResourceDefinition" => {
            vec![name, metadata["creationTimestamp"].clone()]
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            vec![
                name,
                json!(format!("{}/{}", text(&object["roleRef"]["kind"]), text(&object["roleRef"]["name"]))),
                age,
            ]
        }
        _ => vec![name, age],
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `a=b,c=d`, or `<none>`.
fn pairs(value: &Value) -> String {
    let list: Vec<String> =
        value.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect();
    if list.is_empty() { "<none>".into() } else { list.join(",") }
}

fn ports(spec: &Value) -> String {
    let list: Vec<String> = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| match p["nodePort"].as_i64() {
            Some(node) => format!("{}:{node}/{}", p["port"], text(&p["protocol"])),
            None => format!("{}/{}", p["port"], text(&p["protocol"])),
        })
        .collect();
    if list.is_empty() { "<none>".into() } else { list.join(",") }
}

fn external(object: &Value) -> String {
    let spec = &object["spec"];
    let mut list: Vec<&str> = match text(&spec["type"]) {
        "ExternalName" => vec![text(&spec["externalName"])],
        _ => crate::rest::strings(&spec["externalIPs"]),
    };
    for entry in object["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten() {
        list.extend(entry["ip"].as_str().or(entry["hostname"].as_str()));
    }
    match (list.is_empty(), text(&spec["type"])) {
        (true, "LoadBalancer") => "<pending>".into(),
        (true, _) => "<none>".into(),
        _ => list.join(","),
    }
}

fn pod(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let states = status["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Init containers that stay count as containers once they have started.
    let sidecars: Vec<&Value> = spec["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|container| container["restartPolicy"] == "Always")
        .map(|container| &container["name"])
        .collect();
    let total = spec["containers"].as_array().map_or(0, Vec::len) + sidecars.len();
    let mut ready = states.iter().filter(|s| s["ready"] == true && !s["state"]["running"].is_null()).count();
    let mut restarts: i64 = states.iter().filter_map(|s| s["restartCount"].as_i64()).sum();
    let mut reason = text(&status["phase"]).to_owned();
    if let Some(given) = status["reason"].as_str().filter(|r| !r.is_empty()) {
        reason = given.to_owned();
    }
    let inits = status["initContainerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut initialising = false;
    for (index, state) in inits.iter().enumerate() {
        let is_sidecar = sidecars.contains(&&state["name"]);
        if is_sidecar {
            restarts += state["restartCount"].as_i64().unwrap_or(0);
        }
        if is_sidecar && state["started"] == true {
            ready += usize::from(state["ready"] == true);
            continue;
        }
        let state = &state["state"];
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        initialising = true;
        let count = spec["initContainers"].as_array().map_or(0, Vec::len);
        reason = match (state["terminated"]["reason"].as_str(), state["waiting"]["reason"].as_str()) {
            (Some(why), _) if !why.is_empty() => format!("Init:{why}"),
            (Some(_), _) => format!("Init:ExitCode:{}", state["terminated"]["exitCode"]),
            (None, Some(why)) if why != "PodInitializing" && !why.is_empty() => format!("Init:{why}"),
            _ => format!("Init:{index}/{count}"),
        };
        break;
    }
    if !initialising {
        for state in states.iter().rev().map(|s| &s["state"]) {
            if let Some(why) = state["waiting"]["reason"].as_str().filter(|w| !w.is_empty()) {
                reason = why.to_owned();
            } else if let Some(ended) = state.get("terminated").filter(|t| !t.is_null()) {
                reason = match ended["reason"].as_str().filter(|r| !r.is_empty()) {
                    Some(why) => why.to_owned(),
                    None => format!("ExitCode:{}", ended["exitCode"]),
                };
            }
        }
    }
    if !object["metadata"]["deletionTimestamp"].is_null() {
        reason = "Terminating".into();
    }
    let none = |value: &Value| json!(value.as_str().filter(|v| !v.is_empty()).unwrap_or("<none>"));
    vec![
        name,
        json!(format!("{ready}/{total}")),
        json!(reason),
        json!(restarts.to_string()),
        age,
        none(&status["podIP"]),
        none(&spec["nodeName"]),
        none(&status["nominatedNodeName"]),
        json!("<none>"),
    ]
}

fn event(object: &Value, name: Value, now: Timestamp) -> Vec<Value> {
    let involved = &object["involvedObject"];
    let last = [
        &object["series"]["lastObservedTime"],
        &object["lastTimestamp"],
        &object["eventTime"],
        &object["metadata"]["creationTimestamp"],
    ];
    let first = [&object["firstTimestamp"], &object["eventTime"], &object["metadata"]["creationTimestamp"]];
    let pick = |times: &[&Value]| {
        times.iter().find(|t| t.is_string()).map_or_else(|| "<unknown>".to_owned(), |t| since(t, now))
    };
    let component =
        object["source"]["component"].as_str().or(object["reportingComponent"].as_str()).unwrap_or_default();
    vec![
        json!(pick(&last)),
        object["type"].clone(),
        object["reason"].clone(),
        json!(format!("{}/{}", text(&involved["kind"]).to_lowercase(), text(&involved["name"]))),
        json!(text(&involved["fieldPath"])),
        json!(component),
        json!(text(&object["message"]).trim()),
        json!(pick(&first)),
        json!(object["count"].as_i64().unwrap_or(1)),
        name,
    ]
}

fn since_or(value: &Value, now: Timestamp, absent: &str) -> String {
    if value.is_null() { absent.to_owned() } else { since(value, now) }
}

/// How long ago, as kubectl shows ages.
pub(crate) fn since(value: &Value, now: Timestamp) -> String {
    let Some(then) = value.as_str().and_then(|t| t.parse::<Timestamp>().ok()) else {
        return "<unknown>".into();
    };
    let seconds = now.duration_since(then).as_secs();
    if seconds < -1 {
        return "<invalid>".into();
    }
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two =
        |a: i64, x: &str, b: i64, y: &str| if b == 0 { format!("{a}{x}") } else { format!("{a}{x}{b}{y}") };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => two(hours / (24 * 365), "y", hours / 24 % 365, "d"),
        () => format!("{}y", hours / (24 * 365)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_counts_as_a_container_once_it_has_started() {
        let shown = |started: bool| {
            let object = json!({
                "spec": {"containers": [{"name": "main"}], "initContainers": [
                    {"name": "fetch"}, {"name": "sidecar", "restartPolicy": "Always"},
                ]},
                "status": {"phase": "Running",
                    "initContainerStatuses": [
                        {"name": "fetch", "state": {"terminated": {"exitCode": 0}}},
                        {"name": "sidecar", "started": started, "ready": started, "restartCount": 2, "state": {"running": {}}},
                    ],
                    "containerStatuses": [{"name": "main", "ready": true, "restartCount": 1, "state": {"running": {}}}]},
            });
            let cells = pod(&object, json!("p"), json!("1s"));
            [1, 2, 3].map(|column: usize| cells[column].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(shown(true), ["2/2", "Running", "3"]);
        assert_eq!(shown(false)[1], "Init:1/2");
    }
}
