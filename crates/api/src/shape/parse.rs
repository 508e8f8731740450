//! Reads the table. It is part of the program, so a line that cannot be read is a mistake of ours: it is left out, and a
//! test counts the lines.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use kinds::schema::Fields;

use super::marshal::stays_when_absent;
use super::{Field, Named, Struct, Table, Type};

/// The types of all `texts`, embedded fields resolved.
pub(super) fn table(texts: &[&'static str]) -> Table {
    let mut own: BTreeMap<&'static str, Struct> = BTreeMap::new();
    let mut patterns = BTreeMap::new();
    let mut current = "";
    for line in texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()) {
        if let Some(rest) = line.strip_prefix("pattern ") {
            patterns.extend(rest.split_once(' '));
        } else if let Some(rest) = line.strip_prefix("  ") {
            if let Some(type_) = own.get_mut(current) {
                add_field(type_, rest);
            }
        } else {
            let mut words = line.split(' ');
            current = words.next().unwrap_or_default();
            own.insert(
                current,
                Struct {
                    name: current,
                    fields: Fields::default(),
                    embedded: Vec::new(),
                    facts: words.collect(),
                    by_go: Fields::default(),
                    standing: Vec::new(),
                },
            );
        }
    }
    let types = own
        .keys()
        .map(|name| {
            let mut fields = BTreeMap::new();
            collect(&own, name, &mut fields);
            let mut type_ = own[name].clone();
            type_.by_go = fields.values().map(|field| (field.go.clone(), field.json)).collect();
            type_.standing =
                fields.values().filter(|field| stays_when_absent(field)).map(|f| f.json).collect();
            type_.fields = fields.into_iter().collect();
            (*name, type_)
        })
        .collect();
    Table { types, patterns }
}

fn collect(own: &BTreeMap<&'static str, Struct>, name: &str, fields: &mut BTreeMap<&'static str, Field>) {
    if let Some(type_) = own.get(name) {
        for embedded in &type_.embedded {
            collect(own, embedded, fields);
        }
        fields.extend(type_.fields.clone());
    }
}

fn add_field(type_: &mut Struct, line: &'static str) {
    let mut words = line.split(' ');
    let (Some(names), Some(expression)) = (words.next(), words.next()) else { return };
    if names == "embed" {
        type_.embedded.push(expression);
        return;
    }
    let (json, go) = match names.split_once(':') {
        Some((json, go)) => (json, go.to_owned()),
        None => (names, capitalised(names)),
    };
    let mut field = Field {
        json,
        go,
        type_: read_type(expression),
        always: false,
        omit_zero: false,
        merge_key: None,
        retain_keys: false,
        facts: Vec::new(),
        go_type: OnceLock::new(),
    };
    for word in words {
        match word {
            "!" => field.always = true,
            "omitzero" => field.omit_zero = true,
            "retain" => field.retain_keys = true,
            fact => match fact.strip_prefix("merge=") {
                Some(key) => field.merge_key = Some(key),
                None => field.facts.push(fact),
            },
        }
    }
    type_.fields.insert(json, field);
}

fn read_type(expression: &'static str) -> Type {
    let inner = |rest| Box::new(read_type(rest));
    if let Some(rest) = expression.strip_prefix('*') {
        return Type::Pointer(inner(rest));
    }
    if let Some(rest) = expression.strip_prefix("[]") {
        return Type::List(inner(rest));
    }
    if let Some(rest) = expression.strip_prefix("{}") {
        return Type::Map(inner(rest));
    }
    match expression {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" | "int" => Type::Int64,
        "quantity" => Type::Quantity,
        "intstr" => Type::IntOrString,
        "time" => Type::Time,
        "url" => Type::Url,
        "bytes" => Type::Bytes,
        "any" => Type::Any,
        name => Type::Struct(Named::new(name)),
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}
