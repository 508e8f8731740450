//! How requests reach the workload: route, gateway, ingress, scheduler.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, PodSpec};
use kinds::gateway::HTTPRouteSpec;
use kinds::inference::InferencePoolSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LocalObjectReference, null_as_default};

/// How requests reach the workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterSpec {
    /// A route; `{}` asks for the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<GatewayRoutesSpec>,
    /// Gateways; `{}` asks for the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// Ingresses that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// An endpoint picker; `{}` asks for the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerSpec>,
}

/// The route of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayRoutesSpec {
    /// HTTP routing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HTTPRoutesSpec>,
    /// Services of the same group share one route by `weight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Share in the group, 0 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// HTTP routing: routes that exist, or one made from `spec`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPRoutesSpec {
    /// HTTPRoutes of the namespace that exist.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub refs: Vec<LocalObjectReference>,
    /// The HTTPRoute to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<HTTPRouteSpec>,
}

/// Gateways of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewaySpec {
    /// Gateways that exist; empty means the cluster's default.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub refs: Vec<GatewayObjectReference>,
}

/// A Gateway, or one listener of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayObjectReference {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its namespace; empty is the service's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// One listener; `None` is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// Ingresses of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IngressSpec {
    /// Ingresses that exist.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub refs: Vec<UntypedObjectReference>,
}

/// An object whose kind the field says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UntypedObjectReference {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its namespace; empty is the reader's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// The endpoint picker of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerSpec {
    /// The pool it picks from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
    /// Added to the picker's pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// Added to the picker's pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// The picker's pod, merged with the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodSpec>,
    /// The EndpointPickerConfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<SchedulerConfigSpec>,
    /// Pickers, of which one leads; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// A tokenizer beside the picker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerSpec>,
}

/// A pool: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolSpec {
    /// The InferencePool to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<InferencePoolSpec>,
    /// An InferencePool that exists.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<LocalObjectReference>,
}

impl PoolSpec {
    /// The name of the pool that exists, if one is named. An empty name names none.
    pub fn ref_name(&self) -> Option<&str> {
        self.ref_.as_ref().map(|reference| reference.name.as_str()).filter(|name| !name.is_empty())
    }
}

/// An EndpointPickerConfig: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfigSpec {
    /// The config itself: a mapping, or its YAML text once a `ref` has been resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<Value>,
    /// The key of a ConfigMap that holds it; the key is `epp` when empty.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<ConfigMapKeySelector>,
}

/// A tokenizer beside the picker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenizerSpec {
    /// Its pod, merged with the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodSpec>,
}
