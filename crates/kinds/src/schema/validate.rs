//! What is wrong with a document, in the words of an API server.

use std::cmp::Ordering;
use std::fmt::{self, Write};

use serde_json::{Number, Value};

use super::{Kind, ListType, Schema};

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What kind of wrong.
    pub type_: ViolationType,
    /// `spec.router.gateway.refs[0].name`; `None` speaks of no field.
    pub field: Option<String>,
    /// What is said after the field (`Invalid value: "x": …`).
    pub detail: String,
}

/// What kind of wrong, as Kubernetes names causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationType {
    /// `FieldValueRequired`
    Required,
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
}

/// All violations of `schema` by `document`, CEL rules apart. Fields come in alphabetical order.
pub fn validate(schema: &Schema, document: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    check(schema, document, &mut String::new(), true, &mut found);
    found
}

fn check(schema: &Schema, value: &Value, path: &mut String, is_object: bool, found: &mut Vec<Violation>) {
    if value.is_null() && (schema.nullable || schema.kind.is_none() && !schema.int_or_string) {
        return;
    }
    if !has_type(schema, value) {
        let wanted =
            if schema.int_or_string { "integer,string" } else { schema.kind.map_or("", Kind::as_str) };
        let given = go_type(value);
        found.push(Violation::new(
            ViolationType::TypeInvalid,
            path,
            format!("Invalid value: {given:?}: {path} in body must be of type {wanted}: {given:?}"),
        ));
        return;
    }
    if !schema.allowed.is_empty() && !schema.allowed.contains(value) {
        let allowed: Vec<String> = schema.allowed.iter().map(Value::to_string).collect();
        found.push(Violation::new(
            ViolationType::NotSupported,
            path,
            format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")),
        ));
    }
    match value {
        Value::Object(fields) => {
            for name in &schema.required {
                if !fields.contains_key(name) {
                    let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    found.push(Violation::new(ViolationType::Required, &field, "Required value".to_owned()));
                }
            }
            count(
                fields.len(),
                schema.limits.min_properties,
                schema.limits.max_properties,
                "properties",
                path,
                found,
            );
            for (name, child) in fields {
                if (is_object || schema.embedded) && name == "metadata" {
                    continue;
                }
                let Some(known) = schema.child(name) else { continue };
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                check(known, child, path, false, found);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            count(items.len(), schema.limits.min_items, schema.limits.max_items, "items", path, found);
            if let Some(known) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    let length = path.len();
                    let _ = write!(path, "[{index}]");
                    check(known, item, path, false, found);
                    path.truncate(length);
                }
            }
            duplicates(schema, items, path, found);
        }
        Value::String(text) => check_text(schema, text, path, found),
        Value::Number(number) => check_number(schema, number, path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || value.as_i64().is_some() || value.as_u64().is_some();
    }
    match schema.kind {
        None => true,
        Some(Kind::Object) => value.is_object(),
        Some(Kind::Array) => value.is_array(),
        Some(Kind::String) => value.is_string(),
        Some(Kind::Boolean) => value.is_boolean(),
        Some(Kind::Number) => value.is_number(),
        // A float without a fraction is an integer, as in JSON schema.
        Some(Kind::Integer) => value.as_f64().is_some_and(|number| number.fract() == 0.0),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn count(
    length: usize,
    least: Option<u64>,
    most: Option<u64>,
    what: &str,
    path: &str,
    found: &mut Vec<Violation>,
) {
    let length = length as u64;
    if let Some(most) = most.filter(|most| length > *most) {
        let detail = format!("Too many: {length}: must have at most {most} items");
        found.push(Violation::new(ViolationType::TooMany, path, detail));
    }
    if let Some(least) = least.filter(|least| length < *least) {
        let detail = format!("Invalid value: {length}: {path} in body should have at least {least} {what}");
        found.push(Violation::new(ViolationType::Invalid, path, detail));
    }
}

fn check_text(schema: &Schema, text: &str, path: &str, found: &mut Vec<Violation>) {
    let length = text.chars().count() as u64;
    if let Some(most) = schema.limits.max_length.filter(|most| length > *most) {
        let detail = format!("Too long: may not be more than {most} bytes");
        found.push(Violation::new(ViolationType::TooLong, path, detail));
    }
    if let Some(least) = schema.limits.min_length.filter(|least| length < *least) {
        let detail = format!("Invalid value: {text:?}: {path} in body should be at least {least} chars long");
        found.push(Violation::new(ViolationType::Invalid, path, detail));
    }
    if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text)) {
        let detail =
            format!("Invalid value: {}: {path} in body should match '{}'", Value::from(text), pattern.text);
        found.push(Violation::new(ViolationType::Invalid, path, detail));
    }
    if schema.format.as_deref() == Some("date-time") && text.parse::<jiff::Timestamp>().is_err() {
        let detail = format!(
            "Invalid value: {}: {path} in body must be of type date-time: {text:?}",
            Value::from(text)
        );
        found.push(Violation::new(ViolationType::Invalid, path, detail));
    }
}

