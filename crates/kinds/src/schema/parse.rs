//! Reads the JSON form of a schema.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::{Kind, Limits, ListType, Pattern, Rule, Schema};

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// A node is neither a mapping nor `true`.
    #[error("{path} is not a schema")]
    NotASchema {
        /// Where in the schema.
        path: String,
    },
    /// A `type` that no structural schema has.
    #[error("{path}.type: {found:?} is not one of object, array, string, integer, number, boolean")]
    UnknownType {
        /// Where in the schema.
        path: String,
        /// What stands there.
        found: String,
    },
    /// A pattern that does not compile.
    #[error("{path}.pattern: {source}")]
    BadPattern {
        /// Where in the schema.
        path: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
}

/// Expressions by their text: a schema has a few, thousands of times.
type Patterns = HashMap<String, Regex>;

pub(super) fn parse(schema: &Value, path: &str) -> Result<Schema, ParseError> {
    node(schema, path, &mut Patterns::new())
}

fn node(schema: &Value, path: &str, patterns: &mut Patterns) -> Result<Schema, ParseError> {
    let Some(fields) = schema.as_object() else {
        return match schema {
            Value::Bool(true) => Ok(Schema { preserve_unknown: true, ..Schema::default() }),
            _ => Err(ParseError::NotASchema { path: path.to_owned() }),
        };
    };
    let mut node = Schema {
        kind: fields.get("type").and_then(Value::as_str).map(|word| kind(word, path)).transpose()?,
        allowed: list(fields.get("enum")).cloned().collect(),
        required: list(fields.get("required")).filter_map(Value::as_str).map(str::to_owned).collect(),
        default: fields.get("default").filter(|value| !value.is_null()).cloned(),
        nullable: flag(schema, "nullable"),
        preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
        embedded: flag(schema, "x-kubernetes-embedded-resource"),
        int_or_string: flag(schema, "x-kubernetes-int-or-string"),
        list: list_type(schema),
        atomic_map: schema["x-kubernetes-map-type"] == "atomic",
        limits: limits(schema),
        format: text(schema, "format"),
        description: text(schema, "description"),
        validations: list(fields.get("x-kubernetes-validations")).map(rule).collect(),
        ..Schema::default()
    };
    if let Some(pattern) = text(schema, "pattern") {
        let regex = match patterns.get(&pattern) {
            Some(known) => known.clone(),
            None => {
                // Go's \d and \w are ASCII.
                let ascii = pattern.replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]");
                let regex = Regex::new(&ascii).map_err(|source| ParseError::BadPattern {
                    path: path.to_owned(),
                    source: Box::new(source),
                })?;
                patterns.insert(pattern.clone(), regex.clone());
                regex
            }
        };
        node.pattern = Some(Pattern { text: pattern, regex });
    }
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            node.properties.insert(name.clone(), self::node(property, &format!("{path}.{name}"), patterns)?);
        }
    }
    if let Some(additional) = fields.get("additionalProperties").filter(|value| **value != Value::Bool(false))
    {
        node.additional = Some(Box::new(self::node(additional, &format!("{path}.*"), patterns)?));
    }
    if let Some(items) = fields.get("items") {
        node.items = Some(Box::new(self::node(items, &format!("{path}[]"), patterns)?));
    }
    let below = || node.properties.values().chain(node.additional.as_deref()).chain(node.items.as_deref());
    node.has_defaults = node.default.is_some() || below().any(|child| child.has_defaults);
    node.has_rules = !node.validations.is_empty() || below().any(|child| child.has_rules);
    Ok(node)
}

fn kind(word: &str, path: &str) -> Result<Kind, ParseError> {
    Ok(match word {
        "object" => Kind::Object,
        "array" => Kind::Array,
        "string" => Kind::String,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        _ => return Err(ParseError::UnknownType { path: path.to_owned(), found: word.to_owned() }),
    })
}

fn limits(schema: &Value) -> Limits {
    let count = |name: &str| schema[name].as_u64();
    let number = |name: &str| match &schema[name] {
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    Limits {
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: flag(schema, "exclusiveMinimum"),
        exclusive_maximum: flag(schema, "exclusiveMaximum"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        unique_items: flag(schema, "uniqueItems"),
    }
}

fn list_type(schema: &Value) -> ListType {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(
            list(schema.get("x-kubernetes-list-map-keys"))
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        _ => ListType::Atomic,
    }
}

fn rule(rule: &Value) -> Rule {
    Rule {
        rule: text(rule, "rule").unwrap_or_default(),
        message: text(rule, "message"),
        message_expression: text(rule, "messageExpression"),
        reason: text(rule, "reason"),
        field_path: text(rule, "fieldPath"),
        optional_old_self: flag(rule, "optionalOldSelf"),
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == Value::Bool(true)
}

fn text(schema: &Value, name: &str) -> Option<String> {
    schema[name].as_str().map(str::to_owned)
}
