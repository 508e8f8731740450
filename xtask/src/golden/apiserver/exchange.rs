//! A recorded exchange, and our server as its other side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::Service;

use super::compare::Bindings;

#[derive(Deserialize)]
pub(super) struct Exchange {
    #[serde(default)]
    pub(super) n: u64,
    pub(super) request: Asked,
    pub(super) response: Answered,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Answered {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) body: Option<Value>,
    #[serde(default)]
    pub(super) events: Option<Vec<Value>>,
    #[serde(default)]
    end: Option<String>,
}

impl Exchange {
    /// How many events the watch had when the exchange `n` was over.
    pub(super) fn events_until(&self, n: u64) -> usize {
        let events = self.response.events.as_deref().unwrap_or_default();
        events.iter().filter(|e| e["after"].as_u64().unwrap_or(0) <= n).count()
    }

    pub(super) fn event(&self, at: usize) -> Option<&Value> {
        let event = self.response.events.as_ref()?.get(at)?;
        Some(event.get("event").unwrap_or(event))
    }

    pub(super) fn ends_by_server(&self) -> bool {
        self.response.end.as_deref() == Some("server")
    }
}

/// What our server said.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) body: Value,
    pub(super) watch: Option<Watch>,
}

pub(super) struct Watch {
    body: apiserver::Body,
    buffer: Vec<u8>,
    pub(super) seen: Vec<Value>,
    reported: usize,
    pub(super) ended: bool,
}

impl Watch {
    /// Reads until `count` events are there, the stream ends, or nothing comes for so long.
    pub(super) async fn read_until(&mut self, count: usize, patience_ms: u64) {
        while self.seen.len() < count && !self.ended {
            match tokio::time::timeout(Duration::from_millis(patience_ms), self.body.frame()).await {
                Err(_) => return,
                Ok(None) => self.ended = true,
                Ok(Some(Ok(frame))) => {
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |d| d.as_ref()));
                    while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                        let line: Vec<u8> = self.buffer.drain(..=end).collect();
                        self.seen.push(serde_json::from_slice(&line).unwrap_or(Value::Null));
                    }
                }
                Ok(Some(Err(never))) => match never {},
            }
        }
    }

    /// The events, up to `count`, that were not returned before.
    pub(super) fn fresh(&mut self, count: usize) -> Vec<(usize, Value)> {
        let end = count.min(self.seen.len());
        let out = (self.reported..end).map(|i| (i, self.seen[i].clone())).collect();
        self.reported = self.reported.max(end);
        out
    }
}

pub(super) struct Client {
    pub(super) server: Arc<apiserver::ApiServer>,
    /// Of the writes that are not recorded; empty: none.
    agent: &'static str,
}

impl Client {
    pub(super) fn new(server: Arc<apiserver::ApiServer>, agent: &'static str) -> Self {
        Self { server, agent }
    }

    /// A write that has to be accepted.
    pub(super) async fn write(&self, method: &str, path: &str, media: &str, body: &Value) -> Result<()> {
        let mut request = Request::builder().method(method).uri(path).header("content-type", media);
        if !self.agent.is_empty() {
            request = request.header("user-agent", self.agent);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())))?;
        let mut server = (*self.server).clone();
        let response = server.call(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// Steps of the recording that are not in it: CRDs made or changed by hand before the exchange `n`.
    pub(super) async fn unrecorded(&self, name: &str, n: u64) -> Result<()> {
        const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let patch = match (name, n) {
            ("error-crd-ratcheting", 1) => {
                let integer = json!({"type": "integer"});
                let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": integer, "b": integer}}}});
                let crd = json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": "hinges.golden.example.com"},
                    "spec": {
                        "group": "golden.example.com", "names": {"plural": "hinges", "kind": "Hinge"}, "scope": "Namespaced",
                        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
                    },
                });
                return self.write("POST", CRDS, "application/json", &crd).await;
            }
            ("error-crd-ratcheting", 2) => (
                "hinges.golden.example.com",
                "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a/maximum",
                json!(10),
            ),
            ("crd-version-removed", 4) => {
                ("things.x-crd-version-removed.example.com", "/spec/versions/1/served", json!(false))
            }
            _ => return Ok(()),
        };
        let (crd, path, value) = patch;
        let body = json!([{"op": "add", "path": path, "value": value}]);
        self.write("PATCH", &format!("{CRDS}/{crd}"), "application/json-patch+json", &body).await
    }

    pub(super) async fn send(&self, exchange: &Exchange, bindings: &mut Bindings) -> Result<Answer> {
        let asked = &exchange.request;
        let mut request = Request::builder()
            .method(asked.method.as_str())
            .uri(bindings.filled(&asked.path).replace(' ', "%20"));
        let mut has_user = false;
        let mut has_agent = false;
        for (name, value) in &asked.headers {
            has_user |= name.eq_ignore_ascii_case("authorization");
            has_agent |= name.eq_ignore_ascii_case("user-agent");
            if !value.is_empty() {
                request = request.header(name, bindings.filled(value));
            }
        }
        if !has_user {
            request = request.header("authorization", "Bearer admin-token");
        }
        if !has_agent {
            request = request.header(
                "user-agent",
                if asked.path.contains("kubectl") { "kubectl/v1.35.4" } else { "golden/1.0" },
            );
        }
        let body = match &asked.body {
            None => String::new(),
            Some(Value::String(text)) => bindings.filled(text),
            Some(other) => bindings.filled(&other.to_string()),
        };
        let request = request.body(Full::new(Bytes::from(body)))?;
        let mut server = self.server.guarded();
        let response = server.call(request).await?;
        let status = response.status().as_u16();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in response.headers() {
            headers.entry(name.as_str().to_owned()).or_default().push(value.to_str()?.to_owned());
        }
        let body = response.into_body();
        if exchange.response.events.is_some() && status == 200 {
            let watch = Watch { body, buffer: Vec::new(), seen: Vec::new(), reported: 0, ended: false };
            return Ok(Answer { status, headers, body: Value::Null, watch: Some(watch) });
        }
        let bytes = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, headers, body, watch: None })
    }
}
