//! What server-side apply must know about a kind: which fields exist, and who may own what separately.
//!
//! A [`Schema`] comes from the OpenAPI v3 schema of a CRD with its `x-kubernetes-*` extensions
//! ([`Schema::custom_resource`]), or, for a built-in kind, from its OpenAPI schema and the table of list keys
//! ([`Schema::built_in`]). It is cheap to clone. Where a schema says nothing (preserved unknown fields, objects without
//! structure) the value itself decides: objects merge by key, lists are owned whole.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::keys::{Apply, ListKeys, default_of_key};

/// The structure of a value. See the module.
#[derive(Debug, Clone)]
pub struct Schema(pub(crate) Arc<Shape>);

#[derive(Debug)]
pub(crate) enum Shape {
    Scalar(ScalarType),
    List(List),
    Map(Map),
    /// The value decides.
    Deduced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarType {
    Number,
    Text,
    Bool,
    Any,
}

#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Schema,
    pub(crate) kind: ListKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListKind {
    /// Owned and replaced whole.
    Atomic,
    /// Every value has its owners.
    Set,
    /// Every item has its owners; named by these fields, with the value of a field that is left out.
    Keyed(Vec<(String, Option<Value>)>),
}

#[derive(Debug)]
pub(crate) struct Map {
    /// Declared fields.
    pub(crate) fields: BTreeMap<String, Schema>,
    /// What every other key holds. None: there is no other key.
    pub(crate) rest: Option<Schema>,
    /// Owned and replaced whole.
    pub(crate) atomic: bool,
}

pub(crate) static DEDUCED_LIST: LazyLock<List> =
    LazyLock::new(|| List { items: Schema::deduced(), kind: ListKind::Atomic });
pub(crate) static DEDUCED_MAP: LazyLock<Map> =
    LazyLock::new(|| Map { fields: BTreeMap::new(), rest: Some(Schema::deduced()), atomic: false });

impl Schema {
    /// No structure known: objects merge by key, lists are owned whole.
    #[must_use]
    pub fn deduced() -> Self {
        static DEDUCED: LazyLock<Schema> = LazyLock::new(|| Schema(Arc::new(Shape::Deduced)));
        DEDUCED.clone()
    }

    /// From the `openAPIV3Schema` of a version of a CRD; `apiVersion`, `kind` and `metadata` are those of every object.
    #[must_use]
    pub fn custom_resource(openapi: &Value) -> Self {
        Self::root(openapi, None)
    }

    /// From the OpenAPI v3 schema of a built-in kind (references resolved) and the table's entry for it. A missing or
    /// empty schema leaves what the table does not say to the value.
    #[must_use]
    pub fn built_in(openapi: &Value, keys: &'static ListKeys) -> Self {
        Self::root(openapi, Some(keys))
    }

    /// From any structural OpenAPI v3 schema.
    #[must_use]
    pub fn from_openapi(openapi: &Value) -> Self {
        read(openapi, None)
    }

    fn root(openapi: &Value, keys: Option<&'static ListKeys>) -> Self {
        let read = read(openapi, keys);
        let (mut fields, rest, atomic) = match read.0.as_ref() {
            Shape::Map(map) => (map.fields.clone(), map.rest.clone(), map.atomic),
            _ => (BTreeMap::new(), Some(Self::deduced()), false),
        };
        fields.insert("apiVersion".into(), Self::scalar(ScalarType::Text));
        fields.insert("kind".into(), Self::scalar(ScalarType::Text));
        fields.insert("metadata".into(), metadata());
        Self(Arc::new(Shape::Map(Map { fields, rest, atomic })))
    }

    pub(crate) fn scalar(of: ScalarType) -> Self {
        Self(Arc::new(Shape::Scalar(of)))
    }

    fn list(items: Self, kind: ListKind) -> Self {
        Self(Arc::new(Shape::List(List { items, kind })))
    }

