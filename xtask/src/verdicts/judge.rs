//! An API server that is asked: a real one, or ours in this process, in the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;

/// A definition is served within a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Name by which our writes are known.
const AGENT: &str = "judge/1.0";

/// An API server.
pub(crate) struct Judge {
    /// Who it is, for reports.
    pub(crate) name: &'static str,
    client: kube::Client,
    /// The lists of resources that were asked for, by their path.
    resources: BTreeMap<String, Vec<Value>>,
    /// Namespaces that were made.
    pub(crate) namespaces: BTreeSet<String>,
}

/// What it said.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    /// Texts of the `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

impl Judge {
    pub(crate) fn new(name: &'static str, client: kube::Client) -> Self {
        Self { name, client, resources: BTreeMap::new(), namespaces: BTreeSet::new() }
    }

    /// Our own server, empty, in memory.
    pub(crate) fn ours() -> Result<Self> {
        let server = apiserver::ApiServer::new(apiserver::Options { seed: Some(1), ..Default::default() })?;
        Ok(Self::new("ours", kube::Client::new(server, "default")))
    }

    /// Sends a request; an empty `media` sends no body.
    pub(crate) async fn ask(&self, method: &str, path: &str, media: &str, body: &Value) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("user-agent", AGENT);
        let mut bytes = Vec::new();
        if !media.is_empty() {
            request = request.header("content-type", media);
            bytes = serde_json::to_vec(body)?;
        }
        let response = self.client.send(request.body(bytes.into())?).await?;
        let code = response.status().as_u16();
        let warnings =
            response.headers().get_all("warning").iter().filter_map(|value| warning(value.to_str().ok()?));
        let warnings = warnings.collect();
        let bytes = response.into_body().collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { code, body, warnings })
    }

    /// Makes an object that has to be accepted, or replaces the one of its name.
    pub(crate) async fn put(&mut self, object: &Value) -> Result<()> {
        let path = self.collection(object).await?;
        let mut answer = self.ask("POST", &path, "application/json", object).await?;
        if answer.code == 409 {
            let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
            let mut object = object.clone();
            object["metadata"]["resourceVersion"] =
                self.ask("GET", &path, "", &Value::Null).await?.body["metadata"]["resourceVersion"].clone();
            answer = self.ask("PUT", &path, "application/json", &object).await?;
        }
        ensure!(
            answer.code < 300,
            "{} refuses {} {}: {}",
            self.name,
            object["kind"],
            object["metadata"]["name"],
            answer.body["message"]
        );
        Ok(())
    }

    /// Waits until the server serves what a definition defines.
    pub(crate) async fn established(&mut self, definition: &Value) -> Result<()> {
        let spec = &definition["spec"];
        let version =
            spec["versions"].as_array().into_iter().flatten().find(|version| version["storage"] == true);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = version.map(|version| word(&version["name"])).unwrap_or_default();
        let path = format!("/apis/{}/{version}/{}", word(&spec["group"]), word(&spec["names"]["plural"]));
        let deadline = Instant::now() + PATIENCE;
        while self.ask("GET", &path, "", &Value::Null).await?.code != 200 {
            ensure!(Instant::now() < deadline, "{} does not serve {path}", self.name);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The path under which objects of that kind and namespace are.
    pub(crate) async fn collection(&mut self, object: &Value) -> Result<String> {
        let version = object["apiVersion"].as_str().context("no apiVersion")?;
        let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        let kind = &object["kind"];
        if self.resource(&base, kind).is_none() {
            // Not asked yet, or asked before its definition came.
            let answer = self.ask("GET", &base, "", &Value::Null).await?;
            ensure!(answer.code == 200, "{} does not know {version}: {}", self.name, answer.body);
            let list = answer.body["resources"].as_array().cloned().unwrap_or_default();
            self.resources.insert(base.clone(), list);
        }
        let resource = self
            .resource(&base, kind)
            .with_context(|| format!("{} does not know {kind} in {version}", self.name))?;
        let plural = resource["name"].as_str().unwrap_or_default();
        Ok(match object["metadata"]["namespace"].as_str() {
            Some(namespace) if resource["namespaced"] == true => {
                format!("{base}/namespaces/{namespace}/{plural}")
            }
            _ => format!("{base}/{plural}"),
        })
    }

    fn resource(&self, base: &str, kind: &Value) -> Option<&Value> {
        self.resources.get(base)?.iter().find(|resource| {
            resource["kind"] == *kind && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        })
    }
}

/// The text of `299 - "TEXT"`.
fn warning(header: &str) -> Option<String> {
    let quoted = header.splitn(3, ' ').nth(2)?;
    let text = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
}
