//! The assembly: one API server, operator, node agent and gateway, and the services that were given.

pub mod admission;
mod cluster;
mod folder;
mod inline;
mod observe;
mod progress;
mod restart;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kinds::{ObjectKey, Objects};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use cluster::{
    GATEWAY, GATEWAY_CLASS, GATEWAY_CONTROLLER, SYSTEM_NAMESPACE, definitions, objects, reachable,
};
pub use folder::FolderError;
pub use progress::{Progress, Sighting, Stage, Step};

use crate::{gateway, node};
use folder::Folder;

/// Annotation of a CRD: which edition of it this is, so that a start need not compare it.
const EDITION: &str = "llmisvc.serving.kserve.io/edition";

/// How much of the past is kept of each kind for watches. Those of this machine are never far behind, and one that is
/// lists again.
const WATCH_HISTORY_BYTES: usize = 2 * 1024 * 1024;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the gateway listens; port 0 picks one.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Which program runs a container that asks for vLLM.
    pub engine: node::Engine,
    /// How many times faster than a real engine the simulated one works.
    pub speed: f64,
    /// The gateway's policy instead of what each service says; `None` leaves it to them.
    pub policy: Option<String>,
    /// The program to start for shims and simulated engines: this one.
    pub exe: PathBuf,
    /// Show volumes in private mount namespaces where the system allows them; see [`node::NodeOptions::private_view`].
    pub private_view: bool,
    /// How long engines get to end when `up` ends.
    pub grace: Duration,
}

/// Why `up` did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("{address} is in use")]
    ChooseAnotherPort {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    ChooseAnotherAddress {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// An object was refused by the API server, in its words.
    #[error("{object}: {message}")]
    CorrectObject {
        /// Which object.
        object: ObjectKey,
        /// The API server's message.
        message: String,
    },
    /// The gateway knows no such policy.
    #[error("{0}")]
    ChooseAnotherPolicy(String),
    /// Something that should work did not.
    #[error("{0}")]
    Broken(String),
}

/// A running `up`.
pub struct Running {
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// The kubeconfig that was written.
    pub kubeconfig: PathBuf,
    /// Lines of progress, as things happen. It ends when the parts have ended.
    pub sightings: mpsc::UnboundedReceiver<Sighting>,
    client: kube::Client,
    engine: String,
    parts: Parts,
}

struct Parts {
    stop: watch::Sender<bool>,
    operator: JoinHandle<()>,
    observers: Vec<JoinHandle<()>>,
    node: node::NodeHandle,
    gateway: gateway::GatewayHandle,
    server: JoinHandle<()>,
    grace: Duration,
    // Last, so that the folder is free only when everything has ended.
    _folder: Folder,
}

/// The API server with what the data folder holds, and the gateway's port taken. Nothing runs yet, so that services can be
/// checked against what is there before any engine starts. Dropping it lets go of everything.
pub struct Prepared {
    options: Options,
    folder: Folder,
    listener: TcpListener,
    listen: SocketAddr,
    api: apiserver::ApiServer,
    token: String,
    client: kube::Client,
    logs: Arc<OnceLock<node::logs::Logs>>,
}

/// Takes the folder and the port, opens the state and puts in what every cluster has: CRDs, namespaces, gateway, settings.
///
/// # Errors
/// [`StartError`]; nothing stays taken.
pub async fn prepare(options: Options) -> Result<Prepared, StartError> {
    let folder = Folder::take(&options.data_dir)?;
    let listener = TcpListener::bind(options.listen).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::ChooseAnotherPort { address: options.listen },
        _ => StartError::ChooseAnotherAddress { address: options.listen, source },
    })?;
    let listen = listener.local_addr().map_err(|error| broken(&error))?;
    let token = folder.token()?;
    let logs = Arc::new(OnceLock::new());
    let api = apiserver::ApiServer::new(server_options(folder.path(), &token, logs.clone()))
        .map_err(|error| broken(&error))?;
    let client = kube::Client::new(api.clone(), "default");
    for definition in cluster::definitions() {
        define(&client, definition).await?;
    }
    for object in cluster::objects(listen) {
        put(&client, &object).await?;
    }
    restart::forget(&client).await.map_err(|error| broken(&error))?;
    Ok(Prepared { options, folder, listener, listen, api, token, client, logs })
}

