//! Differences of documents, after the normalisation that the recordings went through.

use std::collections::{BTreeMap, BTreeSet};

use kinds::ObjectKey;
use serde_json::{Value, json};

/// Lines per object before the rest is only counted.
const MAX_LINES: usize = 4;

/// Our document as the recordings are normalised.
pub(super) fn normalized(mut document: Value) -> Value {
    normalize(&mut document);
    if let Some(fields) = document.as_object_mut()
        && fields.get("kind").is_some_and(|kind| kind != "LLMInferenceService")
    {
        fields.remove("status");
    }
    document
}

fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("creationTimestamp");
            fields.remove("lastTransitionTime");
            if fields.contains_key("uid") && fields.contains_key("blockOwnerDeletion") {
                fields.insert("uid".to_owned(), json!("<uid>"));
            }
            fields.retain(|name, value| {
                normalize(value);
                let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
                !(value.is_null() || (empty && matches!(name.as_str(), "resources" | "strategy" | "status")))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        _ => {}
    }
}

/// Differences of children, each line beginning with the object.
pub(super) fn children(wanted: &[Value], ours: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for document in wanted {
        let Ok(key) = ObjectKey::of(document) else { continue };
        let key = key.to_string();
        match ours.get(&key) {
            None => lines.push(format!("{key}: missing")),
            Some(child) => {
                let mut found = Vec::new();
                differ(&normalized(document.clone()), child, "", &mut found);
                lines.extend(capped(&key, found));
            }
        }
        seen.insert(key);
    }
    lines.extend(ours.keys().filter(|key| !seen.contains(*key)).map(|key| format!("{key}: not wanted")));
    lines
}

/// Differences of statuses. Messages that quote Go structs or an API server are compared no further than their reason.
pub(super) fn statuses(wanted: &[Value], ours: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for document in wanted.iter().filter(|document| document["kind"] == "LLMInferenceService") {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let mut wanted = normalized(document.clone());
        let Some(mut status) = ours.get(name).cloned() else {
            lines.push(format!("{name}: missing"));
            continue;
        };
        drop_foreign_messages(&mut wanted, &mut status);
        for document in [&mut wanted, &mut status] {
            if let Some(fields) = document["status"].as_object_mut() {
                fields.remove("observedGeneration");
            }
        }
        let mut found = Vec::new();
        differ(&wanted, &status, "", &mut found);
        lines.extend(capped(name, found));
    }
    lines
}

/// Words that are an API server's or Go's.
const FOREIGN: [&str; 6] = [
    "v1.HTTPRouteStatus",
    "failed to create",
    "failed to get defaults",
    "is invalid:",
    "dry-run",
    "json field",
];

fn drop_foreign_messages(wanted: &mut Value, ours: &mut Value) {
    let conditions = |document: &Value| -> BTreeSet<String> {
        document["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|condition| {
                condition["message"]
                    .as_str()
                    .is_some_and(|text| FOREIGN.iter().any(|word| text.contains(word)))
            })
            .filter_map(|condition| condition["type"].as_str().map(str::to_owned))
            .collect()
    };
    let dropped = conditions(wanted);
    for document in [wanted, ours] {
        for condition in document["status"]["conditions"].as_array_mut().into_iter().flatten() {
            if condition["type"].as_str().is_some_and(|kind| dropped.contains(kind)) {
                condition["message"] = json!("…");
            }
        }
    }
}

/// Differences of what certificates say, as far as an order decides it.
pub(super) fn certificates(wanted: &[Value], ours: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for document in wanted {
        let name = document["secret"].as_str().unwrap_or_default();
        let Some(order) = ours.get(name) else {
            lines.push(format!("{name}: missing"));
            continue;
        };
        let mut says = json!({});
        for field in ["secret", "dnsNames", "ipAddresses", "organization", "validDays"] {
            says[field] = document[field].clone();
        }
        if let Some(addresses) = says["ipAddresses"].as_array() {
            let addresses: BTreeSet<&str> = addresses.iter().filter_map(Value::as_str).collect();
            says["ipAddresses"] = json!(addresses);
        }
        let mut found = Vec::new();
        differ(&says, order, "", &mut found);
        lines.extend(capped(name, found));
    }
    lines
}

