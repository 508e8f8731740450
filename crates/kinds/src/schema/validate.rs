//! The walk through a document and its schema.
//!
//! What an update does not touch is not validated again, so that an object that was valid once can still be changed
//! elsewhere after its CRD was tightened.

use serde_json::{Map, Value};

use super::path::Path;
use super::{Kind, ListType, Schema, Violation, ViolationType, combine, printed, values};

/// All violations of `schema` by `document`, CEL rules apart. `old` is the document before an update. apiVersion, kind and
/// metadata of objects are not looked at. Fields come in alphabetical order.
pub fn validate(schema: &Schema, document: &Value, old: Option<&Value>) -> Vec<Violation> {
    let mut walk = Walk::default();
    walk.check(schema, document, old, true);
    walk.found
}

/// What is to be said of a document, and whether anything has to be done to it.
#[derive(Debug)]
pub struct Examined {
    /// What [`validate`] finds.
    pub violations: Vec<Violation>,
    /// Whether [`super::prune`], [`super::drop_nulls`] and [`super::apply_defaults`] would leave the document as it is.
    /// `false` may also mean that it is not known.
    pub is_settled: bool,
}

/// [`validate`] for a new document of which it is not known yet whether it is complete.
pub fn examine(schema: &Schema, document: &Value) -> Examined {
    let mut walk = Walk::default();
    walk.check(schema, document, None, true);
    Examined { violations: walk.found, is_settled: !walk.is_unsettled }
}

#[derive(Default)]
pub(super) struct Walk<'v> {
    path: Path<'v>,
    pub(super) found: Vec<Violation>,
    is_unsettled: bool,
}

impl<'v> Walk<'v> {
    /// From a value inside a document.
    pub(super) fn at(path: &Path<'_>) -> Self {
        Walk { path: Path::from(path.text()), ..Walk::default() }
    }

    pub(super) fn check(&mut self, schema: &Schema, value: &'v Value, old: Option<&Value>, is_object: bool) {
        self.is_unsettled |= value.is_null();
        if old == Some(value) || value.is_null() && schema.nullable {
            return;
        }
        let path = &self.path;
        if !has_type(schema, value) {
            let wanted =
                if schema.int_or_string { "integer,string" } else { schema.kind.map_or("", Kind::as_str) };
            let given = json_type(value);
            let field = path.text();
            self.found.push(Violation::new(
                ViolationType::TypeInvalid,
                &field,
                format!("Invalid value: {given:?}: {field} in body must be of type {wanted}: {given:?}"),
            ));
            values::allowed(schema, value, path, &mut self.found);
            if !schema.int_or_string || value.is_null() {
                return;
            }
        } else if !schema.is_type_alone {
            values::check(schema, value, path, &mut self.found);
        }
        match value {
            Value::Object(fields) => self.members(schema, fields, old, is_object),
            Value::Array(items) => {
                if let Some(known) = &schema.items {
                    let to_check = items.iter().enumerate().filter(|(_, item)| !is_right_leaf(known, item));
                    for (index, item) in to_check {
                        self.path.push_item(index);
                        self.check(known, item, schema.same_item(old, item), false);
                        self.path.pop();
                    }
                }
                duplicates(schema, items, &self.path, &mut self.found);
            }
            _ => {}
        }
        combine::check(schema, value, &self.path, &mut self.found);
    }

    fn members(
        &mut self,
        schema: &Schema,
        fields: &'v Map<String, Value>,
        old: Option<&Value>,
        is_object: bool,
    ) {
        required(schema, fields, &self.path, &mut self.found);
        for (name, child) in fields {
            if (is_object || schema.embedded) && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let Some(known) = schema.child(name) else {
                self.is_unsettled |= !schema.takes_all();
                continue;
            };
            if is_right_leaf(known, child) {
                continue;
            }
            // A kube-apiserver writes keys of maps like fields here.
            self.path.push_field(name);
            self.check(known, child, old.and_then(|old| old.get(name)), false);
            self.path.pop();
        }
        self.is_unsettled |= schema.defaulted.iter().any(|name| !fields.contains_key(name));
    }
}

/// Whether it is a value without parts of which no more is asked than its type, and that is right. Most values are.
fn is_right_leaf(schema: &Schema, value: &Value) -> bool {
    let is_leaf = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    is_leaf && schema.is_type_alone && has_type(schema, value)
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
        Some(Kind::Integer) => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
    }
}

fn json_type(value: &Value) -> &'static str {
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

fn required(schema: &Schema, fields: &Map<String, Value>, path: &Path<'_>, found: &mut Vec<Violation>) {
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        let path = path.text();
        let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.push(Violation::new(ViolationType::Required, &field, "Required value".to_owned()));
    }
}

fn duplicates(schema: &Schema, items: &[Value], path: &Path<'_>, found: &mut Vec<Violation>) {
    let keys = match &schema.list {
        ListType::Atomic if !schema.limits.as_ref().is_some_and(|limits| limits.unique_items) => return,
        ListType::Atomic | ListType::Set => None,
        ListType::Map(keys) => Some(keys),
    };
    fn part<'v>(schema: &'v Schema, item: &'v Value, key: &str) -> Option<&'v Value> {
        let default = || schema.items.as_ref()?.properties.get(key)?.default.as_ref();
        item.get(key).or_else(default)
    }
    if items.len() < 2 {
        return;
    }
    // What tells an item from others, side by side for all items.
    let width = keys.map_or(1, Vec::len);
    let parts: Vec<Option<&Value>> = match keys {
        Some(keys) => items.iter().flat_map(|item| keys.iter().map(|key| part(schema, item, key))).collect(),
        None => items.iter().map(Some).collect(),
    };
    let parts_of = |index: usize| &parts[index * width..][..width];
    for (index, item) in items.iter().enumerate() {
        if (0..index).any(|before| parts_of(before) == parts_of(index)) {
            let shown = match keys {
                Some(keys) => keys
                    .iter()
                    .zip(parts_of(index))
                    .filter_map(|(key, part)| Some((key.clone(), (*part)?.clone())))
                    .collect(),
                None => item.clone(),
            };
            let field = format!("{}[{index}]", path.text());
            let detail = format!("Duplicate value: {}", printed(&shown));
            found.push(Violation::new(ViolationType::Duplicate, &field, detail));
        }
    }
}

impl Schema {
    /// What an item of a list was before: the item with its keys, or with its value; items of other lists cannot be told
    /// apart.
    pub(super) fn same_item<'a>(&self, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
        let old = old?.as_array()?;
        match &self.list {
            ListType::Map(keys) => {
                old.iter().find(|was| keys.iter().all(|key| was.get(key) == item.get(key)))
            }
            ListType::Set => old.iter().find(|was| *was == item),
            ListType::Atomic => None,
        }
    }
}