fn check_number(schema: &Schema, number: &Number, path: &str, found: &mut Vec<Violation>) {
    let limits = &schema.limits;
    let mut report = |words: &str, limit: &Number| {
        let detail = format!("Invalid value: {number}: {path} in body should be {words} {limit}");
        found.push(Violation::new(ViolationType::Invalid, path, detail));
    };
    if let Some(least) = &limits.minimum {
        match (compare(number, least), limits.exclusive_minimum) {
            (Ordering::Less, false) => report("greater than or equal to", least),
            (Ordering::Less | Ordering::Equal, true) => report("greater than", least),
            _ => {}
        }
    }
    if let Some(most) = &limits.maximum {
        match (compare(number, most), limits.exclusive_maximum) {
            (Ordering::Greater, false) => report("less than or equal to", most),
            (Ordering::Greater | Ordering::Equal, true) => report("less than", most),
            _ => {}
        }
    }
}

fn compare(left: &Number, right: &Number) -> Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
    }
}

fn duplicates(schema: &Schema, items: &[Value], path: &str, found: &mut Vec<Violation>) {
    let keyed: Vec<Value> = match &schema.list {
        ListType::Atomic if !schema.limits.unique_items => return,
        ListType::Atomic | ListType::Set => items.to_vec(),
        ListType::Map(keys) => items
            .iter()
            .map(|item| {
                let default = |key: &String| schema.items.as_ref()?.properties.get(key)?.default.clone();
                keys.iter()
                    .filter_map(|key| Some((key.clone(), item.get(key).cloned().or_else(|| default(key))?)))
                    .collect()
            })
            .collect(),
    };
    for (index, item) in keyed.iter().enumerate() {
        if keyed[..index].contains(item) {
            let detail = format!("Duplicate value: {item}");
            found.push(Violation::new(ViolationType::Duplicate, &format!("{path}[{index}]"), detail));
        }
    }
}

impl Violation {
    /// A violation at `field`; an empty field is the document itself.
    pub fn new(type_: ViolationType, field: &str, detail: String) -> Self {
        Violation { type_, field: (!field.is_empty()).then(|| field.to_owned()), detail }
    }

    /// What an API server adds when [`super::blocks_rules`].
    pub fn rules_not_checked() -> Self {
        Violation {
            type_: ViolationType::Invalid,
            field: None,
            detail:
                "Invalid value: null: some validation rules were not checked because the object was invalid; \
                     correct the existing errors to complete validation"
                    .to_owned(),
        }
    }
}

impl ViolationType {
    /// The name in `status.details.causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            ViolationType::Required => "FieldValueRequired",
            ViolationType::Invalid => "FieldValueInvalid",
            ViolationType::NotSupported => "FieldValueNotSupported",
            ViolationType::Forbidden => "FieldValueForbidden",
            ViolationType::Duplicate => "FieldValueDuplicate",
            ViolationType::TypeInvalid => "FieldValueTypeInvalid",
            ViolationType::TooLong => "FieldValueTooLong",
            ViolationType::TooMany => "FieldValueTooMany",
        }
    }
}

/// `spec.x: Invalid value: …`, as an API server joins them.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field.as_deref().unwrap_or("<nil>"), self.detail)
    }
}
