//! InferencePool: `inference.networking.k8s.io/v1` and the older `inference.networking.x-k8s.io/v1alpha2`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::{Deserialize, Serialize};

use crate::Rest;
use crate::gateway::{ParentReference, lenient_conditions, null_as_default};

/// The `apiVersion` of [`InferencePool`].
pub const API_VERSION: &str = "inference.networking.k8s.io/v1";
/// The API group of [`InferencePool`].
pub const GROUP: &str = "inference.networking.k8s.io";
/// The `apiVersion` of the older pool, whose spec is [`OldInferencePoolSpec`].
pub const OLD_API_VERSION: &str = "inference.networking.x-k8s.io/v1alpha2";
/// The API group of the older pool.
pub const OLD_GROUP: &str = "inference.networking.x-k8s.io";

/// The pods that serve one model, and who picks among them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InferencePool {
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: InferencePoolSpec,
    /// What the gateways say; `None` until one has spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<InferencePoolStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a pool of `inference.networking.k8s.io/v1` asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InferencePoolSpec {
    /// Which pods belong to it.
    pub selector: PoolSelector,
    /// Ports of each pod, one engine each.
    #[serde(deserialize_with = "null_as_default")]
    pub target_ports: Vec<PoolPort>,
    /// `http` (when absent) or `kubernetes.io/h2c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    /// Who picks the pod for a request.
    pub endpoint_picker_ref: EndpointPickerRef,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A label selector that only knows equality.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolSelector {
    /// All must be on the pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub match_labels: BTreeMap<String, String>,
}

/// A port of a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolPort {
    /// 1 to 65535.
    pub number: i32,
}

/// The picker of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPickerRef {
    /// API group; absent or empty is the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent is `Service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the picker's Service.
    pub name: String,
    /// Its port; required where the kind is Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PoolPort>,
    /// `FailClose` (when absent): no picker, no answer; or `FailOpen`: any pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_mode: Option<String>,
}

/// What gateways report about a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InferencePoolStatus {
    /// One entry per gateway.
    #[serde(alias = "parent", skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub parents: Vec<PoolParentStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What one gateway says about a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolParentStatus {
    /// The gateway.
    pub parent_ref: ParentReference,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient_conditions")]
    pub conditions: Vec<Condition>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a pool of `inference.networking.x-k8s.io/v1alpha2` asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OldInferencePoolSpec {
    /// Labels that must be on the pod.
    #[serde(deserialize_with = "null_as_default")]
    pub selector: BTreeMap<String, String>,
    /// The port of each pod.
    pub target_port_number: i32,
    /// Who picks the pod for a request.
    pub extension_ref: OldExtensionRef,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The picker of an older pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OldExtensionRef {
    /// API group; absent or empty is the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent is `Service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the picker's Service.
    pub name: String,
    /// Its port; absent is 9002.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_number: Option<i32>,
    /// `FailClose` or `FailOpen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_mode: Option<String>,
}
