//! `metadata.managedFields`: entries by owner.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::Writer;
use crate::fields::PathSet;

/// How many entries of updates an object has before the oldest are put together.
const MOST_UPDATES: usize = 10;
/// The manager of the updates that were put together.
const ANCIENT: &str = "ancient-changes";

/// Fields that nobody owns: who an object is, and what the server writes.
static NOT_OWNED: LazyLock<PathSet> = LazyLock::new(|| {
    PathSet::of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

pub(super) fn strip(fields: &mut PathSet) {
    *fields = fields.difference(&NOT_OWNED);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// What tells entries apart. Applies of one manager are one entry, whatever the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// Empty for applies.
    pub(super) api_version: String,
    /// Empty for the object itself.
    pub(super) subresource: String,
}

impl Key {
    pub(super) fn new(writer: &Writer<'_>, operation: Operation, api_version: &str) -> Self {
        let manager = if writer.manager.is_empty() { "unknown" } else { writer.manager };
        Self {
            manager: manager.to_owned(),
            operation,
            api_version: if operation == Operation::Apply { String::new() } else { api_version.to_owned() },
            subresource: writer.subresource.unwrap_or_default().to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The version that the field names are of.
    pub(super) api_version: String,
    pub(super) fields: PathSet,
    time: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Managed {
    pub(super) entries: BTreeMap<Key, Entry>,
}

impl Managed {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// From an object's metadata. The error says what is wrong with an entry.
    pub(super) fn decode(object: &Value) -> Result<Self, String> {
        let mut managed = Self::default();
        let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        for (index, entry) in list.into_iter().flatten().enumerate() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType").as_str() {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let fields = match &entry["fieldsV1"] {
                Value::Null => Some(PathSet::default()),
                fields => PathSet::from_value(fields),
            };
            let fields = fields.ok_or_else(|| format!("invalid fieldsV1 in managed fields entry {index}"))?;
            let writer =
                Writer { manager: &text("manager"), subresource: entry["subresource"].as_str(), now: None };
            let mut key = Key::new(&writer, operation, &api_version);
            key.manager = text("manager");
            let time = entry["time"].as_str().map(str::to_owned);
            managed.entries.insert(key, Entry { api_version, fields, time });
        }
        Ok(managed)
    }

    /// Into an object's metadata, in the server's order; no list if nobody owns anything.
    pub(super) fn encode(&self, object: &mut Value) {
        let mut entries: Vec<(&Key, &Entry)> = self.entries.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            let order = |key: &Key, entry: &Entry| {
                (
                    key.operation,
                    entry.time.clone(),
                    key.manager.clone(),
                    entry.api_version.clone(),
                    key.subresource.clone(),
                )
            };
            order(a, x).cmp(&order(b, y))
        });
        let list: Vec<Value> = entries.into_iter().map(|(key, entry)| entry.to_value(key)).collect();
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if list.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Value::Array(list));
        }
    }

    pub(super) fn stamp(&mut self, key: &Key, now: Option<&str>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.time = now.map(str::to_owned);
        }
    }

    /// Adds fields to an entry.
    pub(super) fn give(&mut self, key: &Key, fields: &PathSet, api_version: &str) {
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry {
            api_version: api_version.to_owned(),
            fields: PathSet::default(),
            time: None,
        });
        entry.fields = entry.fields.union(fields);
    }

    /// Sets what an entry owns, and keeps its time.
    pub(super) fn put(&mut self, key: &Key, fields: PathSet, api_version: &str) {
        let time = self.entries.get(key).and_then(|entry| entry.time.clone());
        self.entries.insert(key.clone(), Entry { api_version: api_version.to_owned(), fields, time });
    }

    /// Drops what nobody owns, and entries without any field.
    pub(super) fn strip(&mut self) {
        for entry in self.entries.values_mut() {
            strip(&mut entry.fields);
        }
        self.drop_empty();
    }

    pub(super) fn drop_empty(&mut self) {
        self.entries.retain(|_, entry| !entry.fields.is_empty());
    }

    /// Puts the oldest updates of a version together while there are too many.
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<(Option<String>, Key)> = self
            .entries
            .iter()
            .filter(|(key, _)| key.operation == Operation::Update)
            .map(|(key, entry)| (entry.time.clone(), key.clone()))
            .collect();
        updates.sort();
        let mut left = updates.len();
        let mut first_of: BTreeMap<String, Key> = BTreeMap::new();
        for (time, key) in updates {
            if left <= MOST_UPDATES {
                return;
            }
            let Some(version) = self.entries.get(&key).map(|entry| entry.api_version.clone()) else {
                continue;
            };
            let bucket = Key {
                manager: ANCIENT.to_owned(),
                operation: Operation::Update,
                api_version: version.clone(),
                subresource: String::new(),
            };
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, key);
                continue;
            };
            if !self.entries.contains_key(&bucket)
                && let Some(entry) = self.entries.remove(first)
            {
                self.entries.insert(bucket.clone(), entry);
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.give(&bucket, &entry.fields, &version);
                self.stamp(&bucket, time.as_deref());
            }
            left -= 1;
        }
    }
}

impl Entry {
    fn to_value(&self, key: &Key) -> Value {
        let operation = match key.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = json!({
            "manager": key.manager,
            "operation": operation,
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_value(),
        });
        if let Some(time) = &self.time {
            entry["time"] = json!(time);
        }
        if !key.subresource.is_empty() {
            entry["subresource"] = json!(key.subresource);
        }
        entry
    }
}
