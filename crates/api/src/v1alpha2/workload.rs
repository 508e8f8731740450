//! What runs: pods, how many, how they split the model, and where their KV cache spills to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use super::{ScalingSpec, null_as_default};

/// One workload: inline in the spec, and under `prefill`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSpec {
    /// Copies of the model, not pods; excludes `scaling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// An autoscaler; excludes `replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,
    /// How one copy is split over devices and nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<ParallelismSpec>,
    /// Added to the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// Added to the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// The head pod, or the only one. Containers are merged by name with the preset's, whose engine is called `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodSpec>,
    /// The other pods of a copy; its presence makes the workload multi-node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<PodSpec>,
    /// Where KV blocks go that leave the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_offloading: Option<KVCacheOffloadingSpec>,
    /// Limits of a rolling update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_strategy: Option<RolloutStrategy>,
}

/// How one copy of the model is split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParallelismSpec {
    /// Devices that share each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<i32>,
    /// Nodes that take turns by layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<i32>,
    /// Data-parallel ranks in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<i32>,
    /// Data-parallel ranks of one node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_local: Option<i32>,
    /// Port of the data-parallel coordinator.
    #[serde(rename = "dataRPCPort", skip_serializing_if = "Option::is_none")]
    pub data_rpc_port: Option<i32>,
    /// Whether experts are spread over the ranks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expert: bool,
}

impl ParallelismSpec {
    /// Whether there are data-parallel ranks.
    pub fn is_data_parallel(&self) -> bool {
        self.data.is_some_and(|n| n > 0) || self.data_local.is_some_and(|n| n > 0)
    }

    /// Whether the layers are spread over nodes. `pipeline: 1` counts.
    pub fn is_pipeline_parallel(&self) -> bool {
        self.pipeline.is_some_and(|n| n > 0)
    }

    /// Pods of one copy: data ranks by ranks of a node, rounded down; else pipeline stages. `None` says one pod.
    pub fn size(&self) -> Option<i32> {
        if self.is_data_parallel() {
            let data = self.data.unwrap_or(1).max(1);
            let local = self.data_local.unwrap_or(1).max(1);
            return Some((data / local).max(1));
        }
        self.pipeline.filter(|n| *n > 0)
    }
}

/// Limits of a rolling update; absent ones are those of the workload's kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStrategy {
    /// Copies that may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Copies beyond the wanted number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
}

/// Where KV blocks go that leave the device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KVCacheOffloadingSpec {
    /// Host memory for KV blocks.
    pub cpu: Quantity,
    /// `lru` (when absent) or `arc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_policy: Option<String>,
    /// Slower tiers, fastest first.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub secondary: Vec<SecondaryTierSpec>,
}

/// One slower tier.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecondaryTierSpec {
    /// A file system; the only kind of tier there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystemTierSpec>,
}

/// A tier in a file system: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileSystemTierSpec {
    /// A folder that lives as long as the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirTierSpec>,
    /// A volume claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc: Option<PvcTierSpec>,
}

/// A folder that lives as long as the pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmptyDirTierSpec {
    /// Its limit.
    pub size: Quantity,
}

/// A volume claim for a tier: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PvcTierSpec {
    /// A claim made for each pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<PersistentVolumeClaimSpec>,
    /// A claim that exists.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<PvcTierRef>,
}

/// A claim that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PvcTierRef {
    /// Its name.
    pub name: String,
    /// The folder in it; its root when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
