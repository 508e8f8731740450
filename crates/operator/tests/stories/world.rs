//! A cluster in this process, an operator on it, and what the operator wrote.
//!
//! Tests look at the cluster through a client of their own, so the tap counts the operator's requests alone. Nothing here
//! sleeps: what is waited for is a watch event, and "nothing more happens" is known when a service that was made
//! later has been looked at, for the operator of these tests looks at one service at a time, in order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use apiserver::{ApiServer, Body};
use futures_util::StreamExt;
use http::{Method, Request, Response};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// The namespace of every service here.
pub(crate) const TEAM: &str = "team";
/// Longer than anything takes on a loaded machine; a test that waits in vain fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Group, version, kind, plural and whether it is namespaced, of what the stories touch.
const KINDS: &[(&str, &str, &str, &str, bool)] = &[
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "ServiceAccount", "serviceaccounts", true),
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Service", "services", true),
    ("", "v1", "Secret", "secrets", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("events.k8s.io", "v1", "Event", "events", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    ("serving.kserve.io", "v1alpha2", "LLMInferenceService", "llminferenceservices", true),
    ("serving.kserve.io", "v1alpha2", "LLMInferenceServiceConfig", "llminferenceserviceconfigs", true),
    ("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses", false),
    ("gateway.networking.k8s.io", "v1", "Gateway", "gateways", true),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes", true),
    ("inference.networking.k8s.io", "v1", "InferencePool", "inferencepools", true),
    ("inference.networking.x-k8s.io", "v1alpha2", "InferencePool", "inferencepools", true),
    ("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", true),
    ("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets", true),
];

pub(crate) struct World {
    client: Client,
    tap: Tap,
    passes: Arc<Mutex<HashMap<String, usize>>>,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    markers: AtomicUsize,
}

impl World {
    /// A cluster with every definition, a gateway and an operator.
    pub(crate) async fn start() -> Self {
        Self::start_without("").await
    }

    /// The same without the definition of that name.
    pub(crate) async fn start_without(absent: &str) -> Self {
        let server = ApiServer::new(apiserver::Options::default()).unwrap();
        let tap = Tap { server: server.clone(), log: Arc::default() };
        let client = Client::new(server.clone(), TEAM);
        tokio::spawn(async move { server.run_collector().await });
        let mut world =
            World { client, tap, passes: Arc::default(), running: None, markers: AtomicUsize::new(0) };
        for definition in
            definitions().into_iter().filter(|definition| definition["metadata"]["name"] != absent)
        {
            world.put(definition).await;
        }
        for object in surroundings() {
            world.put(object).await;
        }
        world
            .report(
                "Gateway",
                "kserve",
                "gateway",
                json!({"addresses": [{"type": "IPAddress", "value": "203.0.113.7"}]}),
            )
            .await;
        world.start_operator();
        world
    }

    fn start_operator(&mut self) {
        let (stop, stopping) = watch::channel(false);
        let client = Client::new(self.tap.clone(), TEAM);
        let options = operator::Options { concurrency: 1, ..operator::Options::default() };
        let (reports, mut reported) = mpsc::unbounded_channel::<operator::Report>();
        let passes = self.passes.clone();
        let operator = operator::run(client, options, Some(reports), stopping);
        let counting = async move {
            while let Some(report) = reported.recv().await {
                if matches!(report.done, operator::Done::Looked) {
                    *passes.lock().unwrap().entry(report.name).or_default() += 1;
                }
            }
        };
        self.running = Some((
            stop,
            tokio::spawn(async move {
                tokio::join!(operator, counting);
            }),
        ));
    }

    /// Ends the operator, which ends its passes first, and starts another that remembers nothing.
    pub(crate) async fn restart(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.send_replace(true);
        task.await.unwrap();
        self.start_operator();
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version, kind, plural, namespaced) = KINDS
            .iter()
            .find(|(_, _, name, ..)| *name == kind)
            .unwrap_or_else(|| panic!("{kind} is not among KINDS"));
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        if *namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Applies an object as a user does.
    pub(crate) async fn put(&self, object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let params = PatchParams::apply("user").force();
        let api = self.api(&kind, &text(&object["metadata"]["namespace"]));
        if let Err(error) = api.patch(&name, &params, &Patch::Apply(object)).await {
            panic!("{kind} {name}: {error}");
        }
    }

    /// Changes an object of the team by a merge patch.
    pub(crate) async fn change(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind, TEAM).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Reports a status as a controller of the cluster would.
    pub(crate) async fn report(&self, kind: &str, namespace: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api(kind, namespace).patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Reports that the Deployment's pods are there.
    pub(crate) async fn report_available(&self, name: &str) {
        let generation = self.get("Deployment", name).await.unwrap()["metadata"]["generation"].clone();
        let status = json!({
            "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
            "availableReplicas": 1,
            "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}],
        });
        self.report("Deployment", TEAM, name, status).await;
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        self.api(kind, TEAM).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// An object of the team, or of the cluster, as it is now.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let object = self.api(kind, TEAM).get_opt(name).await.unwrap()?;
        Some(serde_json::to_value(object).unwrap())
    }

    /// Everything that the cluster holds, as `kubectl get -o yaml --show-managed-fields` would give it.
    pub(crate) async fn dump(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (group, version, kind, plural, _) in KINDS {
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            for object in api.list(&ListParams::default()).await.unwrap() {
                let mut object = serde_json::to_value(object).unwrap();
                object["apiVersion"] = json!(resource.api_version);
                object["kind"] = json!(kind);
                all.push(object);
            }
        }
        all
    }

    /// All names of a kind in the team's namespace.
    pub(crate) async fn names(&self, kind: &str) -> Vec<String> {
        let list = self.api(kind, TEAM).list(&ListParams::default()).await.unwrap();
        list.items.into_iter().filter_map(|object| object.metadata.name).collect()
    }

    /// Waits until the object of the team is as `wanted` asks, and gives it.
    pub(crate) async fn until(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = self.watch(kind, name, |object| {
            last = object.cloned().unwrap_or_default();
            wanted(&last)
        });
        if !found.await {
            panic!("{kind} {name} stays as it is: {last:#}\nwrites: {:#?}", self.writes());
        }
        last
    }

    /// Waits until there is no such object.
    pub(crate) async fn until_gone(&self, kind: &str, name: &str) {
        assert!(self.watch(kind, name, |object| object.is_none()).await, "{kind} {name} does not go");
    }

    /// `false` if it did not come about in time.
    async fn watch(&self, kind: &str, name: &str, mut wanted: impl FnMut(Option<&Value>) -> bool) -> bool {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = std::pin::pin!(watcher(self.api(kind, TEAM), config).default_backoff());
        let mut is_there = false;
        let found = async {
            while let Some(event) = events.next().await {
                let is_wanted = match event {
                    Ok(watcher::Event::Init) => {
                        is_there = false;
                        false
                    }
                    Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                        is_there = true;
                        wanted(Some(&serde_json::to_value(object).unwrap()))
                    }
                    Ok(watcher::Event::InitDone) => !is_there && wanted(None),
                    Ok(watcher::Event::Delete(_)) => wanted(None),
                    Err(_) => false,
                };
                if is_wanted {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_default()
    }

    /// Waits until the operator has done all that followed from what was changed so far.
    pub(crate) async fn settle(&self) {
        loop {
            let before = self.writes().len();
            // Services are looked at in the order of their changes, so when this one was, the others were.
            let name = format!("marker-{}", self.markers.fetch_add(1, Ordering::SeqCst));
            let mut marker = service(&name, json!({"model": {"uri": "hf://org/marker", "name": name}}));
            marker["metadata"]["annotations"] = json!({"serving.kserve.io/stop": "true"});
            self.put(marker).await;
            self.until("LLMInferenceService", &name, |marker| marker["status"]["conditions"].is_array())
                .await;
            if self.writes().len() == before {
                return;
            }
        }
    }

    /// What the operator asked of single objects since the last [`World::forget`], as `METHOD plural/name`: nearly always a
    /// write, for it reads from its watches.
    pub(crate) fn writes(&self) -> Vec<String> {
        let log = self.tap.log.lock().unwrap();
        log.writes.iter().filter(|write| !write.contains("/marker-")).cloned().collect()
    }

    /// The writes to children: not to the service itself, and not events.
    pub(crate) fn child_writes(&self) -> Vec<String> {
        let own = |write: &String| write.contains(" llminferenceservice") || write.contains(" events");
        self.writes().into_iter().filter(|write| !own(write)).collect()
    }

    /// How often the operator has looked at that service since the last [`World::forget`].
    pub(crate) fn passes(&self, name: &str) -> usize {
        self.passes.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    pub(crate) fn forget(&self) {
        self.passes.lock().unwrap().clear();
        self.tap.log.lock().unwrap().writes.clear();
    }

    /// Answers the next `METHOD plural/name` with that failure instead of carrying it out.
    pub(crate) fn fail_once(&self, write: &str, code: u16, reason: &str) {
        self.tap.log.lock().unwrap().faults.insert(write.to_owned(), (code, reason.to_owned()));
    }

    /// Whether every failure asked for was met.
    pub(crate) fn has_failed(&self) -> bool {
        self.tap.log.lock().unwrap().faults.is_empty()
    }

    /// Waits for an event on an object, and gives its note.
    pub(crate) async fn until_event(&self, name: &str, reason: &str) -> String {
        let events = watcher(self.api("Event", TEAM), watcher::Config::default()).applied_objects();
        let mut notes = std::pin::pin!(events.filter_map(async |event| {
            let data = event.ok()?.data;
            let is_it = data["regarding"]["name"] == name && data["reason"] == reason;
            is_it.then(|| data["note"].as_str().unwrap_or_default().to_owned())
        }));
        tokio::time::timeout(PATIENCE, notes.next())
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("no {reason} on {name}"))
    }

    /// The events on an object, as `Reason: note`, sorted, each as often as it was recorded.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        let list = self.api("Event", TEAM).list(&ListParams::default()).await.unwrap();
        let mut events: Vec<String> = Vec::new();
        for event in list.items.iter().filter(|event| event.data["regarding"]["name"] == name) {
            let count = event.data["series"]["count"].as_u64().unwrap_or(1);
            let text = |field: &str| event.data[field].as_str().unwrap_or_default().to_owned();
            for _ in 0..count {
                events.push(format!("{}: {}", text("reason"), text("note")));
            }
        }
        events.sort();
        events
    }
}

/// A service of the team with that spec.
pub(crate) fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["model"].is_null() {
        spec["model"] = json!({"uri": "hf://org/tiny", "name": "org/tiny"});
    }
    json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
        "metadata": {"name": name, "namespace": TEAM}, "spec": spec,
    })
}

