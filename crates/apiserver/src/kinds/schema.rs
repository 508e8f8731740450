//! The schemas of the built-in kinds, from `k8s-openapi`, with the list keys that those do not carry.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use ::kinds::schema::Schema;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::BuiltIn;

/// Where references between definitions point.
const DEFINITIONS: &str = "#/components/schemas/";

/// A generator whose references are those of OpenAPI v3.
pub(crate) fn generator() -> SchemaGenerator {
    SchemaSettings::openapi3().into_generator()
}

/// What is made of a schema on first use.
#[derive(Clone)]
struct Made {
    node: Arc<Schema>,
    apply: patch::Schema,
}

/// The schema of a built-in kind.
pub(crate) fn of(built_in: &'static BuiltIn) -> Arc<Schema> {
    made(built_in).node
}

/// The schema by which applies to a built-in kind are merged.
pub(crate) fn apply_of(built_in: &'static BuiltIn) -> patch::Schema {
    made(built_in).apply
}

fn made(built_in: &'static BuiltIn) -> Made {
    static MADE: LazyLock<Mutex<HashMap<(&str, &str), Made>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    made.entry((built_in.group, built_in.kind))
        .or_insert_with(|| {
            let mut generator = generator();
            let schema = (built_in.schema)(&mut generator);
            let definitions = generator.take_definitions(true);
            let document = inline(schema.as_value(), &definitions);
            let keys = patch::ListKeys::of_kind(built_in.group, built_in.kind);
            Made { node: Arc::new(Schema::read(&document)), apply: patch::Schema::built_in(&document, keys) }
        })
        .clone()
}

/// The schema of `ObjectMeta`.
pub(crate) fn metadata() -> Schema {
    use schemars::JsonSchema;
    let mut generator = generator();
    let schema = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta::json_schema(&mut generator);
    let definitions = generator.take_definitions(true);
    resolve(schema.as_value(), &definitions)
}

/// Follows references; what would be endless (JSON schemas inside CRDs) takes anything.
fn resolve(schema: &Value, definitions: &Map<String, Value>) -> Schema {
    Schema::read(&inline(schema, definitions))
}

fn inline(schema: &Value, definitions: &Map<String, Value>) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches(DEFINITIONS);
        if name.ends_with(".JSONSchemaProps")
            || name.ends_with(".RawExtension")
            || name.ends_with(".FieldsV1")
            || name.ends_with("v1.JSON")
        {
            return serde_json::json!({"x-kubernetes-preserve-unknown-fields": true});
        }
        let scalar = match name.rsplit('.').next() {
            Some("Quantity") => Some("quantity"),
            Some("IntOrString") => Some("int-or-string"),
            Some("MicroTime") => Some("micro-time"),
            _ => None,
        };
        if let Some(format) = scalar {
            return match format {
                "micro-time" => {
                    serde_json::json!({"type": "string", "format": format, "description": schema["description"]})
                }
                _ => serde_json::json!({
                    "x-kubernetes-int-or-string": true, "format": format, "description": schema["description"],
                }),
            };
        }
        let mut inlined = definitions.get(name).map_or(Value::Null, |target| inline(target, definitions));
        if let (Some(map), Some(own)) = (inlined.as_object_mut(), schema.as_object()) {
            for (key, value) in own.iter().filter(|(k, _)| *k != "$ref") {
                map.insert(key.clone(), value.clone());
            }
        }
        return inlined;
    }
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(all)) = map.get("allOf")
                && let [only] = all.as_slice()
            {
                let mut inlined = inline(only, definitions);
                if let Some(target) = inlined.as_object_mut() {
                    for (key, value) in map.iter().filter(|(k, _)| *k != "allOf") {
                        target.insert(key.clone(), value.clone());
                    }
                }
                return inlined;
            }
            Value::Object(map.iter().map(|(k, v)| (k.clone(), inline(v, definitions))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|v| inline(v, definitions)).collect()),
        other => other.clone(),
    }
}
