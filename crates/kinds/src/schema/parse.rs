//! Reads the JSON form of a schema.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use regex::Regex;
use serde_json::{Value, json};

use super::{Combinations, Kind, Limits, ListType, Rule, Schema};

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// A node is neither a mapping nor `true`.
    #[error("{path} is not a schema")]
    NotASchema {
        /// Where in the schema.
        path: String,
    },
    /// A `type` that no structural schema has.
    #[error("{path}.type: {found:?} is not one of object, array, string, integer, number, boolean")]
    UnknownType {
        /// Where in the schema.
        path: String,
        /// What stands there.
        found: String,
    },
    /// A pattern that does not compile.
    #[error("{path}.pattern: {source}")]
    BadPattern {
        /// Where in the schema.
        path: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
}

/// An expression that texts must match. It is compiled when the first text is held against it.
#[derive(Debug)]
pub struct Pattern {
    /// The text, as the schema has it.
    pub text: String,
    regex: OnceLock<Result<Regex, regex::Error>>,
}

impl Pattern {
    fn regex(&self) -> &Result<Regex, regex::Error> {
        self.regex.get_or_init(|| {
            // Go's \d and \w are ASCII.
            Regex::new(&self.text.replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]"))
        })
    }

    /// Whether the text matches; one that cannot be compiled matches everything.
    pub fn is_match(&self, text: &str) -> bool {
        match self.regex() {
            Ok(regex) => regex.is_match(text),
            Err(_) => true,
        }
    }
}

/// What is shared between the nodes of a schema, and what is wrong with it.
#[derive(Default)]
struct Reader<'a> {
    /// Nodes by what they were read from, so that one which stands in many places is held once: a CRD of workloads says
    /// what a pod is a dozen times.
    nodes: HashMap<&'a Value, Arc<Schema>, RandomState>,
    /// Expressions by their text: a schema has a few, thousands of times.
    patterns: HashMap<String, Arc<Pattern>>,
    /// What every quantity and every port says beside `x-kubernetes-int-or-string`.
    int_or_string: Option<Arc<Combinations>>,
    problem: Option<ParseError>,
    /// Whether expressions are tried.
    is_strict: bool,
}

pub(super) fn parse(schema: &Value, path: &str) -> Result<Schema, ParseError> {
    let mut reader = Reader { is_strict: true, ..Reader::default() };
    let schema = reader.node(schema, path);
    reader.problem.map_or(Ok(schema), Err)
}

pub(super) fn read(schema: &Value) -> Schema {
    Reader::default().node(schema, "")
}

impl<'a> Reader<'a> {
    fn report(&mut self, problem: ParseError) {
        self.problem.get_or_insert(problem);
    }

    /// The path of a part; only a strict reader needs it.
    fn below(&self, path: &str, part: &str) -> String {
        if self.is_strict { format!("{path}{part}") } else { String::new() }
    }

    fn shared(&mut self, schema: &'a Value, path: &str) -> Arc<Schema> {
        if let Some(known) = self.nodes.get(schema) {
            return known.clone();
        }
        let node = Arc::new(self.node(schema, path));
        self.nodes.insert(schema, node.clone());
        node
    }

