//! The outcome of a composition.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::node::{LayerId, Node, Reached, push_step};

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
#[derive(Debug, Clone)]
pub struct Origins {
    root: Node,
    layers: Layers,
    /// What stands in the document and in no layer.
    composed: LayerId,
}

/// Of nothing: every field counts as the service's own.
impl Default for Origins {
    fn default() -> Self {
        Origins { root: Node::From(0), layers: Layers::default(), composed: 0 }
    }
}

impl Origins {
    pub(crate) fn new(root: Node, layers: Layers, composed: LayerId) -> Origins {
        Origins { root, layers, composed }
    }

    /// Who wrote the field at `pointer`. For a part that several wrote, the one of highest precedence.
    pub fn of(&self, pointer: &str) -> &Origin {
        self.layers.get(match self.root.reach(pointer) {
            Reached::Part(node) => node.highest(),
            Reached::Within(layer) => layer,
            Reached::Beside(_) => self.composed,
        })
    }

    /// Every value of `document` that has no values of its own: its pointer and who wrote it, in order.
    pub fn fields(&self, document: &Value) -> Vec<(String, &Origin)> {
        let mut fields = Vec::new();
        self.collect(&self.root, document, &mut String::new(), &mut fields);
        fields
    }

    fn collect<'o>(
        &'o self,
        node: &Node,
        value: &Value,
        pointer: &mut String,
        fields: &mut Vec<(String, &'o Origin)>,
    ) {
        let mut step = |key: &str, index: Option<usize>, child: &Value| {
            let length = pointer.len();
            push_step(pointer, key);
            let mut rest = None;
            self.collect(node.at(key, index, &mut rest), child, pointer, fields);
            pointer.truncate(length);
        };
        match value {
            Value::Object(children) if !children.is_empty() => {
                children.iter().for_each(|(key, child)| step(key, None, child));
            }
            Value::Array(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(i, child)| step(&i.to_string(), Some(i), child));
            }
            _ => fields.push((pointer.clone(), self.layers.get(node.highest()))),
        }
    }
}

/// The layers of a composition, by their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers(Vec<Origin>);

impl Layers {
    /// A layer above all others.
    pub(crate) fn add(&mut self, origin: Origin) -> LayerId {
        self.0.push(origin);
        (self.0.len() - 1) as LayerId
    }

    fn get(&self, id: LayerId) -> &Origin {
        self.0.get(usize::from(id)).unwrap_or(&Origin::Service)
    }

    /// Whether that layer is a preset.
    pub(crate) fn is_preset(&self, id: LayerId) -> bool {
        matches!(self.get(id), Origin::Preset(_))
    }

    /// What a message calls it.
    pub(crate) fn name(&self, id: LayerId) -> String {
        self.get(id).to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Preset(name) => write!(f, "preset {name}"),
            Origin::BaseRef(name) => write!(f, "baseRef {name}"),
            Origin::Service => f.write_str("the service"),
            Origin::Composed(step) => f.write_str(step),
        }
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
