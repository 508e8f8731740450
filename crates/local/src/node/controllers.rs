//! The Deployment and ReplicaSet controllers: one task that watches, keeps what it has seen and written,
//! lets [`rollout`] decide, and carries the decisions out. What it writes it remembers at once, so that a
//! watch that lags makes it do nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{NamespaceResourceScope, Resource};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::pod::replacing;
use super::rollout::{self, Action, REVISION, controlled_by};

/// Namespace and name.
type Key = (String, String);

/// Deadlines of rollouts, `minReadySeconds` and failed writes are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Writes under way at a time.
const WRITES: usize = 16;

enum Heard {
    Deployment(Event<Deployment>),
    ReplicaSet(Event<ReplicaSet>),
    Pod(Event<Pod>),
}

/// Runs for ever.
pub(crate) async fn run(client: Client, node: String) {
    let deployments = watched::<Deployment>(&client).map(Heard::Deployment);
    let sets = watched::<ReplicaSet>(&client).map(Heard::ReplicaSet);
    let pods = watched::<Pod>(&client).map(Heard::Pod);
    let mut heard = pin!(stream::select(stream::select(deployments, sets), pods).ready_chunks(256));
    let mut state = State::default();
    let mut look_again: Option<Instant> = None;
    loop {
        tokio::select! {
            events = heard.next() => match events {
                Some(events) => events.into_iter().for_each(|event| state.hear(event)),
                None => return,
            },
            () = sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => {
                look_again = None;
                let again = std::mem::take(&mut state.again);
                for (kind, key) in again {
                    state.mark(kind, key);
                }
            }
        }
        if state.synced() {
            state.work(&client, &node).await;
        }
        if look_again.is_none() && !state.again.is_empty() {
            look_again = Some(Instant::now() + LOOK_AGAIN);
        }
    }
}

fn watched<K>(client: &Client) -> impl stream::Stream<Item = Event<K>> + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    watcher(Api::all(client.clone()), watcher::Config::default())
        .default_backoff()
        // Nobody reads them, and they are half of an object.
        .modify(|object: &mut K| object.meta_mut().managed_fields = None)
        .filter_map(async |event| {
            event.inspect_err(|error| tracing::debug!(%error, "a controller's watch starts again")).ok()
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Deployment,
    ReplicaSet,
}

#[derive(Default)]
struct State {
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
    dirty: BTreeSet<(Kind, Key)>,
    again: BTreeSet<(Kind, Key)>,
}

/// The newest version of every object of a kind, watched or written.
struct Store<K> {
    objects: BTreeMap<Key, K>,
    fresh: BTreeSet<Key>,
    synced: bool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), fresh: BTreeSet::new(), synced: false }
    }
}

impl<K: Resource> Store<K> {
    /// Takes an event; calls `changed` with every object that came, changed or went.
    fn hear(&mut self, event: Event<K>, mut changed: impl FnMut(&K)) {
        match event {
            Event::Init => self.fresh.clear(),
            Event::InitApply(object) => {
                self.fresh.insert(key(&object));
                self.put(object, changed);
            }
            Event::InitDone => {
                let fresh = std::mem::take(&mut self.fresh);
                self.objects.retain(|key, object| {
                    let kept = fresh.contains(key);
                    if !kept {
                        changed(object);
                    }
                    kept
                });
                self.synced = true;
            }
            Event::Apply(object) => self.put(object, changed),
            Event::Delete(object) => {
                let known = self.objects.get(&key(&object)).and_then(|known| known.meta().uid.clone());
                if known == object.meta().uid {
                    self.objects.remove(&key(&object));
                }
                changed(&object);
            }
        }
    }

    fn put(&mut self, object: K, mut changed: impl FnMut(&K)) {
        let known = self.objects.get(&key(&object));
        if known.is_some_and(|known| version(known) >= version(&object)) {
            return;
        }
        changed(&object);
        self.objects.insert(key(&object), object);
    }
}

impl State {
    fn synced(&self) -> bool {
        self.deployments.synced && self.sets.synced && self.pods.synced
    }

