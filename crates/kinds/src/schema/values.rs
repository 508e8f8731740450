//! Checks that look at one value alone.

use std::cmp::Ordering;

use base64::Engine;
use serde_json::{Number, Value, json};

use super::path::Path;
use super::{Schema, Violation, ViolationType, printed, quoted};

pub(super) fn check(schema: &Schema, value: &Value, path: &Path<'_>, found: &mut Vec<Violation>) {
    match value {
        Value::Number(number) => check_number(schema, number, path, found),
        Value::String(text) => check_text(schema, text, path, found),
        Value::Array(items) => {
            let (least, most) =
                schema.limits.as_ref().map_or((None, None), |limits| (limits.min_items, limits.max_items));
            count(items.len(), least, most, "items", path, found);
        }
        Value::Object(fields) => {
            let (least, most) = schema
                .limits
                .as_ref()
                .map_or((None, None), |limits| (limits.min_properties, limits.max_properties));
            count(fields.len(), least, most, "properties", path, found);
        }
        Value::Null | Value::Bool(_) => {}
    }
    allowed(schema, value, path, found);
}

/// Whether the value is one of those that are listed.
pub(super) fn allowed(schema: &Schema, value: &Value, path: &Path<'_>, found: &mut Vec<Violation>) {
    if schema.allowed.is_empty() || schema.allowed.contains(value) {
        return;
    }
    let supported: Vec<String> = schema
        .allowed
        .iter()
        .map(|word| quoted(&word.as_str().map_or_else(|| word.to_string(), str::to_owned)))
        .collect();
    let detail = format!("Unsupported value: {}: supported values: {}", printed(value), supported.join(", "));
    found.push(Violation::new(ViolationType::NotSupported, &path.text(), detail));
}

fn count(
    length: usize,
    least: Option<u64>,
    most: Option<u64>,
    what: &str,
    path: &Path<'_>,
    found: &mut Vec<Violation>,
) {
    let length = length as u64;
    if let Some(most) = most.filter(|most| length > *most) {
        let detail = format!("Too many: {length}: must have at most {most} items");
        found.push(Violation::new(ViolationType::TooMany, &path.text(), detail));
    }
    if let Some(least) = least.filter(|least| length < *least) {
        let path = path.text();
        let why = format!("{path} in body should have at least {least} {what}");
        found.push(Violation::invalid(&path, &json!(length), &why));
    }
}

/// Of length and pattern the first that is broken is told.
fn check_text(schema: &Schema, text: &str, path: &Path<'_>, found: &mut Vec<Violation>) {
    let mut invalid = |why: &str| {
        let path = path.text();
        found.push(Violation::invalid(&path, &text.into(), &format!("{path} in body {why}")));
    };
    let (least, most) =
        schema.limits.as_ref().map_or((None, None), |limits| (limits.min_length, limits.max_length));
    let length = if least.or(most).is_some() { text.chars().count() as u64 } else { 0 };
    if let Some(most) = most.filter(|most| length > *most) {
        let detail = format!("Too long: may not be more than {most} bytes");
        found.push(Violation::new(ViolationType::TooLong, &path.text(), detail));
    } else if let Some(least) = least.filter(|least| length < *least) {
        invalid(&format!("should be at least {least} chars long"));
    } else if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        invalid(&format!("should match '{}'", pattern.text));
    }
    if let Some(format) = schema.format.as_deref().filter(|format| !has_format(format, text)) {
        let path = path.text();
        let why = format!("{path} in body must be of type {format}: {}", quoted(text));
        found.push(Violation::invalid(&path, &text.into(), &why));
    }
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uuid" => text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-'),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        _ => true,
    }
}

fn check_number(schema: &Schema, number: &Number, path: &Path<'_>, found: &mut Vec<Violation>) {
    let Some(limits) = &schema.limits else { return };
    let mut invalid = |why: &str| {
        let path = path.text();
        let value = Value::Number(number.clone());
        found.push(Violation::invalid(&path, &value, &format!("{path} in body {why}")));
    };
    if let Some(most) = &limits.maximum {
        match (compare(number, most), limits.exclusive_maximum) {
            (Ordering::Greater, false) => invalid(&format!("should be less than or equal to {most}")),
            (Ordering::Greater | Ordering::Equal, true) => invalid(&format!("should be less than {most}")),
            _ => {}
        }
    }
    if let Some(least) = &limits.minimum {
        match (compare(number, least), limits.exclusive_minimum) {
            (Ordering::Less, false) => invalid(&format!("should be greater than or equal to {least}")),
            (Ordering::Less | Ordering::Equal, true) => invalid(&format!("should be greater than {least}")),
            _ => {}
        }
    }
    if let Some(step) = &limits.multiple_of
        && let (Some(number), Some(factor)) = (number.as_f64(), step.as_f64())
        && factor != 0.0
        && (number / factor).fract() != 0.0
    {
        invalid(&format!("should be a multiple of {step}"));
    }
}

fn compare(left: &Number, right: &Number) -> Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
    }
}
