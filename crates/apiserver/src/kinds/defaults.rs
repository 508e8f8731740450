//! What the server fills into objects of built-in kinds.

use serde_json::{Map, Value, json};

/// Fills the defaults of a kind. Allocations (cluster IPs) are made elsewhere.
pub(super) fn fill(group: &str, kind: &str, value: &mut Value) {
    match (group, kind) {
        ("", "Pod") => pod(value),
        ("", "PodTemplate") => template(&mut value["template"]),
        ("", "Service") => service(value),
        ("", "Secret") => secret(value),
        ("", "Namespace") => namespace(value),
        ("", "PersistentVolumeClaim") => {
            set(&mut value["spec"], "volumeMode", json!("Filesystem"));
            object(&mut value["spec"]["resources"]);
            set(&mut value["status"], "phase", json!("Pending"));
        }
        ("", "PersistentVolume") => {
            set(&mut value["spec"], "volumeMode", json!("Filesystem"));
            set(&mut value["spec"], "persistentVolumeReclaimPolicy", json!("Retain"));
            set(&mut value["status"], "phase", json!("Pending"));
        }
        ("", "Endpoints") => {
            for subset in list(value, "subsets") {
                for port in list(subset, "ports") {
                    set(port, "protocol", json!("TCP"));
                }
            }
        }
        ("", "Event") => {
            for (field, empty) in
                [("involvedObject", json!({})), ("source", json!({})), ("firstTimestamp", Value::Null)]
            {
                set(value, field, empty);
            }
            for (field, empty) in [("lastTimestamp", Value::Null), ("eventTime", Value::Null)] {
                set(value, field, empty);
            }
            set(value, "reportingComponent", json!(""));
            set(value, "reportingInstance", json!(""));
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in list(value, "ports") {
                set(port, "name", json!(""));
                set(port, "protocol", json!("TCP"));
            }
        }
        ("apps", _) => workload(kind, value),
        ("batch", "Job") => job(value),
        ("batch", "CronJob") => {
            let spec = object(&mut value["spec"]);
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            object(&mut spec["jobTemplate"]["metadata"]);
            template(&mut spec["jobTemplate"]["spec"]["template"]);
            object(&mut value["status"]);
        }
        ("autoscaling", _) => autoscaler(value),
        ("policy", "PodDisruptionBudget") => {
            object(&mut value["spec"]);
            for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
                set(&mut value["status"], field, json!(0));
            }
        }
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => set(value, "rules", Value::Null),
        ("rbac.authorization.k8s.io", _) => {
            set(&mut value["roleRef"], "apiGroup", json!("rbac.authorization.k8s.io"));
            for subject in list(value, "subjects") {
                if subject["kind"] != "ServiceAccount" {
                    set(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
                }
            }
        }
        ("coordination.k8s.io" | "networking.k8s.io", _) => {
            object(&mut value["spec"]);
        }
        ("storage.k8s.io", _) => {
            set(value, "reclaimPolicy", json!("Delete"));
            set(value, "volumeBindingMode", json!("Immediate"));
        }
        ("scheduling.k8s.io", _) => set(value, "preemptionPolicy", json!("PreemptLowerPriority")),
        ("apiextensions.k8s.io", _) => definition(value),
        _ => {}
    }
}

fn object(value: &mut Value) -> &mut Value {
    if value.is_null() {
        *value = json!({});
    }
    value
}

/// Sets a member that is absent; an explicit null counts as absent.
fn set(value: &mut Value, field: &str, default: Value) {
    if value.is_null() {
        *value = json!({});
    }
    if let Some(map) = value.as_object_mut()
        && map.get(field).is_none_or(Value::is_null)
    {
        map.insert(field.to_owned(), default);
    }
}

/// The items of a list that may be absent.
fn list<'a>(value: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn present<'a>(value: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    value.get_mut(field).filter(|v| !v.is_null())
}

