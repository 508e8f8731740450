//! Autoscaling: through the workload variant autoscaler (with an HPA or KEDA), or KEDA alone.

use kinds::autoscaling::HorizontalPodAutoscalerBehavior;
use kinds::keda::{AdvancedConfig, Fallback, ScaleTrigger};
use serde::{Deserialize, Serialize};

use super::null_as_default;

/// An autoscaler: one of `wva` and `keda`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingSpec {
    /// Fewest copies; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// Most copies.
    pub max_replicas: i32,
    /// Scale by what the workload variant autoscaler advises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wva: Option<WVASpec>,
    /// Scale by KEDA triggers of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keda: Option<DirectKEDAScalingSpec>,
}

/// Scale by what the workload variant autoscaler advises; one of `hpa` and `keda` carries it out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WVASpec {
    /// Relative cost of a copy, a decimal number; `10.0` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant_cost: Option<String>,
    /// A HorizontalPodAutoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hpa: Option<HPAScalingSpec>,
    /// A KEDA ScaledObject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keda: Option<KEDAScalingSpec>,
}

/// Settings of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HPAScalingSpec {
    /// How fast it scales.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// Settings of a KEDA ScaledObject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KEDAScalingSpec {
    /// Seconds between readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polling_interval: Option<i32>,
    /// Seconds before scaling to zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_period: Option<i32>,
    /// Seconds after creation before scaling to zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_cooldown_period: Option<i32>,
    /// Copies while no trigger is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_replica_count: Option<i32>,
    /// Copies while the triggers cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Further settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<AdvancedConfig>,
}

/// Scale by KEDA triggers of one's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirectKEDAScalingSpec {
    /// The settings that every ScaledObject has.
    #[serde(flatten)]
    pub settings: KEDAScalingSpec,
    /// What it scales by, at least one.
    #[serde(deserialize_with = "null_as_default")]
    pub triggers: Vec<ScaleTrigger>,
}
