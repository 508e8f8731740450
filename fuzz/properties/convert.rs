//! Any JSON object as a resource of ours, back and forth between its versions.
//!
//! Nothing may panic; a conversion there and back gives the object; more of them change nothing. Left out of the
//! comparison is what no API server stores (empty annotations, annotations that are not text, pools that the schema
//! refuses), an empty list of adapters, which says as much as none, and the defaults of a reference to a picker: the
//! older version has them in its conversion, the newer one in its schema.

use api::convert::convert;
use api::crd::Kind;
use api::crd::Version::{self, V1alpha1, V1alpha2};
use serde_json::{Map, Value, json};

pub(crate) fn hold(input: &[u8]) {
    let [flags, text @ ..] = input else { return };
    let Ok(Value::Object(mut fields)) = serde_json::from_slice::<Value>(text) else { return };
    let kind = if flags & 2 == 0 { "LLMInferenceService" } else { "LLMInferenceServiceConfig" };
    let (own, other) = if flags & 1 == 0 { (V1alpha2, V1alpha1) } else { (V1alpha1, V1alpha2) };
    fields.insert("apiVersion".to_owned(), own.api_version().into());
    fields.insert("kind".to_owned(), kind.into());
    let start = stored(fields);
    let there = convert(&start, other);
    assert_eq!(there["apiVersion"], other.api_version());
    let back = convert(&there, own);
    if !carries_other_version(&start) && has_storable_pool(&start, own) {
        assert_eq!(back, start, "by way of {there:#}");
    }
    let once_more = convert(&convert(&back, other), own);
    assert_eq!(once_more, back, "the second time");
    // Defaults and validation see the same strangers.
    let mut defaulted = back;
    api::defaults::apply(&mut defaulted, None);
    let _ = api::admission::admit(&defaulted, api::admission::Request::default());
}

/// The object as an API server lets it be: metadata is a mapping, annotations are texts.
fn stored(mut fields: Map<String, Value>) -> Value {
    if !fields.get("metadata").is_some_and(Value::is_object) {
        fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        let is_empty = match metadata.get_mut("annotations") {
            Some(Value::Object(annotations)) => {
                annotations.retain(|_, value| value.is_string());
                annotations.is_empty()
            }
            _ => true,
        };
        if is_empty {
            metadata.remove("annotations");
        }
    }
    let mut object = Value::Object(fields);
    if let Some(lora) = object.pointer_mut("/spec/model/lora").and_then(Value::as_object_mut) {
        lora.retain(|name, value| name != "adapters" || value.as_array().is_none_or(|list| !list.is_empty()));
    }
    say_defaults(&mut object);
    object
}

/// Says what is meant where a reference to a picker does not say it.
fn say_defaults(object: &mut Value) {
    let is_older = object["apiVersion"] == V1alpha1.api_version();
    let name = if is_older { "extensionRef" } else { "endpointPickerRef" };
    let pool = object.pointer_mut("/spec/router/scheduler/pool/spec").and_then(Value::as_object_mut);
    let Some(pool) = pool else { return };
    if is_older {
        // One that is absent becomes one of defaults alone. It has no name then, so that no schema takes it.
        pool.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    let Some(reference) = pool.get_mut(name).and_then(Value::as_object_mut) else { return };
    let is_service = *reference.entry("kind").or_insert_with(|| "Service".into()) == "Service";
    if is_service && is_older {
        reference.entry("portNumber").or_insert_with(|| 9002.into());
    }
}

/// Whether an API server would store the inline pool. It has another shape in each version, so that values of another
/// type have no place to go to.
fn has_storable_pool(object: &Value, version: Version) -> bool {
    let Some(kind) = object["kind"].as_str().and_then(Kind::of) else { return false };
    let Some(pool) = object.pointer("/spec/router/scheduler/pool") else { return true };
    // Faults elsewhere would keep the rules about pools from being looked at.
    let alone = json!({
        "metadata": {"name": "x"},
        "spec": {"model": {"uri": "hf://a/b"}, "router": {"scheduler": {"pool": pool}}},
    });
    let findings = api::admission::check(kind, version, &alone);
    let in_pool = |path: &str| path.starts_with("spec.router.scheduler.pool");
    !findings.iter().any(|finding| finding.violation.field.as_deref().is_some_and(in_pool))
}

/// Annotations that a conversion reads: what they say changes the object.
fn carries_other_version(object: &Value) -> bool {
    let annotations = object["metadata"]["annotations"].as_object();
    annotations.is_some_and(|annotations| {
        [api::keys::CONVERSION, api::keys::MODEL_CRITICALITY, api::keys::LORA_CRITICALITIES]
            .iter()
            .any(|key| annotations.contains_key(*key))
    })
}
