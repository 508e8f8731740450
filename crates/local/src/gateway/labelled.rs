//! Objects by their labels, so that a selector looks only at those that carry its rarest label.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::watch::{Kept, Key};

/// The objects of one kind, by namespace and label.
pub(crate) struct Labelled<'a, K> {
    objects: Vec<(&'a Arc<K>, &'a BTreeMap<String, String>)>,
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<usize>>,
}

impl<'a, K: kube::Resource> Labelled<'a, K> {
    /// An index over the labels that `labels_of` reads: an object's own, or those of its template.
    pub(crate) fn new(
        kept: &'a Kept<K>,
        labels_of: impl Fn(&'a K) -> Option<&'a BTreeMap<String, String>>,
    ) -> Self {
        let mut objects = Vec::new();
        let mut by_label: HashMap<_, Vec<usize>> = HashMap::new();
        for (key, object) in kept.iter() {
            let (namespace, _): &Key = key;
            let Some(labels) = labels_of(object) else { continue };
            for (label, value) in labels {
                by_label
                    .entry((namespace.as_str(), label.as_str(), value.as_str()))
                    .or_default()
                    .push(objects.len());
            }
            objects.push((object, labels));
        }
        Self { objects, by_label }
    }

    /// The objects of a namespace that carry all these labels. An empty selector picks none: it belongs to nobody.
    pub(crate) fn select(&self, namespace: &str, selector: &BTreeMap<String, String>) -> Vec<&'a Arc<K>> {
        let rarest = selector
            .iter()
            .map(|(label, value)| {
                let found = self.by_label.get(&(namespace, label.as_str(), value.as_str()));
                found.map_or(&[][..], Vec::as_slice)
            })
            .min_by_key(|found| found.len());
        rarest
            .into_iter()
            .flatten()
            .map(|number| self.objects[*number])
            .filter(|(_, labels)| selector.iter().all(|(label, value)| labels.get(label) == Some(value)))
            .map(|(object, _)| object)
            .collect()
    }
}
