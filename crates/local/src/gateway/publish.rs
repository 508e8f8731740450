//! Writes statuses, a few at a time, and only those that differ from what the API server shows.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use tokio::sync::watch;

use super::status::{Wish, WishKind};

/// How many writes are under way at a time.
const AT_A_TIME: usize = 8;
/// How long it must be quiet before a mere count is written.
const QUIET: Duration = Duration::from_secs(2);
/// When a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes the statuses that are wished for.
pub(crate) struct Publisher {
    client: kube::Client,
    wishes: watch::Sender<Vec<Wish>>,
}

/// The object a wish is about.
type Subject = (WishKind, String, String);

impl Publisher {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, wishes: watch::Sender::new(Vec::new()) }
    }

    /// Replaces the wishes before: each is made from all that is seen.
    pub(crate) fn wish(&self, wishes: Vec<Wish>) {
        if !(wishes.is_empty() && self.wishes.borrow().is_empty()) {
            self.wishes.send_replace(wishes);
        }
    }

    /// Never ends.
    pub(crate) async fn run(&self) {
        let mut changed = self.wishes.subscribe();
        // What was written, until the watch shows it: the version it was made from.
        let mut written: HashMap<Subject, String> = HashMap::new();
        loop {
            let wishes = changed.borrow_and_update().clone();
            written.retain(|subject, version| {
                wishes.iter().any(|wish| wish.subject() == *subject && wish.resource_version == *version)
            });
            let mut open: Vec<Wish> =
                wishes.into_iter().filter(|wish| !written.contains_key(&wish.subject())).collect();
            let mut wait = None;
            if !open.is_empty() && open.iter().all(|wish| wish.can_wait) {
                if tokio::time::timeout(QUIET, changed.changed()).await.is_ok() {
                    continue;
                }
            } else {
                open.retain(|wish| !wish.can_wait);
            }
            let writes = open.into_iter().map(|wish| async move {
                let done = self.write(&wish).await;
                (wish, done)
            });
            let mut writes = stream::iter(writes).buffer_unordered(AT_A_TIME);
            while let Some((wish, done)) = writes.next().await {
                if done {
                    written.insert(wish.subject(), wish.resource_version);
                } else {
                    wait = Some(AGAIN);
                }
            }
            drop(writes);
            let is_over = match wait {
                Some(wait) => matches!(tokio::time::timeout(wait, changed.changed()).await, Ok(Err(_))),
                None => changed.changed().await.is_err(),
            };
            if is_over {
                return;
            }
        }
    }

    /// Whether the wish is settled: written, or overtaken by a newer object, which brings a newer wish.
    async fn write(&self, wish: &Wish) -> bool {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &wish.namespace, &wish.kind.resource());
        // With the version, so that entries which others wrote meanwhile are not lost.
        let patch =
            json!({ "metadata": { "resourceVersion": wish.resource_version }, "status": wish.status });
        match api.patch_status(&wish.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => true,
            Err(error) => {
                let Wish { kind, namespace, name, .. } = wish;
                tracing::warn!(?kind, namespace, name, %error, "a status could not be written and is tried again");
                false
            }
        }
    }
}

impl Wish {
    fn subject(&self) -> Subject {
        (self.kind, self.namespace.clone(), self.name.clone())
    }
}

impl WishKind {
    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Gateway => (kinds::gateway::GROUP, "v1", "Gateway", "gateways"),
            Self::Route => (kinds::gateway::GROUP, "v1", "HTTPRoute", "httproutes"),
            Self::Pool => (kinds::inference::GROUP, "v1", "InferencePool", "inferencepools"),
            Self::OldPool => (kinds::inference::OLD_GROUP, "v1alpha2", "InferencePool", "inferencepools"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}
