//! A structural schema: what is known about each field, for pruning, defaults, ownership and validation.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::cel::Rule;

/// How a list is merged and who owns its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// The schema of one value.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// `object`, `array`, `string`, …; `None` takes anything.
    pub(crate) kind: Option<String>,
    pub(crate) nullable: bool,
    /// Fields that are not named below are kept.
    pub(crate) preserve: bool,
    pub(crate) int_or_string: bool,
    /// A whole object with `apiVersion`, `kind` and `metadata`.
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Arc<Node>>,
    pub(crate) additional: Option<Arc<Node>>,
    pub(crate) items: Option<Arc<Node>>,
    pub(crate) default: Option<Value>,
    pub(crate) list: ListType,
    /// The raw schema without what is above: limits, patterns, rules.
    pub(crate) checks: Map<String, Value>,
    /// CEL rules here or below.
    ruled: bool,
    /// The CEL rules, compiled on first use.
    rules: OnceLock<Vec<Rule>>,
}

/// Schemas that were read already, so that one which stands in many places is held once: a CRD of workloads says what a pod
/// is a dozen times.
pub(crate) type Known<'s> = HashMap<&'s Value, Arc<Node>>;

const STRUCTURE: [&str; 7] =
    ["properties", "additionalProperties", "items", "default", "title", "example", "externalDocs"];

impl Node {
    /// The schema of a CRD version, with the fields that every object has.
    pub(crate) fn of_crd<'s>(document: &'s Value, known: &mut Known<'s>) -> Self {
        let mut node = Self::reading(document, known);
        node.embedded = true;
        node
    }

    pub(crate) fn read(schema: &Value) -> Self {
        Self::reading(schema, &mut Known::new())
    }

    fn shared<'s>(schema: &'s Value, known: &mut Known<'s>) -> Arc<Self> {
        if let Some(node) = known.get(schema) {
            return node.clone();
        }
        let node = Arc::new(Self::reading(schema, known));
        known.insert(schema, node.clone());
        node
    }

    fn reading<'s>(schema: &'s Value, known: &mut Known<'s>) -> Self {
        let mut node = Self {
            kind: schema["type"].as_str().map(str::to_owned),
            nullable: schema["nullable"] == true,
            preserve: schema["x-kubernetes-preserve-unknown-fields"] == true,
            int_or_string: schema["x-kubernetes-int-or-string"] == true,
            embedded: schema["x-kubernetes-embedded-resource"] == true,
            default: schema.get("default").cloned(),
            ..Self::default()
        };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            node.properties.insert(name.clone(), Self::shared(property, known));
        }
        match schema.get("additionalProperties") {
            Some(Value::Object(_)) => {
                node.additional = Some(Self::shared(&schema["additionalProperties"], known))
            }
            Some(Value::Bool(true)) => {
                node.additional = Some(Arc::new(Self { preserve: true, ..Self::default() }))
            }
            _ => {}
        }
        if let Some(items) = schema.get("items") {
            node.items = Some(Self::shared(items, known));
        }
        node.list = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListType::Set,
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                ListType::Map(keys.filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => ListType::Atomic,
        };
        node.checks = schema
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| !STRUCTURE.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        node.ruled = node.checks.contains_key("x-kubernetes-validations")
            || node.properties.values().chain(&node.additional).chain(&node.items).any(|child| child.ruled);
        node
    }

    /// The description of the field at `path` (`spec.replicas`).
    pub(crate) fn description(&self, path: &str) -> Option<String> {
        let mut node = self;
        for name in path.split('.') {
            node = node.properties.get(name)?;
        }
        node.checks.get("description").and_then(Value::as_str).map(str::to_owned)
    }

    /// There are CEL rules here or below.
    pub(crate) fn has_rules(&self) -> bool {
        self.ruled
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        self.rules.get_or_init(|| super::cel::rules(self.checks.get("x-kubernetes-validations")))
    }

    /// Removes the fields that the schema does not have; adds their paths to `unknown`.
    pub(crate) fn prune(&self, value: &mut Value, unknown: &mut Vec<String>) {
        self.prune_at(value, "", unknown);
        unknown.sort();
    }

    fn prune_at(&self, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                let mut gone = Vec::new();
                for (key, member) in map.iter_mut() {
                    if self.embedded && (key == "apiVersion" || key == "kind") {
                        continue;
                    }
                    if self.embedded && key == "metadata" {
                        let mut inside = Vec::new();
                        super::metadata_schema().prune_at(member, &joined(path, key), &mut inside);
                        unknown.append(&mut inside);
                        continue;
                    }
                    if let Some(node) = self.properties.get(key).or(self.additional.as_ref()) {
                        node.prune_at(member, &joined(path, key), unknown);
                    } else if !self.preserve && (self.kind.is_some() || !self.properties.is_empty()) {
                        gone.push(key.clone());
                    }
                }
                for key in gone {
                    unknown.push(joined(path, &key));
                    map.remove(&key);
                }
            }
            Value::Array(list) => {
                if let Some(items) = &self.items {
                    for (index, item) in list.iter_mut().enumerate() {
                        items.prune_at(item, &format!("{path}[{index}]"), unknown);
                    }
                }
            }
            _ => {}
        }
    }

    /// Fills in defaults, and drops a null that is not allowed where a default is.
    pub(crate) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, node) in &self.properties {
                    if let Some(default) = &node.default {
                        let missing = map.get(name).is_none_or(|v| v.is_null() && !node.nullable);
                        if missing {
                            map.insert(name.clone(), default.clone());
                        }
                    } else if !node.nullable && map.get(name).is_some_and(Value::is_null) {
                        map.remove(name);
                    }
                }
                for (name, member) in map.iter_mut() {
                    if let Some(node) = self.properties.get(name).or(self.additional.as_ref()) {
                        node.fill(member);
                    }
                }
            }
            Value::Array(list) => {
                if let Some(items) = &self.items {
                    for item in list {
                        items.fill(item);
                    }
                }
            }
            _ => {}
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
