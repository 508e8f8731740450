//! A machine for one test: an API server in memory, a node agent, a data directory.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod, Secret};
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use local::node::{Engine, NodeHandle, NodeOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) struct Machine {
    pub(crate) client: Client,
    pub(crate) data: PathBuf,
    _directory: Option<tempfile::TempDir>,
    node: Option<NodeHandle>,
}

pub(crate) const NAMESPACE: &str = "default";

impl Machine {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = apiserver::ApiServer::new(apiserver::Options::default()).expect("a server");
        let mut machine = Self {
            client: Client::new(server, NAMESPACE),
            data: directory.path().to_owned(),
            _directory: Some(directory),
            node: None,
        };
        machine.restart(|_| ()).await;
        machine
    }

    /// Starts the agent (again), with other options.
    pub(crate) async fn restart(&mut self, change: impl FnOnce(&mut NodeOptions)) {
        self.stop().await;
        let mut options = NodeOptions::new(self.data.clone(), PathBuf::from(env!("CARGO_BIN_EXE_pod_shim")));
        options.engine = Engine::InlineSim;
        change(&mut options);
        self.node = Some(local::node::start(self.client.clone(), options).await.expect("an agent"));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.shutdown(Duration::from_secs(5)).await;
        }
    }

    pub(crate) fn node(&self) -> &NodeHandle {
        self.node.as_ref().expect("a running agent")
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        self.api::<K>().create(&PostParams::default(), &object).await.expect("created")
    }

    pub(crate) async fn config_map(&self, name: &str, data: Value) {
        self.create::<ConfigMap>(json!({"metadata": {"name": name}, "data": data})).await;
    }

    pub(crate) async fn secret(&self, name: &str, data: Value) {
        self.create::<Secret>(json!({"metadata": {"name": name}, "stringData": data})).await;
    }

    /// A pod whose container `main` runs a shell script.
    pub(crate) async fn script(&self, name: &str, script: &str, extra: Value) -> Pod {
        let mut spec = json!({"containers": [{"name": "main", "image": "x", "command": ["sh", "-c", script]}],
                              "terminationGracePeriodSeconds": 2});
        merge(&mut spec, extra);
        self.create(json!({"metadata": {"name": name}, "spec": spec})).await
    }

    /// Waits until an object of the kind satisfies the condition.
    pub(crate) async fn wait<K>(&self, what: &str, holds: impl Fn(&K) -> bool) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Clone
            + Debug
            + Send
            + 'static,
    {
        use futures_util::StreamExt as _;
        let mut events = std::pin::pin!(watcher(self.api::<K>(), watcher::Config::default()));
        let search = async {
            loop {
                if let Some(Ok(Event::InitApply(object) | Event::Apply(object))) = events.next().await
                    && holds(&object)
                {
                    return object;
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(20), search).await {
            Ok(object) => object,
            Err(_) => {
                let all = self.api::<K>().list(&kube::api::ListParams::default()).await;
                panic!("{what} did not come about; there is {all:#?}");
            }
        }
    }

    pub(crate) async fn wait_pod(&self, name: &str, what: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        self.wait::<Pod>(what, |pod| pod.metadata.name.as_deref() == Some(name) && holds(pod)).await
    }

    /// Waits until the pod is gone from the API.
    pub(crate) async fn wait_gone(&self, name: &str) {
        let gone =
            kube::runtime::wait::await_condition(self.api::<Pod>(), name, |pod: Option<&Pod>| pod.is_none());
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("in time").expect("a watch");
    }

    /// The first line that the container writes, as soon as it is written.
    pub(crate) async fn first_line(&self, pod: &str) -> String {
        use futures_util::StreamExt as _;
        let query = local::node::logs::LogQuery {
            namespace: NAMESPACE.into(),
            pod: pod.into(),
            container: "main".into(),
            follow: true,
            ..Default::default()
        };
        let mut stream = std::pin::pin!(self.node().logs().read(query).expect("a log"));
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("in time");
        let text = String::from_utf8(chunk.expect("a line").to_vec()).expect("text");
        text.lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) async fn log(&self, pod: &str, container: &str, previous: bool) -> String {
        use futures_util::StreamExt as _;
        let query = local::node::logs::LogQuery {
            namespace: NAMESPACE.into(),
            pod: pod.into(),
            container: container.into(),
            previous,
            ..Default::default()
        };
        let stream = self.node().logs().read(query).expect("a log");
        let chunks: Vec<bytes::Bytes> = stream.collect().await;
        String::from_utf8(chunks.concat()).expect("text")
    }
}

/// Puts the keys of `extra` into `spec`; those of the first container too, under `container`.
fn merge(spec: &mut Value, extra: Value) {
    let Value::Object(extra) = extra else { return };
    for (key, value) in extra {
        if key == "container" {
            for (key, value) in value.as_object().expect("a container") {
                spec["containers"][0][key] = value.clone();
            }
        } else {
            spec[key] = value;
        }
    }
}

pub(crate) fn status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == Some("True")
}

pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str())
}

pub(crate) fn exit_code(pod: &Pod) -> Option<i32> {
    Some(status(pod)?.state.as_ref()?.terminated.as_ref()?.exit_code)
}