/// Differences of events. An error counts by its reason: its words are those of the condition. Their order is not compared.
pub(super) fn events(wanted: &[Value], ours: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let shortened = |line: &str| match line.split_once(" Error ") {
        Some((kind, _)) => format!("{kind} Error"),
        None => line.to_owned(),
    };
    let mut all: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for document in wanted {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let events = document["events"].as_array().into_iter().flatten();
        let lines = events.map(|event| {
            shortened(&format!(
                "{} {} {}",
                text(event, "type"),
                text(event, "reason"),
                text(event, "message")
            ))
        });
        all.entry(document["service"].as_str().unwrap_or_default()).or_default().extend(lines);
    }
    let names: BTreeSet<&str> = all.keys().copied().chain(ours.keys().map(String::as_str)).collect();
    let mut lines = Vec::new();
    for name in names {
        let wanted: Vec<String> = all.get(name).into_iter().flatten().cloned().collect();
        let mut ours: Vec<String> =
            ours.get(name).into_iter().flatten().map(|line| shortened(line)).collect();
        ours.dedup();
        lines.extend(lists(&wanted, &ours).into_iter().map(|line| format!("{name}: {line}")));
    }
    lines
}

/// Whether going from `old` to `new` writes anything. A number of replicas that is no longer asked for stays as it is.
pub(super) fn is_written(old: &Value, new: &Value) -> bool {
    let mut old = old.clone();
    if new.pointer("/spec/replicas").is_none()
        && let Some(spec) = old.pointer_mut("/spec").and_then(Value::as_object_mut)
    {
        spec.remove("replicas");
    }
    old != *new
}

/// A key as lists of changes print it: objects without a namespace begin with a slash.
pub(super) fn listed(key: &str) -> String {
    match key.rsplit_once(' ') {
        Some((kind, name)) if !name.contains('/') => format!("{kind} /{name}"),
        _ => key.to_owned(),
    }
}

/// Lines that only one of two lists has.
pub(super) fn lists(wanted: &[String], ours: &[String]) -> Vec<String> {
    let missing = wanted.iter().filter(|line| !ours.contains(line)).map(|line| format!("not done: {line}"));
    let extra = ours.iter().filter(|line| !wanted.contains(line)).map(|line| format!("not wanted: {line}"));
    missing.chain(extra).collect()
}

fn capped(key: &str, mut found: Vec<String>) -> Vec<String> {
    let more = found.len().saturating_sub(MAX_LINES);
    found.truncate(MAX_LINES);
    if more > 0 {
        found.push(format!("… {more} more"));
    }
    found.into_iter().map(|line| format!("{key}: {line}")).collect()
}

fn differ(wanted: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(ours.keys()).collect();
            for name in names {
                let path = format!("{path}/{name}");
                match (wanted.get(name), ours.get(name)) {
                    (Some(wanted), Some(ours)) => differ(wanted, ours, &path, found),
                    (Some(wanted), None) => found.push(format!("{path}: missing {}", short(wanted))),
                    (None, Some(ours)) => found.push(format!("{path}: not wanted {}", short(ours))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(wanted), Value::Array(ours)) => {
            if wanted.len() != ours.len() {
                found.push(format!(
                    "{path}: {} items, wanted {}: {} / {}",
                    ours.len(),
                    wanted.len(),
                    short(&json!(ours)),
                    short(&json!(wanted))
                ));
                return;
            }
            for (index, (wanted, ours)) in wanted.iter().zip(ours).enumerate() {
                differ(wanted, ours, &format!("{path}/{index}"), found);
            }
        }
        (wanted, ours) if same(wanted, ours) => {}
        (wanted, ours) => found.push(format!("{path}: {}, wanted {}", short(ours), short(wanted))),
    }
}

/// Numbers are equal by value: 1 is 1.0.
fn same(wanted: &Value, ours: &Value) -> bool {
    wanted == ours || matches!((wanted.as_f64(), ours.as_f64()), (Some(a), Some(b)) if a == b)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 300 { text } else { format!("{}…", &text[..text.floor_char_boundary(300)]) }
}
