//! Validation of custom resources against their schema, with the original's words.
//!
//! What an update does not touch is not validated again, so that an object that was valid once can still be changed
//! elsewhere after its CRD was tightened.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::CustomVersion;
use super::schema::{ListType, Node};
use crate::status::{Cause, printed};

/// All that is wrong with `value`. `old` is the object before an update; `before` is what is wrong already.
pub(crate) fn object(
    custom: &CustomVersion,
    value: &Value,
    old: Option<&Value>,
    before: &[Cause],
) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Some(map) = value.as_object() else { return causes };
    let schema = &custom.schema;
    required(schema, map, "", &mut causes);
    for (key, member) in map {
        if matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        if let Some(node) = schema.properties.get(key) {
            check(node, member, old.and_then(|o| o.get(key)), key, &mut causes);
        }
    }
    let blocked = causes.iter().chain(before).any(|c| {
        matches!(
            c.reason,
            "FieldValueNotSupported"
                | "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    });
    scale(custom, value, &mut causes);
    if schema.has_rules() {
        if blocked {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            causes.push(Cause::invalid("<nil>", &Value::Null, why));
        } else {
            super::cel::check(schema, value, old, "", &mut causes);
        }
    }
    causes
}

/// The scale subresource wants a number of replicas that is none below zero.
fn scale(custom: &CustomVersion, value: &Value, causes: &mut Vec<Cause>) {
    let Some(scale) = &custom.scale else { return };
    let field = format!(".{}", scale.spec_replicas);
    let mut at = value;
    for part in scale.spec_replicas.split('.') {
        if !at.is_object() && !at.is_null() {
            let why = format!(
                "{field} accessor error: {} is of the type {}, expected map[string]interface{{}}",
                at.as_str().map_or_else(|| at.to_string(), str::to_owned),
                go_type(at)
            );
            causes.push(Cause::invalid(field, &json!(0), &why));
            return;
        }
        at = &at[part];
    }
    if at.as_i64().is_some_and(|n| n < 0) {
        causes.push(Cause::invalid(field, at, "should be a non-negative integer"));
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The item that an item of a list was before: by keys, or by value.
pub(super) fn counterpart<'a>(node: &Node, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    let old = old?.as_array()?;
    match &node.list {
        ListType::Map(keys) => old.iter().find(|o| keys.iter().all(|key| o[key] == item[key])),
        ListType::Set => old.iter().find(|o| *o == item),
        ListType::Atomic => None,
    }
}

fn check(node: &Node, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && node.nullable {
        return;
    }
    let wrong_type = |wanted: &str| {
        let found = type_of(value);
        let message =
            format!("Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\"");
        Cause::new(path, "FieldValueTypeInvalid", message)
    };
    if node.int_or_string {
        if !value.is_string() && !value.is_i64() && !value.is_u64() {
            causes.push(wrong_type("integer,string"));
        }
    } else if let Some(kind) = node.kind.as_deref() {
        let fits = match kind {
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => type_of(value) == other,
        };
        if !fits {
            causes.push(wrong_type(kind));
            return;
        }
    }
    values(&node.checks, value, path, causes);
    match value {
        Value::Object(map) => {
            required(node, map, path, causes);
            for (key, member) in map {
                if node.embedded && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if let Some(child) = node.properties.get(key).or(node.additional.as_ref()) {
                    check(child, member, old.and_then(|o| o.get(key)), &joined(path, key), causes);
                }
            }
        }
        Value::Array(list) => {
            duplicates(node, list, path, causes);
            if let Some(items) = &node.items {
                for (index, item) in list.iter().enumerate() {
                    check(items, item, counterpart(node, item, old), &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
    combinations(&node.checks, value, path, causes);
}

fn required(node: &Node, map: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in
        node.checks.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            causes.push(Cause::required(joined(path, name), ""));
        }
    }
}

fn duplicates(node: &Node, list: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let identity = |item: &Value| -> Option<Value> {
        match &node.list {
            ListType::Atomic => None,
            ListType::Set => Some(item.clone()),
            ListType::Map(keys) => Some(Value::Object(
                keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect(),
            )),
        }
    };
    let mut seen = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some(identity) = identity(item) else { return };
        if seen.contains(&identity) {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), &identity));
        } else {
            seen.push(identity);
        }
    }
}

/// Checks that look at one value alone.
fn values(checks: &Map<String, Value>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut invalid =
        |why: String| causes.push(Cause::invalid(path, value, &format!("{path} in body {why}")));
    let float = |name: &str| checks.get(name).and_then(Value::as_f64);
    let count = |name: &str| checks.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    if let Some(number) = value.as_f64() {
        let shown = |name: &str| checks[name].to_string();
        if let Some(limit) = float("maximum") {
            if checks.get("exclusiveMaximum") == Some(&Value::Bool(true)) {
                if number >= limit {
                    invalid(format!("should be less than {}", shown("maximum")));
                }
            } else if number > limit {
                invalid(format!("should be less than or equal to {}", shown("maximum")));
            }
        }
        if let Some(limit) = float("minimum") {
            if checks.get("exclusiveMinimum") == Some(&Value::Bool(true)) {
                if number <= limit {
                    invalid(format!("should be greater than {}", shown("minimum")));
                }
            } else if number < limit {
                invalid(format!("should be greater than or equal to {}", shown("minimum")));
            }
        }
        if let Some(step) = float("multipleOf").filter(|s| *s != 0.0)
            && (number / step).fract() != 0.0
        {
            invalid(format!("should be a multiple of {}", shown("multipleOf")));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count();
        if let Some(pattern) = checks.get("pattern").and_then(Value::as_str)
            && !pattern_matches(pattern, text)
        {
            invalid(format!("should match '{pattern}'"));
        }
        if let Some(limit) = count("minLength").filter(|l| length < *l) {
            invalid(format!("should be at least {limit} chars long"));
        }
        if let Some(format) = checks.get("format").and_then(Value::as_str)
            && !format_matches(format, text)
        {
            causes.push(Cause::invalid(
                path,
                value,
                &format!("{path} in body must be of type {format}: {}", printed(value)),
            ));
        }
        if let Some(limit) = count("maxLength").filter(|l| length > *l) {
            causes.push(Cause::new(
                path,
                "FieldValueTooLong",
                format!("Too long: may not be more than {limit} bytes"),
            ));
        }
    }
    let (size, most, least) = match value {
        Value::Array(list) => (list.len(), "maxItems", "minItems"),
        Value::Object(map) => (map.len(), "maxProperties", "minProperties"),
        _ => (0, "", ""),
    };
    if let Some(limit) = count(most).filter(|l| size > *l) {
        causes.push(Cause::new(
            path,
            "FieldValueTooMany",
            format!("Too many: {size}: must have at most {limit} items"),
        ));
    }
    if let Some(limit) = count(least).filter(|l| size < *l) {
        let what = if value.is_array() { "items" } else { "properties" };
        causes.push(Cause::invalid(
            path,
            &json!(size),
            &format!("{path} in body should have at least {limit} {what}"),
        ));
    }
    if let Some(allowed) = checks.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let names: Vec<String> =
            allowed.iter().map(|a| a.as_str().map_or_else(|| a.to_string(), str::to_owned)).collect();
        causes.push(Cause::unsupported(path, value, &names.iter().map(String::as_str).collect::<Vec<_>>()));
    }
}

fn pattern_matches(pattern: &str, text: &str) -> bool {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};
    static COMPILED: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // A pattern that does not compile was refused with the CRD by the original; it must not refuse objects here.
    let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
    regex.as_ref().is_none_or(|regex| regex.is_match(text))
}

fn format_matches(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uuid" => text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-'),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        _ => true,
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
fn combinations(checks: &Map<String, Value>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let outcomes = |name: &str| -> Vec<Vec<Cause>> {
        checks
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|schema| {
                let mut found = Vec::new();
                check(&Node::read(schema), value, None, path, &mut found);
                found
            })
            .collect()
    };
    let mut failed = |why: String, details: Vec<Cause>| {
        causes.push(Cause::invalid("<nil>", &json!(""), &why));
        causes.extend(details);
    };
    let any = outcomes("anyOf");
    if !any.is_empty() && any.iter().all(|f| !f.is_empty()) {
        let first = any.into_iter().next().unwrap_or_default();
        failed(format!("\"{path}\" must validate at least one schema (anyOf)"), first);
    }
    let one = outcomes("oneOf");
    let valid = one.iter().filter(|f| f.is_empty()).count();
    if !one.is_empty() && valid != 1 {
        let found = if valid == 0 { "Found none valid" } else { "Found more than one valid" };
        let found = if valid == 0 { found.to_owned() } else { format!("Found {valid} valid alternatives") };
        let first = if valid == 0 { one.into_iter().next().unwrap_or_default() } else { Vec::new() };
        failed(format!("\"{path}\" must validate one and only one schema (oneOf). {found}"), first);
    }
    let all: Vec<Cause> = outcomes("allOf").into_iter().flatten().collect();
    if !all.is_empty() {
        failed(format!("\"{path}\" must validate all the schemas (allOf)"), all);
    }
    if let Some(not) = checks.get("not") {
        let mut found = Vec::new();
        check(&Node::read(not), value, None, path, &mut found);
        if found.is_empty() {
            failed(format!("\"{path}\" must not validate the schema (not)"), Vec::new());
        }
    }
}
