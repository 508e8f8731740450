//! The objects that the gateway reads, as the API server last showed them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kinds::gateway::{GatewaySpec, GatewayStatus, HTTPRouteSpec, HTTPRouteStatus};
use kinds::inference::{InferencePoolSpec, InferencePoolStatus, OldInferencePoolSpec};
use kube::core::{ApiResource, GroupVersionKind, Object};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A Gateway.
pub(crate) type GatewayObject = Object<GatewaySpec, GatewayStatus>;
/// An HTTPRoute.
pub(crate) type RouteObject = Object<HTTPRouteSpec, HTTPRouteStatus>;
/// An InferencePool of `inference.networking.k8s.io/v1`.
pub(crate) type PoolObject = Object<InferencePoolSpec, InferencePoolStatus>;
/// An InferencePool of `inference.networking.x-k8s.io/v1alpha2`.
pub(crate) type OldPoolObject = Object<OldInferencePoolSpec, InferencePoolStatus>;
/// An LLMInferenceService; only the model's names are read.
pub(crate) type ServiceObject = Object<Value, Value>;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// Everything that is watched.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) gateways: Kept<GatewayObject>,
    pub(crate) routes: Kept<RouteObject>,
    pub(crate) pools: Kept<PoolObject>,
    pub(crate) old_pools: Kept<OldPoolObject>,
    pub(crate) inference_services: Kept<ServiceObject>,
    pub(crate) services: Kept<Service>,
    pub(crate) pods: Kept<Pod>,
    pub(crate) pickers: Kept<Deployment>,
    pub(crate) picker_configs: Kept<ConfigMap>,
}

/// The objects of one kind.
pub(crate) struct Kept<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// A list that is still arriving.
    arriving: BTreeMap<Key, Arc<K>>,
    is_known: bool,
    is_served: bool,
    newest_version: u64,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            arriving: BTreeMap::new(),
            is_known: false,
            is_served: false,
            newest_version: 0,
        }
    }
}

/// One thing that happened.
pub(crate) enum Change {
    Gateway(Happened<GatewayObject>),
    Route(Happened<RouteObject>),
    Pool(Happened<PoolObject>),
    OldPool(Happened<OldPoolObject>),
    InferenceService(Happened<ServiceObject>),
    Service(Happened<Service>),
    Pod(Happened<Pod>),
    Picker(Happened<Deployment>),
    PickerConfig(Happened<ConfigMap>),
}

/// What a watch says.
pub(crate) enum Happened<K> {
    Seen(Event<K>),
    /// The kind is not served here: no CRD of it is installed. It may come at any time.
    NotServed,
    /// The watch is broken and will be tried again; what is known stays.
    Broken,
}

impl Seen {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Gateway(happened) => self.gateways.apply(happened),
            Change::Route(happened) => self.routes.apply(happened),
            Change::Pool(happened) => self.pools.apply(happened),
            Change::OldPool(happened) => self.old_pools.apply(happened),
            Change::InferenceService(happened) => self.inference_services.apply(happened),
            Change::Service(happened) => self.services.apply(happened),
            Change::Pod(happened) => self.pods.apply(happened),
            Change::Picker(happened) => self.pickers.apply(happened),
            Change::PickerConfig(happened) => self.picker_configs.apply(happened),
        }
    }

    /// Whether every kind has been listed, so that what is missing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.gateways.is_known
            && self.routes.is_known
            && self.pools.is_known
            && self.old_pools.is_known
            && self.inference_services.is_known
            && self.services.is_known
            && self.pods.is_known
            && self.pickers.is_known
            && self.picker_configs.is_known
    }
}

