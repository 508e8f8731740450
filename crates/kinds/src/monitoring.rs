//! `monitoring.coreos.com/v1`: PodMonitor and ServiceMonitor of the Prometheus operator.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Rest;
use crate::gateway::null_as_default;

/// The `apiVersion` of both kinds.
pub const API_VERSION: &str = "monitoring.coreos.com/v1";

/// What is scraped: pods (`podMetricsEndpoints`) or Services (`endpoints`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Monitor {
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: MonitorSpec,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a monitor asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MonitorSpec {
    /// Which pods or Services.
    pub selector: MonitorSelector,
    /// Endpoints of a PodMonitor, as JSON.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub pod_metrics_endpoints: Vec<Value>,
    /// Endpoints of a ServiceMonitor, as JSON.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub endpoints: Vec<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MonitorSelector {
    /// All must be present.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub match_labels: BTreeMap<String, String>,
    /// Everything else (expressions).
    #[serde(flatten)]
    pub rest: Rest,
}
