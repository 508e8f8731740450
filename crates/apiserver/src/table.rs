//! Objects as rows, for `kubectl get`, and as bare metadata.

use serde_json::{Value, json};

use crate::catalog::{Origin, Resource};
use crate::core::Core;
use crate::http::Call;
use crate::jsonpath;
use crate::kinds::columns;

/// `PartialObjectMetadata` of an object.
pub(crate) fn partial(mut value: Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"].take()})
}

/// A table with one row.
pub(crate) fn of_one(core: &Core, call: &Call, resource: &Resource, value: &Value) -> Value {
    let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
    of_rows(resource, vec![row(core, resource, value, call.query.get("includeObject"))], metadata)
}

/// A table of a list.
pub(crate) fn of_many(
    core: &Core,
    call: &Call,
    resource: &Resource,
    objects: impl Iterator<Item = Value>,
    metadata: Value,
) -> Value {
    let include = call.query.get("includeObject");
    of_rows(resource, objects.map(|object| row(core, resource, &object, include)).collect(), metadata)
}

fn of_rows(resource: &Resource, rows: Vec<Value>, metadata: Value) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions(resource), "rows": rows,
    })
}

/// The table of one watch event; only the first one names the columns.
pub(crate) fn of_event(
    core: &Core,
    resource: &Resource,
    object: &Value,
    include: Option<&str>,
    first: bool,
    bookmark: bool,
) -> Value {
    let rows = if bookmark {
        json!([{"cells": [], "object": partial(object.clone())}])
    } else {
        json!([row(core, resource, object, include)])
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": object["metadata"]["resourceVersion"]},
        "columnDefinitions": if first { definitions(resource) } else { Value::Null },
        "rows": rows,
    })
}

fn definitions(resource: &Resource) -> Value {
    match &resource.origin {
        Origin::BuiltIn(built_in) => columns::definitions(built_in),
        Origin::Custom(custom) => {
            let mut list = vec![columns::name()];
            if custom.columns.is_empty() {
                list.push(json!({"name": "Age", "type": "date", "format": "", "description": columns::age(), "priority": 0}));
            }
            for column in &custom.columns {
                let path = column["jsonPath"].as_str().unwrap_or_default();
                let described = column["description"].as_str().filter(|d| !d.is_empty());
                list.push(json!({
                    "name": column["name"], "type": column["type"],
                    "format": column["format"].as_str().unwrap_or_default(),
                    "description": described.map_or_else(|| format!("Custom resource definition column (in JSONPath format): {path}"), str::to_owned),
                    "priority": column["priority"].as_i64().unwrap_or(0),
                }));
            }
            json!(list)
        }
    }
}

fn row(core: &Core, resource: &Resource, object: &Value, include: Option<&str>) -> Value {
    let now = (core.options.now)();
    let cells = match &resource.origin {
        Origin::BuiltIn(built_in) => columns::cells(built_in, object, now),
        Origin::Custom(custom) => {
            let mut cells = vec![object["metadata"]["name"].clone()];
            if custom.columns.is_empty() {
                cells.push(json!(columns::since(&object["metadata"]["creationTimestamp"], now)));
            }
            for column in &custom.columns {
                let found = jsonpath::first(object, column["jsonPath"].as_str().unwrap_or_default());
                cells.push(found.map_or(Value::Null, |value| {
                    cell(column["type"].as_str().unwrap_or_default(), value, now)
                }));
            }
            cells
        }
    };
    let shown = match include {
        Some("None") => Value::Null,
        Some("Object") => object.clone(),
        _ => partial(object.clone()),
    };
    json!({"cells": cells, "object": shown})
}

fn cell(kind: &str, value: &Value, now: jiff::Timestamp) -> Value {
    match kind {
        "string" => match value {
            Value::Null => Value::Null,
            Value::String(_) => value.clone(),
            other => json!(other.to_string()),
        },
        "date" => json!(columns::since(value, now)),
        "integer" => value.as_i64().or(value.as_f64().map(|f| f as i64)).map_or(Value::Null, |n| json!(n)),
        "number" if value.is_number() => value.clone(),
        "boolean" if value.is_boolean() => value.clone(),
        _ => Value::Null,
    }
}
