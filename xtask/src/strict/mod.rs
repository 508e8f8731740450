//! Children under strict field validation: every object that we plan is one that an API server takes.
//!
//! A [`Story`] is what one namespace goes through. [`Judge::play`] applies the children of each chapter as the operator does,
//! and deletes what is planned no longer. What is refused although it was planned to be taken is a finding, and so is what
//! is taken although we hold it to be wrong.

mod own;

use std::collections::BTreeMap;

use anyhow::Result;
use base64::Engine;
use kinds::ObjectKey;
use serde_json::{Value, json};

pub(crate) use own::own;

use crate::verdicts::Judge;

/// What a namespace goes through.
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) chapters: Vec<Chapter>,
}

/// The children at one time.
pub(crate) struct Chapter {
    /// Empty for the first one.
    pub(crate) name: String,
    /// All that are to exist, in the order in which they are made.
    pub(crate) children: Vec<Value>,
    /// Made from input that is itself invalid: to be refused.
    pub(crate) refused: Vec<Value>,
}

/// What became of the objects of a story.
#[derive(Default)]
pub(crate) struct Played {
    /// How many were taken.
    pub(crate) taken: usize,
    /// What was refused as it should, and why.
    pub(crate) refused: Vec<String>,
    /// What should not be.
    pub(crate) findings: Vec<String>,
}

impl Judge {
    /// Plays a story. What did not change since the last chapter is not sent again.
    pub(crate) async fn play(&mut self, story: &Story) -> Result<Played> {
        let mut played = Played::default();
        let mut present: BTreeMap<ObjectKey, Value> = BTreeMap::new();
        for chapter in &story.chapters {
            let at = format!("{} {}: {}", story.name, chapter.name, self.name);
            let wanted: BTreeMap<ObjectKey, Value> = chapter
                .children
                .iter()
                .map(|child| Ok((ObjectKey::of(child)?, postable(child))))
                .collect::<Result<_>>()?;
            for gone in present.keys().filter(|key| !wanted.contains_key(*key)) {
                let path = self.path(&present[gone]).await?;
                self.ask("DELETE", &path, "", &Value::Null).await?;
            }
            for child in &chapter.children {
                let key = ObjectKey::of(child)?;
                let child = postable(child);
                if present.get(&key) == Some(&child) {
                    continue;
                }
                match self.refusal(&child).await? {
                    None => played.taken += 1,
                    Some(why) => played.findings.push(format!("{at} refuses {key}: {why}")),
                }
            }
            for child in &chapter.refused {
                match self.refusal(&postable(child)).await? {
                    None => played.findings.push(format!("{at} takes {}", ObjectKey::of(child)?)),
                    Some(why) => {
                        played.refused.push(format!("{at} refuses {}: {why}", ObjectKey::of(child)?));
                    }
                }
            }
            present = wanted;
        }
        Ok(played)
    }

    /// Applies an object as the operator does, strictly; why it is refused.
    async fn refusal(&mut self, object: &Value) -> Result<Option<String>> {
        if let Some(namespace) = object["metadata"]["namespace"].as_str() {
            self.namespace(namespace).await?;
        }
        let path = self.path(object).await?;
        let manager = plan::FIELD_MANAGER;
        let path = format!("{path}?fieldManager={manager}&force=true&fieldValidation=Strict");
        let answer = self.ask("PATCH", &path, "application/apply-patch+yaml", object).await?;
        Ok(match answer.code {
            200 | 201 => None,
            code => Some(format!("{code}: {}", answer.body["message"])),
        })
    }

    async fn path(&mut self, object: &Value) -> Result<String> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Ok(format!("{}/{name}", self.collection(object).await?))
    }

    /// Makes the namespace if it is not there.
    pub(crate) async fn namespace(&mut self, name: &str) -> Result<()> {
        if self.namespaces.insert(name.to_owned()) {
            self.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await?;
        }
        Ok(())
    }
}

/// The object as the operator sends it: what stands for a certificate here is a text there.
fn postable(child: &Value) -> Value {
    let mut child = child.clone();
    let has_words = child["kind"] == "Secret";
    if let Some(data) = child.get_mut("data").and_then(Value::as_object_mut).filter(|_| has_words) {
        let text = base64::engine::general_purpose::STANDARD.encode("a certificate");
        data.values_mut().for_each(|value| *value = json!(text));
    }
    child
}

#[cfg(test)]
mod tests;
