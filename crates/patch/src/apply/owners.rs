//! Who owns what after a write: the algorithm of structured-merge-diff.

use std::collections::BTreeMap;

use serde_json::Value;

use super::managed::{Entry, Key, Managed};
use super::{Conflicts, Kind};
use crate::fields::PathSet;
use crate::schema::Schema;
use crate::typed::{self, Comparison, with_named_fields};

pub(super) struct Owners<'k, 'a> {
    pub(super) kind: &'k Kind<'a>,
}

impl Owners<'_, '_> {
    /// The object after an apply; None if nothing but the owners changes.
    pub(super) fn apply(
        &self,
        live: &Value,
        applied: &Value,
        managed: &mut Managed,
        key: &Key,
        force: bool,
    ) -> Result<Option<Value>, Conflicts> {
        let (schema, version) = (self.kind.schema, self.kind.api_version);
        let merged = typed::merge(live, applied, schema);
        let last = managed.entries.get(key).cloned();
        let set = typed::fields(applied, schema).without(self.kind.ignored);
        // Most applies repeat what they applied before, and more: then nothing is to be removed.
        let gives_up = |last: &Entry| {
            last.api_version != version || !last.fields.is_within(&set) && !last.fields.is_empty()
        };
        let last = last.filter(gives_up);
        managed.put(key, set, version);
        let merged = match last {
            Some(last) if !last.fields.is_empty() => {
                self.prune(merged, managed, &last.fields, &last.api_version)
            }
            _ => merged,
        };
        let change = self.transfer(live, &merged, managed, Some(key), force)?;
        Ok((!change.is_same()).then_some(merged))
    }

    /// The fields that an update takes; the others lose them.
    pub(super) fn update(&self, old: &Value, new: &Value, managed: &mut Managed) -> PathSet {
        match self.transfer(old, new, managed, None, true) {
            Ok(change) => change.modified.union(&change.added).difference(&change.removed),
            Err(_) => PathSet::default(),
        }
    }

    /// Takes changed and removed fields from everyone but the writer. Conflicts count unless forced.
    fn transfer(
        &self,
        old: &Value,
        new: &Value,
        managed: &mut Managed,
        writer: Option<&Key>,
        force: bool,
    ) -> Result<Comparison, Conflicts> {
        let compared = |old: &Value, new: &Value, schema: &Schema| {
            typed::compare(old, new, schema).without(self.kind.ignored)
        };
        let mut versions: BTreeMap<String, Option<Comparison>> = BTreeMap::new();
        versions.insert(self.kind.api_version.to_owned(), Some(compared(old, new, self.kind.schema)));
        let mut conflicts: Vec<(Key, PathSet)> = Vec::new();
        let mut gone: Vec<Key> = Vec::new();
        for (key, entry) in managed.entries.iter().filter(|(key, _)| Some(*key) != writer) {
            let change = versions.entry(entry.api_version.clone()).or_insert_with(|| {
                let (old, _) = self.at(old, &entry.api_version)?;
                let (new, schema) = self.at(new, &entry.api_version)?;
                Some(compared(&old, &new, &schema))
            });
            let Some(change) = change else {
                // The version is no longer served: what was owned in it cannot be told.
                gone.push(key.clone());
                continue;
            };
            let lost = entry.fields.intersection(&change.modified.union(&change.added));
            if !lost.is_empty() {
                conflicts.push((key.clone(), lost));
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(Conflicts::of(conflicts.into_iter()));
        }
        for key in &gone {
            managed.entries.remove(key);
        }
        for (key, lost) in &conflicts {
            if let Some(entry) = managed.entries.get_mut(key) {
                entry.fields = entry.fields.difference(lost);
            }
        }
        for (_, entry) in managed.entries.iter_mut().filter(|(key, _)| Some(*key) != writer) {
            if let Some(Some(change)) = versions.get(&entry.api_version)
                && !change.removed.is_empty()
            {
                entry.fields = entry.fields.difference(&change.removed);
            }
        }
        managed.drop_empty();
        Ok(versions.remove(self.kind.api_version).flatten().unwrap_or_default())
    }

    /// Removes what the manager applied last time and now does not, and nobody else owns.
    fn prune(&self, merged: Value, managed: &Managed, last: &PathSet, version: &str) -> Value {
        let Some((merged_then, schema)) = self.at(&merged, version) else { return merged };
        let last = with_named_fields(last, Some(&schema));
        let mut pruned = typed::remove(&merged_then, &last, &schema);

        // Add back what others, or the new set, own.
        let mut owned: BTreeMap<&str, PathSet> = BTreeMap::new();
        for entry in managed.entries.values() {
            let set = owned.entry(entry.api_version.as_str()).or_default();
            *set = set.union(&entry.fields);
        }
        let mut order: Vec<&str> = owned.keys().copied().filter(|owned| *owned != version).collect();
        if owned.contains_key(version) {
            order.insert(0, version);
        }
        let mut pruned_version = version.to_owned();
        for owned_version in order {
            let (Some((whole, schema)), Some((rest, _))) = (
                self.convert(&merged_then, version, owned_version),
                self.convert(&pruned, &pruned_version, owned_version),
            ) else {
                continue;
            };
            let named = |set: &PathSet| with_named_fields(set, Some(&schema));
            let keep = named(&typed::fields(&rest, &schema)).union(&named(&owned[owned_version]));
            let gone = named(&typed::fields(&whole, &schema)).difference(&keep);
            pruned = typed::remove(&whole, &gone, &schema);
            owned_version.clone_into(&mut pruned_version);
        }

        // Add back what the manager never owned: only what it applied last time may go.
        let Some((pruned, _)) = self.convert(&pruned, &pruned_version, version) else { return merged };
        let named = |set: &PathSet| with_named_fields(set, Some(&schema));
        let lost =
            named(&typed::fields(&merged_then, &schema)).difference(&named(&typed::fields(&pruned, &schema)));
        let mut result = typed::remove(&merged_then, &lost.intersection(&last), &schema);
        drop_emptied(&mut result, &merged_then);
        match self.convert(&result, version, self.kind.api_version) {
            Some((result, _)) => result,
            None => merged,
        }
    }

    /// An object of the request's version at another.
    fn at(&self, object: &Value, version: &str) -> Option<(Value, Schema)> {
        self.convert(object, self.kind.api_version, version)
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<(Value, Schema)> {
        if to == self.kind.api_version && from == to {
            return Some((object.clone(), self.kind.schema.clone()));
        }
        if from == to {
            // The schema is what is asked for; converting to the version that it has changes nothing.
            let (_, schema) = (self.kind.at_version)(object, to)?;
            return Some((object.clone(), schema));
        }
        let (object, schema) = (self.kind.at_version)(object, to)?;
        let schema = if to == self.kind.api_version { self.kind.schema.clone() } else { schema };
        Some((object, schema))
    }
}

/// Maps and lists that lost all they had were left as null; they are absent.
fn drop_emptied(value: &mut Value, before: &Value) {
    match (value, before) {
        (Value::Object(map), Value::Object(before)) => {
            map.retain(|key, value| !value.is_null() || before.get(key).is_none_or(Value::is_null));
            for (key, value) in map.iter_mut() {
                if let Some(before) = before.get(key) {
                    drop_emptied(value, before);
                }
            }
        }
        (Value::Array(items), Value::Array(before)) if items.len() == before.len() => {
            for (item, before) in items.iter_mut().zip(before) {
                drop_emptied(item, before);
            }
        }
        _ => {}
    }
}
