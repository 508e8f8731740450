//! The service that a plan is about, with what every part of the plan asks of it: names, labels, owner, live children.

use std::collections::BTreeMap;

use api::keys;
use api::v1alpha2::{LLMInferenceServiceSpec, WorkloadSpec};
use compose::{Facts, Merged};
use serde_json::{Map, Value, json};

/// String to string, as labels, annotations and selectors are.
pub(crate) type Labels = BTreeMap<String, String>;

/// Label on the pods that receive requests; pool and Service select by it.
pub(crate) const WORKLOAD_LABEL: (&str, &str) = ("kserve.io/component", "workload");
/// Label that tells prefill from decode.
pub(crate) const ROLE: &str = "llm-d.ai/role";
/// Port on which a workload's pods answer; the Service and the pool know no other.
pub(crate) const SERVING_PORT: i32 = 8000;
/// Suffix of every Service's name in the cluster's DNS.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";

/// One service, its merged spec and the facts around it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) merged: &'a Merged,
    pub(crate) spec: &'a LLMInferenceServiceSpec,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(merged: &'a Merged, facts: &'a Facts) -> Self {
        Subject { facts, merged, spec: &merged.spec, name: facts.name(), namespace: facts.namespace() }
    }

    /// The decode workload, or the only one.
    pub(crate) fn workload(&self) -> &'a WorkloadSpec {
        &self.spec.workload
    }

    /// Name of a child.
    pub(crate) fn child(&self, suffix: &str) -> String {
        api::names::child_name(self.name, suffix)
    }

    /// Whether engines, picker and sidecars serve TLS.
    pub(crate) fn tls(&self) -> bool {
        self.facts.settings.ingress.tls_enabled
    }

    /// Name by which clients ask for the model.
    pub(crate) fn model_name(&self) -> &'a str {
        self.spec.model.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(self.name)
    }

    /// Labels of the service itself.
    pub(crate) fn labels(&self) -> Labels {
        string_map(&self.facts.service, "/metadata/labels")
    }

    /// Annotations of the service itself.
    pub(crate) fn annotations(&self) -> Labels {
        string_map(&self.facts.service, "/metadata/annotations")
    }

    /// Labels of a child that makes up `component`.
    pub(crate) fn component_labels(&self, component: &str) -> Labels {
        let mut labels = self.name_labels();
        labels.insert(keys::APP_COMPONENT.to_owned(), component.to_owned());
        labels
    }

    /// Labels of every child.
    pub(crate) fn name_labels(&self) -> Labels {
        Labels::from([
            (keys::APP_NAME.to_owned(), name_label(self.name)),
            (keys::APP_PART_OF.to_owned(), keys::PART_OF.to_owned()),
        ])
    }

    /// What selects the pods that receive requests.
    pub(crate) fn serving_selector(&self) -> Labels {
        let mut labels = self.name_labels();
        labels.insert(WORKLOAD_LABEL.0.to_owned(), WORKLOAD_LABEL.1.to_owned());
        labels
    }

    /// A child: apiVersion, kind, metadata with owner; `fields` are the rest of its top level.
    pub(crate) fn object(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
        labels: Labels,
        fields: Value,
    ) -> Value {
        self.annotated_object(api_version, kind, name, labels, Labels::new(), fields)
    }

    /// [`Subject::object`] with annotations.
    pub(crate) fn annotated_object(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
        labels: Labels,
        annotations: Labels,
        fields: Value,
    ) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(name));
        metadata.insert("namespace".to_owned(), json!(self.namespace));
        metadata.insert("ownerReferences".to_owned(), json!([owner_reference(self.facts)]));
        if !labels.is_empty() {
            metadata.insert("labels".to_owned(), json!(labels));
        }
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(annotations));
        }
        let mut object = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        object.insert("apiVersion".to_owned(), json!(api_version));
        object.insert("kind".to_owned(), json!(kind));
        object.insert("metadata".to_owned(), Value::Object(metadata));
        Value::Object(object)
    }

    /// An object of the service's namespace that the facts show.
    pub(crate) fn live(&self, api_version: &str, kind: &str, name: &str) -> Option<&'a Value> {
        self.facts.objects.get(api_version, kind, Some(self.namespace), name).map(|object| &**object)
    }

    /// A Secret, ServiceAccount or ConfigMap of the service's namespace.
    pub(crate) fn core(&self, kind: &str, name: &str) -> Option<&'a Value> {
        self.live("v1", kind, name)
    }
}

/// The service's name as the value of the label `app.kubernetes.io/name` of all its children: names can be longer than
/// labels.
pub fn name_label(name: &str) -> String {
    if name.len() <= api::names::MAX_BYTES { name.to_owned() } else { api::names::child_name(name, "") }
}

/// The reference by which the cluster deletes children with their service.
pub(crate) fn owner_reference(facts: &Facts) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1alpha2",
        "blockOwnerDeletion": true,
        "controller": true,
        "kind": "LLMInferenceService",
        "name": facts.name(),
        "uid": facts.service.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default(),
    })
}

/// The strings of a mapping; empty if there is none.
pub(crate) fn string_map(document: &Value, pointer: &str) -> Labels {
    document
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether the service is to have no children: `serving.kserve.io/stop: "true"`, in any case.
pub fn is_stopped(facts: &Facts) -> bool {
    is_marked_stopped(&facts.service)
}

/// The same of any service.
pub(crate) fn is_marked_stopped(service: &Value) -> bool {
    let stop = service["metadata"]["annotations"][keys::STOP].as_str();
    stop.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Whether the service is being deleted.
pub(crate) fn is_deleted(service: &Value) -> bool {
    service.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}