impl Prepared {
    /// The configs, ConfigMaps, gateways and services that are stored, to check new services against.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn known(&self) -> Result<Objects, StartError> {
        let mut known = Objects::new();
        for (group, version, kind) in [
            ("serving.kserve.io", "v1alpha2", "LLMInferenceServiceConfig"),
            ("serving.kserve.io", "v1alpha2", "LLMInferenceService"),
            ("", "v1", "ConfigMap"),
            ("gateway.networking.k8s.io", "v1", "Gateway"),
            ("gateway.networking.k8s.io", "v1", "GatewayClass"),
        ] {
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::from_gvk(&gvk));
            let list = api.list(&ListParams::default()).await.map_err(|error| broken(&error))?;
            for object in list.items {
                let mut document = serde_json::to_value(object).map_err(|error| broken(&error))?;
                document["apiVersion"] = gvk.api_version().into();
                document["kind"] = kind.into();
                known.insert(document).map_err(|error| broken(&error))?;
            }
        }
        Ok(known)
    }

    /// Starts operator, node agent and gateway, and lets kubectl in.
    ///
    /// # Errors
    /// [`StartError`]; nothing of it is left running.
    pub async fn start(self) -> Result<Running, StartError> {
        let Prepared { options, folder, listener, listen, api, token, client, logs } = self;
        let api_listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| broken(&error))?;
        let api_address = api_listener.local_addr().map_err(|error| broken(&error))?;
        let identity = apiserver::Identity::generate(&[api_address.ip()]).map_err(|error| broken(&error))?;
        let config =
            apiserver::kubeconfig(&format!("https://{api_address}"), Some(&identity), &token, "default");
        let kubeconfig = folder.write_kubeconfig(&config)?;

        // The gateway first: it is the one that may refuse. Each part knows only the API server.
        let mut gateway_options = gateway::GatewayOptions::new(GATEWAY_CONTROLLER);
        gateway_options.policy.clone_from(&options.policy);
        let gateway = gateway::start(client.clone(), listener, gateway_options)
            .map_err(|error| StartError::ChooseAnotherPolicy(error.to_string()))?;
        let node = node::start(client.clone(), node_options(&options, &folder))
            .await
            .map_err(|error| broken(&error))?;
        let _ = logs.set(node.logs());
        let server = tokio::spawn(async move {
            tokio::join!(api.serve(api_listener, Some(identity)), api.run_collector());
        });
        let (stop, stopping) = watch::channel(false);
        let (reports_sender, reports) = mpsc::unbounded_channel();
        let operator_options = operator::Options { one_machine: true, ..operator::Options::default() };
        let operator =
            tokio::spawn(operator::run(client.clone(), operator_options, Some(reports_sender), stopping));
        let (sightings_sender, sightings) = mpsc::unbounded_channel();
        let observers = vec![
            tokio::spawn(observe::writes(reports, sightings_sender.clone())),
            tokio::spawn(observe::services(client.clone(), gateway.pods_known(), sightings_sender.clone())),
            tokio::spawn(observe::pods(client.clone(), sightings_sender)),
        ];
        let engine = engine_words(options.engine);
        let parts =
            Parts { stop, operator, observers, node, gateway, server, grace: options.grace, _folder: folder };
        Ok(Running { gateway: listen, kubeconfig, sightings, client, engine, parts })
    }
}

impl Running {
    /// Puts an object in as `kubectl apply --server-side` does, over whatever it was. The fields are owned by `up`, so
    /// that a file without a field that it had takes the field away.
    ///
    /// # Errors
    /// [`StartError::CorrectObject`] with the API server's words.
    pub async fn put(&self, object: &Value) -> Result<(), StartError> {
        put(&self.client, object).await
    }

