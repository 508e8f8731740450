//! What `kubectl explain` says: the first sentence of each field's documentation in Rust.
//!
//! `descriptions.txt` is made from the types' sources, which are not at hand in the built program. A line without indent
//! begins a type; below it stand its fields, `json[:TYPE] TEXT`, and `*:TYPE` for a type whose fields are its own. Insides
//! of pods are not described: they are Kubernetes' own, and a CRD has to fit into an annotation.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// The table, and where it is made from.
const TABLE: &str = include_str!("descriptions.txt");

#[derive(Debug, Default)]
struct Described {
    fields: BTreeMap<&'static str, (Option<&'static str>, &'static str)>,
    flattened: Vec<&'static str>,
}

static TYPES: LazyLock<BTreeMap<&'static str, Described>> = LazyLock::new(|| {
    let mut types: BTreeMap<&str, Described> = BTreeMap::new();
    let mut current = "";
    for line in TABLE.lines() {
        let Some(line) = line.strip_prefix("  ") else {
            current = line;
            continue;
        };
        let (field, text) = line.split_once(' ').unwrap_or((line, ""));
        let (json, of) = field.split_once(':').map_or((field, None), |(json, of)| (json, Some(of)));
        let type_ = types.entry(current).or_default();
        match (json, of) {
            ("*", Some(of)) => type_.flattened.push(of),
            _ => {
                type_.fields.insert(json, (of, text));
            }
        }
    }
    types
});

/// Puts descriptions into the schema of a document of that Rust type.
pub(super) fn describe(schema: &mut Value, type_: &str) {
    if let Some(items) = schema.get_mut("items") {
        return describe(items, type_);
    }
    let Some(described) = TYPES.get(type_) else { return };
    for (json, (of, text)) in &described.fields {
        let Some(property) = schema.get_mut("properties").and_then(|all| all.get_mut(*json)) else {
            continue;
        };
        if !text.is_empty() {
            property["description"] = (*text).into();
        }
        if let Some(of) = of {
            describe(property, of);
        }
    }
    for of in &described.flattened {
        describe(schema, of);
    }
}
