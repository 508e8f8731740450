//! Recorded files: reading them, and bringing our own documents into their form.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value, json};

/// The documents of a file; none if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Vec<Value>> {
    let Some(text) = read_text(path)? else { return Ok(Vec::new()) };
    let documents = yaml::read_documents(&text).with_context(|| path.display().to_string())?;
    Ok(documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect())
}

/// The first document of a file; null if there is none.
pub(crate) fn first(path: &Path) -> Result<Value> {
    Ok(read(path)?.into_iter().next().unwrap_or_default())
}

/// The text of a file; `None` if there is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Writes a file of our own and the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// What an API server adds to every object.
const SERVERS_OWN: [&str; 7] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "selfLink",
];

/// An object as the recordings show it, with its status.
pub(crate) fn normal(mut document: Value) -> Value {
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SERVERS_OWN.contains(&name.as_str()));
    }
    if document["kind"] == "Secret"
        && let Some(data) = document.get_mut("data").and_then(Value::as_object_mut)
    {
        for (name, value) in data.iter_mut() {
            match name.rsplit_once('.') {
                Some((_, "key")) => *value = json!("<key>"),
                Some((_, "crt")) => *value = json!("<cert>"),
                _ => {}
            }
        }
    }
    clean(&mut document);
    document
}

/// A child as the recordings show it: without its status.
pub(crate) fn normal_child(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("status");
    }
    normal(document)
}

/// Without null values, empty structs that Go prints, and what differs from run to run.
fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("uid") && fields.contains_key("blockOwnerDeletion") {
                fields.insert("uid".to_owned(), json!("<uid>"));
            }
            fields.retain(|name, value| {
                clean(value);
                let is_empty = value.as_object().is_some_and(Map::is_empty);
                !(value.is_null()
                    || matches!(name.as_str(), "creationTimestamp" | "lastTransitionTime")
                    || (is_empty && matches!(name.as_str(), "resources" | "strategy" | "status")))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::String(text) => *text = normal_text(text),
        _ => {}
    }
}

static RUN_TO_RUN: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"0x[0-9a-f]{6,}", "<ptr>"),
        (r"time\.Date\([^)]*\)", "<time>"),
        (r"-validation-[a-z0-9]{5}\b", "-validation-<id>"),
        (r"\b10\.(9[6-9]|10[0-9]|11[01])\.\d{1,3}\.\d{1,3}\b", "<clusterIP>"),
        (r#"RawExtension for the json field "[^"]*""#, r#"RawExtension for the json field "<any>""#),
    ]
    .into_iter()
    .filter_map(|(pattern, word)| Some((Regex::new(pattern).ok()?, word)))
    .collect()
});

/// A text without what differs from run to run.
pub(crate) fn normal_text(text: &str) -> String {
    if text.len() >= 20 && text.parse::<Timestamp>().is_ok() {
        return "<time>".to_owned();
    }
    let mut text = text.to_owned();
    for (pattern, word) in RUN_TO_RUN.iter() {
        if pattern.is_match(&text) {
            text = pattern.replace_all(&text, *word).into_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let secret = json!({
            "kind": "Secret", "data": {"tls.key": "a", "ca.crt": "b", "other": "c"}, "status": {},
            "metadata": {"uid": "u", "creationTimestamp": null, "ownerReferences": [{"uid": "u", "blockOwnerDeletion": true}],
                         "annotations": {"when": "2026-01-02T03:04:05Z"}},
        });
        let wanted = json!({
            "kind": "Secret", "data": {"tls.key": "<key>", "ca.crt": "<cert>", "other": "c"},
            "metadata": {"ownerReferences": [{"uid": "<uid>", "blockOwnerDeletion": true}], "annotations": {"when": "<time>"}},
        });
        assert_eq!(normal(secret), wanted);
        assert_eq!(normal_text("at 10.111.0.1, not 10.112.0.1"), "at <clusterIP>, not 10.112.0.1");
        assert_eq!(
            normal_text("Parents:0xc0001234, demo-validation-x7k2p"),
            "Parents:<ptr>, demo-validation-<id>"
        );
    }
}
