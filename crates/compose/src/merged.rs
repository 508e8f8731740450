//! The outcome of a composition.

use std::collections::BTreeMap;

use serde_json::Value;

/// One spec out of presets, baseRefs and service, with templates rendered.
#[derive(Debug, Clone)]
pub struct Merged {
    /// `{"metadata": …, "spec": …}`: the metadata of the service (templates in it rendered) and the merged spec, spelled
    /// as Kubernetes' Go types print them (canonical quantities, no empty optional fields).
    pub document: Value,
    /// The spec of `document`, typed.
    pub spec: api::v1alpha2::LLMInferenceServiceSpec,
    /// The configs that went in, lowest precedence first. The service's own spec, always last, is not listed.
    pub applied_configs: Vec<AppliedConfig>,
    /// Annotations to keep in the service's status, so that it stays with the presets it has: existing entries and new ones.
    pub pins: BTreeMap<String, String>,
    /// The picker's configuration if `router.scheduler.config` gave one; `None` leaves it to the defaults.
    pub scheduler_config: Option<SchedulerConfig>,
    /// Where each field came from.
    pub origins: Origins,
    /// What a user should know although it is no error.
    pub warnings: Vec<Warning>,
}

impl Merged {
    /// The merged spec as JSON.
    pub fn spec_json(&self) -> &Value {
        &self.document["spec"]
    }

    /// The rendered metadata of the service as JSON.
    pub fn metadata(&self) -> &Value {
        &self.document["metadata"]
    }
}

/// A config that took part, as `status.appliedConfigs` lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppliedConfig {
    /// Name of the LLMInferenceServiceConfig.
    pub name: String,
    /// Namespace in which it was found. An embedded preset counts as one of the system namespace.
    pub namespace: String,
    /// Who asked for it.
    pub source: Source,
    /// Whether the cluster holds it. `false`: the embedded preset of that name was used.
    pub stored: bool,
}

/// Who asked for a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Selected by what the service uses.
    Preset,
    /// Named in `baseRefs`.
    UserRef,
}

impl Source {
    /// The word in `status.appliedConfigs`.
    pub fn word(self) -> &'static str {
        match self {
            Source::Preset => "Preset",
            Source::UserRef => "UserRef",
        }
    }
}

/// The picker's configuration, as text (YAML or JSON).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// The text as written.
    pub text: String,
    /// Namespace and name of the ConfigMap it came from; `None` if it was inline.
    pub config_map: Option<(String, String)>,
}

/// Who wrote a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A preset.
    Preset(String),
    /// A config named in `baseRefs`.
    BaseRef(String),
    /// The service itself.
    Service,
    /// A step of composition: a default that depends on the rest.
    Composed(&'static str),
}

/// Field → who wrote it. Fields are JSON pointers into [`Merged::document`].
#[derive(Debug, Clone, Default)]
pub struct Origins {
    pub(crate) by_pointer: BTreeMap<String, Origin>,
}

impl Origins {
    /// Who wrote the field at `pointer`, or its nearest ancestor of which that is known.
    pub fn of(&self, pointer: &str) -> Option<&Origin> {
        let mut pointer = pointer;
        loop {
            if let Some(origin) = self.by_pointer.get(pointer) {
                return Some(origin);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// All fields of which the writer is known, in order of their pointers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.by_pointer.iter().map(|(pointer, origin)| (pointer.as_str(), origin))
    }
}

/// Something a user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// JSON pointer into the service, as the user wrote it.
    pub field: String,
    /// What is the matter, with the consequence.
    pub message: String,
}
