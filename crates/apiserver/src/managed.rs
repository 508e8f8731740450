//! Who owns which field: the record in `metadata.managedFields`, kept by the `patch` crate.

use std::sync::LazyLock;

use patch::Schema;
use patch::apply::{self, Kind, Writer};
use patch::fields::PathSet;
use serde_json::{Value, json};

use crate::catalog::{Origin, Resource};
use crate::core::Core;
use crate::rest::WriteOptions;
use crate::status::Failure;

/// The schema by which applies to a kind are merged.
pub(crate) fn schema_of(resource: &Resource) -> Schema {
    match &resource.origin {
        Origin::BuiltIn(built_in) => crate::kinds::schema::apply_of(built_in),
        Origin::Custom(custom) => custom.apply_schema().clone(),
    }
}

fn zero(resource: &Resource) -> Value {
    match &resource.origin {
        Origin::BuiltIn(built_in) if built_in.verbs == ["create"] => json!({"spec": {}, "status": {}}),
        Origin::BuiltIn(built_in) => patch::keys::zero(built_in.group, built_in.kind),
        Origin::Custom(_) => json!({}),
    }
}

/// The fields that an endpoint does not write.
fn ignored(resource: &Resource, subresource: Option<&str>) -> &'static PathSet {
    static NONE: LazyLock<PathSet> = LazyLock::new(PathSet::default);
    static STATUS: LazyLock<PathSet> = LazyLock::new(|| PathSet::of(&[&["status"]]));
    static SPEC: LazyLock<PathSet> = LazyLock::new(|| PathSet::of(&[&["spec"]]));
    static ALL_BUT_STATUS: LazyLock<PathSet> = LazyLock::new(|| PathSet::of(&[&["spec"], &["metadata"]]));
    match subresource {
        Some("status") if resource.custom().is_some() => &ALL_BUT_STATUS,
        Some("status") => &SPEC,
        None if resource.has_status() => &STATUS,
        _ => &NONE,
    }
}

