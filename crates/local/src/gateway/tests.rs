//! The gateway before an API server: objects come and go, requests follow, statuses are reported.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// An API server with the kinds that a gateway reads, and a gateway on it.
struct Cluster {
    client: kube::Client,
    writes: Arc<Mutex<Vec<String>>>,
    gateway: GatewayHandle,
}

impl Cluster {
    async fn start() -> Self {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let server = apiserver::ApiServer::new(apiserver::Options::default()).unwrap();
        let recorded = Arc::clone(&writes);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            if request.method() == http::Method::PATCH {
                recorded.lock().unwrap().push(request.uri().path().to_owned());
            }
            let mut server = server.clone();
            async move { tower::Service::call(&mut server, request).await }
        });
        let client = kube::Client::new(service, "default");
        for (group, version, kind, plural) in [
            ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
            ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            ("inference.networking.k8s.io", "v1", "InferencePool", "inferencepools"),
            ("serving.kserve.io", "v1alpha2", "LLMInferenceService", "llminferenceservices"),
        ] {
            let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
            let definition = json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": { "name": format!("{plural}.{group}") },
                "spec": {
                    "group": group, "scope": "Namespaced",
                    "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
                    "versions": [{
                        "name": version, "served": true, "storage": true, "subresources": { "status": {} },
                        "schema": { "openAPIV3Schema": {
                            "type": "object", "properties": { "spec": any, "status": any },
                        } },
                    }],
                },
            });
            create(&client, definition).await;
        }
        for namespace in ["system", "team"] {
            create(
                &client,
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
            )
            .await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway =
            start(client.clone(), listener, GatewayOptions::new("llmisvc.example/gateway")).unwrap();
        Self { client, writes, gateway }
    }

    /// What the controllers of a service make, with one pod at the engine's address.
    async fn serve(&self, name: &str, engine: SocketAddr) {
        let gateway = "gateway.networking.k8s.io/v1";
        let port = engine.port();
        let path = |path: String| json!([{ "path": { "type": "PathPrefix", "value": path } }]);
        let objects = [
            json!({
                "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
                "metadata": { "name": name, "namespace": "team" }, "spec": { "model": { "name": format!("{name}-model") } },
            }),
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": format!("{name}-workload"), "namespace": "team" },
                "spec": { "selector": { "app": name }, "ports": [{ "port": 8000, "targetPort": port }] },
            }),
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": format!("{name}-epp"), "namespace": "team" },
                "spec": { "selector": { "app": "epp" }, "ports": [{ "port": 9002 }] },
            }),
            json!({
                "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool",
                "metadata": { "name": format!("{name}-pool"), "namespace": "team" },
                "spec": {
                    "selector": { "matchLabels": { "app": name } }, "targetPorts": [{ "number": port }],
                    "endpointPickerRef": { "name": format!("{name}-epp"), "port": { "number": 9002 } },
                },
            }),
            json!({
                "apiVersion": gateway, "kind": "HTTPRoute", "metadata": { "name": name, "namespace": "team" },
                "spec": {
                    "parentRefs": [{ "name": "entry", "namespace": "system" }],
                    "rules": [
                        {
                            "matches": path(format!("/team/{name}/v1/chat/completions")),
                            "filters": [{ "type": "URLRewrite", "urlRewrite": { "path": {
                                "type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1/chat/completions",
                            } } }],
                            "backendRefs": [{
                                "group": "inference.networking.k8s.io", "kind": "InferencePool",
                                "name": format!("{name}-pool"),
                            }],
                        },
                        {
                            "matches": path(format!("/team/{name}")),
                            "backendRefs": [{ "name": format!("{name}-workload"), "port": 8000 }],
                        },
                    ],
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": format!("{name}-0"), "namespace": "team", "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "engine" }] },
            }),
        ];
        for object in objects {
            create(&self.client, object).await;
        }
        self.set_ready(name, engine, true).await;
    }

    async fn set_ready(&self, name: &str, engine: SocketAddr, ready: bool) {
        let status = json!({ "status": {
            "podIP": engine.ip().to_string(),
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        } });
        let api = api(&self.client, "v1", "Pod", "pods", Some("team"));
        let pod = format!("{name}-0");
        api.patch_status(&pod, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    async fn gateway_object(&self) {
        let object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": { "name": "entry", "namespace": "system" },
            "spec": { "gatewayClassName": "any", "listeners": [{
                "name": "http", "port": self.gateway.address().port(), "protocol": "HTTP",
                "allowedRoutes": { "namespaces": { "from": "All" } },
            }] },
        });
        create(&self.client, object).await;
    }

    async fn chat(&self, path: &str) -> (u16, String) {
        request(self.gateway.address(), path).await
    }

    /// Waits until a chat has this status; the gateway follows the objects, it is not told by us.
    async fn chat_becomes(&self, path: &str, wanted: u16) -> String {
        let asking = async {
            loop {
                let (status, body) = self.chat(path).await;
                if status == wanted {
                    return body;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{path} does not become {wanted}"))
    }

    /// Waits until the status of an object is as wanted.
    async fn status(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        wanted: fn(&Value) -> bool,
    ) {
        let api = api(&self.client, version, kind, plural, Some(namespace));
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let watching = async {
            let mut events = std::pin::pin!(watcher(api, config).applied_objects());
            while let Some(object) = events.try_next().await.unwrap() {
                if wanted(&object.data["status"]) {
                    return;
                }
            }
        };
        tokio::time::timeout(SOON, watching)
            .await
            .unwrap_or_else(|_| panic!("{kind} {name} does not become as wanted"));
    }
}

fn api(
    client: &kube::Client,
    api_version: &str,
    kind: &str,
    plural: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

async fn create(client: &kube::Client, object: Value) {
    let kind = object["kind"].as_str().unwrap();
    let plural = format!("{}s", kind.to_lowercase());
    let api = api(
        client,
        object["apiVersion"].as_str().unwrap(),
        kind,
        &plural,
        object["metadata"]["namespace"].as_str(),
    );
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// An engine that says its name.
struct Engine {
    address: SocketAddr,
    chats: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Engine {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let chats = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&chats);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let counted = Arc::clone(&counted);
                let service =
                    hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                        counted.fetch_add(
                            usize::from(request.uri().path() == "/v1/chat/completions"),
                            Ordering::SeqCst,
                        );
                        async { Ok::<_, std::convert::Infallible>(http::Response::new("{}".to_owned())) }
                    });
                let io = hyper_util::rt::TokioIo::new(stream);
                connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
        Self { address, chats, task }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn request(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let body = r#"{"model":"demo-model","messages":[]}"#;
    let method = if path == "/v1/models" { "GET" } else { "POST" };
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn accepted(parent: &Value) -> bool {
    let conditions = parent["conditions"].as_array();
    conditions
        .is_some_and(|conditions| conditions.len() == 2 && conditions.iter().all(|c| c["status"] == "True"))
}

#[tokio::test]
async fn a_service_is_served_and_reported_as_soon_as_its_objects_are_there() {
    let cluster = Cluster::start().await;
    let engine = Engine::start().await;
    assert_eq!(cluster.chat("/v1/chat/completions").await.0, 404);
    cluster.gateway_object().await;
    cluster.serve("demo", engine.address).await;
    cluster.chat_becomes("/team/demo/v1/chat/completions", 200).await;
    assert_eq!(cluster.chat("/v1/chat/completions").await.0, 200);
    assert_eq!(engine.chats.load(Ordering::SeqCst), 2);
    assert!(cluster.chat("/v1/models").await.1.contains("demo-model"));
    let version = "gateway.networking.k8s.io/v1";
    cluster.status(version, "Gateway", "gateways", "system", "entry", accepted).await;
    let parent = |status: &Value| accepted(&status["parents"][0]);
    cluster.status(version, "HTTPRoute", "httproutes", "team", "demo", parent).await;
    let version = "inference.networking.k8s.io/v1";
    cluster.status(version, "InferencePool", "inferencepools", "team", "demo-pool", parent).await;
    // One count of routes is still to come, when it has been quiet; the other statuses are written once.
    let of_route =
        |writes: &[String]| writes.iter().filter(|path| path.ends_with("/httproutes/demo/status")).count();
    assert_eq!(of_route(&cluster.writes.lock().unwrap()), 1);
    cluster.gateway.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_pod_that_is_not_ready_leaves_the_rotation_and_the_refusal_says_why() {
    let cluster = Cluster::start().await;
    let engine = Engine::start().await;
    cluster.gateway_object().await;
    cluster.serve("demo", engine.address).await;
    cluster.chat_becomes("/v1/chat/completions", 200).await;
    cluster.set_ready("demo", engine.address, false).await;
    let refusal = cluster.chat_becomes("/v1/chat/completions", 503).await;
    assert!(refusal.contains("0 of 1 pods are ready (demo-0 is starting)"), "{refusal}");
    cluster.set_ready("demo", engine.address, true).await;
    cluster.chat_becomes("/v1/chat/completions", 200).await;
}

#[tokio::test]
async fn a_route_that_is_deleted_is_no_longer_served() {
    let cluster = Cluster::start().await;
    let engine = Engine::start().await;
    cluster.gateway_object().await;
    cluster.serve("demo", engine.address).await;
    cluster.chat_becomes("/team/demo/v1/chat/completions", 200).await;
    let routes =
        api(&cluster.client, "gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", Some("team"));
    routes.delete("demo", &kube::api::DeleteParams::default()).await.unwrap();
    let refusal = cluster.chat_becomes("/team/demo/v1/chat/completions", 404).await;
    assert!(refusal.contains("no service is here yet"), "{refusal}");
}
