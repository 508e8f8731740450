//! A case played by the operator, on an API server of its own in this process.
//!
//! Nothing here waits for real time: the clock of the runtime stands still while anything can run, and goes on by itself
//! when nothing can. So a wait for longer than the operator's debounces ends when all that follows from what was done is
//! done, however loaded the machine is.

mod served;
mod tap;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::ApiServer;
use kinds::{ObjectKey, Objects};
use plan::Verb;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::refusals::Refused;
use super::state::{State, finalized, listed, report_of};
use super::surroundings::{self, Surroundings};
use super::world::{CONFIG, SERVICE};
use super::{Stage, certificates};
use crate::golden::document::{normal_child, read};
use served::{CRDS, resource_path};
use tap::{Log, Tap, send};

/// Longer than the operator gathers changes, on the runtime's clock.
const QUIET: Duration = Duration::from_secs(2);
/// Quiet spells after which a case that still changes is an error.
const MAX_SPELLS: usize = 20;

/// A cluster with an operator.
pub(super) struct Cluster {
    runtime: Runtime,
    server: ApiServer,
    namespace: String,
    log: Arc<Mutex<Log>>,
    reports: Mutex<mpsc::UnboundedReceiver<operator::Report>>,
    /// Creates and updates of this phase, by key.
    written: Mutex<BTreeSet<(Verb, ObjectKey)>>,
    stored: BTreeMap<String, Value>,
    /// What there was before the case, and which of it, or beside it, the case touched outside its namespace.
    surroundings: Arc<Surroundings>,
    touched: BTreeSet<ObjectKey>,
    /// Ends the operator when the cluster goes.
    _stop: watch::Sender<bool>,
}

thread_local! {
    /// Clusters that wait for the next case of their profile: most of a case's time would go into its definitions.
    static IDLE: RefCell<BTreeMap<String, Cluster>> = const { RefCell::new(BTreeMap::new()) };
}

/// Plays a case on a cluster of its profile on which there is nothing else.
pub(super) fn with<R>(
    root: &Path,
    profile: &str,
    namespace: &str,
    case: &Path,
    play: impl FnOnce(&mut Cluster) -> Result<R>,
) -> Result<R> {
    let surroundings = surroundings::of(root, profile)?;
    let caches = caches(&surroundings, case)?;
    // The webhook that knows caches of models is told of them once.
    let is_reusable = caches.is_none();
    let idle = IDLE.with_borrow_mut(|idle| idle.remove(profile)).filter(|_| is_reusable);
    let mut cluster = match idle {
        Some(cluster) => cluster,
        None => Cluster::start(root, surroundings, caches)?,
    };
    cluster.enter(namespace)?;
    let outcome = play(&mut cluster)?;
    if is_reusable {
        cluster.leave().context("clearing up")?;
        IDLE.with_borrow_mut(|idle| idle.insert(profile.to_owned(), cluster));
    }
    Ok(outcome)
}

