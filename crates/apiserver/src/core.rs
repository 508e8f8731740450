//! What all requests share, and which part answers which path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::Method;
use serde_json::{Value, json};

use crate::catalog::{self, Catalog, Resource};
use crate::http::{Answer, Call};
use crate::options::Options;
use crate::path::{Place, Target};
use crate::random::Random;
use crate::rest::Scope;
use crate::status::{Failure, Names};
use crate::store::{Change, Store};

pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) catalog: catalog::Shared,
    pub(crate) options: Options,
    pub(crate) random: Random,
    me: Weak<Core>,
    /// What each CRD came to at a revision of it. A schema of a megabyte is not read anew because another CRD came.
    defined: Mutex<BTreeMap<Box<str>, Defined>>,
    /// What each CRD says without its schemas, at a revision of it.
    pub(crate) outlines: Mutex<BTreeMap<Box<str>, Outline>>,
    /// Rung when the garbage collector may have work.
    pub(crate) garbage: tokio::sync::Notify,
}

/// A CRD's revision, and the resources that it came to.
type Defined = (u64, Vec<Arc<Resource>>);

/// A CRD's revision, and what it says without its schemas.
type Outline = (u64, Arc<Value>);

/// Namespaces that exist from the start, and cannot be deleted except `kube-node-lease`.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Core {
    pub(crate) fn start(options: Options) -> Result<Arc<Self>, crate::store::Error> {
        let store = match &options.data_dir {
            Some(dir) => Store::open(dir, options.log_bytes)?,
            None => Store::in_memory(options.log_bytes),
        };
        let core = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            store,
            catalog: catalog::Shared::from_pointee(Catalog::build([])),
            random: Random::new(options.seed),
            options,
            defined: Mutex::default(),
            outlines: Mutex::default(),
            garbage: tokio::sync::Notify::new(),
        });
        for name in NAMESPACES {
            let key = format!("/namespaces/{name}");
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {
                    "name": name, "uid": core.random.uid(), "creationTimestamp": core.now(),
                    "labels": {"kubernetes.io/metadata.name": name},
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            // Refused when it is there already, which is right.
            let _ = core.store.commit("/namespaces", &key, None, Change::Put(namespace));
        }
        core.reload_catalog(&BTreeMap::new());
        Ok(core)
    }

    /// A handle that outlives the request.
    pub(crate) fn handle(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// The time as objects carry it: whole seconds.
    pub(crate) fn now(&self) -> String {
        (self.options.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Takes the CRDs as they are now; `read` has those that the caller has read, by key, with their revision.
    pub(crate) fn reload_catalog(&self, read: &BTreeMap<Box<str>, (u64, Value)>) {
        let crds = self.store.list("apiextensions.k8s.io/customresourcedefinitions/");
        let mut defined = self.defined.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *defined);
        for crd in &crds.objects {
            let known = before.remove(&crd.key).filter(|(revision, _)| *revision == crd.revision);
            let entry = known.unwrap_or_else(|| {
                let value = read.get(&crd.key).filter(|(revision, _)| *revision == crd.revision);
                let resources = match value {
                    Some((_, value)) => crate::crd::resources(value),
                    None => crate::crd::resources(&crd.value()),
                };
                (crd.revision, resources)
            });
            defined.insert(crd.key.clone(), entry);
        }
        let resources = defined.values().flat_map(|(_, resources)| resources.iter().cloned());
        self.catalog.store(Arc::new(Catalog::build(resources)));
    }

    /// Answers a request. `unacceptable` is the refusal of its `Accept` header, which some paths do not mind.
    pub(crate) async fn answer(&self, call: Call, unacceptable: Option<Failure>) -> Result<Answer, Failure> {
        let place = crate::path::read(&call.path);
        self.authorize(&call, &place)?;
        match place {
            Place::Target(target) => {
                if let Some(refusal) = unacceptable {
                    let versioned = call.header("accept").is_some_and(|a| a.contains("as="));
                    let custom = !crate::kinds::is_built_in_group(&target.group);
                    return Err(if versioned || custom { refusal } else { crate::media::not_acceptable() });
                }
                self.resource(call, target).await
            }
            Place::Other => crate::discovery::other(self, &call),
            place => crate::discovery::answer(self, &call, &place),
        }
    }

    async fn resource(&self, call: Call, target: Target) -> Result<Answer, Failure> {
        let catalog = self.catalog.load_full();
        let Some(resource) = catalog.find(&target.group, &target.version, &target.plural).cloned() else {
            return match catalog.group_version(&target.group, &target.version) {
                Some(_) if target.group.is_empty() || crate::kinds::is_built_in_group(&target.group) => {
                    Err(Failure::no_such_path())
                }
                _ => Ok(Answer::text(404, "404 page not found\n")),
            };
        };
        if resource.namespaced != target.namespace.is_some() && !across_namespaces(&call, &target, &resource)
        {
            return Ok(Answer::text(404, "404 page not found\n"));
        }
        let scope = Scope {
            resource: resource.clone(),
            namespace: target.namespace.clone(),
            subresource: target.subresource.clone(),
        };
        let deprecation = resource.custom().and_then(|c| c.deprecation.clone());
        let watching = target.watch || (call.query.flag("watch") && call.method == Method::GET);
        let answer = match (&call.method, target.name.as_deref(), target.subresource.as_deref()) {
            (_, Some(name), Some(subresource)) if !is_the_object(&resource, subresource) => {
                self.subresource(&call, &scope, name, subresource).await
            }
            (&Method::GET, name, None) if watching => self.watch(&call, &scope, name),
            (&Method::GET, Some(name), _) => self.get(&call, &scope, name).await,
            (&Method::GET, None, _) => self.list(&call, &scope).await,
            (&Method::POST, None, _) => self.create(&call, &scope).await,
            (&Method::PUT, Some(name), _) => self.update(&call, &scope, name).await,
            (&Method::PATCH, Some(name), _) => self.patch(&call, &scope, name).await,
            (&Method::DELETE, Some(name), None) => self.delete(&call, &scope, name).await,
            (&Method::DELETE, None, _) => self.delete_collection(&call, &scope).await,
            _ => Err(Failure::method_not_allowed()),
        };
        answer.map(|answer| answer.warned(deprecation.into_iter().collect()))
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<crate::store::Object>> {
        self.store.get(&format!("/namespaces/{name}"))
    }

    /// The names of a kind that may not be known any more.
    pub(crate) fn resource_of(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.catalog.load().by_kind(group, version, kind).cloned()
    }
}

/// Subresources whose requests carry the whole object.
fn is_the_object(resource: &Resource, subresource: &str) -> bool {
    resource.has(subresource)
        && matches!(subresource, "status" | "ephemeralcontainers" | "finalize" | "resize" | "approval")
}

fn across_namespaces(call: &Call, target: &Target, resource: &Resource) -> bool {
    resource.namespaced
        && target.namespace.is_none()
        && target.name.is_none()
        && (call.method == Method::GET || resource.verbs == ["create"])
}

pub(crate) const NAMESPACE_NAMES: Names<'static> =
    Names { group: "", plural: "namespaces", kind: "Namespace" };

/// The member of a JSON object, made if it is absent.
pub(crate) fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    &mut value[name]
}
