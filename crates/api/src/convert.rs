//! Between v1alpha1 and v1alpha2, on JSON, without loss in either direction.
//!
//! KServe carries two things in annotations: the criticality of the model and of its adapters. We do the same, and keep
//! what the other version has no field for in one more annotation ([`keys::CONVERSION`]): which fields, at which place,
//! with which value. It is gone again once the object is back in the version that has the fields. A field that the
//! object's own version does not have is kept there as well, even if the other version has one of that name.
//!
//! The defaults of a reference to a picker, which KServe puts in here, stay in.
//!
//! Nothing here fails: a pool without ports, an annotation that is not JSON or a list that has become shorter are taken
//! for what they are, and the rest of the object is converted.

mod kept;
mod pool;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::crd::Version;
use crate::{keys, shape};

/// `object` in the version `to`. What is not one of our kinds, or already in that version, comes back as it is.
pub fn convert(object: &Value, to: Version) -> Value {
    let from = object["apiVersion"].as_str().and_then(Version::of);
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some(from) = from.filter(|from| *from != to) else { return object.clone() };
    let roots = (shape::root(from.api_version(), kind), shape::root(to.api_version(), kind));
    let (Some(source), Some(target)) = roots else { return object.clone() };
    let mut converted = object.clone();
    let mut lost = Map::new();
    // What is no field here may be one there, and would say something there.
    kept::take_unknown(source, &mut converted, &mut lost);
    converted["apiVersion"] = to.api_version().into();
    match to {
        Version::V1alpha2 => {
            take_criticalities(&mut converted);
            pool::to_new(&mut converted, &mut lost);
            kept::take_unknown(target, &mut converted, &mut lost);
            kept::restore(&mut converted);
            kept::store(&mut converted, from, lost);
        }
        Version::V1alpha1 => {
            pool::to_old(&mut converted, &mut lost);
            kept::take_unknown(target, &mut converted, &mut lost);
            put_criticalities(&mut converted);
            kept::restore(&mut converted);
            kept::store(&mut converted, from, lost);
        }
    }
    drop_empty(&mut converted);
    converted
}

/// Moves `criticality` of the model and of its adapters into the annotations that KServe uses.
fn take_criticalities(object: &mut Value) {
    let Some(model) = object.pointer_mut("/spec/model") else { return };
    let own = take_criticality(model);
    let mut of_adapters = BTreeMap::new();
    if let Some(adapters) = model.pointer_mut("/lora/adapters").and_then(Value::as_array_mut) {
        for (index, adapter) in adapters.iter_mut().enumerate() {
            of_adapters.extend(take_criticality(adapter).map(|criticality| (index.to_string(), criticality)));
        }
    }
    if let Some(criticality) = own {
        annotate(object, keys::MODEL_CRITICALITY, criticality);
    }
    if !of_adapters.is_empty() {
        let text = Value::from_iter(of_adapters).to_string();
        annotate(object, keys::LORA_CRITICALITIES, text);
    }
}

fn take_criticality(model: &mut Value) -> Option<String> {
    let fields = model.as_object_mut()?;
    let criticality = fields.get("criticality")?.as_str()?.to_owned();
    if criticality.is_empty() {
        return None;
    }
    fields.remove("criticality");
    Some(criticality)
}

/// Moves the criticalities back. What the annotations cannot be read as is dropped, as KServe does.
fn put_criticalities(object: &mut Value) {
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    let own = annotations.remove(keys::MODEL_CRITICALITY);
    let of_adapters = annotations.remove(keys::LORA_CRITICALITIES);
    let Some(model) = object.pointer_mut("/spec/model").filter(|model| model.is_object()) else { return };
    if let Some(criticality) = own.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty()) {
        model["criticality"] = criticality.into();
    }
    let by_index: BTreeMap<String, String> = of_adapters
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if let Some(adapters) = model.pointer_mut("/lora/adapters").and_then(Value::as_array_mut) {
        for (index, adapter) in adapters.iter_mut().enumerate().filter(|(_, adapter)| adapter.is_object()) {
            if let Some(criticality) = by_index.get(&index.to_string()).filter(|text| !text.is_empty()) {
                adapter["criticality"] = criticality.as_str().into();
            }
        }
    }
}

/// Writes an annotation, whatever stands in the way.
fn annotate(object: &mut Value, key: &str, text: String) {
    for pointer in ["/metadata", "/metadata/annotations"] {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            let map = fields.entry(name).or_insert(Value::Null);
            if !map.is_object() {
                *map = Value::Object(Map::new());
            }
        }
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(key.to_owned(), text.into());
    }
}

/// Annotations that have become empty go, and so does an empty list of adapters.
fn drop_empty(object: &mut Value) {
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty) || value.is_null();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get("annotations").is_some_and(is_empty)
    {
        metadata.remove("annotations");
    }
    if let Some(lora) = object.pointer_mut("/spec/model/lora").and_then(Value::as_object_mut)
        && lora.get("adapters").and_then(Value::as_array).is_some_and(Vec::is_empty)
    {
        lora.remove("adapters");
    }
}

#[cfg(test)]
mod tests;
