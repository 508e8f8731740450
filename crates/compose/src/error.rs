//! Why a service cannot be composed, and what its owner can do.

use crate::AppliedConfig;

/// Why there is no merged spec. [`Error::reason`] is the reason of the `PresetsCombined` condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A config that the service needs exists nowhere: name one that exists, or create it.
    #[error("LLMInferenceServiceConfig {name:?} not found in namespaces [{}]", namespaces.join(" "))]
    ConfigNotFound {
        /// The name asked for.
        name: String,
        /// Where it was looked up, in order.
        namespaces: Vec<String>,
        /// Names that exist there and are close, nearest first.
        nearest: Vec<String>,
        /// JSON pointer of the field of the service that asks for it; `None` for a preset.
        field: Option<String>,
    },
    /// A template in a config or in the service cannot be read or rendered: mend the text between the braces.
    #[error("{message}")]
    FixTemplate {
        /// In the words of KServe: `failed to merge config: template: config:1:216: …`.
        message: String,
        /// JSON pointer into the merged document of the string with the template, if it is known.
        field: Option<String>,
        /// What to write instead, if that can be said.
        hint: Option<String>,
    },
    /// Two layers cannot be merged, or one is not what the schema says.
    #[error("{reason}")]
    FixMerge {
        /// What does not fit.
        reason: String,
    },
    /// `router.scheduler.config.ref` names a ConfigMap or key that is not there.
    #[error("{message}")]
    CreateConfigMap {
        /// What is missing.
        message: String,
        /// `NAMESPACE/NAME` of the ConfigMap, and the key.
        config_map: String,
        /// The key.
        key: String,
    },
    /// A LoRA adapter cannot be served the way it is written.
    #[error("{message}")]
    FixAdapter {
        /// What is wrong.
        message: String,
        /// JSON pointer into the merged document.
        field: String,
    },
    /// Layers that are each fine merge into something that the schema or a rule refuses.
    #[error(
        "dry-run validation failed after merging configs [{}]: {}",
        list(applied_configs),
        causes_text(causes)
    )]
    FixCombination {
        /// The configs that went in.
        applied_configs: Vec<AppliedConfig>,
        /// What is refused.
        causes: Vec<Cause>,
    },
}

/// One field that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Path of the field, as the API server writes it: `spec.scaling`.
    pub field: String,
    /// Why.
    pub message: String,
}

impl Error {
    /// Reason of the `PresetsCombined` condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::ConfigNotFound { .. } => "ConfigNotFound",
            Error::FixCombination { .. } => "InvalidRenderedConfig",
            _ => "CombineBaseError",
        }
    }

    /// What to do, if more can be said than the message does.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::ConfigNotFound { nearest, .. } if nearest.is_empty() => {
                Some("create it, or remove what refers to it".to_owned())
            }
            Error::ConfigNotFound { nearest, .. } => Some(format!("did you mean {}?", nearest.join(" or "))),
            Error::FixTemplate { hint, .. } => hint.clone(),
            Error::CreateConfigMap { config_map, key, .. } => Some(format!(
                "create ConfigMap {config_map} with key {key}, or correct router.scheduler.config.ref"
            )),
            Error::FixMerge { .. } | Error::FixAdapter { .. } | Error::FixCombination { .. } => None,
        }
    }

    /// JSON pointer of the field that is at fault, if it is one field.
    pub fn field(&self) -> Option<&str> {
        match self {
            Error::ConfigNotFound { field, .. } | Error::FixTemplate { field, .. } => field.as_deref(),
            Error::FixAdapter { field, .. } => Some(field),
            Error::CreateConfigMap { .. } => Some("/spec/router/scheduler/config/ref"),
            Error::FixMerge { .. } | Error::FixCombination { .. } => None,
        }
    }

    /// The configs to report although composition failed: KServe keeps them when only the result is refused.
    pub fn applied_configs(&self) -> &[AppliedConfig] {
        match self {
            Error::FixCombination { applied_configs, .. } => applied_configs,
            _ => &[],
        }
    }
}

fn list(configs: &[AppliedConfig]) -> String {
    let names: Vec<String> = configs
        .iter()
        .map(|config| format!("{}:{}/{}", config.source.word(), config.namespace, config.name))
        .collect();
    names.join(", ")
}

fn causes_text(causes: &[Cause]) -> String {
    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>().join("; ")
}
