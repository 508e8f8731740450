//! CustomResourceDefinitions of the foreign kinds, for an API server that has none of its own.
//!
//! They are narrow: they say the type and the default of every field that we read or write, and keep what else is there. A
//! cluster brings the real ones; these are never installed into it.

mod routing;
mod scaling;

use serde_json::{Value, json};

/// All of them: HTTPRoute, Gateway, GatewayClass, InferencePool in both groups, LeaderWorkerSet, ScaledObject.
pub fn crds() -> Vec<Value> {
    let mut crds = routing::crds();
    crds.extend(scaling::crds());
    crds
}

/// What a definition needs beside its schema.
struct Definition {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    is_namespaced: bool,
    /// Name, type and JSON path.
    columns: &'static [(&'static str, &'static str, &'static str)],
    spec: Value,
    status: Value,
    /// The scale subresource; `None` if there is none.
    scale: Option<Value>,
}

impl Definition {
    fn crd(self) -> Value {
        let mut columns: Vec<Value> = self
            .columns
            .iter()
            .map(|(name, type_, path)| json!({"name": name, "type": type_, "jsonPath": path}))
            .collect();
        columns.push(json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}));
        let mut subresources = json!({"status": {}});
        if let Some(scale) = self.scale {
            subresources["scale"] = scale;
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{}.{}", self.plural, self.group),
                // The API server wants to know who approved a group of Kubernetes itself.
                "annotations": {"api-approved.kubernetes.io": "unapproved, a narrow copy for one machine"},
            },
            "spec": {
                "group": self.group,
                "names": {
                    "kind": self.kind, "listKind": format!("{}List", self.kind), "plural": self.plural,
                    "singular": self.kind.to_lowercase(), "shortNames": self.short,
                },
                "scope": if self.is_namespaced { "Namespaced" } else { "Cluster" },
                "versions": [{
                    "name": self.version, "served": true, "storage": true,
                    "subresources": subresources,
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "apiVersion": text(), "kind": text(), "metadata": {"type": "object"},
                            "spec": self.spec, "status": self.status,
                        },
                    }},
                }],
            },
        })
    }
}

/// An object of which these fields are known; others are kept.
fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema =
        json!({"type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": true});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// An object of which nothing is said.
fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn word(default: &str) -> Value {
    json!({"type": "string", "default": default})
}

fn number() -> Value {
    json!({"type": "integer", "format": "int32"})
}

fn port() -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
}

fn labels() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

/// A list that is replaced whole.
fn list(items: Value) -> Value {
    json!({"type": "array", "items": items, "x-kubernetes-list-type": "atomic"})
}

/// A list whose items are told apart by these fields.
fn keyed(items: Value, keys: &[&str]) -> Value {
    json!({"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys})
}

fn conditions() -> Value {
    let condition = object(
        json!({
            "type": text(), "status": {"type": "string", "enum": ["True", "False", "Unknown"]}, "reason": text(),
            "message": text(), "observedGeneration": {"type": "integer", "format": "int64"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        }),
        &["type", "status"],
    );
    keyed(condition, &["type"])
}

#[cfg(test)]
mod tests;
