//! A JSON value as it comes back after Go has read it into its types and written it again.
//!
//! Fields that nobody knows are gone, empty ones are left out unless Go always writes them, structs held by value are
//! there even when nothing in them is set, a list that Go always writes is `null` when it is nil, and quantities are in
//! their canonical form. One difference from Go: an absent time is left out instead of `null`.

use std::fmt::Write;

use kinds::quantity;
use serde_json::{Map, Value};

use super::{Field, Struct, Type};

/// A value that Go could not have read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value has another JSON type.
    #[error("{path} is {found}, it has to be {wanted}")]
    WrongType {
        /// Where, in dots and brackets.
        path: String,
        /// What stands there.
        found: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// The text is no quantity.
    #[error("{path}: {source}")]
    BadQuantity {
        /// Where, in dots and brackets.
        path: String,
        /// What is wrong with it.
        source: quantity::NotAQuantity,
    },
}

impl Error {
    /// Where the value stands, in dots and brackets.
    pub fn path(&self) -> &str {
        match self {
            Error::WrongType { path, .. } | Error::BadQuantity { path, .. } => path,
        }
    }
}

/// `value` after a round trip through the Go struct `type_`.
pub fn marshal(type_: &Struct, value: &Value) -> Result<Value, Error> {
    marshal_struct(type_, value, &mut String::new()).map(Value::Object)
}

/// Whether [`marshal`] would give `value` back as it is, found out without building anything. `false` may also mean that it
/// is not known.
pub fn is_marshalled(type_: &Struct, value: &Value) -> bool {
    let Value::Object(fields) = value else { return false };
    fields.iter().all(|(name, value)| {
        let Some(field) = type_.fields.get(name.as_str()) else { return false };
        if value.is_null() {
            return field.always && matches!(field.type_, Type::List(_) | Type::Map(_) | Type::Pointer(_));
        }
        is_type_marshalled(&field.type_, value) && !is_dropped(field, value)
    }) && type_.written_when_absent().all(|field| fields.contains_key(field.json) || absent(field).is_none())
}

fn is_type_marshalled(type_: &Type, value: &Value) -> bool {
    match (type_, value) {
        (Type::Any, value) => !value.is_null(),
        (Type::Pointer(inner), value) => is_type_marshalled(inner, value),
        (Type::Struct(_), value) => type_.as_struct().is_some_and(|of| is_marshalled(of, value)),
        (Type::String | Type::Url | Type::Bytes | Type::Time | Type::IntOrString, Value::String(_)) => true,
        (Type::Bool, value) => value.is_boolean(),
        (Type::Int32, value) => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        (Type::Int64 | Type::IntOrString, value) => value.is_i64(),
        (Type::Quantity, Value::String(text)) => {
            quantity::canonical(text).is_ok_and(|canonical| canonical == *text)
        }
        (Type::List(element), Value::Array(items)) => {
            items.iter().all(|item| is_type_marshalled(element, item))
        }
        (Type::Map(element), Value::Object(entries)) => {
            entries.values().all(|entry| is_type_marshalled(element, entry))
        }
        _ => false,
    }
}

/// What Go writes for a struct in which nothing is set (`{"model":{"uri":""}}` for a spec).
pub fn zero(type_: &Struct) -> Value {
    Value::Object(
        type_.fields.values().filter_map(|field| Some((field.json.to_owned(), absent(field)?))).collect(),
    )
}

fn marshal_struct(type_: &Struct, value: &Value, path: &mut String) -> Result<Map<String, Value>, Error> {
    let empty = Map::new();
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => &empty,
        _ => return Err(wrong(path, value, "a mapping")),
    };
    let mut written = Map::new();
    // Most fields of most structs are absent, so those of the value are looked up, and not the other way round.
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let Some(field) = type_.fields.get(name.as_str()) else { continue };
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let out = marshal_type(&field.type_, value, path)?;
        path.truncate(length);
        if !is_dropped(field, &out) {
            written.insert(name.clone(), out);
        }
    }
    for field in type_.written_when_absent() {
        if fields.get(field.json).is_none_or(Value::is_null)
            && let Some(out) = absent(field)
        {
            written.insert(field.json.to_owned(), out);
        }
    }
    Ok(written)
}

/// Whether Go leaves out a field that is there.
fn is_dropped(field: &Field, value: &Value) -> bool {
    if field.omit_zero { is_unset(value) } else { !field.always && is_empty(&field.type_, value) }
}