    /// The services that the data folder holds, as `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn stored_services(&self) -> Result<Vec<String>, StartError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &observe::service_resource());
        let list =
            api.list(&ListParams::default()).await.map_err(|error| StartError::Broken(error.to_string()))?;
        let name = |object: DynamicObject| {
            let metadata = object.metadata;
            format!("{}/{}", metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default())
        };
        Ok(list.items.into_iter().map(name).collect())
    }

    /// What the engines that are not ready yet said last.
    pub fn engine_lines(&self) -> Vec<Sighting> {
        let lines = self.parts.node.progress().into_iter();
        lines
            .map(|p| Sighting::EngineSays { pod: format!("{}/{}", p.namespace, p.pod), line: p.line })
            .collect()
    }

    /// Which engine answers, in plain words.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// How containers see their volumes, in plain words; `None` as long as none has one.
    pub fn volumes(&self) -> Option<&'static str> {
        match self.parts.node.view()? {
            node::View::Private => Some("each container sees its own, in a private mount namespace"),
            node::View::Rewritten => Some(
                "this system allows no mount namespace, so paths are rewritten in arguments and variables",
            ),
            node::View::Plain => None,
        }
    }

    /// Ends everything in order: no new requests, running ones end, engines end within the grace period, then the
    /// operator and the API server.
    pub async fn shut_down(self) {
        let Parts { stop, operator, observers, node, gateway, server, grace, _folder } = self.parts;
        gateway.shutdown(grace).await;
        let _ = stop.send(true);
        let _ = operator.await;
        node.shutdown(grace).await;
        observers.iter().for_each(JoinHandle::abort);
        server.abort();
    }
}

/// Creates a definition, or replaces it by that of a newer program. One that is as it should be costs a read: these
/// documents have a megabyte, and every start would pay for comparing them.
async fn define(client: &kube::Client, mut definition: Value) -> Result<(), StartError> {
    let mut hasher = DefaultHasher::new();
    definition.to_string().hash(&mut hasher);
    let edition = format!("{:016x}", hasher.finish());
    definition["metadata"]["annotations"][EDITION] = edition.as_str().into();
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
    let mut wanted: DynamicObject = serde_json::from_value(definition).map_err(|error| broken(&error))?;
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let outcome = match api.get_metadata_opt(&name).await.map_err(|error| broken(&error))? {
        None => api.create(&PostParams::default(), &wanted).await,
        Some(known)
            if known.metadata.annotations.as_ref().and_then(|all| all.get(EDITION)) == Some(&edition) =>
        {
            return Ok(());
        }
        Some(known) => {
            wanted.metadata.resource_version = known.metadata.resource_version;
            api.replace(&name, &PostParams::default(), &wanted).await
        }
    };
    outcome.map(drop).map_err(|error| StartError::Broken(format!("{name}: {error}")))
}

/// Applies one object with the plural that its CRD or the built-in table says.
async fn put(client: &kube::Client, object: &Value) -> Result<(), StartError> {
    let key = ObjectKey::of(object).map_err(|error| StartError::Broken(error.to_string()))?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(key.group(), key.version(), &key.kind));
    let api: Api<DynamicObject> = match &key.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("llmisvc-up").force();
    api.patch(&key.name, &params, &Patch::Apply(object)).await.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => {
            StartError::CorrectObject { object: key, message: status.message.clone() }
        }
        other => StartError::Broken(format!("{key}: {other}")),
    })
}

fn broken(error: &dyn std::fmt::Display) -> StartError {
    StartError::Broken(error.to_string())
}

fn server_options(folder: &Path, token: &str, logs: Arc<OnceLock<node::logs::Logs>>) -> apiserver::Options {
    apiserver::Options {
        data_dir: Some(folder.join("state")),
        users: vec![apiserver::User {
            token: token.to_owned(),
            name: "admin".to_owned(),
            groups: vec!["system:masters".to_owned()],
        }],
        logs: Some(inline::log_source(logs)),
        log_bytes: WATCH_HISTORY_BYTES,
        admission: admission::hooks(None),
        conversion: admission::conversion(),
        ..apiserver::Options::default()
    }
}

fn engine_words(engine: node::Engine) -> String {
    let vllm = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|dir| dir.join("vllm")).find(|file| file.is_file())
    };
    match (engine, vllm()) {
        (node::Engine::Auto | node::Engine::Vllm, Some(file)) => format!("vllm, {}", file.display()),
        (node::Engine::Vllm, None) => "vllm, which is not on the PATH".to_owned(),
        (node::Engine::Auto, None) => {
            "simulated, because there is no `vllm` on the PATH: it takes a real engine's time, its words are made up"
                .to_owned()
        }
        (node::Engine::Sim | node::Engine::InlineSim, _) => {
            "simulated, as asked: it takes a real engine's time, its words are made up".to_owned()
        }
    }
}

fn node_options(options: &Options, folder: &Folder) -> node::NodeOptions {
    node::NodeOptions {
        engine: options.engine,
        speed: options.speed,
        private_view: options.private_view,
        launcher: Some(inline::launcher()),
        ..node::NodeOptions::new(folder.path().to_owned(), options.exe.clone())
    }
}