impl Cluster {
    fn start(root: &Path, surroundings: Arc<Surroundings>, caches: Option<Arc<Objects>>) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let options = apiserver::Options {
            admission: local::up::admission::hooks(caches),
            conversion: local::up::admission::conversion(),
            seed: Some(1),
            ..apiserver::Options::default()
        };
        let server = runtime.block_on(async { ApiServer::new(options) })?;
        let (stop, stopping) = watch::channel(false);
        let log = Arc::<Mutex<Log>>::default();
        let (sender, reports) = mpsc::unbounded_channel();
        let cluster = Self {
            runtime,
            server: server.clone(),
            namespace: String::new(),
            log: log.clone(),
            reports: Mutex::new(reports),
            written: Mutex::default(),
            stored: BTreeMap::new(),
            surroundings,
            touched: BTreeSet::new(),
            _stop: stop,
        };
        for definition in definitions(root)? {
            cluster.create_at(CRDS, &definition)?;
        }
        served::discover(|path| cluster.read(path))?;
        for document in &cluster.surroundings.documents {
            cluster.create(document)?;
        }
        cluster.runtime.block_on(async {
            let client = kube::Client::new(Tap { server, log }, "default");
            let options = operator::Options { concurrency: 1, ..operator::Options::default() };
            tokio::spawn(operator::run(client, options, Some(sender), stopping));
        });
        cluster.settle_now()?;
        Ok(cluster)
    }

    /// Makes the namespace of a case.
    fn enter(&mut self, namespace: &str) -> Result<()> {
        self.namespace = namespace.to_owned();
        self.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
        let account = json!({"name": "default", "namespace": namespace});
        self.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}))?;
        self.begin();
        Ok(())
    }

    /// Takes away what a case made, and puts back what it touched.
    fn leave(&mut self) -> Result<()> {
        for kind in [SERVICE.1, CONFIG] {
            self.delete(&self.list(SERVICE.0, kind)?)?;
            self.settle_now()?;
        }
        self.runtime.block_on(self.server.collect_garbage());
        self.delete(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}),
        ])?;
        self.runtime.block_on(self.server.collect_garbage());
        for key in std::mem::take(&mut self.touched) {
            self.ask("DELETE", &key, "", "application/json", &json!({}))?;
            let before = self
                .surroundings
                .documents
                .iter()
                .find(|document| ObjectKey::of(document).as_ref() == Ok(&key));
            if let Some(document) = before {
                // A config goes when the operator lets it.
                self.settle_now()?;
                self.create(document)?;
            }
        }
        self.settle_now()?;
        *self.log() = Log::default();
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.stored.clear();
        Ok(())
    }

    fn touch(&mut self, key: &ObjectKey) {
        if key.namespace.as_deref() != Some(&self.namespace) {
            self.touched.insert(key.clone());
        }
    }

    fn create(&self, document: &Value) -> Result<()> {
        self.create_at(&resource_path(&ObjectKey::of(document)?)?, document)
    }

    /// Sends a request about an object; gives back status code and body.
    fn ask(
        &self,
        method: &str,
        key: &ObjectKey,
        subresource: &str,
        media: &str,
        body: &Value,
    ) -> Result<(u16, Value)> {
        let mut path = resource_path(key)?;
        if method != "POST" {
            path = format!("{path}/{}{subresource}", key.name);
        }
        self.runtime.block_on(send(&self.server, method, &path, media, body))
    }

    fn create_at(&self, path: &str, document: &Value) -> Result<()> {
        let (code, answer) =
            self.runtime.block_on(send(&self.server, "POST", path, "application/json", document))?;
        if code >= 300 {
            bail!("{} {}: {code}: {}", document["kind"], document["metadata"]["name"], answer["message"]);
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Value> {
        Ok(self.runtime.block_on(send(&self.server, "GET", path, "", &Value::Null))?.1)
    }

    fn list(&self, api_version: &str, kind: &str) -> Result<Vec<Value>> {
        let key = ObjectKey::new(api_version, kind, Some(&self.namespace), "");
        let path = resource_path(&key)?;
        let (code, answer) = self.runtime.block_on(send(&self.server, "GET", &path, "", &Value::Null))?;
        if code != 200 {
            bail!("GET {path}: {code}: {}", answer["message"]);
        }
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        Ok(items
            .into_iter()
            .map(|mut item| {
                item["apiVersion"] = json!(api_version);
                item["kind"] = json!(kind);
                item
            })
            .collect())
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Value>> {
        let (code, answer) = self.ask("GET", key, "", "", &Value::Null)?;
        Ok((code == 200).then_some(answer))
    }

    fn settle_now(&self) -> Result<()> {
        for _ in 0..MAX_SPELLS {
            let before = self.log().writes;
            self.runtime.block_on(async { tokio::time::sleep(QUIET).await });
            if self.log().writes == before {
                self.take_reports();
                return Ok(());
            }
        }
        bail!("still changing after {MAX_SPELLS} quiet spells: {:?}", self.log().last)
    }

    fn take_reports(&self) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(report) = reports.try_recv() {
            if let operator::Done::Wrote(changes) = report.done {
                let changes = changes.into_iter().filter(|change| change.verb != Verb::Delete);
                written.extend(changes.map(|change| (change.verb, change.key)));
            }
        }
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage for Cluster {
    fn post(&mut self, documents: &[Value]) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        for document in documents {
            let key = ObjectKey::of(document)?;
            self.touch(&key);
            let (code, answer) = self.ask("POST", &key, "", "application/json", document)?;
            if code == 409 {
                // The account that every namespace has.
                self.replace(std::slice::from_ref(document))?;
                continue;
            }
            if code >= 400 {
                refused.push(Refused::by_server(&key, code, &answer));
                continue;
            }
            if let Some(status) = document.get("status") {
                self.report(&[json!({"apiVersion": key.api_version, "kind": key.kind, "metadata": document["metadata"], "status": status})])?;
            }
            if key.kind == SERVICE.1 && key.namespace.as_deref() == Some(&self.namespace) {
                let key = ObjectKey { api_version: SERVICE.0.to_owned(), ..key };
                let stored = self.get(&key)?.unwrap_or_default();
                self.stored.insert(key.name, normal_child(finalized(&stored)));
            }
        }
        Ok(refused)
    }

    fn report(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(document)?;
            self.touch(&key);
            let body = json!({"status": document["status"]});
            let (code, answer) = self.ask("PATCH", &key, "/status", "application/merge-patch+json", &body)?;
            if code >= 400 {
                bail!("status of {key}: {code}: {}", answer["message"]);
            }
        }
        Ok(())
    }

    fn replace(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(document)?;
            self.touch(&key);
            let (code, answer) = match self.get(&key)? {
                None => self.ask("POST", &key, "", "application/json", document)?,
                Some(present) => {
                    let mut document = document.clone();
                    document["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
                    self.ask("PUT", &key, "", "application/json", &document)?
                }
            };
            if code >= 400 {
                bail!("{key}: {code}: {}", answer["message"]);
            }
        }
        Ok(())
    }

    fn delete(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(document)?;
            let (code, answer) = self.ask("DELETE", &key, "", "application/json", &json!({}))?;
            if code >= 400 && code != 404 {
                bail!("{key}: {code}: {}", answer["message"]);
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.log().begin();
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn settle(&mut self) -> Result<()> {
        self.settle_now()
    }

    fn state(&self) -> Result<State> {
        let (children, deleted, events) = {
            let log = self.log();
            (log.applied.clone(), log.deleted.clone(), log.events.clone())
        };
        let mut secrets = Vec::new();
        for key in children.keys().filter(|key| key.kind == "Secret") {
            secrets.extend(self.get(key)?);
        }
        let said: Result<Vec<Option<Value>>> = secrets.iter().map(certificates::issued).collect();
        let mut statuses = Vec::new();
        for kind in [SERVICE.1, CONFIG] {
            for object in self.list(SERVICE.0, kind)? {
                statuses.push(report_of(&object, object["status"].clone()));
            }
        }
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut updated = Vec::new();
        for (_, key) in written.iter().filter(|(verb, _)| *verb == Verb::Update) {
            updated.extend(self.get(key)?.map(normal_child));
        }
        let mut changes: Vec<String> =
            written.iter().map(|(verb, key)| format!("{} {}", verb.as_str(), listed(key))).collect();
        changes.extend(deleted.iter().map(|key| format!("delete {}", listed(key))));
        Ok(State {
            children: children.into_iter().map(|(key, child)| (key, normal_child(child))).collect(),
            statuses,
            events,
            certificates: said.context("certificates")?.into_iter().flatten().collect(),
            changes,
            updated: Some(updated),
            stored: self.stored.values().cloned().collect(),
            merged: None,
            refused: Vec::new(),
            facts: Vec::new(),
        })
    }
}

/// Our definitions, and those of foreign kinds as the recorded cluster had them.
fn definitions(root: &Path) -> Result<Vec<Value>> {
    let mut definitions = local::up::definitions();
    let ours: BTreeSet<String> =
        definitions.iter().filter_map(|crd| crd["metadata"]["name"].as_str().map(str::to_owned)).collect();
    for entry in std::fs::read_dir(root.join("crds"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !ours.contains(&name) {
            definitions.push(serde_json::from_slice(&std::fs::read(&path)?)?);
        }
    }
    Ok(definitions)
}

/// The caches of models, if the cluster uses them.
fn caches(surroundings: &Surroundings, case: &Path) -> Result<Option<Arc<Objects>>> {
    if !surroundings.caches_models {
        return Ok(None);
    }
    let mut objects = surroundings.stored.clone();
    for document in read(&case.join("in.yaml"))? {
        objects.add_document(document)?;
    }
    Ok(Some(Arc::new(objects)))
}