fn with_kind<T>(
    core: &Core,
    resource: &Resource,
    subresource: Option<&str>,
    then: impl FnOnce(&Kind<'_>) -> T,
) -> T {
    let api_version = resource.api_version();
    let schema = schema_of(resource);
    let zero = zero(resource);
    let at_version = |value: &Value, wanted: &str| -> Option<(Value, Schema)> {
        let target = core.resource_of(wanted, &resource.kind)?;
        if target.group != resource.group {
            return None;
        }
        let converted = if value["apiVersion"] == wanted {
            value.clone()
        } else {
            core.reversioned(resource, value.clone(), wanted)
        };
        Some((converted, schema_of(&target)))
    };
    let kind = Kind {
        api_version: &api_version,
        schema: &schema,
        zero: &zero,
        ignored: ignored(resource, subresource),
        at_version: &at_version,
    };
    then(&kind)
}

/// Records the fields of a new object.
pub(crate) fn created(
    core: &Core,
    resource: &Resource,
    value: &mut Value,
    options: &WriteOptions,
    subresource: Option<&str>,
    now: &str,
) {
    let writer = Writer { manager: &options.manager, subresource, now: Some(now) };
    // A record that the caller sends along is not looked at.
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    *value = with_kind(core, resource, subresource, |kind| apply::update(None, value, kind, &writer));
}

/// Records what an update changed.
pub(crate) fn updated(
    core: &Core,
    resource: &Resource,
    value: &mut Value,
    old: &Value,
    options: &WriteOptions,
    subresource: Option<&str>,
    now: &str,
) {
    let timed = subresource != Some("scale");
    let writer = Writer { manager: &options.manager, subresource, now: timed.then_some(now) };
    *value = with_kind(core, resource, subresource, |kind| apply::update(Some(old), value, kind, &writer));
    if subresource == Some("scale") {
        // The record is kept on the Scale, which leaves out a zero.
        drop_zero_scale(value);
    }
}

fn drop_zero_scale(value: &mut Value) {
    if value["spec"]["replicas"] == 0
        && let Some(list) = value["metadata"]["managedFields"].as_array_mut()
    {
        list.retain(|entry| entry["subresource"] != "scale");
    }
}

/// The live object with what was applied, and the record of it.
pub(crate) fn applied(
    core: &Core,
    resource: &Resource,
    live: Option<&Value>,
    wanted: &Value,
    options: &WriteOptions,
    subresource: Option<&str>,
    now: &str,
) -> Result<Value, Failure> {
    let writer = Writer { manager: &options.manager, subresource, now: Some(now) };
    with_kind(core, resource, subresource, |kind| apply::apply(live, wanted, kind, &writer, options.force))
        .map_err(failure)
}

fn failure(error: apply::Error) -> Failure {
    match &error {
        apply::Error::Conflict(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": c.message(), "field": c.field}))
                .collect();
            Failure::new(409, Some("Conflict"), error.to_string()).with(json!({"causes": causes}))
        }
        apply::Error::Version { .. } | apply::Error::ManagedFieldsGiven => {
            Failure::bad_request(error.to_string())
        }
        _ => Failure::internal(error.to_string()),
    }
}

/// Applies to a Scale, whose owners are those of the object's replicas. Returns the Scale and the object's record.
pub(crate) fn apply_scale(
    before: &Value,
    wanted: &Value,
    object: &Value,
    options: &WriteOptions,
    _now: &str,
) -> Result<(Value, Value), Failure> {
    const SCALE: &str = "autoscaling/v1";
    let replicas = json!({"f:spec": {"f:replicas": {}}});
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let owns = |entry: &Value| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null();
    let mut scale = before.clone();
    scale["metadata"]["managedFields"] = entries
        .iter()
        .filter(|entry| owns(entry))
        .map(|entry| {
            let mut entry = entry.clone();
            entry["apiVersion"] = json!(SCALE);
            entry["fieldsV1"] = replicas.clone();
            entry
        })
        .collect();
    let schema = Schema::custom_resource(&json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
        },
    }));
    let ignored = PathSet::of(&[&["status"]]);
    let at_version =
        |value: &Value, version: &str| (version == SCALE).then(|| (value.clone(), schema.clone()));
    let kind = Kind {
        api_version: SCALE,
        schema: &schema,
        zero: &json!({}),
        ignored: &ignored,
        at_version: &at_version,
    };
    let writer = Writer { manager: &options.manager, subresource: Some("scale"), now: None };
    let result = apply::apply(Some(&scale), wanted, &kind, &writer, options.force).map_err(failure)?;
    let owners = result["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let same_writer =
        |a: &Value, b: &Value| ["manager", "operation", "subresource"].iter().all(|f| a.get(*f) == b.get(*f));
    let mut record: Vec<Value> = entries
        .into_iter()
        .map(|mut entry| {
            let keeps = owners.iter().any(|o| same_writer(o, &entry) && owns(o));
            if owns(&entry)
                && !keeps
                && let Some(spec) = entry["fieldsV1"]["f:spec"].as_object_mut()
            {
                spec.remove("f:replicas");
            }
            entry
        })
        .filter(|entry| {
            !(entry["subresource"] == "scale"
                && entry["fieldsV1"]["f:spec"].as_object().is_none_or(serde_json::Map::is_empty))
        })
        .collect();
    for owner in &owners {
        if !record.iter().any(|entry| same_writer(owner, entry)) {
            let mut entry = owner.clone();
            entry["apiVersion"] = object["apiVersion"].clone();
            entry["fieldsV1"] = replicas.clone();
            record.push(entry);
        }
    }
    Ok((result, json!(record)))
}

/// Equal but for the times.
pub(crate) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let (a, b) = (a.and_then(Value::as_array), b.and_then(Value::as_array));
    let (a, b) = (a.map(Vec::as_slice).unwrap_or_default(), b.map(Vec::as_slice).unwrap_or_default());
    let timeless = |entry: &Value| -> Value {
        let mut entry = entry.clone();
        if let Some(map) = entry.as_object_mut() {
            map.remove("time");
        }
        entry
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || timeless(a) == timeless(b))
}
