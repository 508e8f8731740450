//! Events on pods, as the kubelet writes them: the same event again raises its count.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use tokio::sync::{mpsc, oneshot};

use super::rollout::whole_seconds;

/// Events are written one after the other, beside what they tell of.
pub(crate) struct Events {
    queue: mpsc::UnboundedSender<Entry>,
}

enum Entry {
    Tell {
        pod: Box<ObjectReference>,
        container: Option<String>,
        kind: &'static str,
        reason: &'static str,
        message: String,
    },
    Flush(oneshot::Sender<()>),
}

impl Events {
    pub(crate) fn new(client: Client, node: String) -> Self {
        let (queue, entries) = mpsc::unbounded_channel();
        tokio::spawn(write(client, node, entries));
        Self { queue }
    }

    /// `container` is the field path's name; absent speaks of the pod.
    pub(crate) fn tell(
        &self,
        pod: &Pod,
        container: Option<&str>,
        normal: bool,
        reason: &'static str,
        message: String,
    ) {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: None,
        };
        let kind = if normal { "Normal" } else { "Warning" };
        let container = container.map(str::to_owned);
        let _ = self.queue.send(Entry::Tell { pod: Box::new(pod), container, kind, reason, message });
    }

    /// Comes back when everything told before is written.
    pub(crate) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

/// What an event tells of: uid of the pod, field path, reason and message. The same again only counts.
type Told = (Option<String>, Option<String>, &'static str, String);

async fn write(client: Client, node: String, mut entries: mpsc::UnboundedReceiver<Entry>) {
    let mut written: HashMap<Told, (String, i32)> = HashMap::new();
    while let Some(entry) = entries.recv().await {
        let (mut pod, container, kind, reason, message) = match entry {
            Entry::Tell { pod, container, kind, reason, message } => (*pod, container, kind, reason, message),
            Entry::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        pod.field_path = container.as_ref().map(|name| format!("spec.containers{{{name}}}"));
        let namespace = pod.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let now = Some(Time(whole_seconds(Timestamp::now())));
        let key = (pod.uid.clone(), container, reason, message.clone());
        if let Some((name, count)) = written.get_mut(&key) {
            *count += 1;
            let patch = serde_json::json!({"count": *count, "lastTimestamp": now});
            if api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.is_ok() {
                continue;
            }
        }
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.", pod.name.clone().unwrap_or_default())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: pod,
            type_: Some(kind.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message),
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(node.clone()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(node.clone()),
            first_timestamp: now.clone(),
            last_timestamp: now,
            count: Some(1),
            ..Event::default()
        };
        match api.create(&PostParams::default(), &event).await {
            Ok(event) => {
                // Old keys would only cost memory: events are kept by the API server, not here.
                if written.len() > 4096 {
                    written.clear();
                }
                written.insert(key, (event.name_any(), 1));
            }
            Err(error) => tracing::debug!(%error, "an event is lost"),
        }
    }
}