    fn map(fields: BTreeMap<String, Self>, rest: Option<Self>, atomic: bool) -> Self {
        Self(Arc::new(Shape::Map(Map { fields, rest, atomic })))
    }
}

fn read(openapi: &Value, keys: Option<&'static ListKeys>) -> Schema {
    let flag = |name: &str| openapi.get(name).and_then(Value::as_bool).unwrap_or_default();
    let preserve = flag("x-kubernetes-preserve-unknown-fields");
    if flag("x-kubernetes-int-or-string") {
        return Schema::scalar(ScalarType::Any);
    }
    let kind = match &openapi["type"] {
        Value::String(name) => Some(name.as_str()),
        // A nullable field in JSON Schema's way: the other type counts.
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ if openapi.get("properties").is_some() => Some("object"),
        _ => None,
    };
    match kind {
        Some("string") => Schema::scalar(ScalarType::Text),
        Some("integer" | "number") => Schema::scalar(ScalarType::Number),
        Some("boolean") => Schema::scalar(ScalarType::Bool),
        Some("array") => Schema::list(read(&openapi["items"], keys), list_kind(openapi)),
        Some("object") => read_object(openapi, keys, preserve),
        // `oneOf`, `anyOf`: quantities and integers or strings.
        _ if keys.is_some() && (openapi.get("oneOf").is_some() || openapi.get("anyOf").is_some()) => {
            Schema::scalar(ScalarType::Any)
        }
        _ => match keys {
            Some(keys) if !keys.fields.is_empty() || keys.atomic => read_object(openapi, Some(keys), true),
            _ => Schema::deduced(),
        },
    }
}

fn read_object(openapi: &Value, keys: Option<&'static ListKeys>, preserve: bool) -> Schema {
    let mut fields = BTreeMap::new();
    for (name, property) in openapi["properties"].as_object().into_iter().flatten() {
        fields.insert(
            name.clone(),
            keys.map_or_else(|| read(property, None), |keys| read_field(property, keys, name)),
        );
    }
    if openapi.get("x-kubernetes-embedded-resource").and_then(Value::as_bool).unwrap_or_default() {
        fields.insert("apiVersion".into(), Schema::scalar(ScalarType::Text));
        fields.insert("kind".into(), Schema::scalar(ScalarType::Text));
        fields.insert("metadata".into(), metadata());
    }
    // The table knows more than an incomplete schema does.
    if fields.is_empty()
        && let Some(keys) = keys
    {
        for field in keys.fields {
            fields.insert(field.name.to_owned(), read_field(&Value::Null, keys, field.name));
        }
    }
    let rest = match &openapi["additionalProperties"] {
        Value::Object(_) => Some(read(&openapi["additionalProperties"], None)),
        Value::Bool(true) => Some(Schema::deduced()),
        _ if preserve => Some(Schema::deduced()),
        _ if fields.is_empty() => Some(Schema::deduced()),
        _ => None,
    };
    let atomic = openapi["x-kubernetes-map-type"] == "atomic" || keys.is_some_and(|keys| keys.atomic);
    Schema::map(fields, rest, atomic)
}

/// A field of a built-in type: the table decides about lists.
fn read_field(property: &Value, keys: &'static ListKeys, name: &str) -> Schema {
    if name == "metadata" && keys.field("metadata").is_some() {
        return metadata();
    }
    let Some(field) = keys.field(name) else { return read(property, Some(&NOTHING)) };
    let kind = match field.apply {
        Apply::Default => return read(property, Some(field.of)),
        Apply::Set => ListKind::Set,
        Apply::Map(names) => {
            ListKind::Keyed(names.iter().map(|name| ((*name).to_owned(), default_of_key(name))).collect())
        }
    };
    let items = match (&property["items"], &kind) {
        (Value::Null, ListKind::Set) => Schema::scalar(ScalarType::Any),
        (Value::Null, _) => read_object(&Value::Null, Some(field.of), true),
        (items, _) => read(items, Some(field.of)),
    };
    Schema::list(items, kind)
}

static NOTHING: ListKeys = ListKeys { name: "object", fields: &[], atomic: false, opaque: false };

fn list_kind(openapi: &Value) -> ListKind {
    match openapi["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let names = openapi["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let default = |name: &str| openapi["items"]["properties"][name].get("default").cloned();
            ListKind::Keyed(names.map(|name| (name.to_owned(), default(name))).collect())
        }
        _ => ListKind::Atomic,
    }
}

/// `metadata` of every object.
fn metadata() -> Schema {
    static METADATA: LazyLock<Schema> = LazyLock::new(|| {
        let text = || Schema::scalar(ScalarType::Text);
        let texts = || Schema::map(BTreeMap::new(), Some(text()), false);
        let owner = ["apiVersion", "kind", "name", "uid"].map(|name| (name.to_owned(), text()));
        let flags = ["blockOwnerDeletion", "controller"];
        let flags = flags.map(|name| (name.to_owned(), Schema::scalar(ScalarType::Bool)));
        let owner = Schema::map(owner.into_iter().chain(flags).collect(), None, true);
        let names = [
            "creationTimestamp",
            "deletionTimestamp",
            "generateName",
            "name",
            "namespace",
            "resourceVersion",
        ];
        let mut fields: BTreeMap<String, Schema> = names.map(|name| (name.to_owned(), text())).into();
        fields.insert("selfLink".into(), text());
        fields.insert("uid".into(), text());
        fields.insert("annotations".into(), texts());
        fields.insert("labels".into(), texts());
        fields.insert("deletionGracePeriodSeconds".into(), Schema::scalar(ScalarType::Number));
        fields.insert("generation".into(), Schema::scalar(ScalarType::Number));
        fields.insert("finalizers".into(), Schema::list(text(), ListKind::Set));
        fields.insert("managedFields".into(), Schema::list(Schema::deduced(), ListKind::Atomic));
        fields.insert(
            "ownerReferences".into(),
            Schema::list(owner, ListKind::Keyed(vec![("uid".to_owned(), None)])),
        );
        Schema::map(fields, None, false)
    });
    METADATA.clone()
}
