//! The API server as the operator reaches it: what it writes is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::Result;
use apiserver::{ApiServer, Body};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kinds::ObjectKey;
use serde_json::{Value, json};
use tower::Service;

use crate::golden::document::normal_text;

/// What the operator wrote.
#[derive(Default)]
pub(super) struct Log {
    /// Writes that were taken, ever.
    pub(super) writes: usize,
    /// The last of them.
    pub(super) last: String,
    /// Every child as it was last applied: the body of the request.
    pub(super) applied: BTreeMap<ObjectKey, Value>,
    /// What was deleted in this phase.
    pub(super) deleted: BTreeSet<ObjectKey>,
    /// Events of each service in this phase, in the order in which they were first said.
    pub(super) events: Vec<(String, Vec<Value>)>,
}

impl Log {
    /// Forgets what was done in the phase before.
    pub(super) fn begin(&mut self) {
        self.deleted.clear();
        self.events.clear();
    }

    fn said(&mut self, event: &Value) {
        if event["regarding"]["kind"] != "LLMInferenceService" {
            return;
        }
        let text = |value: &Value| normal_text(value.as_str().unwrap_or_default());
        let service = text(&event["regarding"]["name"]);
        let said = json!({"type": event["type"], "reason": event["reason"], "message": text(&event["note"])});
        match self.events.iter_mut().find(|(name, _)| *name == service) {
            Some((_, events)) if events.contains(&said) => {}
            Some((_, events)) => events.push(said),
            None => self.events.push((service, vec![said])),
        }
    }
}

#[derive(Clone)]
pub(super) struct Tap {
    pub(super) server: ApiServer,
    pub(super) log: Arc<Mutex<Log>>,
}

impl Service<Request<kube::client::Body>> for Tap {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let mut server = self.server.clone();
        if request.method() == Method::GET {
            return Box::pin(async move { Service::call(&mut server, request).await });
        }
        let log = self.log.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let (method, path) = (head.method.clone(), head.uri.path().to_owned());
            let media = head
                .headers
                .get("content-type")
                .and_then(|media| media.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            let response = server.call(Request::from_parts(head, Full::new(bytes))).await?;
            note(
                &mut log.lock().unwrap_or_else(PoisonError::into_inner),
                &method,
                &path,
                &media,
                sent,
                response.status().as_u16(),
            );
            Ok(response)
        })
    }
}

fn note(log: &mut Log, method: &Method, path: &str, media: &str, sent: Value, code: u16) {
    // An event that is there already is said once more.
    if path.contains("/events") {
        if *method == Method::POST && (code < 300 || code == 409) {
            log.said(&sent);
        }
        return;
    }
    if code >= 300 {
        return;
    }
    log.writes += 1;
    log.last = format!("{method} {path}");
    if media.starts_with("application/apply-patch")
        && let Ok(key) = ObjectKey::of(&sent)
    {
        log.applied.insert(key, sent);
    } else if *method == Method::DELETE
        && let Some(key) = log
            .applied
            .keys()
            .find(|key| {
                super::resource_path(key).is_ok_and(|parent| path == format!("{parent}/{}", key.name))
            })
            .cloned()
    {
        log.applied.remove(&key);
        log.deleted.insert(key);
    }
}

/// Sends one request; gives back status code and body.
pub(super) async fn send(
    server: &ApiServer,
    method: &str,
    path: &str,
    media: &str,
    body: &Value,
) -> Result<(u16, Value)> {
    let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let mut request = Request::builder().method(method).uri(path).header("user-agent", "golden/1.0");
    if !media.is_empty() {
        request = request.header("content-type", media);
    }
    let response = server.clone().call(request.body(Full::new(bytes))?).await?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok((code, serde_json::from_slice(&bytes).unwrap_or_default()))
}
