//! The Deployment, ReplicaSet and LeaderWorkerSet controllers: one task that watches, keeps what it has seen and
//! written, lets [`rollout`] and [`groups`] decide, and carries the decisions out. What it writes it remembers at once, so that a
//! watch that lags makes it do nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kinds::leaderworkerset::LeaderWorkerSet;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, NamespaceResourceScope, Resource};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::backoff::BackOff;
use super::groups;
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
    GroupSet(Event<DynamicObject>),
    Pod(Event<Pod>),
}

/// Runs for ever.
pub(crate) async fn run(client: Client, node: String) {
    let deployments = watched::<Deployment>(&client).map(Heard::Deployment);
    let sets = watched::<ReplicaSet>(&client).map(Heard::ReplicaSet);
    let pods = watched::<Pod>(&client).map(Heard::Pod);
    let group_sets =
        events(watcher(group_sets(&client, None), watcher::Config::default())).map(Heard::GroupSet);
    let all = stream::select(stream::select(deployments, sets), stream::select(pods, group_sets));
    let mut heard = pin!(all.ready_chunks(256));
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
    events(watcher(Api::all(client.clone()), watcher::Config::default()))
}

fn events<K: Resource>(
    watch: impl stream::Stream<Item = Result<Event<K>, watcher::Error>>,
) -> impl stream::Stream<Item = Event<K>> {
    watch
        .default_backoff()
        // Nobody reads them, and they are half of an object.
        .modify(|object: &mut K| object.meta_mut().managed_fields = None)
        .filter_map(async |event| {
            event.inspect_err(|error| tracing::debug!(%error, "a controller's watch starts again")).ok()
        })
}

/// LeaderWorkerSets of a namespace, or of all.
fn group_sets(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "leaderworkersets");
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Deployment,
    ReplicaSet,
    GroupSet,
}

#[derive(Default)]
struct State {
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    group_sets: Store<DynamicObject>,
    pods: Store<Pod>,
    /// Groups that broke: how often in a row, and when they may be made again.
    pauses: BTreeMap<(Key, i32), (BackOff, Timestamp)>,
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
    /// LeaderWorkerSets are not waited for: somebody may have taken their definition away.
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
            Heard::GroupSet(event) => self.group_sets.hear(event, |object| {
                dirty.insert((Kind::GroupSet, key(object)));
            }),
            Heard::Pod(event) => self.pods.hear(event, |object| {
                dirty.extend(owner(object, "ReplicaSet").map(|key| (Kind::ReplicaSet, key)));
                dirty.extend(group_set(object).map(|key| (Kind::GroupSet, key)));
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
                    let actions = self.decide(kind, &key, node, now);
                    (kind, key, actions)
                })
                .collect();
            let writes: Vec<_> = due
                .into_iter()
                .filter(|(_, _, actions)| !actions.is_empty())
                .map(|(kind, key, actions)| {
                    let object = match kind {
                        Kind::GroupSet => {
                            Object::GroupSet(self.group_sets.objects.get(&key).cloned().map(Box::new))
                        }
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

    fn decide(&mut self, kind: Kind, key: &Key, node: &str, now: Timestamp) -> Vec<Action> {
        match kind {
            Kind::GroupSet => self.groups(key, node, now),
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

    fn groups(&mut self, key: &Key, node: &str, now: Timestamp) -> Vec<Action> {
        let Some(object) = self.group_sets.objects.get(key) else {
            self.pauses.retain(|(set, _), _| set != key);
            return Vec::new();
        };
        let read = serde_json::to_value(object).and_then(serde_json::from_value::<LeaderWorkerSet>);
        let set = match read {
            Ok(set) => set,
            Err(error) => {
                tracing::warn!(name = key.1, %error, "a LeaderWorkerSet cannot be read");
                return Vec::new();
            }
        };
        let pods: Vec<&Pod> =
            self.pods.objects.values().filter(|pod| group_set(pod).as_ref() == Some(key)).collect();
        let pause = |group: i32| self.pauses.get(&(key.clone(), group)).map(|(_, until)| *until);
        let held = |group: i32| pause(group).is_some_and(|until| until > now);
        let actions = groups::decide(&set, &pods, node, &held, now);
        if self.pauses.iter().any(|((set, _), (_, until))| set == key && *until > now) {
            self.again.insert((Kind::GroupSet, key.clone()));
        }
        for action in &actions {
            let Action::RecreateGroup { group, pods } = action else { continue };
            let made = pods
                .first()
                .and_then(|pod| self.pods.objects.get(&(key.0.clone(), pod.clone())))
                .and_then(|pod| pod.metadata.creation_timestamp.as_ref())
                .map_or(now, |time| time.0);
            let ran_for = Duration::try_from(now.duration_since(made)).unwrap_or_default();
            let (back_off, until) =
                self.pauses.entry((key.clone(), *group)).or_insert((BackOff::default(), now));
            *until = now + back_off.after(ran_for);
        }
        actions
    }

    fn remember(&mut self, written: Written) {
        match written {
            Written::GroupSet(object) => self.hear(Heard::GroupSet(Event::Apply(*object))),
            Written::Deployment(object) => self.hear(Heard::Deployment(Event::Apply(*object))),
            Written::ReplicaSet(object) => self.hear(Heard::ReplicaSet(Event::Apply(*object))),
            Written::Pod(object) => self.hear(Heard::Pod(Event::Apply(*object))),
        }
    }
}

enum Object {
    Deployment(Option<Deployment>),
    ReplicaSet(Option<ReplicaSet>),
    GroupSet(Option<Box<DynamicObject>>),
}

enum Written {
    GroupSet(Box<DynamicObject>),
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
        (Action::DeletePods(names), _) => delete(&pods, names, &DeleteParams::default()).await?,
        (Action::RecreateGroup { pods: names, .. }, _) => {
            // What they still do is lost already.
            delete(&pods, names, &DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() })
                .await?
        }
        (Action::CreatePod(pod), _) => match pods.create(&post, &pod).await {
            // An earlier run made it, or somebody else's pod has the name: the watch will tell.
            Err(Error::Api(error)) if error.code == 409 => Vec::new(),
            created => vec![Written::Pod(Box::new(created?))],
        },
        (Action::GroupStatus(status), Object::GroupSet(Some(old))) => {
            let before = old.data.get("status").cloned();
            let change = json!({"status": replacing(before.as_ref(), &serde_json::to_value(&status).unwrap_or_default())});
            let sets = group_sets(client, Some(namespace));
            vec![Written::GroupSet(Box::new(sets.patch_status(name, &patch, &Patch::Merge(change)).await?))]
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

async fn delete(pods: &Api<Pod>, names: Vec<String>, params: &DeleteParams) -> kube::Result<Vec<Written>> {
    let mut written = Vec::new();
    for name in names {
        match pods.delete(&name, params).await {
            Ok(left) => written.extend(left.left().map(|pod| Written::Pod(Box::new(pod)))),
            Err(Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// The LeaderWorkerSet that a pod says it belongs to.
fn group_set(pod: &Pod) -> Option<Key> {
    let name = pod.metadata.labels.as_ref()?.get(groups::SET)?;
    Some((pod.metadata.namespace.clone().unwrap_or_default(), name.clone()))
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
