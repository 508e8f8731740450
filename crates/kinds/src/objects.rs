//! An ordered set of JSON documents with the identity that Kubernetes gives them.
//!
//! Goes in: documents of any kind, from files or from a cluster. Comes out: the one of a name, or all of a kind, in a
//! stable order. It validates nothing beyond identity, and it never changes a document except to add a status.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// Documents by key, ordered by apiVersion, kind, namespace, name. Documents are shared, so a clone is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    by_key: BTreeMap<ObjectKey, Arc<Value>>,
}

/// What tells two objects apart. The version is part of it: one object served in two versions has two keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `group/version`, or only the version for the core group, as written in `apiVersion`.
    pub api_version: String,
    /// The kind, as written.
    pub kind: String,
    /// `None` for cluster-scoped objects, and for documents that leave the namespace to their reader.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

/// Why a document cannot be a member of a set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The document is a list, a number or text.
    #[error("a Kubernetes object is a mapping with apiVersion, kind and metadata, this is {0}")]
    NotAnObject(&'static str),
    /// A field that every object has is missing, empty or not a string.
    #[error("{0} is missing or is not a string")]
    MissingField(&'static str),
}

impl Objects {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set of all `documents`. Empty documents are left out, a `List` stands for its items, a later document replaces
    /// an earlier one of the same key, and one with nothing but a status adds it to the object of its name.
    pub fn from_documents(documents: impl IntoIterator<Item = Value>) -> Result<Self, Error> {
        let mut objects = Self::new();
        for document in documents {
            objects.add_document(document)?;
        }
        Ok(objects)
    }

    /// Adds one document by the rules of [`Objects::from_documents`].
    pub fn add_document(&mut self, document: Value) -> Result<(), Error> {
        if document.is_null() {
            return Ok(());
        }
        let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match document {
            Value::Object(mut fields) if is_list && fields.get("items").is_some_and(Value::is_array) => {
                if let Some(Value::Array(items)) = fields.remove("items") {
                    for item in items {
                        self.add_document(item)?;
                    }
                }
                Ok(())
            }
            document if has_only_status(&document) => self.add_status(document),
            document => self.insert(document).map(|_| ()),
        }
    }

    /// Puts `document` in, and gives back what stood under its key.
    pub fn insert(&mut self, document: impl Into<Arc<Value>>) -> Result<Option<Arc<Value>>, Error> {
        let document = document.into();
        let key = ObjectKey::of(&document)?;
        Ok(self.by_key.insert(key, document))
    }

    /// Gives the object of the same key the status of `document`, as a status report of a cluster would. Without such an
    /// object the document becomes a member itself.
    pub fn add_status(&mut self, document: Value) -> Result<(), Error> {
        let key = ObjectKey::of(&document)?;
        match (self.by_key.get_mut(&key), document.get("status")) {
            (Some(member), Some(status)) => {
                if let Some(fields) = Arc::make_mut(member).as_object_mut() {
                    fields.insert("status".to_owned(), status.clone());
                }
            }
            (Some(_), None) => {}
            (None, _) => {
                self.by_key.insert(key, Arc::new(document));
            }
        }
        Ok(())
    }

    /// The object of that identity. `namespace` is `None` for cluster-scoped kinds.
    pub fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&Arc<Value>> {
        self.by_key.get(&ObjectKey::new(api_version, kind, namespace, name))
    }

    /// The object of that key.
    pub fn get_key(&self, key: &ObjectKey) -> Option<&Arc<Value>> {
        self.by_key.get(key)
    }

    /// Whether there is an object of that key.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Takes the object of that key out.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Value>> {
        self.by_key.remove(key)
    }

    /// All objects of a kind, ordered by namespace and name.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> impl Iterator<Item = (&ObjectKey, &Arc<Value>)> {
        let first = ObjectKey::new(api_version, kind, None, "");
        self.by_key
            .range(first.clone()..)
            .take_while(move |(key, _)| key.api_version == first.api_version && key.kind == first.kind)
    }

    /// The objects of a kind in one namespace, ordered by name.
    pub fn of_kind_in(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> impl Iterator<Item = (&ObjectKey, &Arc<Value>)> {
        let first = ObjectKey::new(api_version, kind, Some(namespace), "");
        self.by_key.range(first.clone()..).take_while(move |(key, _)| {
            key.api_version == first.api_version && key.kind == first.kind && key.namespace == first.namespace
        })
    }

    /// All objects in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<Value>)> {
        self.by_key.iter()
    }

    /// The number of objects.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Adds all objects of `other`; they replace ours of the same key.
    pub fn extend(&mut self, other: Objects) {
        self.by_key.extend(other.by_key);
    }
}

impl IntoIterator for Objects {
    type Item = (ObjectKey, Arc<Value>);
    type IntoIter = btree_map::IntoIter<ObjectKey, Arc<Value>>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_key.into_iter()
    }
}

impl ObjectKey {
    /// The key of those four words. An empty namespace is none.
    pub fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        ObjectKey {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.filter(|namespace| !namespace.is_empty()).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The key of a document, from its own fields.
    pub fn of(document: &Value) -> Result<Self, Error> {
        if !document.is_object() {
            return Err(Error::NotAnObject(json_type(document)));
        }
        let word = |pointer, field| match document.pointer(pointer).and_then(Value::as_str) {
            Some(word) if !word.is_empty() => Ok(word),
            _ => Err(Error::MissingField(field)),
        };
        let namespace = document.pointer("/metadata/namespace").and_then(Value::as_str);
        Ok(ObjectKey::new(
            word("/apiVersion", "apiVersion")?,
            word("/kind", "kind")?,
            namespace,
            word("/metadata/name", "metadata.name")?,
        ))
    }

    /// The part of `apiVersion` before the slash; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The part of `apiVersion` after the slash.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(self.api_version.as_str(), |(_, version)| version)
    }
}

/// `apiVersion kind namespace/name`, as the change lists print it.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.api_version, self.kind)?;
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn has_only_status(document: &Value) -> bool {
    document.as_object().is_some_and(|fields| {
        fields.contains_key("status")
            && fields
                .keys()
                .all(|name| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
    })
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests;
