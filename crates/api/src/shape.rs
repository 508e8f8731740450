//! The Go types behind the API: one table of what each field is called, how Go holds it, and what its schema says.
//!
//! KServe's behaviour follows from its Go types: what counts as absent when two layers merge, what a template can name,
//! what an API server knows. All of that is read from the same table (`shape/*.txt`), so the three cannot disagree:
//!
//! - [`marshal`]: a JSON value as it comes back after Go has read and written it;
//! - [`Struct::field`] and [`Struct::go_field`]: fields by JSON name, and by the name that templates use;
//! - [`unknown_fields`]: what nobody knows, with the nearest known name;
//! - [`crate::crd`]: the schemas.
//!
//! # The table
//!
//! `pattern NAME REGEX` names an expression. A line without indent begins a type (`package.Name`, then its facts), each
//! line below it is a field: `json[:GoName] TYPE facts…`, or `embed TYPE` for an embedded struct. `*` is a pointer,
//! `[]` a slice, `{}` a map with string keys, `!` says that Go writes the field even when it is empty, `merge=` is the
//! key by which a strategic merge tells items apart. The other facts are the schema's; [`crate::crd`] reads them.

mod known;
mod marshal;
mod parse;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use kinds::schema::Fields;

pub use known::{UnknownField, nearest, unknown_fields};
pub use marshal::{Error, is_marshalled, marshal, zero};

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    parse::table(&[
        include_str!("shape/ours.txt"),
        include_str!("shape/foreign.txt"),
        include_str!("shape/core.txt"),
    ])
});

/// All types and named expressions.
#[derive(Debug, Default)]
pub(crate) struct Table {
    types: BTreeMap<&'static str, Struct>,
    patterns: BTreeMap<&'static str, &'static str>,
}

/// A Go struct.
#[derive(Debug, Clone)]
pub struct Struct {
    /// `package.Name` in the table; [`Struct::go_name`] is how Go prints it.
    pub name: &'static str,
    /// All fields that its JSON can have, those of embedded structs included, by JSON name.
    pub fields: Fields<&'static str, Field>,
    /// Embedded structs: their JSON is part of the struct's own.
    pub embedded: Vec<&'static str>,
    /// What the schema says of the type, as written in the table.
    pub(crate) facts: Vec<&'static str>,
    /// The fields, by their names in Go.
    by_go: Fields<String, &'static str>,
    /// The fields that Go may write although they are not there.
    standing: Vec<&'static str>,
}

/// A field of a Go struct.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its key in JSON.
    pub json: &'static str,
    /// Its name in Go, which templates use.
    pub go: String,
    /// What it holds.
    pub type_: Type,
    /// Whether Go writes it even when it is empty (no `omitempty`).
    pub always: bool,
    /// Whether Go leaves a struct out when nothing in it is set (`omitzero`).
    pub omit_zero: bool,
    /// The field of its items by which a strategic merge tells them apart; `None` replaces the list.
    pub merge_key: Option<&'static str>,
    /// Whether a strategic merge drops the fields of a replaced variant when asked to (`retainKeys`).
    pub retain_keys: bool,
    /// What the schema says of the field, as written in the table.
    pub(crate) facts: Vec<&'static str>,
    go_type: OnceLock<String>,
}

impl Field {
    /// Its type as Go prints it in errors (`*v1.PodSpec`, `[]string`).
    pub fn go_type(&self) -> &str {
        self.go_type.get_or_init(|| self.type_.go_name())
    }
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// `resource.Quantity`.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `metav1.Time`.
    Time,
    /// `apis.URL`: text in JSON, a struct with Scheme, Host, Path in templates.
    Url,
    /// Base64 text.
    Bytes,
    /// Any JSON.
    Any,
    /// A struct of the table.
    Struct(Named),
    /// A pointer: it can be absent.
    Pointer(Box<Type>),
    /// A slice.
    List(Box<Type>),
    /// A map with string keys.
    Map(Box<Type>),
}

/// A struct by its name, which is looked up once.
#[derive(Debug, Clone)]
pub struct Named {
    /// `package.Name` in the table.
    pub name: &'static str,
    found: OnceLock<Option<&'static Struct>>,
}

