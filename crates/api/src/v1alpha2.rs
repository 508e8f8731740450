//! `serving.kserve.io/v1alpha2`, the version that is stored: both kinds and what they have in common.
//!
//! The types say what a field is called and whether it can be absent. What Go would leave out when it writes, and what
//! merging does with each field, is in [`crate::shape`].

mod router;
mod scaling;
mod status;
mod workload;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::value::MapDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use router::*;
pub use scaling::*;
pub use status::*;
pub use workload::*;

/// The `apiVersion` of both kinds.
pub const API_VERSION: &str = "serving.kserve.io/v1alpha2";
/// Kind of a service.
pub const SERVICE_KIND: &str = "LLMInferenceService";
/// Kind of a config.
pub const CONFIG_KIND: &str = "LLMInferenceServiceConfig";

/// A model that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LLMInferenceService {
    /// Always [`API_VERSION`].
    #[serde(default = "api_version")]
    pub api_version: String,
    /// Always [`SERVICE_KIND`].
    #[serde(default = "service_kind")]
    pub kind: String,
    /// Name, namespace, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    #[serde(default)]
    pub spec: LLMInferenceServiceSpec,
    /// What the operator saw; `None` until it has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<LLMInferenceServiceStatus>,
}

/// A part of a service that several services share: a preset or a `baseRefs` target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LLMInferenceServiceConfig {
    /// Always [`API_VERSION`].
    #[serde(default = "api_version")]
    pub api_version: String,
    /// Always [`CONFIG_KIND`].
    #[serde(default = "config_kind")]
    pub kind: String,
    /// Name, namespace, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The part; strings may hold Go templates.
    #[serde(default)]
    pub spec: LLMInferenceServiceSpec,
    /// Who uses it; `None` until the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<LLMInferenceServiceConfigStatus>,
}

/// What both kinds specify.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LLMInferenceServiceSpec {
    /// Which model, under which name. Written even when empty, as Go does.
    pub model: LLMModelSpec,
    /// Whether and how the model is downloaded before the engine starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_initializer: Option<StorageInitializerSpec>,
    /// The decode workload if `prefill` is set, else the only one.
    #[serde(flatten)]
    pub workload: WorkloadSpec,
    /// How requests reach the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterSpec>,
    /// A workload of its own for prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<WorkloadSpec>,
    /// OpenTelemetry; its presence, even empty, turns it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingSpec>,
    /// Configs that this service builds on, later ones win.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub base_refs: Vec<LocalObjectReference>,
}

impl LLMInferenceServiceSpec {
    /// The fields that are not of the workload.
    const OWN_FIELDS: [&str; 6] = ["model", "storageInitializer", "router", "prefill", "tracing", "baseRefs"];

    /// What [`Deserialize`] makes of it, in less time: that has to copy a workload, which is most of a spec, before it can
    /// read it.
    pub fn read(spec: &Value) -> serde_json::Result<Self> {
        let Some(fields) = spec.as_object() else { return Self::deserialize(spec) };
        let own = fields.iter().filter(|(name, _)| Self::OWN_FIELDS.contains(&name.as_str()));
        let read = Self::deserialize(MapDeserializer::new(own.map(|(name, value)| (name.as_str(), value))))?;
        Ok(LLMInferenceServiceSpec { workload: WorkloadSpec::deserialize(spec)?, ..read })
    }
}

/// A model or a LoRA adapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LLMModelSpec {
    /// Where it is, `scheme://…`; see [`crate::uri::ModelUri`]. Empty in configs that leave it to the service.
    pub uri: String,
    /// The name that requests use; the service's own name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Adapters of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoRASpec>,
    /// Encrypted weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidential: Option<ConfidentialSpec>,
}

/// LoRA adapters and the engine's limits for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoRASpec {
    /// The adapters, each with a name of its own.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub adapters: Vec<LLMModelSpec>,
    /// Highest rank; the engine's own limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rank: Option<i32>,
    /// Adapters in a batch; the number of adapters when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_adapters: Option<i32>,
    /// Adapters in host memory; the number of adapters when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cpu_adapters: Option<i32>,
}

/// Encrypted weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfidentialSpec {
    /// Whether the weights are encrypted.
    pub enabled: bool,
    /// The key, `kbs:///REPOSITORY/TYPE/TAG`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
}

/// The download before the engine starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageInitializerSpec {
    /// Whether it runs; `None` is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// OpenTelemetry settings; what is absent comes from the tracing preset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingSpec {
    /// Where spans go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter_endpoint: Option<String>,
    /// Name of the sampler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Argument of the sampler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler_arg: Option<String>,
    /// Name of the exporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter: Option<String>,
}

/// Another object of the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalObjectReference {
    /// Its name; empty counts as absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Default for LLMInferenceService {
    fn default() -> Self {
        LLMInferenceService {
            api_version: api_version(),
            kind: service_kind(),
            metadata: ObjectMeta::default(),
            spec: LLMInferenceServiceSpec::default(),
            status: None,
        }
    }
}

impl Default for LLMInferenceServiceConfig {
    fn default() -> Self {
        LLMInferenceServiceConfig {
            api_version: api_version(),
            kind: config_kind(),
            metadata: ObjectMeta::default(),
            spec: LLMInferenceServiceSpec::default(),
            status: None,
        }
    }
}

impl k8s_openapi::Resource for LLMInferenceService {
    const API_VERSION: &'static str = API_VERSION;
    const GROUP: &'static str = crate::GROUP;
    const KIND: &'static str = SERVICE_KIND;
    const VERSION: &'static str = "v1alpha2";
    const URL_PATH_SEGMENT: &'static str = "llminferenceservices";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for LLMInferenceService {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl k8s_openapi::Resource for LLMInferenceServiceConfig {
    const API_VERSION: &'static str = API_VERSION;
    const GROUP: &'static str = crate::GROUP;
    const KIND: &'static str = CONFIG_KIND;
    const VERSION: &'static str = "v1alpha2";
    const URL_PATH_SEGMENT: &'static str = "llminferenceserviceconfigs";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for LLMInferenceServiceConfig {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn api_version() -> String {
    API_VERSION.to_owned()
}

fn service_kind() -> String {
    SERVICE_KIND.to_owned()
}

fn config_kind() -> String {
    CONFIG_KIND.to_owned()
}

/// Reads `null` as the empty value, as Go does.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;

    #[test]
    fn the_fields_that_are_read_apart_are_those_of_the_spec_alone() {
        let names = |type_: &str| shape::find(type_).unwrap().fields.keys().copied().collect::<Vec<_>>();
        let workload = names("api.WorkloadSpec");
        let mut own = names("api.LLMInferenceServiceSpec");
        own.retain(|name| !workload.contains(name));
        own.sort_unstable();
        let mut known = LLMInferenceServiceSpec::OWN_FIELDS;
        known.sort_unstable();
        assert_eq!(own, known);
    }
}
