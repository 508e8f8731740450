//! Which resources are served, under which names: the built-in kinds and those of the CRDs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::crd::CustomVersion;
use crate::kinds::{BUILT_IN, BuiltIn};
use crate::status::Names;

/// One resource in one version.
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) origin: Origin,
}

pub(crate) enum Origin {
    BuiltIn(&'static BuiltIn),
    Custom(Box<CustomVersion>),
}

impl Resource {
    pub(crate) fn names(&self) -> Names<'_> {
        Names { group: &self.group, plural: &self.plural, kind: &self.kind }
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Group under which the objects are kept: the events of both groups are the same objects.
    fn stored_group(&self) -> &str {
        if self.is("events.k8s.io", "Event") { "" } else { &self.group }
    }

    /// Key of the resource in the store, the same for all its versions.
    pub(crate) fn store_key(&self) -> String {
        format!("{}/{}", self.stored_group(), self.plural)
    }

    /// Prefix of the keys of all objects, or of those in one namespace.
    pub(crate) fn prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => format!("{}/{namespace}/", self.store_key()),
            _ => format!("{}/", self.store_key()),
        }
    }

    pub(crate) fn key(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }

    pub(crate) fn custom(&self) -> Option<&CustomVersion> {
        match &self.origin {
            Origin::Custom(custom) => Some(custom),
            Origin::BuiltIn(_) => None,
        }
    }

    pub(crate) fn built_in(&self) -> Option<&'static BuiltIn> {
        match &self.origin {
            Origin::BuiltIn(built_in) => Some(built_in),
            Origin::Custom(_) => None,
        }
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// `status` is written through `/status` alone.
    pub(crate) fn has_status(&self) -> bool {
        self.has("status")
    }

    pub(crate) fn has(&self, subresource: &str) -> bool {
        match &self.origin {
            Origin::BuiltIn(built_in) => built_in.subresources.contains(&subresource),
            Origin::Custom(custom) => match subresource {
                "status" => custom.status,
                "scale" => custom.scale.is_some(),
                _ => false,
            },
        }
    }
}

/// The resources of one group and version, by plural, in the order of discovery.
pub(crate) type GroupVersion = BTreeMap<String, Arc<Resource>>;

/// A snapshot of everything that is served.
#[derive(Default)]
pub(crate) struct Catalog {
    versions: HashMap<(String, String), GroupVersion>,
    /// Groups in the order of discovery with their versions, the preferred one first.
    pub(crate) groups: Vec<(String, Vec<String>)>,
    /// API documents that somebody asked for, by group and version.
    documents: Mutex<HashMap<(String, String), Bytes>>,
}

impl Catalog {
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.versions.get(&(group.to_owned(), version.to_owned()))?.get(plural)
    }

    /// An API document, made the first time.
    pub(crate) fn document(&self, group: &str, version: &str, make: impl FnOnce() -> Bytes) -> Bytes {
        let documents = || self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (group.to_owned(), version.to_owned());
        let known = documents().get(&key).cloned();
        known.unwrap_or_else(|| {
            let made = make();
            documents().insert(key, made.clone());
            made
        })
    }

    pub(crate) fn group_version(&self, group: &str, version: &str) -> Option<&GroupVersion> {
        self.versions.get(&(group.to_owned(), version.to_owned()))
    }

    pub(crate) fn versions_of(&self, group: &str) -> Option<&[String]> {
        self.groups.iter().find(|(g, _)| g == group).map(|(_, v)| v.as_slice())
    }

    /// The resource of a kind, in the version given.
    pub(crate) fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.group_version(group, version)?.values().find(|r| r.kind == kind)
    }

    /// One version of every resource.
    pub(crate) fn each_resource(&self) -> Vec<Arc<Resource>> {
        let mut seen = std::collections::BTreeSet::new();
        let mut out = Vec::new();
        for (group, versions) in &self.groups {
            for version in versions {
                for resource in self.group_version(group, version).into_iter().flat_map(BTreeMap::values) {
                    if seen.insert((group.clone(), resource.plural.clone())) {
                        out.push(resource.clone());
                    }
                }
            }
        }
        out
    }

    /// Built-in kinds and the versions of the CRDs given, which come in order of discovery priority.
    pub(crate) fn build(custom: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut catalog = Self::default();
        for built_in in BUILT_IN {
            catalog.add(Arc::new(Resource {
                group: built_in.group.into(),
                version: built_in.version.into(),
                kind: built_in.kind.into(),
                list_kind: format!("{}List", built_in.kind),
                plural: built_in.plural.into(),
                singular: built_in.singular.into(),
                short_names: built_in.short_names.iter().map(|s| (*s).to_owned()).collect(),
                categories: built_in.categories.iter().map(|s| (*s).to_owned()).collect(),
                namespaced: built_in.namespaced,
                verbs: built_in.verbs,
                origin: Origin::BuiltIn(built_in),
            }));
        }
        let fixed = catalog.groups.len();
        for resource in custom {
            catalog.add(resource);
        }
        if let Some(custom_groups) = catalog.groups.get_mut(fixed..) {
            custom_groups.sort();
            for (_, versions) in custom_groups {
                versions.sort_by_key(|v| std::cmp::Reverse(version_rank(v)));
            }
        }
        catalog
    }

    fn add(&mut self, resource: Arc<Resource>) {
        let (group, version) = (resource.group.clone(), resource.version.clone());
        match self.groups.iter_mut().find(|(g, _)| *g == group) {
            Some((_, versions)) => {
                if !versions.contains(&version) {
                    versions.push(version.clone());
                }
            }
            None => self.groups.push((group.clone(), vec![version.clone()])),
        }
        self.versions.entry((group, version)).or_default().insert(resource.plural.clone(), resource);
    }
}

/// The order of versions: stable before beta before alpha, each by number; other names last.
pub(crate) fn version_rank(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse::<u32>().ok();
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let (major, rest) = match rest.find(|c: char| !c.is_ascii_digit()) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let major = number(major)?;
        if rest.is_empty() {
            return Some((3, major, 0));
        }
        if let Some(minor) = rest.strip_prefix("beta") {
            return Some((2, major, number(minor)?));
        }
        rest.strip_prefix("alpha").and_then(|minor| Some((1, major, number(minor)?)))
    });
    parsed.unwrap_or((0, 0, 0))
}

/// The catalog as it is now.
pub(crate) type Shared = ArcSwap<Catalog>;
