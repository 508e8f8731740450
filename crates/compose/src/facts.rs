//! What composition, planning and judging know: the service and the part of the cluster that matters to it.

use std::sync::Arc;

use kinds::Objects;
use kinds::pointer::at;
use serde_json::Value;

use crate::Settings;

/// Everything that a decision about one service may depend on. It is a value: the same facts give the same plan.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The LLMInferenceService as stored, in `serving.kserve.io/v1alpha2`, with its status (the status annotations hold
    /// which presets the service is pinned to).
    pub service: Arc<Value>,
    /// What the cluster holds as far as it matters: configs, ConfigMaps, Gateways, ServiceAccounts, Secrets, children…
    /// Composition reads LLMInferenceServiceConfig (v1alpha2) and ConfigMap.
    pub objects: Objects,
    /// The parsed ConfigMap `inferenceservice-config`.
    pub settings: Settings,
    /// Where presets are looked up after the service's own namespace; `kserve` unless the installation says otherwise.
    pub system_namespace: String,
    /// What every preset's name starts with; `kserve-` unless the installation says otherwise.
    pub config_prefix: String,
    /// Whether a service stays with the names of the presets it first saw, although `config_prefix` changes later.
    pub pin_presets: bool,
    /// All pods run as processes of one machine: they see its folders, so `file://` models can be served, and what takes
    /// several machines cannot. Only `llmisvc up` says so.
    pub one_machine: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            service: Arc::new(Value::Null),
            objects: Objects::new(),
            settings: Settings::default(),
            system_namespace: "kserve".to_owned(),
            config_prefix: "kserve-".to_owned(),
            pin_presets: true,
            one_machine: false,
        }
    }
}

impl Facts {
    /// Name of the service; empty if the document has none.
    pub fn name(&self) -> &str {
        at(&self.service, "/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Namespace of the service; empty if the document has none.
    pub fn namespace(&self) -> &str {
        at(&self.service, "/metadata/namespace").and_then(Value::as_str).unwrap_or_default()
    }
}
