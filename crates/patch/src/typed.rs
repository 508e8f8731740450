//! Values seen through a schema: what they contain, how they differ, how they merge, what remains without some fields.
//!
//! These are the four operations that server-side apply is made of. The rules are those of structured-merge-diff, which
//! kube-apiserver uses: atomic values and scalars are leaves; an empty object is a leaf; keyed items and values of sets
//! are found by name wherever they stand.

mod compare;
mod merge;
mod read;
mod remove;

use serde_json::Value;

pub(crate) use compare::{Comparison, compare};
pub(crate) use merge::merge;
pub(crate) use read::{fields, item_step, validate};
pub(crate) use remove::{remove, with_named_fields};

use crate::schema::{DEDUCED_LIST, DEDUCED_MAP, List, Map, ScalarType, Schema, Shape};

/// What a schema is for one value.
#[derive(Clone, Copy)]
pub(crate) enum Atom<'s> {
    Scalar(ScalarType),
    List(&'s List),
    Map(&'s Map),
}

impl<'s> Atom<'s> {
    pub(crate) fn of(schema: &'s Schema, value: &Value) -> Self {
        match (schema.0.as_ref(), value) {
            (Shape::Scalar(kind), _) => Self::Scalar(*kind),
            (Shape::List(list), _) => Self::List(list),
            (Shape::Map(map), _) => Self::Map(map),
            (Shape::Deduced, Value::Object(_) | Value::Null) => Self::Map(&DEDUCED_MAP),
            (Shape::Deduced, Value::Array(_)) => Self::List(&DEDUCED_LIST),
            (Shape::Deduced, _) => Self::Scalar(ScalarType::Any),
        }
    }

    /// For two values where one may be absent or null: what the other is.
    pub(crate) fn of_pair(schema: &'s Schema, left: Option<&Value>, right: Option<&Value>) -> (Self, Self) {
        let solid = |value: Option<&'_ Value>| value.is_some_and(|value| !value.is_null());
        let null = Value::Null;
        let (left, right) = match (solid(left), solid(right)) {
            (true, false) => (left, left),
            (false, _) => (right, right),
            _ => (left, right),
        };
        (Self::of(schema, left.unwrap_or(&null)), Self::of(schema, right.unwrap_or(&null)))
    }

    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Scalar(_), Self::Scalar(_))
                | (Self::List(_), Self::List(_))
                | (Self::Map(_), Self::Map(_))
        )
    }
}

impl Map {
    /// What a key holds. None: there is no such key.
    pub(crate) fn child(&self, key: &str) -> Option<&Schema> {
        self.fields.get(key).or(self.rest.as_ref())
    }
}

pub(crate) fn as_map(value: Option<&Value>) -> Option<&serde_json::Map<String, Value>> {
    value.and_then(Value::as_object)
}

pub(crate) fn as_list(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_array).map(Vec::as_slice)
}

/// Equal, numbers by value: `1` is `1.0`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || x.as_f64() == y.as_f64() && !(x.is_i64() && y.is_i64())
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, a)| y.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}