    fn node(&mut self, schema: &'a Value, path: &str) -> Schema {
        let Some(fields) = schema.as_object() else {
            if *schema != Value::Bool(true) {
                self.report(ParseError::NotASchema { path: path.to_owned() });
            }
            return Schema { preserve_unknown: true, ..Schema::default() };
        };
        let mut node = Schema {
            kind: fields.get("type").and_then(Value::as_str).and_then(|word| self.kind(word, path)),
            allowed: list(fields.get("enum")).cloned().collect(),
            required: list(fields.get("required")).filter_map(Value::as_str).map(str::to_owned).collect(),
            default: fields.get("default").filter(|value| !value.is_null()).cloned(),
            nullable: flag(schema, "nullable"),
            preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            int_or_string: flag(schema, "x-kubernetes-int-or-string"),
            list: list_type(schema),
            atomic_map: schema["x-kubernetes-map-type"] == "atomic",
            limits: limits(schema),
            combinations: self.combinations(schema, path),
            format: text(schema, "format"),
            description: text(schema, "description"),
            validations: list(fields.get("x-kubernetes-validations")).map(Rule::read).collect(),
            ..Schema::default()
        };
        if let Some(pattern) = schema["pattern"].as_str() {
            node.pattern = Some(self.pattern(pattern, path));
        }
        for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = self.below(path, &format!(".{name}"));
            node.properties.insert(name.clone(), self.shared(property, &path));
        }
        if let Some(additional) =
            fields.get("additionalProperties").filter(|value| **value != Value::Bool(false))
        {
            let path = self.below(path, ".*");
            node.additional = Some(self.shared(additional, &path));
        }
        if let Some(items) = fields.get("items") {
            let path = self.below(path, "[]");
            node.items = Some(self.shared(items, &path));
        }
        let below = || node.properties.values().chain(&node.additional).chain(&node.items);
        let has_rules = !node.validations.is_empty() || below().any(|child| child.has_rules);
        let has_defaults = node.default.is_some() || below().any(|child| child.has_defaults);
        (node.has_rules, node.has_defaults) = (has_rules, has_defaults);
        let defaulted = node.properties.iter().filter(|(_, known)| known.default.is_some());
        node.defaulted = defaulted.map(|(name, _)| name.clone()).collect();
        node.is_type_alone = node.limits.is_none()
            && node.allowed.is_empty()
            && node.format.is_none()
            && node.pattern.is_none()
            && node.combinations.as_ref().is_none_or(|combinations| combinations.is_int_or_string);
        node
    }

    fn kind(&mut self, word: &str, path: &str) -> Option<Kind> {
        Some(match word {
            "object" => Kind::Object,
            "array" => Kind::Array,
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            _ => {
                self.report(ParseError::UnknownType { path: path.to_owned(), found: word.to_owned() });
                return None;
            }
        })
    }

    fn pattern(&mut self, text: &str, path: &str) -> Arc<Pattern> {
        if let Some(known) = self.patterns.get(text) {
            return known.clone();
        }
        let pattern = Arc::new(Pattern { text: text.to_owned(), regex: OnceLock::new() });
        if self.is_strict
            && let Err(source) = pattern.regex()
        {
            self.report(ParseError::BadPattern { path: path.to_owned(), source: Box::new(source.clone()) });
        }
        self.patterns.insert(text.to_owned(), pattern.clone());
        pattern
    }

    fn combinations(&mut self, schema: &'a Value, path: &str) -> Option<Arc<Combinations>> {
        let has = |name: &str| schema.get(name).is_some();
        if !["allOf", "anyOf", "oneOf", "not"].into_iter().any(has) {
            return None;
        }
        let is_plain = flag(schema, "x-kubernetes-int-or-string")
            && !has("allOf")
            && !has("oneOf")
            && !has("not")
            && schema["anyOf"] == json!([{"type": "integer"}, {"type": "string"}]);
        if let Some(known) = self.int_or_string.as_ref().filter(|_| is_plain) {
            return Some(known.clone());
        }
        let mut each = |name: &str| {
            list(schema.get(name)).map(|schema| self.node(schema, path)).collect::<Vec<Schema>>()
        };
        let (all, any, one) = (each("allOf"), each("anyOf"), each("oneOf"));
        let not = schema.get("not").map(|schema| self.node(schema, path));
        let combinations = Arc::new(Combinations { all, any, one, not, is_int_or_string: is_plain });
        if is_plain {
            self.int_or_string = Some(combinations.clone());
        }
        Some(combinations)
    }
}

fn limits(schema: &Value) -> Option<Box<Limits>> {
    let count = |name: &str| schema[name].as_u64();
    let number = |name: &str| match &schema[name] {
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    let limits = Limits {
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: flag(schema, "exclusiveMinimum"),
        exclusive_maximum: flag(schema, "exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        unique_items: flag(schema, "uniqueItems"),
    };
    (limits != Limits::default()).then(|| Box::new(limits))
}

fn list_type(schema: &Value) -> ListType {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(
            list(schema.get("x-kubernetes-list-map-keys"))
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        _ => ListType::Atomic,
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == Value::Bool(true)
}

fn text(schema: &Value, name: &str) -> Option<String> {
    schema[name].as_str().map(str::to_owned)
}
