//! Watches: what is there, what happens from then on, and now and then a bookmark.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Scope;
use super::get::not_a_revision;
use super::list::{Selection, selection};
use crate::catalog::Resource;
use crate::core::Core;
use crate::http::{Answer, Call, Content};
use crate::media::{Shape, Wanted};
use crate::selector;
use crate::status::{Cause, Failure, Names};
use crate::store::{Event, Object, Store};

/// How often a quiet watch is told where the log is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts if the caller does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

struct Watch {
    store: Store,
    core: Arc<Core>,
    resource: Arc<Resource>,
    store_key: String,
    prefix: String,
    selection: Selection,
    form: Wanted,
    include_objects: Option<String>,
    bookmarks: bool,
    /// Where the log has been sent up to.
    cursor: u64,
    /// Objects that are there at the start, if they are to be sent.
    initial: Vec<Arc<Object>>,
    /// Ends the initial objects with a marked bookmark.
    mark_end: bool,
    columns_sent: bool,
    sender: mpsc::Sender<Bytes>,
}

impl Core {
    pub(crate) fn watch(&self, call: &Call, scope: &Scope, name: Option<&str>) -> Result<Answer, Failure> {
        let resource = &scope.resource;
        let mut selection = selection(call, resource)?;
        if let Some(name) = name {
            selection.fields = selector::fields(&format!("metadata.name={name}"))?;
        }
        let wanted = call.query.get("resourceVersion").unwrap_or_default();
        let revision: u64 = if wanted.is_empty() {
            0
        } else {
            wanted.parse().map_err(|_| {
                Failure::bad_request(format!("invalid resource version: {}", not_a_revision(wanted)))
            })?
        };
        let send_initial = call.query.get("sendInitialEvents").map(|v| v == "true");
        check_options(call, send_initial)?;
        let prefix = resource.prefix(scope.namespace.as_deref());
        let from_scratch = send_initial.unwrap_or(revision == 0);
        let bookmarks = call.query.flag("allowWatchBookmarks");
        let (sender, receiver) = mpsc::channel(64);
        let mut watch = Watch {
            store: self.store.clone(),
            core: self.handle().ok_or_else(|| Failure::internal("the server is stopping"))?,
            resource: resource.clone(),
            store_key: resource.store_key(),
            prefix: prefix.clone(),
            selection,
            form: call.wanted,
            include_objects: call.query.get("includeObject").map(str::to_owned),
            bookmarks,
            cursor: revision,
            initial: Vec::new(),
            mark_end: false,
            columns_sent: false,
            sender,
        };
        if from_scratch {
            let listed = self.store.list(&prefix);
            watch.cursor = listed.revision;
            watch.initial = listed.objects;
            watch.initial.retain(|object| watch.selection.matches_stored(self, resource, object));
            watch.mark_end =
                bookmarks && (send_initial == Some(true) || call.query.get("resourceVersion") == Some("0"));
        } else if send_initial == Some(false) && revision == 0 {
            watch.cursor = self.store.revision();
        }
        let timeout = match call.query.number("timeoutSeconds") {
            Some(seconds) if seconds > 0 => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            _ => DEFAULT_TIMEOUT,
        };
        tokio::spawn(watch.run(Instant::now() + timeout));
        let content_type = if call.wanted.yaml { "application/yaml" } else { "application/json" };
        Ok(Answer { status: 200, warnings: Vec::new(), content: Content::Stream(content_type, receiver) })
    }
}

