//! The table itself: types of Kubernetes 1.36, each with its special fields.

use super::{Apply, Field, ListKeys, Strategic};

const fn object(name: &'static str, fields: &'static [Field]) -> ListKeys {
    ListKeys { name, fields, atomic: false, opaque: false }
}

const fn atomic(name: &'static str) -> ListKeys {
    ListKeys { name, fields: &[], atomic: true, opaque: false }
}

/// An object, or the objects of a plain list or map.
const fn inner(name: &'static str, of: &'static ListKeys) -> Field {
    Field { name, of, strategic: Strategic::Default, retain_keys: false, apply: Apply::Default }
}

/// A list that merges by one key everywhere.
const fn by(
    name: &'static str,
    key: &'static str,
    keys: &'static [&'static str],
    of: &'static ListKeys,
) -> Field {
    Field { name, of, strategic: Strategic::By(key), retain_keys: false, apply: Apply::Map(keys) }
}

/// A list with keys in an apply that a strategic merge replaces.
const fn applied(name: &'static str, keys: &'static [&'static str], of: &'static ListKeys) -> Field {
    Field { name, of, strategic: Strategic::Default, retain_keys: false, apply: Apply::Map(keys) }
}

/// A list with a strategic merge key that an apply replaces.
const fn patched(name: &'static str, key: &'static str, of: &'static ListKeys) -> Field {
    Field { name, of, strategic: Strategic::By(key), retain_keys: false, apply: Apply::Default }
}

const fn retaining(field: Field) -> Field {
    Field { retain_keys: true, ..field }
}

const fn set(name: &'static str, strategic: Strategic) -> Field {
    Field { name, of: &PLAIN, strategic, retain_keys: false, apply: Apply::Set }
}

const NAME: &[&str] = &["name"];
const TYPE: &[&str] = &["type"];

pub(super) static PLAIN: ListKeys = object("object", &[]);
static RAW: ListKeys = ListKeys { name: "RawExtension", fields: &[], atomic: false, opaque: true };
static ATOMIC: ListKeys = atomic("object");

static OWNER: ListKeys = atomic("OwnerReference");
pub(super) static OBJECT_META: ListKeys = object(
    "ObjectMeta",
    &[set("finalizers", Strategic::Union), by("ownerReferences", "uid", &["uid"], &OWNER)],
);

// --- pods ---

static KEY_REF: ListKeys = atomic("SecretKeySelector");
static LOCAL_REF: ListKeys = atomic("LocalObjectReference");
static SELECTOR: ListKeys = atomic("LabelSelector");
static ENV_SOURCE: ListKeys = object(
    "EnvVarSource",
    &[
        inner("configMapKeyRef", &KEY_REF),
        inner("secretKeyRef", &KEY_REF),
        inner("fieldRef", &KEY_REF),
        inner("resourceFieldRef", &KEY_REF),
    ],
);
static ENV: ListKeys = object("EnvVar", &[inner("valueFrom", &ENV_SOURCE)]);
static PORT: ListKeys = object("ContainerPort", &[]);
static MOUNT: ListKeys = object("VolumeMount", &[]);
static RESOURCES: ListKeys = object("ResourceRequirements", &[applied("claims", NAME, &PLAIN)]);
static CONTAINER: ListKeys = object(
    "Container",
    &[
        by("env", "name", NAME, &ENV),
        by("ports", "containerPort", &["containerPort", "protocol"], &PORT),
        inner("resources", &RESOURCES),
        by("volumeDevices", "devicePath", &["devicePath"], &PLAIN),
        by("volumeMounts", "mountPath", &["mountPath"], &MOUNT),
    ],
);
static CLAIM_SPEC: ListKeys = object(
    "PersistentVolumeClaimSpec",
    &[inner("selector", &SELECTOR), inner("dataSource", &ATOMIC), inner("resources", &PLAIN)],
);
static CLAIM_TEMPLATE: ListKeys =
    object("PersistentVolumeClaimTemplate", &[inner("metadata", &OBJECT_META), inner("spec", &CLAIM_SPEC)]);
static EPHEMERAL: ListKeys =
    object("EphemeralVolumeSource", &[inner("volumeClaimTemplate", &CLAIM_TEMPLATE)]);
static SECRET_SOURCE: ListKeys = object("VolumeSource", &[inner("secretRef", &LOCAL_REF)]);
static CSI_SOURCE: ListKeys = object("CSIVolumeSource", &[inner("nodePublishSecretRef", &LOCAL_REF)]);
static VOLUME: ListKeys = object(
    "Volume",
    &[
        inner("cephfs", &SECRET_SOURCE),
        inner("cinder", &SECRET_SOURCE),
        inner("csi", &CSI_SOURCE),
        inner("ephemeral", &EPHEMERAL),
        inner("flexVolume", &SECRET_SOURCE),
        inner("iscsi", &SECRET_SOURCE),
        inner("rbd", &SECRET_SOURCE),
        inner("scaleIO", &SECRET_SOURCE),
        inner("storageos", &SECRET_SOURCE),
    ],
);
static NODE_AFFINITY: ListKeys =
    object("NodeAffinity", &[inner("requiredDuringSchedulingIgnoredDuringExecution", &ATOMIC)]);
static AFFINITY: ListKeys = object("Affinity", &[inner("nodeAffinity", &NODE_AFFINITY)]);
pub(super) static POD_SPEC: ListKeys = object(
    "PodSpec",
    &[
        inner("affinity", &AFFINITY),
        by("containers", "name", NAME, &CONTAINER),
        by("ephemeralContainers", "name", NAME, &CONTAINER),
        by("hostAliases", "ip", &["ip"], &PLAIN),
        by("imagePullSecrets", "name", NAME, &LOCAL_REF_ITEM),
        by("initContainers", "name", NAME, &CONTAINER),
        retaining(by("resourceClaims", "name", NAME, &PLAIN)),
        inner("resources", &RESOURCES),
        by("schedulingGates", "name", NAME, &PLAIN),
        by("topologySpreadConstraints", "topologyKey", &["topologyKey", "whenUnsatisfiable"], &SPREAD),
        retaining(by("volumes", "name", NAME, &VOLUME)),
    ],
);
static LOCAL_REF_ITEM: ListKeys = atomic("LocalObjectReference");
static SPREAD: ListKeys = object("TopologySpreadConstraint", &[inner("labelSelector", &SELECTOR)]);
static CONTAINER_STATUS: ListKeys =
    object("ContainerStatus", &[by("volumeMounts", "mountPath", &["mountPath"], &MOUNT)]);
static POD_STATUS: ListKeys = object(
    "PodStatus",
    &[
        by("conditions", "type", TYPE, &PLAIN),
        inner("containerStatuses", &CONTAINER_STATUS),
        patched("hostIPs", "ip", &PLAIN),
        by("podIPs", "ip", &["ip"], &PLAIN),
        retaining(by("resourceClaimStatuses", "name", NAME, &PLAIN)),
    ],
);
static POD: ListKeys =
    object("Pod", &[inner("metadata", &OBJECT_META), inner("spec", &POD_SPEC), inner("status", &POD_STATUS)]);
static POD_TEMPLATE: ListKeys =
    object("PodTemplateSpec", &[inner("metadata", &OBJECT_META), inner("spec", &POD_SPEC)]);
static POD_TEMPLATE_KIND: ListKeys =
    object("PodTemplate", &[inner("metadata", &OBJECT_META), inner("template", &POD_TEMPLATE)]);

// --- workloads ---

static CONDITIONS: ListKeys = object("Status", &[by("conditions", "type", TYPE, &PLAIN)]);
static DEPLOYMENT_SPEC: ListKeys = object(
    "DeploymentSpec",
    &[inner("selector", &SELECTOR), retaining(inner("strategy", &PLAIN)), inner("template", &POD_TEMPLATE)],
);
static DEPLOYMENT: ListKeys = object(
    "Deployment",
    &[inner("metadata", &OBJECT_META), inner("spec", &DEPLOYMENT_SPEC), inner("status", &CONDITIONS)],
);
static CLAIM: ListKeys = object(
    "PersistentVolumeClaim",
    &[inner("metadata", &OBJECT_META), inner("spec", &CLAIM_SPEC), inner("status", &CONDITIONS)],
);
static WORKLOAD_SPEC: ListKeys =
    object("WorkloadSpec", &[inner("selector", &SELECTOR), inner("template", &POD_TEMPLATE)]);
static WORKLOAD: ListKeys = object(
    "Workload",
    &[inner("metadata", &OBJECT_META), inner("spec", &WORKLOAD_SPEC), inner("status", &CONDITIONS)],
);
static CONTROLLER_SPEC: ListKeys =
    object("ReplicationControllerSpec", &[inner("selector", &ATOMIC), inner("template", &POD_TEMPLATE)]);
static CONTROLLER: ListKeys = object(
    "ReplicationController",
    &[inner("metadata", &OBJECT_META), inner("spec", &CONTROLLER_SPEC), inner("status", &CONDITIONS)],
);
static JOB_STATUS: ListKeys = object("JobStatus", &[patched("conditions", "type", &PLAIN)]);
static JOB: ListKeys = object(
    "Job",
    &[inner("metadata", &OBJECT_META), inner("spec", &WORKLOAD_SPEC), inner("status", &JOB_STATUS)],
);
static JOB_TEMPLATE: ListKeys =
    object("JobTemplateSpec", &[inner("metadata", &OBJECT_META), inner("spec", &WORKLOAD_SPEC)]);
static CRON_SPEC: ListKeys = object("CronJobSpec", &[inner("jobTemplate", &JOB_TEMPLATE)]);
static CRON: ListKeys = object("CronJob", &[inner("metadata", &OBJECT_META), inner("spec", &CRON_SPEC)]);

// --- network, storage, cluster ---

static SERVICE_SPEC: ListKeys =
    object("ServiceSpec", &[by("ports", "port", &["port", "protocol"], &PLAIN), inner("selector", &ATOMIC)]);
static SERVICE: ListKeys = object(
    "Service",
    &[inner("metadata", &OBJECT_META), inner("spec", &SERVICE_SPEC), inner("status", &CONDITIONS)],
);
static SERVICE_ACCOUNT: ListKeys =
    object("ServiceAccount", &[inner("metadata", &OBJECT_META), by("secrets", "name", NAME, &OBJECT_REF)]);
static OBJECT_REF: ListKeys = atomic("ObjectReference");
static SLICE_ENDPOINT: ListKeys = object("Endpoint", &[set("addresses", Strategic::Default)]);
static SLICE: ListKeys =
    object("EndpointSlice", &[inner("metadata", &OBJECT_META), inner("endpoints", &SLICE_ENDPOINT)]);
static VOLUME_SPEC: ListKeys =
    object("PersistentVolumeSpec", &[inner("claimRef", &PLAIN), inner("nodeAffinity", &VOLUME_AFFINITY)]);
static VOLUME_AFFINITY: ListKeys = object("VolumeNodeAffinity", &[inner("required", &ATOMIC)]);
static PERSISTENT_VOLUME: ListKeys =
    object("PersistentVolume", &[inner("metadata", &OBJECT_META), inner("spec", &VOLUME_SPEC)]);
static NODE_SPEC: ListKeys = object("NodeSpec", &[set("podCIDRs", Strategic::Union)]);
static NODE_STATUS: ListKeys =
    object("NodeStatus", &[by("addresses", "type", TYPE, &PLAIN), by("conditions", "type", TYPE, &PLAIN)]);
static NODE: ListKeys = object(
    "Node",
    &[inner("metadata", &OBJECT_META), inner("spec", &NODE_SPEC), inner("status", &NODE_STATUS)],
);
static SCALER_SPEC: ListKeys = object("HorizontalPodAutoscalerSpec", &[inner("scaleTargetRef", &PLAIN)]);
static SCALER: ListKeys = object(
    "HorizontalPodAutoscaler",
    &[inner("metadata", &OBJECT_META), inner("spec", &SCALER_SPEC), inner("status", &CONDITIONS)],
);
static BUDGET_SPEC: ListKeys = object(
    "PodDisruptionBudgetSpec",
    &[Field {
        name: "selector",
        of: &SELECTOR,
        strategic: Strategic::Replace,
        retain_keys: false,
        apply: Apply::Default,
    }],
);
static BUDGET: ListKeys = object(
    "PodDisruptionBudget",
    &[inner("metadata", &OBJECT_META), inner("spec", &BUDGET_SPEC), inner("status", &CONDITIONS)],
);
static POLICY_SPEC: ListKeys = object("NetworkPolicySpec", &[inner("podSelector", &SELECTOR)]);
static POLICY: ListKeys =
    object("NetworkPolicy", &[inner("metadata", &OBJECT_META), inner("spec", &POLICY_SPEC)]);
static BINDING: ListKeys =
    object("RoleBinding", &[inner("metadata", &OBJECT_META), inner("roleRef", &ATOMIC)]);
static WEBHOOK: ListKeys = object(
    "Webhook",
    &[
        by("matchConditions", "name", NAME, &PLAIN),
        inner("namespaceSelector", &SELECTOR),
        inner("objectSelector", &SELECTOR),
    ],
);
static WEBHOOKS: ListKeys = object(
    "WebhookConfiguration",
    &[inner("metadata", &OBJECT_META), by("webhooks", "name", NAME, &WEBHOOK)],
);
static CRD_STATUS: ListKeys =
    object("CustomResourceDefinitionStatus", &[applied("conditions", TYPE, &PLAIN)]);
static CRD: ListKeys =
    object("CustomResourceDefinition", &[inner("metadata", &OBJECT_META), inner("status", &CRD_STATUS)]);
static EVENT: ListKeys = object(
    "Event",
    &[
        inner("metadata", &OBJECT_META),
        inner("involvedObject", &OBJECT_REF),
        inner("regarding", &OBJECT_REF),
        inner("related", &OBJECT_REF),
    ],
);
static OTHER: ListKeys = object("object", &[inner("metadata", &OBJECT_META)]);
static WITH_CONDITIONS: ListKeys =
    object("object", &[inner("metadata", &OBJECT_META), inner("status", &CONDITIONS)]);
static SECRET: ListKeys = object("Secret", &[inner("metadata", &OBJECT_META)]);

// --- LLMInferenceService ---

static LLM_SCHEDULER_CONFIG: ListKeys = object("SchedulerConfigSpec", &[inner("inline", &RAW)]);
static LLM_SCHEDULER: ListKeys =
    object("SchedulerSpec", &[inner("config", &LLM_SCHEDULER_CONFIG), inner("template", &POD_SPEC)]);
static LLM_ROUTER: ListKeys = object("RouterSpec", &[inner("scheduler", &LLM_SCHEDULER)]);
static LLM_WORKLOAD: ListKeys =
    object("WorkloadSpec", &[inner("template", &POD_SPEC), inner("worker", &POD_SPEC)]);
pub(super) static LLM_SPEC: ListKeys = object(
    "LLMInferenceServiceSpec",
    &[
        inner("prefill", &LLM_WORKLOAD),
        inner("router", &LLM_ROUTER),
        inner("template", &POD_SPEC),
        inner("worker", &POD_SPEC),
    ],
);

pub(super) fn of_kind(group: &str, kind: &str) -> &'static ListKeys {
    match (group, kind) {
        ("", "Pod") => &POD,
        ("", "PodTemplate") => &POD_TEMPLATE_KIND,
        ("", "ReplicationController") => &CONTROLLER,
        ("", "Service") => &SERVICE,
        ("", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("", "PersistentVolumeClaim") => &CLAIM,
        ("", "PersistentVolume") => &PERSISTENT_VOLUME,
        ("", "Node") => &NODE,
        ("", "Secret") => &SECRET,
        ("" | "events.k8s.io", "Event") => &EVENT,
        ("", "Namespace") | ("apiregistration.k8s.io" | "certificates.k8s.io", _) => &WITH_CONDITIONS,
        ("apps", "Deployment") => &DEPLOYMENT,
        ("apps", _) => &WORKLOAD,
        ("batch", "Job") => &JOB,
        ("batch", "CronJob") => &CRON,
        ("discovery.k8s.io", "EndpointSlice") => &SLICE,
        ("autoscaling", "HorizontalPodAutoscaler") => &SCALER,
        ("policy", "PodDisruptionBudget") => &BUDGET,
        ("networking.k8s.io", "NetworkPolicy") => &POLICY,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => &BINDING,
        ("admissionregistration.k8s.io", _) => &WEBHOOKS,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => &CRD,
        _ => &OTHER,
    }
}
