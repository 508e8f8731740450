//! Values of built-in kinds as Go would decode and print them: types are checked, quantities made canonical, and what Go
//! leaves out when it is empty is left out.

use ::kinds::schema::{Kind, Schema};
use serde_json::Value;

use super::quantity;

/// Members that Go leaves out when they are false, because they are no pointers there.
const FALSE_IS_ABSENT: [&str; 11] = [
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
    "paused",
    "publishNotReadyAddresses",
    "unschedulable",
    "deprecated",
];

/// Checks and normalises a decoded body; the error is what Go's decoder says.
pub(crate) fn normalise(node: &Schema, value: &mut Value, kind: &str) -> Result<(), String> {
    walk(node, value, &mut Place { kind, path: Vec::new() })
}

/// The same for the metadata of a custom resource, which is decoded on its own.
pub(crate) fn normalise_metadata(value: &mut Value) -> Result<(), String> {
    let mut place = Place { kind: "ObjectMeta", path: Vec::new() };
    value
        .get_mut("metadata")
        .map_or(Ok(()), |metadata| walk(crate::crd::metadata_schema(), metadata, &mut place))
}

struct Place<'a> {
    kind: &'a str,
    path: Vec<String>,
}

impl Place<'_> {
    fn mismatch(&self, found: &Value, wanted: &str) -> String {
        let what = match found {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let owner = match self.path.iter().position(|p| p == "metadata") {
            Some(0) => "ObjectMeta",
            _ => self.kind,
        };
        // Go names the fields from the outermost structure, without map keys and list positions.
        format!(
            "json: cannot unmarshal {what} into Go struct field {owner}.{} of type {wanted}",
            self.path.join(".")
        )
    }
}

fn walk(node: &Schema, value: &mut Value, place: &mut Place<'_>) -> Result<(), String> {
    if value.is_null() || node.preserve_unknown && node.kind.is_none() {
        return Ok(());
    }
    match node.format.as_deref() {
        Some("quantity") => {
            let text = match &*value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                other => return Err(place.mismatch(other, "resource.Quantity")),
            };
            *value = Value::String(quantity::canonical(&text).ok_or(quantity::SYNTAX)?);
            return Ok(());
        }
        Some("int-or-string") => return Ok(()),
        Some("micro-time") => return micro_time(value.as_str().unwrap_or_default()),
        Some("date-time") => return time(value.as_str().unwrap_or_default()),
        _ => {}
    }
    match node.kind {
        Some(Kind::Object) => {
            let Value::Object(map) = value else {
                return Err(place.mismatch(
                    value,
                    if node.additional.is_some() { "map[string]string" } else { place.kind },
                ));
            };
            for (key, member) in map.iter_mut() {
                if let Some(child) = node.properties.get(key) {
                    place.path.push(key.clone());
                    walk(child, member, place)?;
                    place.path.pop();
                } else if let Some(child) = &node.additional {
                    walk(child, member, place)?;
                }
            }
            map.retain(|key, member| match member {
                Value::Null => false,
                // An empty record of field owners says that the record is to be cleared.
                Value::Array(_) if key == "managedFields" => true,
                Value::Array(list) => !list.is_empty() || !node.properties.contains_key(key),
                Value::Object(inside) => {
                    !inside.is_empty() || node.properties.get(key).is_none_or(|c| c.additional.is_none())
                }
                Value::Bool(false) => !FALSE_IS_ABSENT.contains(&key.as_str()),
                _ => true,
            });
        }
        Some(Kind::Array) => {
            let Value::Array(list) = value else { return Err(place.mismatch(value, "[]interface {}")) };
            if let Some(items) = &node.items {
                for item in list {
                    walk(items, item, place)?;
                }
            }
        }
        Some(Kind::String) if !value.is_string() => return Err(place.mismatch(value, "string")),
        Some(Kind::Boolean) if !value.is_boolean() => return Err(place.mismatch(value, "bool")),
        Some(Kind::Integer) => {
            let wanted = match node.format.as_deref() {
                Some("int64") => "int64",
                _ => "int32",
            };
            if let Some(float) = value.as_f64().filter(|_| value.as_i64().is_none()) {
                if float.fract() == 0.0 {
                    return Ok(());
                }
                return Err(place.mismatch(value, wanted).replace("number", &format!("number {float}")));
            }
            if !value.is_i64() && !value.is_u64() {
                return Err(place.mismatch(value, wanted));
            }
        }
        _ => {}
    }
    Ok(())
}

fn micro_time(text: &str) -> Result<(), String> {
    const LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
    let fail = |rest: &str, part: &str| {
        Err(format!("parsing time \"{text}\" as \"{LAYOUT}\": cannot parse \"{rest}\" as \"{part}\""))
    };
    let (Some(seconds), Some(rest)) = (text.get(..19), text.get(19..)) else {
        return fail(text, "2006");
    };
    if format!("{seconds}Z").parse::<jiff::Timestamp>().is_err() {
        return fail(text, "2006");
    }
    let digits = rest.strip_prefix('.').map_or(0, |r| r.chars().take_while(char::is_ascii_digit).count());
    if digits != 6 {
        return fail(rest, ".000000");
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => fail(&rest[7..], "Z07:00"),
    }
}

fn time(text: &str) -> Result<(), String> {
    if text.is_empty() || text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    Err(format!(
        "parsing time {} as \"2006-01-02T15:04:05Z07:00\": cannot parse {} as \"2006\"",
        crate::status::quoted(text),
        crate::status::quoted(text)
    ))
}
