//! Validation of custom resources: the schema, its rules, and the scale subresource.

use ::kinds::schema::{self, Violation, ViolationType};
use serde_json::{Value, json};

use super::CustomVersion;
use crate::status::Cause;

impl From<Violation> for Cause {
    fn from(violation: Violation) -> Self {
        let field = violation.field.unwrap_or_else(|| "<nil>".into());
        Cause::new(field, violation.type_.reason(), violation.detail)
    }
}

/// All that is wrong with `value`. `old` is the object before an update; `before` is what is wrong already.
pub(crate) fn object(
    custom: &CustomVersion,
    value: &Value,
    old: Option<&Value>,
    before: &[Cause],
) -> Vec<Cause> {
    if !value.is_object() {
        return Vec::new();
    }
    let found = schema::validate(&custom.schema, value, old);
    let blocked = schema::blocks_rules(&found)
        || before.iter().filter_map(|c| ViolationType::of(c.reason)).any(ViolationType::blocks_rules);
    let mut causes: Vec<Cause> = found.into_iter().map(Cause::from).collect();
    scale(custom, value, &mut causes);
    if custom.schema.has_rules {
        if blocked {
            causes.push(Violation::rules_not_checked().into());
        } else {
            let broken = schema::check_rules(&custom.schema, value, old, |_, _| None);
            causes.extend(broken.into_iter().map(|(violation, _)| Cause::from(violation)));
        }
    }
    causes
}

/// The scale subresource wants a whole number of replicas that an int32 holds, and none below zero.
fn scale(custom: &CustomVersion, value: &Value, causes: &mut Vec<Cause>) {
    let Some(scale) = &custom.scale else { return };
    let field = format!(".{}", scale.spec_replicas);
    let accessor_error = |at: &Value, expected: &str| {
        let why = format!(
            "{field} accessor error: {} is of the type {}, expected {expected}",
            at.as_str().map_or_else(|| at.to_string(), str::to_owned),
            go_type(at)
        );
        Cause::invalid(field.as_str(), &json!(0), &why)
    };
    let mut at = value;
    for part in scale.spec_replicas.split('.') {
        if !at.is_object() && !at.is_null() {
            causes.push(accessor_error(at, "map[string]interface{}"));
            return;
        }
        at = &at[part];
    }
    match at.as_i64() {
        Some(..0) => causes.push(Cause::invalid(field, at, "should be a non-negative integer")),
        Some(number) if number > i64::from(i32::MAX) => {
            causes.push(Cause::invalid(field, at, &format!("should be less than or equal to {}", i32::MAX)));
        }
        None if !at.is_null() => causes.push(accessor_error(at, "int64")),
        _ => {}
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