    fn mark(&mut self, kind: Kind, key: Key) {
        self.dirty.insert((kind, key));
    }

    fn hear(&mut self, heard: Heard) {
        let dirty = &mut self.dirty;
        match heard {
            Heard::Deployment(event) => self.deployments.hear(event, |object| {
                dirty.insert((Kind::Deployment, key(object)));
            }),
            Heard::ReplicaSet(event) => self.sets.hear(event, |object| {
                dirty.insert((Kind::ReplicaSet, key(object)));
                dirty.extend(owner(object, "Deployment").map(|key| (Kind::Deployment, key)));
            }),
            Heard::Pod(event) => self.pods.hear(event, |object| {
                dirty.extend(owner(object, "ReplicaSet").map(|key| (Kind::ReplicaSet, key)));
            }),
        }
    }

    async fn work(&mut self, client: &Client, node: &str) {
        // A write may make others due: until nothing is.
        while !self.dirty.is_empty() {
            let dirty = std::mem::take(&mut self.dirty);
            let now = Timestamp::now();
            let due: Vec<(Kind, Key, Vec<Action>)> = dirty
                .into_iter()
                .map(|(kind, key)| {
                    let actions = self.decide(kind, &key, now);
                    (kind, key, actions)
                })
                .collect();
            let writes: Vec<_> = due
                .into_iter()
                .filter(|(_, _, actions)| !actions.is_empty())
                .map(|(kind, key, actions)| {
                    let object = match kind {
                        Kind::Deployment => Object::Deployment(self.deployments.objects.get(&key).cloned()),
                        Kind::ReplicaSet => Object::ReplicaSet(self.sets.objects.get(&key).cloned()),
                    };
                    carry_out(client.clone(), node.to_owned(), kind, key, object, actions)
                })
                .collect();
            let results: Vec<(Kind, Key, Vec<Written>, Option<Error>)> =
                stream::iter(writes).buffer_unordered(WRITES).collect().await;
            for (kind, key, written, error) in results {
                written.into_iter().for_each(|written| self.remember(written));
                if let Some(error) = error {
                    let gone = matches!(&error, Error::Api(error) if error.code == 404);
                    if !gone {
                        tracing::debug!(name = key.1, %error, "a controller's write is tried again");
                        self.again.insert((kind, key));
                    }
                }
            }
        }
    }

    fn decide(&mut self, kind: Kind, key: &Key, now: Timestamp) -> Vec<Action> {
        match kind {
            Kind::Deployment => {
                let Some(deployment) = self.deployments.objects.get(key) else { return Vec::new() };
                let uid = deployment.metadata.uid.as_deref().unwrap_or("");
                let sets: Vec<&ReplicaSet> =
                    self.sets.objects.values().filter(|set| controlled_by(&set.metadata, uid)).collect();
                let settled =
                    deployment.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(
                        |conditions| {
                            conditions.iter().any(|condition| {
                                condition.type_ == "Progressing"
                                    && condition.reason.as_deref() == Some("NewReplicaSetAvailable")
                            })
                        },
                    );
                let actions = rollout::deployment(deployment, &sets, now);
                if !settled {
                    self.again.insert((kind, key.clone()));
                }
                actions
            }
            Kind::ReplicaSet => {
                let Some(set) = self.sets.objects.get(key) else { return Vec::new() };
                let uid = set.metadata.uid.as_deref().unwrap_or("");
                let pods: Vec<&Pod> =
                    self.pods.objects.values().filter(|pod| controlled_by(&pod.metadata, uid)).collect();
                let actions = rollout::replica_set_pods(set, &pods, now);
                if set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0) > 0 {
                    self.again.insert((kind, key.clone()));
                }
                actions
            }
        }
    }

    fn remember(&mut self, written: Written) {
        match written {
            Written::Deployment(object) => self.hear(Heard::Deployment(Event::Apply(*object))),
            Written::ReplicaSet(object) => self.hear(Heard::ReplicaSet(Event::Apply(*object))),
            Written::Pod(object) => self.hear(Heard::Pod(Event::Apply(*object))),
        }
    }
}