/// Whether Go may write something for a field that is not there.
pub(super) fn stays_when_absent(field: &Field) -> bool {
    field.always || matches!(field.type_, Type::Struct(_)) && !field.omit_zero
}

/// What Go writes for a field that is not there.
fn absent(field: &Field) -> Option<Value> {
    match &field.type_ {
        Type::Struct(_) if !field.omit_zero => Some(field.type_.as_struct().map_or(Value::Null, zero)),
        _ if !field.always => None,
        Type::String | Type::Url | Type::Bytes => Some(Value::from("")),
        Type::Bool => Some(Value::from(false)),
        Type::Int32 | Type::Int64 | Type::IntOrString => Some(Value::from(0)),
        Type::Quantity => Some(Value::from("0")),
        Type::List(_) | Type::Map(_) | Type::Pointer(_) => Some(Value::Null),
        _ => None,
    }
}

/// Whether `omitempty` leaves the value out. Pointers and structs never are.
fn is_empty(type_: &Type, value: &Value) -> bool {
    match type_ {
        Type::Pointer(_) | Type::Struct(_) | Type::Quantity | Type::IntOrString | Type::Any => false,
        Type::List(_) => value.as_array().is_some_and(Vec::is_empty),
        Type::Map(_) => value.as_object().is_some_and(Map::is_empty),
        _ => is_unset(value),
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_unset),
    }
}

fn marshal_type(type_: &Type, value: &Value, path: &mut String) -> Result<Value, Error> {
    match type_ {
        Type::Any => Ok(value.clone()),
        Type::Pointer(inner) => marshal_type(inner, value, path),
        Type::Struct(_) => match type_.as_struct() {
            Some(of) => marshal_struct(of, value, path).map(Value::Object),
            None => Ok(value.clone()),
        },
        Type::String | Type::Url | Type::Bytes | Type::Time if value.is_string() => Ok(value.clone()),
        Type::String | Type::Url | Type::Bytes | Type::Time => Err(wrong(path, value, "text")),
        Type::Bool if value.is_boolean() => Ok(value.clone()),
        Type::Bool => Err(wrong(path, value, "true or false")),
        Type::Int32 => match value.as_i64().map(i32::try_from) {
            Some(Ok(_)) => Ok(value.clone()),
            _ => Err(wrong(path, value, "a whole number of 32 bits")),
        },
        Type::Int64 if value.is_i64() => Ok(value.clone()),
        Type::Int64 => Err(wrong(path, value, "a whole number")),
        Type::IntOrString if value.is_string() || value.is_i64() => Ok(value.clone()),
        Type::IntOrString => Err(wrong(path, value, "a whole number or text")),
        Type::Quantity => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(wrong(path, value, "a quantity")),
            };
            let canonical = quantity::canonical(&text)
                .map_err(|source| Error::BadQuantity { path: path.clone(), source })?;
            Ok(Value::from(canonical))
        }
        Type::List(element) => {
            let items = value.as_array().ok_or_else(|| wrong(path, value, "a list"))?;
            let mut written = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let length = path.len();
                let _ = write!(path, "[{index}]");
                written.push(marshal_element(element, item, path)?);
                path.truncate(length);
            }
            Ok(Value::Array(written))
        }
        Type::Map(element) => {
            let entries = value.as_object().ok_or_else(|| wrong(path, value, "a mapping"))?;
            let mut written = Map::new();
            for (key, entry) in entries {
                let length = path.len();
                path.extend(["[", key, "]"]);
                written.insert(key.clone(), marshal_element(element, entry, path)?);
                path.truncate(length);
            }
            Ok(Value::Object(written))
        }
    }
}

/// An item that is `null` becomes the zero of its type.
fn marshal_element(type_: &Type, value: &Value, path: &mut String) -> Result<Value, Error> {
    if !value.is_null() {
        return marshal_type(type_, value, path);
    }
    Ok(match type_ {
        Type::String | Type::Url | Type::Bytes => Value::from(""),
        Type::Bool => Value::from(false),
        Type::Int32 | Type::Int64 | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Struct(_) => type_.as_struct().map_or(Value::Null, zero),
        _ => Value::Null,
    })
}

fn wrong(path: &str, value: &Value, wanted: &'static str) -> Error {
    let found = match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    };
    Error::WrongType { path: path.to_owned(), found, wanted }
}
