//! Rules in both languages: what the twin in Rust says is what the engine says about the CEL text that stands in the CRDs.
//!
//! Values are made from the schema that has the rule: the fields that the rule speaks of, and what has to be there
//! beside them, filled with words and numbers of the rule. What an API server would let come as far as its rules has to
//! have a verdict.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use api::crd::{Edition, crds};
use kinds::schema::{Rule, Schema, apply_defaults, check_rules, validate};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use regex::Regex;
use serde_json::{Value, json};

/// Values for each place of a rule.
const CASES: u32 = 150;

#[test]
fn a_twin_says_what_its_text_says() {
    let mut verdicts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (rule, node) in PLACES.iter() {
        let (kept, broken) = compare(rule, &serde_json::from_str(node).unwrap());
        let both = verdicts.entry(rule.clone()).or_default();
        both.0 += kept;
        both.1 += broken;
    }
    verdicts.retain(|_, (kept, broken)| *kept == 0 || *broken == 0);
    assert!(verdicts.is_empty(), "one verdict was never reached: {verdicts:#?}");
}

#[test]
fn every_twin_is_of_a_rule_in_a_crd_and_every_rule_there_has_one() {
    let texts: BTreeSet<String> = PLACES.iter().map(|(rule, _)| rule.clone()).collect();
    let twins: BTreeSet<String> = api::rules::all().map(|rule| rule.rule.clone()).collect();
    // One without a twin would be evaluated as CEL, as the other test sees; it costs every start of the program.
    assert_eq!(texts, twins);
}

/// How often the rule held, and how often it did not.
fn compare(rule: &str, node: &Value) -> (u32, u32) {
    let schema = about_value(node);
    let (kept, broken) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&any_value(node, &Words::of(rule)), |value| {
        let raw = json!({ "value": value });
        let mut admitted = raw.clone();
        apply_defaults(&schema, &mut admitted);
        let is_valid = validate(&schema, &admitted, None).is_empty();
        // Of some rules a default or a bound of the schema is there first, so that raw values count as well, where the
        // text says something about them.
        for document in [&raw, &admitted] {
            let by_engine = said(&schema, document, |_, _| None);
            let is_no_verdict = |text: &String| {
                text.contains("evaluating rule") || text.contains("does not say true or false")
            };
            if by_engine.iter().any(is_no_verdict) {
                prop_assert!(document == &raw || !is_valid, "{document}: {by_engine:?}");
                continue;
            }
            prop_assert_eq!(said(&schema, document, api::rules::holds), by_engine.clone(), "{}", document);
            let count = if by_engine.is_empty() { &kept } else { &broken };
            count.set(count.get() + 1);
        }
        Ok::<(), TestCaseError>(())
    });
    if let Err(error) = outcome {
        panic!("{rule}: {error}");
    }
    (kept.get(), broken.get())
}

/// What is said against the document, by the engine where `known` knows nothing.
fn said(schema: &Schema, document: &Value, known: fn(&str, &Value) -> Option<bool>) -> Vec<String> {
    let known = |rule: &Rule, value: &Value| known(&rule.rule, value);
    check_rules(schema, document, None, known).iter().map(|(said, _)| said.to_string()).collect()
}

/// Every rule of the CRDs, with each schema, as JSON, that has it. All other rules are taken out of that.
static PLACES: LazyLock<BTreeSet<(String, String)>> = LazyLock::new(|| {
    let mut found = BTreeSet::new();
    for crd in crds(Edition::Full, None) {
        for version in crd["spec"]["versions"].as_array().unwrap() {
            collect(&version["schema"]["openAPIV3Schema"], &mut found);
        }
    }
    found
});

fn collect(node: &Value, found: &mut BTreeSet<(String, String)>) {
    if let Some(rules) = node.get("x-kubernetes-validations").and_then(Value::as_array) {
        for rule in rules {
            let text = rule["rule"].as_str().unwrap();
            let mut bare = about(node, &Words::of(text));
            bare["x-kubernetes-validations"] = json!([rule]);
            found.insert((text.to_owned(), bare.to_string()));
        }
    }
    match node {
        Value::Object(fields) => fields.values().for_each(|child| collect(child, found)),
        Value::Array(items) => items.iter().for_each(|child| collect(child, found)),
        _ => {}
    }
}