impl<K: Resource> Kept<K> {
    fn apply(&mut self, happened: Happened<K>) {
        let key = |object: &K| {
            let meta = object.meta();
            (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
        };
        match happened {
            Happened::Seen(Event::Apply(object)) => {
                self.newest_version = self.newest_version.max(version(&object));
                self.objects.insert(key(&object), Arc::new(object));
            }
            Happened::Seen(Event::Delete(object)) => {
                self.objects.remove(&key(&object));
            }
            Happened::Seen(Event::Init) => self.arriving.clear(),
            Happened::Seen(Event::InitApply(object)) => {
                self.arriving.insert(key(&object), Arc::new(object));
            }
            Happened::Seen(Event::InitDone) => {
                self.objects = std::mem::take(&mut self.arriving);
                let versions = self.objects.values().map(|object| version(&**object));
                self.newest_version = versions.fold(self.newest_version, u64::max);
                self.is_known = true;
                self.is_served = true;
            }
            Happened::NotServed => {
                self.objects.clear();
                self.is_known = true;
                self.is_served = false;
            }
            Happened::Broken => {}
        }
    }

    /// The newest `resourceVersion` of an object. The API server tells of changes in their order, so what is older is
    /// known.
    pub(crate) fn newest_version(&self) -> u64 {
        self.newest_version
    }

    /// Whether the API server knows the kind.
    pub(crate) fn is_served(&self) -> bool {
        self.is_served
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.objects.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<K>)> {
        self.objects.iter()
    }

    /// For tests: the kind is known, with these objects.
    #[cfg(test)]
    pub(crate) fn set(&mut self, objects: impl IntoIterator<Item = K>) {
        self.apply(Happened::Seen(Event::Init));
        for object in objects {
            self.apply(Happened::Seen(Event::InitApply(object)));
        }
        self.apply(Happened::Seen(Event::InitDone));
    }
}

/// An object's `resourceVersion` as a number; 0 without one.
pub(crate) fn version(object: &impl Resource) -> u64 {
    let version = object.meta().resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// All watches as one stream. It never ends.
pub(crate) fn changes(client: Client) -> SelectAll<BoxStream<'static, Change>> {
    let mut all = SelectAll::new();
    let any = watcher::Config::default;
    let foreign = |group: &str, version: &str, kind: &str, plural: &str| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    };
    let gateway = kinds::gateway::GROUP;
    let (pool, old_pool) = (kinds::inference::GROUP, kinds::inference::OLD_GROUP);
    let c = &client;
    all.push(watch(c, &foreign(gateway, "v1", "Gateway", "gateways"), any(), Change::Gateway));
    all.push(watch(c, &foreign(gateway, "v1", "HTTPRoute", "httproutes"), any(), Change::Route));
    all.push(watch(c, &foreign(pool, "v1", "InferencePool", "inferencepools"), any(), Change::Pool));
    all.push(watch(
        c,
        &foreign(old_pool, "v1alpha2", "InferencePool", "inferencepools"),
        any(),
        Change::OldPool,
    ));
    let service = foreign("serving.kserve.io", "v1alpha2", "LLMInferenceService", "llminferenceservices");
    all.push(watch(c, &service, any(), Change::InferenceService));
    all.push(watch(c, &(), any(), Change::Service));
    all.push(watch(c, &(), any(), Change::Pod));
    let picker = "app.kubernetes.io/component=llminferenceservice-router-scheduler";
    all.push(watch(c, &(), any().labels(picker), Change::Picker));
    let part = "app.kubernetes.io/part-of=llminferenceservice";
    all.push(watch(c, &(), any().labels(part), Change::PickerConfig));
    all
}

fn watch<K>(
    client: &Client,
    kind: &K::DynamicType,
    config: watcher::Config,
    change: fn(Happened<K>) -> Change,
) -> BoxStream<'static, Change>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Clone,
{
    let name = K::kind(kind).into_owned();
    let api = Api::<K>::all_with(client.clone(), kind);
    watcher(api, config)
        .default_backoff()
        .map(move |event| {
            change(match event {
                Ok(mut event) => {
                    if let Event::Apply(object) | Event::InitApply(object) = &mut event {
                        // Nobody reads them, and they are half of an object.
                        object.meta_mut().managed_fields = None;
                    }
                    Happened::Seen(event)
                }
                Err(error) if is_not_found(&error) => Happened::NotServed,
                Err(error) => {
                    tracing::debug!(kind = name, %error, "a watch is broken and is tried again");
                    Happened::Broken
                }
            })
        })
        .boxed()
}

fn is_not_found(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
