//! One stored object: its JSON as text. As a tree of values it would take ten times the room, and every object is held
//! here once for lists, for the log and for the disk.

use serde::Deserialize;
use serde_json::Value;

/// An object as stored, in its storage version, with `metadata.resourceVersion` set.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: Box<str>,
    pub(crate) revision: u64,
    pub(crate) links: Links,
    text: Box<str>,
}

/// What ties an object to others and to life. The garbage collector asks it of all objects, too often to read their text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Links {
    #[serde(default)]
    pub(crate) uid: Option<Box<str>>,
    #[serde(default)]
    owner_references: Option<Box<[Owner]>>,
    #[serde(default)]
    finalizers: Option<Box<[Box<str>]>>,
    #[serde(default)]
    deletion_timestamp: Option<Box<str>>,
    #[serde(default)]
    resource_version: Option<Box<str>>,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owner {
    #[serde(default)]
    pub(crate) uid: Box<str>,
    #[serde(default)]
    pub(crate) block_owner_deletion: Option<bool>,
}

impl Links {
    pub(crate) fn owners(&self) -> &[Owner] {
        self.owner_references.as_deref().unwrap_or_default()
    }

    pub(crate) fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().flatten().any(|held| &**held == finalizer)
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Links,
}

impl Object {
    /// `value` with that revision in it.
    pub(super) fn new(key: &str, value: &Value, revision: u64) -> Self {
        // What is written has passed validation, so `metadata` is what it should be.
        let links = Links::deserialize(&value["metadata"]).unwrap_or_default();
        Self { key: key.into(), revision, links, text: value.to_string().into() }
    }

    /// An object as the disk has it. One without a revision of its own has that of the whole store.
    pub(super) fn read(key: String, text: String, revision: u64) -> Result<Self, serde_json::Error> {
        let links = serde_json::from_str::<Head>(&text)?.metadata;
        let own = links.resource_version.as_ref().and_then(|version| version.parse().ok());
        Ok(Self { key: key.into(), revision: own.unwrap_or(revision), links, text: text.into() })
    }

    /// JSON in one line, keys sorted.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn value(&self) -> Value {
        // The text was written from a value, or read through when it was loaded.
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// `{"metadata": {"labels": …}}`: as much as a label selector looks at.
    pub(crate) fn labels(&self) -> Value {
        #[derive(Deserialize)]
        struct Labelled {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            #[serde(default)]
            labels: Value,
        }
        let labels = serde_json::from_str::<Labelled>(&self.text).map(|object| object.metadata.labels);
        serde_json::json!({"metadata": {"labels": labels.unwrap_or_default()}})
    }
}
