//! The full schema of a version, from the table of types.
//!
//! Facts are words of the table: `req`, `def=JSON`, `enum=a|b`, `min=`, `max=`, `minLen=`, `maxLen=`, `minItems=`,
//! `maxItems=`, `minProps=`, `maxProps=`, `pat=NAME`, `fmt=`, `list=set|atomic|KEYS`, `map=atomic`, `cel=RULES`,
//! `preserve`, `schemaless`, `needs=FIELD` (required below), and `each.` before a fact about items or values.

use serde_json::{Map, Value, json};

use super::{Kind, Version};
use crate::rules;
use crate::shape::{self, Field, Struct, Type};

const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Where a Config may hold Go templates: texts there are not held to patterns and lengths, nor to rules.
const TEMPLATED: [&str; 8] = [
    "/properties/router/properties/route/properties/http/properties/spec",
    "/properties/router/properties/scheduler/properties/pool/properties/spec",
    "/properties/router/properties/scheduler/properties/template",
    "/properties/router/properties/scheduler/properties/tokenizer/properties/template",
    "/properties/template",
    "/properties/worker",
    "/properties/prefill/properties/template",
    "/properties/prefill/properties/worker",
];

/// What a Config says of a pool is a part: the preset below it names the picker, the ports and the pods.
const PARTIAL: [&str; 3] = [
    "/properties/router/properties/scheduler/properties/pool/properties/spec",
    "/properties/router/properties/scheduler/properties/pool/properties/spec/properties/selector",
    "/properties/router/properties/scheduler/properties/pool/properties/spec/properties/endpointPickerRef",
];

/// The `openAPIV3Schema` of a kind in a version, with everything in it.
pub(crate) fn root_schema(kind: Kind, version: Version) -> Value {
    let part = |name: &str| {
        shape::root(version.api_version(), kind.as_str())
            .and_then(|type_| type_.field(name)?.type_.as_struct())
            .map_or(Value::Null, |type_| struct_schema(type_, &[]))
    };
    let mut spec = part("spec");
    if kind == Kind::Config {
        for pointer in TEMPLATED {
            if let Some(node) = spec.pointer_mut(pointer) {
                relax(node);
            }
        }
        // The older version has no word for what is absent, so there a pool is whole.
        for pointer in PARTIAL.iter().filter(|_| version == Version::V1alpha2) {
            if let Some(fields) = spec.pointer_mut(pointer).and_then(Value::as_object_mut) {
                fields.remove("required");
            }
        }
    }
    json!({
        "type": "object",
        "description": match kind {
            Kind::Service => "A large language model that is served.",
            Kind::Config => "A part of an LLMInferenceService that several share.",
        },
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": part("status"),
        },
    })
}

fn relax(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            // A property can be called `pattern`, but a schema's pattern is text.
            fields.retain(|name, value| match name.as_str() {
                "pattern" => !value.is_string(),
                "x-kubernetes-validations" => !value.is_array(),
                "minLength" | "minItems" | "minProperties" => !value.is_number(),
                _ => true,
            });
            fields.values_mut().for_each(relax);
        }
        Value::Array(items) => items.iter_mut().for_each(relax),
        _ => {}
    }
}

fn struct_schema(type_: &Struct, needs: &[&str]) -> Value {
    if type_.name == "meta.ObjectMeta" {
        return json!({"type": "object"});
    }
    let mut properties = Map::new();
    let mut required: Vec<&str> = needs.to_vec();
    for field in type_.fields.values() {
        if field.facts.contains(&"req") {
            required.push(field.json);
        }
        properties.insert(field.json.to_owned(), field_schema(field));
    }
    required.sort_unstable();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let rules = embedded_facts(type_);
    apply(&mut schema, &rules, false);
    schema
}

/// The facts of a type and of what it embeds; rules of both hold.
fn embedded_facts(type_: &Struct) -> Vec<&'static str> {
    type_.facts.clone()
}

fn field_schema(field: &Field) -> Value {
    if field.facts.contains(&"schemaless") {
        return json!({"x-kubernetes-preserve-unknown-fields": true});
    }
    let needs: Vec<&str> = field.facts.iter().filter_map(|fact| fact.strip_prefix("needs=")).collect();
    type_schema(&field.type_, &field.facts, &needs)
}

fn type_schema(type_: &Type, facts: &[&'static str], needs: &[&str]) -> Value {
    let inner: Vec<&'static str> = facts.iter().filter_map(|fact| fact.strip_prefix("each.")).collect();
    let mut schema = match type_ {
        Type::Pointer(pointee) => return type_schema(pointee, facts, needs),
        Type::String | Type::Url | Type::Time => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        Type::IntOrString => {
            json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
        }
        Type::Quantity => json!({"anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY, "x-kubernetes-int-or-string": true}),
        Type::Struct(_) => type_.as_struct().map_or(Value::Null, |of| struct_schema(of, needs)),
        Type::List(element) => json!({"type": "array", "items": type_schema(element, &inner, &[])}),
        Type::Map(element) => {
            json!({"type": "object", "additionalProperties": type_schema(element, &inner, &[])})
        }
    };
    apply(&mut schema, facts, matches!(type_, Type::Int32 | Type::Int64));
    schema
}

fn apply(schema: &mut Value, facts: &[&'static str], is_number: bool) {
    for fact in facts {
        let (name, word) = fact.split_once('=').unwrap_or((fact, ""));
        let json: Value = serde_json::from_str(word).unwrap_or(Value::Null);
        let key = match name {
            "def" => "default",
            "min" => "minimum",
            "max" => "maximum",
            "minLen" => "minLength",
            "maxLen" => "maxLength",
            "minItems" => "minItems",
            "maxItems" => "maxItems",
            "minProps" => "minProperties",
            "maxProps" => "maxProperties",
            "enum" => {
                let words = word.split('|');
                schema["enum"] = words
                    .map(|word| {
                        if is_number {
                            serde_json::from_str(word).unwrap_or(Value::Null)
                        } else {
                            word.into()
                        }
                    })
                    .collect();
                continue;
            }
            "pat" => {
                schema["pattern"] = shape::pattern(word).map_or(Value::Null, Value::from);
                continue;
            }
            "fmt" => {
                if let (Some(fields), "none") = (schema.as_object_mut(), word) {
                    fields.remove("format");
                } else {
                    schema["format"] = word.into();
                }
                continue;
            }
            "list" => {
                match word {
                    "set" | "atomic" => schema["x-kubernetes-list-type"] = word.into(),
                    keys => {
                        schema["x-kubernetes-list-type"] = "map".into();
                        schema["x-kubernetes-list-map-keys"] = keys.split(',').collect();
                    }
                }
                continue;
            }
            "map" => {
                schema["x-kubernetes-map-type"] = word.into();
                continue;
            }
            "preserve" => {
                schema["x-kubernetes-preserve-unknown-fields"] = true.into();
                continue;
            }
            "cel" => {
                schema["x-kubernetes-validations"] = word
                    .split(',')
                    .filter_map(rules::find)
                    .map(|rule| json!({"rule": rule.rule, "message": rule.message}))
                    .collect();
                continue;
            }
            _ => continue,
        };
        schema[key] = json;
    }
}
