//! `keda.sh/v1alpha1`: ScaledObject and the parts of it that an LLMInferenceService embeds.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Rest;
use crate::gateway::null_as_default;

/// The `apiVersion` of [`ScaledObject`].
pub const API_VERSION: &str = "keda.sh/v1alpha1";

/// A workload that KEDA scales.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaledObject {
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted; kept as JSON, the embedded parts below are what others read.
    pub spec: Value,
    /// What KEDA says; `None` until it has spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ScaledObjectStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What KEDA reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaledObjectStatus {
    /// `Ready`, `Active`, `Fallback`, `Paused`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub conditions: Vec<ScaledObjectCondition>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A condition in KEDA's own shape: it has no time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScaledObjectCondition {
    /// Which condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How many replicas run when the triggers cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fallback {
    /// Failed readings in a row before it counts.
    pub failure_threshold: i32,
    /// The number of replicas.
    pub replicas: i32,
    /// `static` (when absent), `currentReplicas`, `currentReplicasIfHigher`, `currentReplicasIfLower`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<String>,
}

/// Settings behind `advanced`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdvancedConfig {
    /// Passed on to the HorizontalPodAutoscaler that KEDA makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizontal_pod_autoscaler_config: Option<HorizontalPodAutoscalerConfig>,
    /// Whether deleting the ScaledObject brings back the replicas of before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restore_to_original_replica_count: bool,
    /// One formula over all triggers.
    #[serde(skip_serializing_if = "ScalingModifiers::is_empty")]
    pub scaling_modifiers: ScalingModifiers,
}

/// Settings of the HorizontalPodAutoscaler that KEDA makes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HorizontalPodAutoscalerConfig {
    /// How fast it scales.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// Its name; KEDA's own choice when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One formula over all triggers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingModifiers {
    /// The formula.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub formula: String,
    /// The value it is scaled to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The value above which the workload leaves zero.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub activation_target: String,
    /// `AverageValue` or `Value`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric_type: String,
}

impl ScalingModifiers {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What KEDA scales by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleTrigger {
    /// Name of the scaler.
    #[serde(rename = "type")]
    pub type_: String,
    /// Name of the trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether readings are kept for one polling interval.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_cached_metrics: bool,
    /// Settings of the scaler.
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// Credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,
    /// `AverageValue`, `Value` or `Utilization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
}

/// Names credentials of a trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthenticationRef {
    /// Name of the object.
    pub name: String,
    /// `TriggerAuthentication` (when absent) or `ClusterTriggerAuthentication`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}
