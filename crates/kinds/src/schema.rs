//! Structural schemas, as CustomResourceDefinitions carry them: pruning, defaults, validation.
//!
//! Goes in: the `openAPIV3Schema` of a CRD version, once, and then documents. Comes out: the document without what the
//! schema does not know, with what it defaults, and the list of what is wrong with it, in the API server's words. The
//! same engine serves the local API server (any CRD) and `render` (ours), so both give one verdict.
//!
//! CEL rules are not evaluated here: [`Schema::rules`] says which rule applies to which value, and the caller brings the
//! evaluator.

mod fill;
mod parse;
mod rules;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Number, Value};

pub use fill::{apply_defaults, drop_nulls, prune};
pub use parse::ParseError;
pub use rules::{AppliedRule, blocks_rules};
pub use validate::{Violation, ViolationType, validate};

/// One node of a structural schema.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// What the value is; `None` where the schema does not say.
    pub kind: Option<Kind>,
    /// Known fields of an object.
    pub properties: BTreeMap<String, Schema>,
    /// Schema of the values of a map; `None` if the object is no map.
    pub additional: Option<Box<Schema>>,
    /// Schema of the items of a list.
    pub items: Option<Box<Schema>>,
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
    /// Limits of numbers, texts, lists and objects.
    pub limits: Limits,
    /// The named text format (`int32`, `date-time`, …).
    pub format: Option<String>,
    /// Regular expression a text must match.
    pub pattern: Option<Pattern>,
    /// CEL rules on this value.
    pub validations: Vec<Rule>,
    /// The description, if the schema carries one.
    pub description: Option<String>,
    /// Whether it, or anything below it, has a default.
    has_defaults: bool,
    /// Whether it, or anything below it, has CEL rules.
    has_rules: bool,
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
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Smallest number.
    pub minimum: Option<Number>,
    /// Largest number.
    pub maximum: Option<Number>,
    /// Whether the smallest itself is excluded.
    pub exclusive_minimum: bool,
    /// Whether the largest itself is excluded.
    pub exclusive_maximum: bool,
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

/// A compiled expression and its text.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The text, as the schema has it.
    pub text: String,
    pub(crate) regex: Regex,
}

/// A CEL rule of a schema (`x-kubernetes-validations`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The expression.
    pub rule: String,
    /// What is said when it does not hold; `None` leaves it to [`Rule::message_expression`] or the expression itself.
    pub message: Option<String>,
    /// An expression that makes the message.
    pub message_expression: Option<String>,
    /// `FieldValueInvalid` (when absent), `FieldValueForbidden`, `FieldValueRequired`, `FieldValueDuplicate`.
    pub reason: Option<String>,
    /// Field, relative to the value, that is to be blamed.
    pub field_path: Option<String>,
    /// Whether the rule also runs when there is no old value.
    pub optional_old_self: bool,
}

impl Schema {
    /// Reads an `openAPIV3Schema`.
    pub fn parse(schema: &Value) -> Result<Self, ParseError> {
        parse::parse(schema, "openAPIV3Schema")
    }

    /// Whether values are maps with free keys.
    pub fn is_map(&self) -> bool {
        self.additional.is_some()
    }

    /// The schema of a field or of a map's value.
    pub fn child(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(self.additional.as_deref())
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
