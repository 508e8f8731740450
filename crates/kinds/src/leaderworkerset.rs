//! `leaderworkerset.x-k8s.io/v1`: groups of pods that serve one model copy together.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use crate::Rest;
use crate::gateway::lenient_conditions;

/// The `apiVersion` of [`LeaderWorkerSet`].
pub const API_VERSION: &str = "leaderworkerset.x-k8s.io/v1";

/// Replicas of a group: one leader pod and its workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSet {
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: LeaderWorkerSetSpec,
    /// What its controller says; `None` until it has spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<LeaderWorkerSetStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a LeaderWorkerSet asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSetSpec {
    /// Number of groups; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The pods of a group.
    pub leader_worker_template: LeaderWorkerTemplate,
    /// How groups are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_strategy: Option<LeaderWorkerSetRollout>,
    /// `LeaderCreated` (when absent) or `LeaderReady`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_policy: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The pods of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerTemplate {
    /// The leader; the worker's template when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_template: Option<PodTemplateSpec>,
    /// The workers.
    pub worker_template: PodTemplateSpec,
    /// Pods in a group with its leader; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// `RecreateGroupOnPodRestart` or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// How groups are replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSetRollout {
    /// `RollingUpdate`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Limits of a rolling update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update_configuration: Option<LeaderWorkerSetRollingUpdate>,
}

/// Limits of a rolling update, in groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSetRollingUpdate {
    /// First group that is updated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Groups that may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Groups beyond the wanted number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
}

/// What the controller of a LeaderWorkerSet reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSetStatus {
    /// `Available`, `Progressing`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient_conditions")]
    pub conditions: Vec<Condition>,
    /// Groups whose pods are all ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Groups of the newest template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Groups that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Selector of the leaders, as text, for the scale subresource.
    #[serde(rename = "hpaPodSelector", skip_serializing_if = "Option::is_none")]
    pub hpa_pod_selector: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}