fn workload(kind: &str, value: &mut Value) {
    let spec = object(&mut value["spec"]);
    if let Some(inside) = present(spec, "template") {
        template(inside);
    }
    match kind {
        "Deployment" => {
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            set(&mut spec["strategy"], "type", json!("RollingUpdate"));
            if spec["strategy"]["type"] == "RollingUpdate" {
                let rolling = &mut spec["strategy"]["rollingUpdate"];
                set(rolling, "maxUnavailable", json!("25%"));
                set(rolling, "maxSurge", json!("25%"));
            }
            object(&mut value["status"]);
        }
        "ReplicaSet" => {
            set(spec, "replicas", json!(1));
            set(&mut value["status"], "replicas", json!(0));
        }
        "StatefulSet" => {
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "podManagementPolicy", json!("OrderedReady"));
            set(&mut spec["updateStrategy"], "type", json!("RollingUpdate"));
            if spec["updateStrategy"]["type"] == "RollingUpdate" {
                set(&mut spec["updateStrategy"]["rollingUpdate"], "partition", json!(0));
            }
            set(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenDeleted", json!("Retain"));
            set(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenScaled", json!("Retain"));
            set(&mut value["status"], "replicas", json!(0));
            set(&mut value["status"], "availableReplicas", json!(0));
        }
        "DaemonSet" => {
            set(spec, "revisionHistoryLimit", json!(10));
            set(&mut spec["updateStrategy"], "type", json!("RollingUpdate"));
            if spec["updateStrategy"]["type"] == "RollingUpdate" {
                set(&mut spec["updateStrategy"]["rollingUpdate"], "maxUnavailable", json!(1));
                set(&mut spec["updateStrategy"]["rollingUpdate"], "maxSurge", json!(0));
            }
            set(
                &mut value["metadata"]["annotations"],
                "deprecated.daemonset.template.generation",
                json!("1"),
            );
            for field in
                ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"]
            {
                set(&mut value["status"], field, json!(0));
            }
        }
        _ => {}
    }
    for condition in list(&mut value["status"], "conditions") {
        set(condition, "lastTransitionTime", Value::Null);
        if kind == "Deployment" {
            set(condition, "lastUpdateTime", Value::Null);
        }
    }
    if value["status"].is_null()
        && let Some(map) = value.as_object_mut()
    {
        map.remove("status");
    }
}

fn job(value: &mut Value) {
    let uid = value["metadata"]["uid"].clone();
    let name = value["metadata"]["name"].clone();
    let spec = object(&mut value["spec"]);
    set(spec, "parallelism", json!(1));
    set(spec, "completions", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    set(spec, "manualSelector", json!(false));
    template(&mut spec["template"]);
    if spec["manualSelector"] != true && spec["selector"].is_null() && uid.is_string() {
        set(&mut spec["selector"]["matchLabels"], "batch.kubernetes.io/controller-uid", uid.clone());
        let labels = object(&mut spec["template"]["metadata"]["labels"]);
        for prefix in ["", "batch.kubernetes.io/"] {
            set(labels, &format!("{prefix}controller-uid"), uid.clone());
            set(labels, &format!("{prefix}job-name"), name.clone());
        }
    }
    object(&mut value["status"]);
}

fn autoscaler(value: &mut Value) {
    let spec = object(&mut value["spec"]);
    set(spec, "minReplicas", json!(1));
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        spec["metrics"] = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]);
    }
    if let Some(behavior) = present(spec, "behavior") {
        let up = object(&mut behavior["scaleUp"]);
        set(up, "stabilizationWindowSeconds", json!(0));
        set(up, "selectPolicy", json!("Max"));
        let policies = json!([
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ]);
        set(up, "policies", policies);
        let down = object(&mut behavior["scaleDown"]);
        set(down, "selectPolicy", json!("Max"));
        set(down, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
    let status = object(&mut value["status"]);
    set(status, "desiredReplicas", json!(0));
    set(status, "currentMetrics", Value::Null);
}

fn service(value: &mut Value) {
    let spec = object(&mut value["spec"]);
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    if spec["sessionAffinity"] == "ClientIP" {
        set(&mut spec["sessionAffinityConfig"]["clientIP"], "timeoutSeconds", json!(10_800));
    }
    for port in list(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        if port["targetPort"].is_null() || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = number;
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    set(&mut value["status"], "loadBalancer", json!({}));
}

fn secret(value: &mut Value) {
    use base64::Engine;
    if let Some(map) = value.as_object_mut()
        && let Some(Value::Object(texts)) = map.remove("stringData")
    {
        let data = map.entry("data").or_insert_with(|| json!({}));
        for (key, text) in texts {
            let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
            object(data)[key] = json!(encoded);
        }
    }
    if value["type"].as_str().unwrap_or_default().is_empty() {
        value["type"] = json!("Opaque");
    }
}

fn namespace(value: &mut Value) {
    let name = value["metadata"]["name"].clone();
    value["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    object(&mut value["spec"]);
    set(&mut value["status"], "phase", json!("Active"));
}

fn pod(value: &mut Value) {
    let spec = object(&mut value["spec"]);
    pod_spec(spec);
    for field in ["containers", "initContainers"] {
        for container in list(spec, field) {
            let limits = container["resources"]["limits"].clone();
            for (name, limit) in limits.as_object().into_iter().flatten() {
                set(&mut container["resources"]["requests"], name, limit.clone());
            }
        }
    }
    set(spec, "enableServiceLinks", json!(true));
    let status = object(&mut value["status"]);
    set(status, "phase", json!("Pending"));
    if let Some(address) = status["podIP"].as_str().filter(|a| !a.is_empty()).map(str::to_owned)
        && status["podIPs"][0]["ip"] != address.as_str()
    {
        status["podIPs"] = json!([{"ip": address}]);
    }
    for condition in list(status, "conditions") {
        set(condition, "lastProbeTime", Value::Null);
        set(condition, "lastTransitionTime", Value::Null);
    }
    for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for entry in list(status, field) {
            set(entry, "state", json!({}));
            set(entry, "lastState", json!({}));
            set(entry, "image", json!(""));
            set(entry, "imageID", json!(""));
            set(entry, "ready", json!(false));
            set(entry, "restartCount", json!(0));
        }
    }
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
    if let Some(map) = value["spec"].as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
}

/// What admission adds to a new pod: priority and tolerations of a node's troubles.
pub(super) fn admit_pod(value: &mut Value) {
    let class = quality(&value["spec"]);
    set(&mut value["status"], "qosClass", json!(class));
    let spec = &mut value["spec"];
    set(spec, "priority", json!(0));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let known = tolerations.iter().any(|t| {
            (t["key"] == key || t["key"].is_null()) && (t["effect"] == "NoExecute" || t["effect"].is_null())
        });
        if !known {
            tolerations.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
    spec["tolerations"] = json!(tolerations);
}

fn quality(spec: &Value) -> &'static str {
    let all: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|f| spec[*f].as_array().into_iter().flatten())
        .map(|c| &c["resources"])
        .collect();
    let named = |resources: &Value, which: &str| {
        ["cpu", "memory"].iter().any(|name| resources[which].get(name).is_some())
    };
    if !all.iter().any(|r| named(r, "limits") || named(r, "requests")) {
        return "BestEffort";
    }
    let guaranteed = all.iter().all(|r| {
        ["cpu", "memory"]
            .iter()
            .all(|name| !r["limits"][*name].is_null() && r["limits"][*name] == r["requests"][*name])
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

fn template(value: &mut Value) {
    object(value);
    object(&mut value["metadata"]);
    pod_spec(object(&mut value["spec"]));
}

fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    let account = spec["serviceAccountName"]
        .as_str()
        .or(spec["serviceAccount"].as_str())
        .unwrap_or_default()
        .to_owned();
    if !account.is_empty() {
        spec["serviceAccountName"] = json!(account);
        spec["serviceAccount"] = json!(account);
    }
    let host_network = spec["hostNetwork"] == true;
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        for entry in list(spec, field) {
            container(entry, host_network);
        }
    }
    for entry in list(spec, "volumes") {
        volume(entry);
    }
    if let Some(map) = spec.as_object_mut() {
        drop_absent(map);
    }
}

/// Indexing a JSON object for reading and writing leaves nulls behind.
fn drop_absent(map: &mut Map<String, Value>) {
    map.retain(|_, v| !v.is_null());
}

fn container(value: &mut Value, host_network: bool) {
    set(value, "resources", json!({}));
    set(value, "terminationMessagePath", json!("/dev/termination-log"));
    set(value, "terminationMessagePolicy", json!("File"));
    let policy = pull_policy(value["image"].as_str().unwrap_or_default());
    set_pull_policy(value, policy);
    for port in list(value, "ports") {
        set(port, "protocol", json!("TCP"));
        if host_network {
            let number = port["containerPort"].clone();
            set(port, "hostPort", number);
        }
    }
    for variable in list(value, "env") {
        if let Some(field) = variable.get_mut("valueFrom").and_then(|f| present(f, "fieldRef")) {
            set(field, "apiVersion", json!("v1"));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = present(value, name) {
            set(probe, "timeoutSeconds", json!(1));
            set(probe, "periodSeconds", json!(10));
            set(probe, "successThreshold", json!(1));
            set(probe, "failureThreshold", json!(3));
            http_get(probe);
            if let Some(grpc) = present(probe, "grpc") {
                set(grpc, "service", json!(""));
            }
        }
    }
    if let Some(lifecycle) = present(value, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = present(lifecycle, name) {
                http_get(handler);
            }
        }
    }
    if let Some(map) = value.as_object_mut() {
        drop_absent(map);
    }
}

fn set_pull_policy(value: &mut Value, policy: &str) {
    if value["imagePullPolicy"].as_str().unwrap_or_default().is_empty() {
        value["imagePullPolicy"] = json!(policy);
    }
}

fn pull_policy(image: &str) -> &'static str {
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !last.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    if latest { "Always" } else { "IfNotPresent" }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = present(handler, "httpGet") {
        set(get, "path", json!("/"));
        set(get, "scheme", json!("HTTP"));
    }
}

fn volume(value: &mut Value) {
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = present(value, source) {
            set(source, "defaultMode", json!(420));
        }
    }
    if let Some(source) = present(value, "hostPath") {
        set(source, "type", json!(""));
    }
    if let Some(source) = present(value, "projected") {
        for entry in list(source, "sources") {
            if let Some(token) = present(entry, "serviceAccountToken") {
                set(token, "expirationSeconds", json!(3600));
            }
            if let Some(api) = present(entry, "downwardAPI") {
                downward(api);
            }
        }
    }
    if let Some(api) = present(value, "downwardAPI") {
        downward(api);
    }
    if let Some(source) = present(value, "ephemeral")
        && let Some(claim) = present(source, "volumeClaimTemplate")
    {
        set(&mut claim["spec"], "volumeMode", json!("Filesystem"));
    }
    if let Some(map) = value.as_object_mut() {
        drop_absent(map);
        if map.len() == 1 && map.contains_key("name") {
            map.insert("emptyDir".into(), json!({}));
        }
    }
}

fn downward(api: &mut Value) {
    for item in list(api, "items") {
        if let Some(field) = present(item, "fieldRef") {
            set(field, "apiVersion", json!("v1"));
        }
    }
}

fn definition(value: &mut Value) {
    let kind = value["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
    let names = &mut value["spec"]["names"];
    set(names, "singular", json!(kind.to_lowercase()));
    set(names, "listKind", json!(format!("{kind}List")));
    set(&mut value["spec"]["conversion"], "strategy", json!("None"));
    for version in list(&mut value["spec"], "versions") {
        for column in list(version, "additionalPrinterColumns") {
            if column["priority"] == 0
                && let Some(map) = column.as_object_mut()
            {
                map.remove("priority");
            }
        }
    }
    let storage: Vec<Value> = value["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    let status = object(&mut value["status"]);
    set(status, "conditions", Value::Null);
    set(status, "acceptedNames", json!({"plural": "", "kind": ""}));
    set(status, "storedVersions", json!(storage));
}
