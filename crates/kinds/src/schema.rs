//! Structural schemas, as CustomResourceDefinitions carry them: pruning, defaults, validation, CEL rules.
//!
//! Goes in: the `openAPIV3Schema` of a CRD version, once, and then documents. Comes out: the document without what the
//! schema does not know, with what it defaults, and the list of what is wrong with it, in the API server's words. The
//! same engine serves the local API server (any CRD) and `render` (ours), so both give one verdict.
//!
//! The order is an API server's: [`prune`], [`drop_nulls`], [`apply_defaults`], [`validate`], and [`check_rules`] if
//! nothing that [`blocks_rules`] was found.

mod cel;
mod combine;
mod fill;
mod parse;
mod path;
mod rules;
mod validate;
mod values;
mod violation;

use std::sync::Arc;

use serde_json::{Number, Value};

pub use cel::Rule;
pub use fill::{apply_defaults, drop_nulls, prune};
pub use parse::{ParseError, Pattern};
pub use rules::{RuledValue, check_rules, ruled_values};
pub use validate::{Examined, examine, validate};
pub use violation::{Violation, ViolationType, blocks_rules, printed, quoted};

/// What is looked up by the name of a field, in the order in which it was put in.
pub type Fields<K, V> = indexmap::IndexMap<K, V, foldhash::fast::FixedState>;

/// One node of a structural schema.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// What the value is; `None` where the schema does not say.
    pub kind: Option<Kind>,
    /// Known fields of an object.
    pub properties: Fields<String, Arc<Schema>>,
    /// Schema of the values of a map; `None` if the object is no map.
    pub additional: Option<Arc<Schema>>,
    /// Schema of the items of a list.
    pub items: Option<Arc<Schema>>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The only values allowed; empty allows all.
    pub allowed: Vec<Value>,
    /// What the field becomes when it is absent.
    pub default: Option<Value>,
    /// Whether `null` is a value.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`: unknown fields stay.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: the value is an object with apiVersion, kind and metadata.
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-list-type`: how server-side apply merges the list, and whether items must differ.
    pub list: ListType,
    /// `x-kubernetes-map-type: atomic`: server-side apply replaces the object whole.
    pub atomic_map: bool,
    /// Limits of numbers, texts, lists and objects; `None` where there are none.
    pub limits: Option<Box<Limits>>,
    /// What `allOf`, `anyOf`, `oneOf` and `not` ask for; `None` where there are none.
    pub combinations: Option<Arc<Combinations>>,
    /// The named text format (`int32`, `date-time`, …).
    pub format: Option<String>,
    /// Regular expression a text must match.
    pub pattern: Option<Arc<Pattern>>,
    /// CEL rules on this value.
    pub validations: Vec<Rule>,
    /// Whether there are CEL rules here or below.
    pub has_rules: bool,
    /// The description, if the schema carries one.
    pub description: Option<String>,
    /// Whether it, or anything below it, has a default.
    has_defaults: bool,
    /// The fields with a default of their own.
    defaulted: Vec<String>,
    /// Whether it says of the value itself no more than what type it has, rules and parts apart. Most do.
    is_type_alone: bool,
}

/// JSON types as schemas name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

/// How items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListType {
    /// Not at all: the list is one value.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By the values of these fields.
    Map(Vec<String>),
}

/// Limits; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Smallest number.
    pub minimum: Option<Number>,
    /// Largest number.
    pub maximum: Option<Number>,
    /// Whether the smallest itself is excluded.
    pub exclusive_minimum: bool,
    /// Whether the largest itself is excluded.
    pub exclusive_maximum: bool,
    /// What a number must be a multiple of.
    pub multiple_of: Option<Number>,
    /// Fewest characters.
    pub min_length: Option<u64>,
    /// Most characters.
    pub max_length: Option<u64>,
    /// Fewest items.
    pub min_items: Option<u64>,
    /// Most items.
    pub max_items: Option<u64>,
    /// Fewest fields.
    pub min_properties: Option<u64>,
    /// Most fields.
    pub max_properties: Option<u64>,
    /// Whether items must differ.
    pub unique_items: bool,
}

/// Schemas of which a value must satisfy some.
#[derive(Debug, Clone, Default)]
pub struct Combinations {
    /// `allOf`
    pub all: Vec<Schema>,
    /// `anyOf`
    pub any: Vec<Schema>,
    /// `oneOf`
    pub one: Vec<Schema>,
    /// `not`
    pub not: Option<Schema>,
    /// Whether they ask for no more than a whole number or text, as those of every quantity and every port do.
    is_int_or_string: bool,
}

impl Schema {
    /// Reads an `openAPIV3Schema`, and refuses one that cannot be used as it is written.
    pub fn parse(schema: &Value) -> Result<Self, ParseError> {
        parse::parse(schema, "openAPIV3Schema")
    }

    /// Reads a schema that an API server has accepted already. A part that cannot be used takes every value.
    pub fn read(schema: &Value) -> Self {
        parse::read(schema)
    }

    /// Whether values are maps with free keys.
    pub fn is_map(&self) -> bool {
        self.additional.is_some()
    }

    /// Whether fields stay that nothing here names.
    fn takes_all(&self) -> bool {
        self.preserve_unknown || self.kind.is_none() && self.properties.is_empty()
    }

    /// The schema of a field or of a map's value.
    pub fn child(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(self.additional.as_ref()).map(Arc::as_ref)
    }

    /// The description of the field at `path` (`spec.replicas`).
    pub fn description_of(&self, path: &str) -> Option<&str> {
        let mut node = self;
        for name in path.split('.') {
            node = node.properties.get(name)?;
        }
        node.description.as_deref()
    }
}

impl Kind {
    /// As schemas write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
        }
    }
}

#[cfg(test)]
mod tests;