fn check_options(call: &Call, send_initial: Option<bool>) -> Result<(), Failure> {
    let matching = call.query.get("resourceVersionMatch");
    let mut causes = Vec::new();
    match (send_initial, matching) {
        (Some(_), None) => causes.push(Cause::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        (Some(_), Some(m)) if m != "NotOlderThan" => {
            causes.push(Cause::unsupported("resourceVersionMatch", &json!(m), &["NotOlderThan"]));
        }
        (None, Some(_)) => causes.push(Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        _ => {}
    }
    if causes.is_empty() {
        return Ok(());
    }
    let names = Names { group: "meta.k8s.io", plural: "listoptions", kind: "ListOptions" };
    Err(Failure::invalid(names, "", causes))
}

/// The other side has gone.
struct Closed;

impl Watch {
    async fn run(mut self, end: Instant) {
        let mut bell = self.store.subscribe(&self.store_key);
        // The error says that the other side has gone: nobody is left to tell.
        let _ = self.follow(&mut bell, end).await;
    }

    async fn follow(
        &mut self,
        bell: &mut tokio::sync::watch::Receiver<u64>,
        end: Instant,
    ) -> Result<(), Closed> {
        for object in std::mem::take(&mut self.initial) {
            self.send_stored("ADDED", &object).await?;
        }
        if self.mark_end {
            self.bookmark(true).await?;
        }
        let mut next_bookmark = Instant::now() + BOOKMARK_EVERY;
        loop {
            let Ok((events, reached)) = self.store.events_after(&self.store_key, self.cursor) else {
                let failure = Failure::expired(format!(
                    "too old resource version: {} ({})",
                    self.cursor,
                    self.store.revision()
                ));
                return self.emit(&json!({"type": "ERROR", "object": failure.body()})).await;
            };
            for event in events {
                self.event(&event).await?;
            }
            self.cursor = self.cursor.max(reached);
            tokio::select! {
                changed = bell.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = self.sender.closed() => return Err(Closed),
                () = tokio::time::sleep_until(end) => {
                    if self.bookmarks {
                        self.bookmark(false).await?;
                    }
                    return Ok(());
                }
                () = tokio::time::sleep_until(next_bookmark), if self.bookmarks => {
                    self.cursor = self.cursor.max(self.store.events_after(&self.store_key, self.cursor).map_or(0, |(events, reached)| {
                        if events.is_empty() { reached } else { 0 }
                    }));
                    self.bookmark(false).await?;
                    next_bookmark = Instant::now() + BOOKMARK_EVERY;
                }
            }
        }
    }

    async fn event(&mut self, event: &Event) -> Result<(), Closed> {
        if !event.key().starts_with(&self.prefix) {
            return Ok(());
        }
        let selects = |object: &Object| self.selection.matches_stored(&self.core, &self.resource, object);
        let old = event.old.as_deref().filter(|old| selects(old));
        let is = !event.deleted && selects(&event.object);
        match (old, is) {
            (None, false) => Ok(()),
            (None, true) => self.send_stored("ADDED", &event.object).await,
            (Some(_), true) => self.send_stored("MODIFIED", &event.object).await,
            (Some(_), false) if event.deleted => self.send_stored("DELETED", &event.object).await,
            (Some(old), false) => {
                let mut last = self.core.shown(&self.resource, old);
                last["metadata"]["resourceVersion"] = json!(event.revision.to_string());
                self.send("DELETED", last).await
            }
        }
    }

    /// Most watches want objects as they are stored: their text is passed on, not read.
    async fn send_stored(&mut self, kind: &str, object: &Object) -> Result<(), Closed> {
        if self.form != Wanted::JSON {
            return self.send(kind, self.core.shown(&self.resource, object)).await;
        }
        let text = self.core.shown_text(&self.resource, object);
        let event = format!("{{\"object\":{text},\"type\":\"{kind}\"}}\n");
        self.sender.send(event.into()).await.map_err(|_| Closed)
    }

    async fn bookmark(&mut self, end_of_initial: bool) -> Result<(), Closed> {
        let mut metadata = json!({"resourceVersion": self.cursor.to_string()});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut object = match self.resource.built_in() {
            Some(built_in) => crate::kinds::empty(built_in),
            None => json!({}),
        };
        object["kind"] = json!(self.resource.kind);
        object["apiVersion"] = json!(self.resource.api_version());
        object["metadata"] = metadata;
        self.send("BOOKMARK", object).await
    }

    async fn send(&mut self, kind: &str, object: Value) -> Result<(), Closed> {
        let object = match self.form.shape {
            Shape::Object => object,
            Shape::PartialObject | Shape::PartialList => crate::table::partial(object),
            Shape::Table => {
                let first = !std::mem::replace(&mut self.columns_sent, true);
                let include = self.include_objects.as_deref();
                if kind == "BOOKMARK" {
                    self.columns_sent = !first;
                }
                crate::table::of_event(
                    &self.core,
                    &self.resource,
                    &object,
                    include,
                    first,
                    kind == "BOOKMARK",
                )
            }
        };
        self.emit(&json!({"type": kind, "object": object})).await
    }

    async fn emit(&mut self, event: &Value) -> Result<(), Closed> {
        self.sender.send(self.form.encode(event).into()).await.map_err(|_| Closed)
    }
}