enum Object {
    Deployment(Option<Deployment>),
    ReplicaSet(Option<ReplicaSet>),
}

enum Written {
    Deployment(Box<Deployment>),
    ReplicaSet(Box<ReplicaSet>),
    Pod(Box<Pod>),
}

async fn carry_out(
    client: Client,
    node: String,
    kind: Kind,
    key: Key,
    object: Object,
    actions: Vec<Action>,
) -> (Kind, Key, Vec<Written>, Option<Error>) {
    let mut written = Vec::new();
    for action in actions {
        match one(&client, &node, &key, &object, action).await {
            Ok(more) => written.extend(more),
            Err(error) => return (kind, key, written, Some(error)),
        }
    }
    (kind, key, written, None)
}

async fn one(
    client: &Client,
    node: &str,
    key: &Key,
    object: &Object,
    action: Action,
) -> kube::Result<Vec<Written>> {
    let (namespace, name) = key;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let (post, patch) = (PostParams::default(), PatchParams::default());
    let set = |set: ReplicaSet| vec![Written::ReplicaSet(Box::new(set))];
    Ok(match (action, object) {
        (Action::CreateReplicaSet(new), _) => match sets.create(&post, &new).await {
            // An earlier run made it and did not see it any more.
            Err(Error::Api(error)) if error.code == 409 => {
                set(sets.get(new.metadata.name.as_deref().unwrap_or_default()).await?)
            }
            created => set(created?),
        },
        (Action::ScaleReplicaSet { name, replicas, revision }, _) => {
            let mut change = json!({"spec": {"replicas": replicas}});
            if let Some(revision) = revision {
                change["metadata"] = json!({"annotations": {REVISION: revision.to_string()}});
            }
            set(sets.patch(&name, &patch, &Patch::Merge(change)).await?)
        }
        (Action::DeleteReplicaSet(name), _) => {
            sets.delete(&name, &DeleteParams::background()).await?;
            Vec::new()
        }
        (Action::CreatePods(count), Object::ReplicaSet(Some(set))) => {
            let pod = rollout::pod_of(set, node);
            let mut written = Vec::new();
            for _ in 0..count {
                written.push(Written::Pod(Box::new(pods.create(&post, &pod).await?)));
            }
            written
        }
        (Action::DeletePods(names), _) => {
            let mut written = Vec::new();
            for name in names {
                match pods.delete(&name, &DeleteParams::default()).await {
                    Ok(left) => written.extend(left.left().map(|pod| Written::Pod(Box::new(pod)))),
                    Err(Error::Api(error)) if error.code == 404 => {}
                    Err(error) => return Err(error),
                }
            }
            written
        }
        (Action::ReplicaSetStatus(status), Object::ReplicaSet(Some(old))) => {
            let change = json!({"status": replacing(old.status.as_ref(), &status)});
            set(sets.patch_status(name, &patch, &Patch::Merge(change)).await?)
        }
        (Action::DeploymentRevision(revision), _) => {
            let change = json!({"metadata": {"annotations": {REVISION: revision.to_string()}}});
            vec![Written::Deployment(Box::new(deployments.patch(name, &patch, &Patch::Merge(change)).await?))]
        }
        (Action::DeploymentStatus(status), Object::Deployment(Some(old))) => {
            let change = json!({"status": replacing(old.status.as_ref(), &*status)});
            vec![Written::Deployment(Box::new(
                deployments.patch_status(name, &patch, &Patch::Merge(change)).await?,
            ))]
        }
        _ => Vec::new(),
    })
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// Resource versions are numbers in every API server that this runs against.
fn version<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn owner<K: Resource>(object: &K, kind: &str) -> Option<Key> {
    let meta = object.meta();
    let owner = meta
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true) && owner.kind == kind)?;
    Some((meta.namespace.clone().unwrap_or_default(), owner.name.clone()))
}
