//! Objects as rows, for `kubectl get`, and as bare metadata.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::catalog::Resource;
use crate::core::Core;
use crate::http::Call;
use crate::status::Failure;

/// `PartialObjectMetadata` of an object.
pub(crate) fn partial(mut value: Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"].take()})
}

/// A table with one row.
pub(crate) fn of_one(core: &Core, call: &Call, resource: &Resource, value: &Value) -> Result<Value, Failure> {
    let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
    of_many(core, call, resource, std::iter::once(Cow::Borrowed(value)), metadata)
}

/// A table of a list.
pub(crate) fn of_many<'a>(
    core: &Core,
    call: &Call,
    resource: &Resource,
    objects: impl Iterator<Item = Cow<'a, Value>>,
    metadata: Value,
) -> Result<Value, Failure> {
    let include = call.query.get("includeObject");
    let rows: Vec<Value> = objects.map(|object| row(core, resource, &object, include)).collect();
    Ok(json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns(resource), "rows": rows,
    }))
}

/// The table of one watch event.
pub(crate) fn of_event(core: &Core, resource: &Resource, object: &Value, include: Option<&str>, first: bool, bookmark: bool) -> Value {
    let _ = bookmark;
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": object["metadata"]["resourceVersion"]},
        "columnDefinitions": if first { columns(resource) } else { Value::Null },
        "rows": [row(core, resource, object, include)],
    })
}

fn columns(_resource: &Resource) -> Value {
    json!([{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}])
}

fn row(_core: &Core, _resource: &Resource, object: &Value, include: Option<&str>) -> Value {
    let shown = match include {
        Some("None") => Value::Null,
        Some("Object") => object.clone(),
        _ => partial(object.clone()),
    };
    json!({"cells": [object["metadata"]["name"]], "object": shown})
}
