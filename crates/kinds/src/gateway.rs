//! `gateway.networking.k8s.io/v1`: HTTPRoute, Gateway, GatewayClass, as far as they are read or written.
//!
//! Filters, matches beyond path and headers, and session settings stay in `rest`; they are passed on unread.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Rest;

/// The `apiVersion` of every kind in this module.
pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";
/// The API group of every kind in this module.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Routes HTTP requests from gateways to back-ends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRoute {
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: HTTPRouteSpec,
    /// What the gateways say; `None` until one has spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<HTTPRouteStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What an HTTPRoute asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteSpec {
    /// The gateways (or services) the route attaches to.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub parent_refs: Vec<ParentReference>,
    /// Host names it answers to; empty means those of the listener.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub hostnames: Vec<String>,
    /// Tried as the Gateway API orders them: longest path first, then most headers, then order here.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub rules: Vec<HTTPRouteRule>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One rule: any of the matches leads to the back-ends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteRule {
    /// Name of the rule, unique in the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Alternatives; empty matches every request.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub matches: Vec<HTTPRouteMatch>,
    /// Changes to the request, in order. Kept as JSON: only a gateway reads them.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub filters: Vec<Value>,
    /// Where the request goes, by weight.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub backend_refs: Vec<HTTPBackendRef>,
    /// Time limits; `None` leaves them to the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<HTTPRouteTimeouts>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// All parts must match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteMatch {
    /// `None` means the prefix `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HTTPPathMatch>,
    /// Headers that the request must carry.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub headers: Vec<HTTPHeaderMatch>,
    /// HTTP method; `None` matches all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Everything else (query parameters).
    #[serde(flatten)]
    pub rest: Rest,
}

/// A path condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPPathMatch {
    /// `Exact`, `PathPrefix` (when absent) or `RegularExpression`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The path; `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A header condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPHeaderMatch {
    /// `Exact` (when absent) or `RegularExpression`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Name of the header, compared without case.
    pub name: String,
    /// The value, or the expression.
    pub value: String,
}

/// A back-end and its share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPBackendRef {
    /// API group; absent or empty is the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent is `Service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the back-end.
    pub name: String,
    /// Namespace; absent is the route's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of a Service; absent for kinds that know their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Share among the back-ends of the rule; absent is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Everything else (filters of the back-end).
    #[serde(flatten)]
    pub rest: Rest,
}

/// Time limits of a rule, as Gateway API durations (`10s`, `0s` is none).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteTimeouts {
    /// From the client's request to the end of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// For one try at a back-end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<String>,
}

/// What a route attaches to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentReference {
    /// API group; absent is `gateway.networking.k8s.io`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent is `Gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace; absent is the route's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the parent.
    pub name: String,
    /// One listener of the gateway; absent is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// One port of the parent; absent is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// What the controllers of the parents report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteStatus {
    /// One entry per parent and controller.
    #[serde(deserialize_with = "crate::gateway::null_as_default")]
    pub parents: Vec<RouteParentStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What one controller says about one parent of a route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteParentStatus {
    /// The parent, as the spec names it.
    pub parent_ref: ParentReference,
    /// Who speaks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs` and others.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient_conditions")]
    pub conditions: Vec<Condition>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A point where traffic enters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: GatewaySpec,
    /// What the implementation says; `None` until it has spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a Gateway asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// The GatewayClass that implements it.
    pub gateway_class_name: String,
    /// Where it listens.
    #[serde(deserialize_with = "crate::gateway::null_as_default")]
    pub listeners: Vec<Listener>,
    /// Addresses asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub addresses: Vec<GatewayAddress>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One port of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Name, unique in the gateway.
    pub name: String,
    /// Host names it takes, may begin with `*.`; `None` takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Port number.
    pub port: i32,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP` or `UDP`.
    pub protocol: String,
    /// Everything else (TLS settings, allowed routes).
    #[serde(flatten)]
    pub rest: Rest,
}

/// What the implementation of a Gateway reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayStatus {
    /// Where it can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::gateway::null_as_default")]
    pub addresses: Vec<GatewayAddress>,
    /// `Accepted`, `Programmed` and others.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient_conditions")]
    pub conditions: Vec<Condition>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An address of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayAddress {
    /// `IPAddress` (when absent), `Hostname` or a name of the implementation.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The address.
    pub value: String,
}

/// Who implements gateways of a class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClass {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: GatewayClassSpec,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a GatewayClass says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// Domain-prefixed name of the controller.
    pub controller_name: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Reads `null` as the empty value, as Go does for slices and maps.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Conditions without a time of their last change occur in reports that were written by hand or recorded; the time then
/// counts as the beginning of the epoch.
pub(crate) fn lenient_conditions<'de, D>(deserializer: D) -> Result<Vec<Condition>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let mut conditions = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    for condition in &mut conditions {
        if let Some(fields) = condition.as_object_mut() {
            for (name, value) in
                [("lastTransitionTime", "1970-01-01T00:00:00Z"), ("message", ""), ("reason", "")]
            {
                let present = fields.entry(name).or_insert(Value::Null);
                if present.is_null() {
                    *present = value.into();
                }
            }
        }
    }
    serde_json::from_value(Value::Array(conditions)).map_err(serde::de::Error::custom)
}