/// The schema without rules and descriptions, and of the fields only those that a rule speaks of or that have to be there.
fn about(node: &Value, words: &Words) -> Value {
    let Value::Object(fields) = node else { return node.clone() };
    let required = &node["required"];
    let is_required =
        |name: &str| required.as_array().is_some_and(|names| names.iter().any(|known| known == name));
    let kept = fields.iter().filter_map(|(name, child)| match name.as_str() {
        "x-kubernetes-validations" | "description" => None,
        "properties" => {
            let properties = child.as_object()?.iter();
            let kept = properties.filter(|(name, _)| words.fields.contains(*name) || is_required(name));
            Some((name.clone(), kept.map(|(name, child)| (name.clone(), about(child, words))).collect()))
        }
        "items" | "additionalProperties" => Some((name.clone(), about(child, words))),
        _ => Some((name.clone(), child.clone())),
    });
    Value::Object(kept.collect())
}

/// A schema of documents whose field `value` is as `node` says.
fn about_value(node: &Value) -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {"value": node}})).unwrap()
}

/// What a rule speaks of.
struct Words {
    fields: BTreeSet<String>,
    texts: Vec<String>,
}

impl Words {
    fn of(rule: &str) -> Words {
        let captured = |pattern: &str| -> BTreeSet<String> {
            Regex::new(pattern).unwrap().captures_iter(rule).map(|found| found[1].to_owned()).collect()
        };
        let common =
            ["", "a", "/", "/a", "/a b", "/%41", "/%4", "0s", "1s", "1000ms", "1m1s", "1h30m", "90m", "*"];
        let mut texts: BTreeSet<String> = common.into_iter().map(str::to_owned).collect();
        // Where a text of the rule stands matters: alone, at the end, at the start, in the middle.
        texts.extend(captured("'([^']*)'").iter().flat_map(|text| {
            [text.clone(), format!("/a{text}"), format!("{text}/a"), format!("/a{text}/b")]
        }));
        Words { fields: captured(r"\.([A-Za-z]+)\b"), texts: texts.into_iter().collect() }
    }
}

/// Values of a schema, most of them valid.
fn any_value(node: &Value, words: &Words) -> BoxedStrategy<Value> {
    let leaf = |candidates: Vec<Value>| {
        let schema = about_value(node);
        let is_valid = |value: &Value| validate(&schema, &json!({ "value": value }), None).is_empty();
        let valid: Vec<Value> = candidates.iter().filter(|value| is_valid(value)).cloned().collect();
        prop::sample::select(if valid.is_empty() { candidates } else { valid }).boxed()
    };
    if let Some(choices) = node["enum"].as_array() {
        let choices = choices.iter().cloned().chain([json!("Other")]).collect::<Vec<_>>();
        return prop::sample::select(choices).boxed();
    }
    match node["type"].as_str() {
        Some("object") => any_object(node, words),
        Some("array") => {
            let most = node["maxItems"].as_u64().unwrap_or(8).min(64) as usize;
            let item = any_value(&node["items"], words);
            prop_oneof![
                4 => prop::collection::vec(item.clone(), 0..4),
                1 => prop::collection::vec(item, 0..=most),
            ]
            .prop_map(Value::Array)
            .boxed()
        }
        Some("string") => leaf(words.texts.iter().map(|text| json!(text)).collect()),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        _ => {
            let bounds = ["minimum", "maximum"].map(|bound| node[bound].as_i64());
            leaf(bounds.into_iter().flatten().chain([0, 1, 2, 3, 99, 100, 101]).map(Value::from).collect())
        }
    }
}

/// Fields are there or not, unless they have to be.
fn any_object(node: &Value, words: &Words) -> BoxedStrategy<Value> {
    let required: Vec<&str> =
        node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = node["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, child)| {
            let key = name.clone();
            let entry = any_value(child, words).prop_map(move |value| (key.clone(), value));
            match required.contains(&name.as_str()) {
                true => entry.prop_map(Some).boxed(),
                false => prop::option::weighted(0.7, entry).boxed(),
            }
        })
        .collect();
    if node["additionalProperties"].is_object() {
        let entry = any_value(&node["additionalProperties"], words);
        return prop::collection::btree_map("[a-c]", entry, 0..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed();
    }
    fields.prop_map(|entries| Value::Object(entries.into_iter().flatten().collect())).boxed()
}