impl Named {
    fn new(name: &'static str) -> Self {
        Named { name, found: OnceLock::new() }
    }

    fn get(&self) -> Option<&'static Struct> {
        *self.found.get_or_init(|| find(self.name))
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Named {}

/// What a Go name leads to.
#[derive(Debug, Clone, Copy)]
pub enum GoField<'a> {
    /// A key of the JSON.
    Field(&'a Field),
    /// An embedded struct, whose JSON is that of the struct itself.
    Embedded(&'static Struct),
}

/// The type of that name in the table (`api.LLMInferenceService`, `core.PodSpec`).
pub fn find(name: &str) -> Option<&'static Struct> {
    TABLE.types.get(name)
}

/// The type of `kind` in `api_version`; `None` for anything but our own kinds in a version that exists.
pub fn root(api_version: &str, kind: &str) -> Option<&'static Struct> {
    let package = match api_version {
        "serving.kserve.io/v1alpha2" => "api",
        "serving.kserve.io/v1alpha1" => "old",
        _ => return None,
    };
    match kind {
        "LLMInferenceService" | "LLMInferenceServiceConfig" => find(&format!("{package}.{kind}")),
        _ => None,
    }
}

/// The regular expression of that name.
pub(crate) fn pattern(name: &str) -> Option<&'static str> {
    TABLE.patterns.get(name).copied()
}

impl Struct {
    /// The field with that key in JSON.
    pub fn field(&self, json: &str) -> Option<&Field> {
        self.fields.get(json)
    }

    /// What a template reaches under that name: a field, one of an embedded struct, or the embedded struct itself.
    pub fn go_field(&self, go: &str) -> Option<GoField<'_>> {
        if let Some(field) = self.by_go.get(go).and_then(|json| self.fields.get(json)) {
            return Some(GoField::Field(field));
        }
        let embedded = self.embedded.iter().filter_map(|name| find(name)).find(|of| of.short_name() == go)?;
        Some(GoField::Embedded(embedded))
    }

    /// The fields that Go may write although they are not there.
    fn written_when_absent(&self) -> impl Iterator<Item = &Field> {
        self.standing.iter().filter_map(|name| self.fields.get(name))
    }

    /// The name without its package.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }

    /// The name as Go prints it in errors (`v1alpha2.ParallelismSpec`).
    pub fn go_name(&self) -> String {
        let package = match self.name.split_once('.').map_or("", |(package, _)| package) {
            "api" => "v1alpha2",
            "old" | "keda" => "v1alpha1",
            "autoscaling" => "v2",
            "oldpool" => "v1alpha2",
            _ => "v1",
        };
        format!("{package}.{}", self.short_name())
    }
}

impl Type {
    /// The struct that the value is, through a pointer if need be.
    pub fn as_struct(&self) -> Option<&'static Struct> {
        match self {
            Type::Struct(named) => named.get(),
            Type::Pointer(inner) => inner.as_struct(),
            _ => None,
        }
    }

    /// The type of items or of a map's values, through a pointer if need be.
    pub fn element(&self) -> Option<&Type> {
        match self {
            Type::List(element) | Type::Map(element) => Some(element),
            Type::Pointer(inner) => inner.element(),
            _ => None,
        }
    }

    /// Whether the value can be nil.
    pub fn is_pointer(&self) -> bool {
        matches!(self, Type::Pointer(_))
    }

    /// As Go prints it in errors (`*v1.PodSpec`, `[]string`).
    pub fn go_name(&self) -> String {
        match self {
            Type::String | Type::Bytes => "string".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Int32 => "int32".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Quantity => "resource.Quantity".to_owned(),
            Type::IntOrString => "intstr.IntOrString".to_owned(),
            Type::Time => "v1.Time".to_owned(),
            Type::Url => "apis.URL".to_owned(),
            Type::Any => "runtime.RawExtension".to_owned(),
            Type::Struct(named) => named.get().map_or_else(|| named.name.to_owned(), Struct::go_name),
            Type::Pointer(inner) => format!("*{}", inner.go_name()),
            Type::List(element) => format!("[]{}", element.go_name()),
            Type::Map(element) => format!("map[string]{}", element.go_name()),
        }
    }
}

#[cfg(test)]
mod tests;
