//! What the operator reports about a service or a config.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_as_default;
use crate::conditions::Condition;

/// What the operator reports about a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LLMInferenceServiceStatus {
    /// Where it answers: outside the cluster if it can be reached there, else the first address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The generation that this report is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub conditions: Vec<Condition>,
    /// The presets that this service is pinned to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// Never written; read for completeness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// All addresses.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub addresses: Vec<Address>,
    /// Gateways, routes and the picker in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterStatus>,
    /// Workloads in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workloads: Option<WorkloadsStatus>,
    /// What the spec was merged from, weakest first; the service itself is not listed.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub applied_configs: Vec<AppliedConfig>,
}

/// An address of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    /// What kind of address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// PEM certificates of its authority.
    #[serde(rename = "CACerts", skip_serializing_if = "Option::is_none")]
    pub ca_certs: Option<String>,
    /// OIDC audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The Gateway or Service that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<ObjectReference>,
    /// Models that answer there.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub models: Vec<ModelName>,
}

/// A served model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelName {
    /// The name that requests use.
    pub name: String,
}

/// An object of any kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// API group; empty is the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; `None` is the service's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Gateways, routes and the picker in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterStatus {
    /// Gateways that carry the routes.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub gateways: Vec<GatewayStatus>,
    /// Pool and picker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerStatus>,
    /// The traffic group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupStatus>,
}

/// A gateway in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayStatus {
    /// Which one.
    #[serde(flatten)]
    pub gateway: ObjectReference,
    /// Names of its listeners in use; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub listeners: Vec<ListenerStatus>,
    /// The routes that are attached to it.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub http_routes: Vec<ObjectReference>,
}

/// A listener in use; in JSON its name alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
}

/// Pool and picker in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchedulerStatus {
    /// The InferencePool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_pool: Option<ObjectReference>,
    /// The picker's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ObjectReference>,
}

/// A traffic group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its members.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub members: Vec<GroupMemberStatus>,
}

/// A service in a traffic group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupMemberStatus {
    /// Its name.
    pub name: String,
    /// Its share.
    pub weight: i32,
    /// Whether it is stopped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Where its share goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_ref: Option<BackendReference>,
}

/// Where requests go: a pool or a Service, with its port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendReference {
    /// API group; empty is the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; a Service when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; `None` is the service's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port; `None` where the kind knows its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// Workloads in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkloadsStatus {
    /// The decode workload, or the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<WorkloadStatus>,
    /// The prefill workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<WorkloadStatus>,
    /// The picker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<WorkloadStatus>,
    /// The Service in front of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<TypedLocalObjectReference>,
}

/// A workload in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// Which one.
    #[serde(flatten)]
    pub workload: TypedLocalObjectReference,
    /// Copies that are ready; `None` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
}

/// An object of the service's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypedLocalObjectReference {
    /// API group; `None` is the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A config that the spec was merged from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppliedConfig {
    /// Its name.
    pub name: String,
    /// The namespace it was found in.
    pub namespace: String,
    /// Who asked for it.
    pub source: ConfigSource,
}

/// Who asked for a config.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigSource {
    /// The shape of the service did.
    #[default]
    Preset,
    /// `spec.baseRefs` did.
    UserRef,
}

/// What the operator reports about a config.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LLMInferenceServiceConfigStatus {
    /// The generation that this report is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub conditions: Vec<Condition>,
    /// Free for others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// Services that use it, sorted by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub referenced_by: Vec<super::UntypedObjectReference>,
}