/// A config of the team with that spec.
pub(crate) fn config(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceServiceConfig",
        "metadata": {"name": name, "namespace": TEAM}, "spec": spec,
    })
}

/// A route, the default gateway and a picker of our own.
pub(crate) fn routed() -> Value {
    json!({"route": {}, "gateway": {}, "scheduler": {}})
}

/// The condition of that type; null if there is none.
pub(crate) fn condition<'o>(object: &'o Value, type_: &str) -> &'o Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}

/// Whether the condition has that status.
pub(crate) fn says(object: &Value, type_: &str, status: &str) -> bool {
    condition(object, type_)["status"] == status
}

/// Whether the condition has that reason.
pub(crate) fn because(object: &Value, type_: &str, reason: &str) -> bool {
    condition(object, type_)["reason"] == reason
}

/// The definition of that name.
pub(crate) fn definition(name: &str) -> Value {
    definitions().into_iter().find(|definition| definition["metadata"]["name"] == name).unwrap()
}

fn definitions() -> Vec<Value> {
    let mut definitions = api::crd::crds(api::crd::Edition::Installed, None);
    definitions.extend(kinds::crds());
    definitions
}

fn surroundings() -> Vec<Value> {
    let gateway = "gateway.networking.k8s.io/v1";
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    vec![
        namespace("kserve"),
        namespace(TEAM),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": TEAM}}),
        json!({
            "apiVersion": gateway, "kind": "GatewayClass", "metadata": {"name": "class"},
            "spec": {"controllerName": "example.com/gateway"},
        }),
        json!({
            "apiVersion": gateway, "kind": "Gateway", "metadata": {"name": "gateway", "namespace": "kserve"},
            "spec": {
                "gatewayClassName": "class",
                "listeners": [{
                    "name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}},
                }],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
            "data": {"ingress": json!({"ingressGateway": "kserve/gateway", "kserveIngressGateway": "kserve/gateway", "urlScheme": "http"}).to_string()},
        }),
    ]
}

/// The API server as the operator reaches it: every request but lists and watches is noted, and fails if that was asked for.
#[derive(Clone)]
struct Tap {
    server: ApiServer,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    writes: Vec<String>,
    faults: HashMap<String, (u16, String)>,
}

impl tower::Service<Request<kube::client::Body>> for Tap {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let resource = resource(request.uri().path());
        if request.method() != Method::GET || resource.contains('/') {
            let write = format!("{} {resource}", request.method());
            let mut log = self.log.lock().unwrap();
            let fault = log.faults.remove(&write);
            log.writes.push(write);
            if let Some((code, reason)) = fault {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                    "message": "this was asked for",
                });
                let body = Body::Full(Some(status.to_string().into()));
                return Box::pin(async move { Ok(Response::builder().status(code).body(body).unwrap()) });
            }
        }
        self.server.call(request)
    }
}

/// `plural/name/subresource` of a path.
fn resource(path: &str) -> String {
    let mut segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    segments.drain(..if segments[0] == "api" { 2 } else { 3 });
    if segments[0] == "namespaces" && segments.len() > 2 {
        segments.drain(..2);
    }
    segments.join("/")
}
