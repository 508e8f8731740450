//! Recorded commands of kubectl: the requests that each made, sent to ours.
//!
//! The commands ran one after another on one server, so they are replayed in that order on one server of ours. What
//! happened between them unrecorded (a server-side apply, a status that a controller would write) is made up for from
//! what the next recording shows, but only before the recordings named in [`CAUGHT_UP`].
//!
//! Not compared, by design: answers in protobuf (the recording lost their bytes, and ours are JSON, which kubectl
//! accepts: status only), `/openapi/v2` (not served; kubectl falls back to a merge patch), the time limit that kubectl
//! draws for a watch, and answers marked `<not kept>` (status only). A 304 depends on kubectl's cache: it is asked for
//! with the `ETag` that our own answer had.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::compare::{Bindings, sort};
use super::exchange::{Answer, Client, Exchange};

/// The order in which the recordings depend on each other.
const ORDER: &[&str] = &[
    "api-resources",
    "api-versions",
    "version",
    "cluster-info",
    "auth-can-i",
    "explain",
    "explain-deploy",
    "get-unknown-kind",
    "get-missing",
    "delete-missing",
    "events",
    "apply-crd",
    "apply-first",
    "apply-second",
    "apply-same",
    "apply-server-side",
    "apply-server-side-again",
    "apply-server-side-conflict",
    "get-yaml",
    "apply-dry-run-server",
    "get-deploy",
    "get-deploy-cached",
    "get-wide",
    "get-name",
    "get-json-list",
    "get-jsonpath",
    "get-sort-by",
    "get-all",
    "describe-deploy",
    "apply-cr-first",
    "apply-invalid-field",
    "get-watch",
    "patch-merge",
    "patch-json",
    "annotate",
    "diff",
    "patch-strategic",
    "scale-deploy",
    "rollout-status",
    "wait-timeout",
    "logs-deploy",
    "replace",
    "label",
    "create-again",
    "delete-wait",
    "create-secret",
    "create-namespace",
    "delete-selector",
];

/// Before these, commands ran that were not recorded.
const CAUGHT_UP: &[&str] =
    &["get-yaml", "apply-invalid-field", "annotate", "rollout-status", "wait-timeout", "replace", "label"];

const NAMESPACE: &str = "kubectl";
const AGENT: &str = "kubectl/v1.35.4";

/// The differences of each recording; made on first use, for all of them.
static DONE: LazyLock<Mutex<BTreeMap<String, Vec<String>>>> = LazyLock::new(Mutex::default);

/// The differences of the recording `name`.
pub(super) async fn run(root: &Path, name: &str) -> Result<Vec<String>> {
    let known = DONE.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let all = replay(root).await?;
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    *done = all;
    match done.get(name) {
        Some(found) => Ok(found.clone()),
        None => bail!("kubectl-{name}: its place in the order is unknown; add it to ORDER in this module"),
    }
}

async fn replay(root: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let folder = root.join("apiserver/kubectl");
    let client = super::server(root, "/apis?", NAMESPACE, "").await?;
    let mut all = BTreeMap::new();
    for name in ORDER {
        let file = folder.join(format!("{name}.jsonl"));
        if !file.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        let mut exchanges: Vec<Exchange> = text
            .lines()
            .skip(1)
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| file.display().to_string())?;
        for exchange in &mut exchanges {
            exchange.request.headers.insert("User-Agent".into(), AGENT.into());
        }
        if CAUGHT_UP.contains(name) {
            catch_up(&client, &exchanges).await.with_context(|| format!("before {name}"))?;
        }
        if matches!(*name, "get-watch" | "wait-timeout") {
            // The recording server was elsewhere by then: a list's revision is not that of an object in it.
            let metadata = json!({"generateName": "elsewhere-"});
            let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
            client.write("POST", "/api/v1/namespaces/default/configmaps", "application/json", &other).await?;
        }
        if *name == "logs-deploy" {
            let container = json!({"name": "main", "image": "i"});
            let metadata = json!({"name": "p", "labels": {"app": "d"}});
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}});
            client.write("POST", "/api/v1/namespaces/kubectl/pods", "application/json", &pod).await?;
        }
        let differences =
            play(&client, name, &mut exchanges, &text).await.with_context(|| (*name).to_owned())?;
        all.insert((*name).to_owned(), differences);
    }
    Ok(all)
}

async fn play(client: &Client, name: &str, exchanges: &mut [Exchange], text: &str) -> Result<Vec<String>> {
    let mut bindings = Bindings::new(text);
    let mut differences = Vec::new();
    for exchange in exchanges.iter_mut() {
        if exchange.request.path.starts_with("/openapi/v2") {
            continue;
        }
        if exchange.response.status == 304 {
            let first = client.send(exchange, &mut bindings).await?;
            if let Some(tag) = first.headers.get("etag").and_then(|tags| tags.first()) {
                exchange.request.headers.insert("If-None-Match".into(), tag.clone());
            }
        }
        let in_protobuf = exchange
            .response
            .headers
            .get("Content-Type")
            .is_some_and(|t| t == "application/vnd.kubernetes.protobuf");
        if in_protobuf {
            exchange.response.headers.clear();
            exchange.response.body = None;
        }
        let mut answer = client.send(exchange, &mut bindings).await?;
        let mut found = Vec::new();
        bindings.answer(exchange, &mut answer, &mut found);
        watch(client, name, exchange, answer, &mut bindings, &mut found).await?;
        let at = format!("#{} {} {}", exchange.n, exchange.request.method, exchange.request.path);
        differences.extend(found.into_iter().map(|difference| format!("{at}: {difference}")));
    }
    Ok(differences)
}

/// Reads a watch to its recorded end, and makes the change that ended the command.
async fn watch(
    client: &Client,
    name: &str,
    exchange: &Exchange,
    answer: Answer,
    bindings: &mut Bindings,
    found: &mut Vec<String>,
) -> Result<()> {
    let Some(mut watch) = answer.watch else { return Ok(()) };
    let all = exchange.response.events.as_ref().map_or(0, Vec::len);
    let change = match name {
        "get-watch" => Some((
            "/apis/serving.kserve.io/v1alpha2/namespaces/kubectl/llminferenceservices/m/status",
            json!({"status": {"url": "http://m"}}),
        )),
        "rollout-status" => Some((
            "/apis/apps/v1/namespaces/kubectl/deployments/d/status",
            json!({"status": {"updatedReplicas": 4, "readyReplicas": 4, "availableReplicas": 4}}),
        )),
        _ => None,
    };
    if let Some((path, change)) = change {
        watch.read_until(all.saturating_sub(1), 1_500).await;
        client.write("PATCH", path, "application/merge-patch+json", &change).await?;
    }
    watch.read_until(all, 1_500).await;
    for (at, event) in watch.fresh(all) {
        if let Some(expected) = exchange.event(at) {
            bindings.compare_sorted(expected, &event, found);
        }
    }
    if watch.seen.len() < all {
        found.push(format!("{} of {all} events came", watch.seen.len()));
    }
    Ok(())
}

/// Brings the objects that a recording reads before it writes to the state that it shows.
async fn catch_up(client: &Client, exchanges: &[Exchange]) -> Result<()> {
    for exchange in exchanges.iter().take_while(|e| e.request.method == "GET") {
        let Some(wanted) = exchange.response.body.as_ref() else { continue };
        if wanted["metadata"]["uid"].is_null() {
            continue;
        }
        bring(client, exchange, &Bindings::default().filled_value(wanted)?).await?;
    }
    Ok(())
}

async fn bring(client: &Client, exchange: &Exchange, wanted: &Value) -> Result<()> {
    let path = exchange.request.path.as_str();
    let mut now = read(client, exchange).await?;
    if now.status == 404 {
        let (collection, _) = path.rsplit_once('/').unwrap_or((path, ""));
        client.write("POST", collection, "application/json", &own(wanted, &Value::Null)).await?;
    } else if own(&now.body, &Value::Null) != own(wanted, &Value::Null) {
        client.write("PUT", path, "application/json", &own(wanted, &now.body)).await?;
    }
    now = read(client, exchange).await?;
    if let Some(status) = wanted.get("status").filter(|status| **status != now.body["status"]) {
        let mut next = now.body.clone();
        next["status"] = status.clone();
        client.write("PUT", &format!("{path}/status"), "application/json", &next).await?;
    }
    let fields = json!([{"op": "replace", "path": "/metadata/managedFields", "value": wanted["metadata"]["managedFields"]}]);
    client.write("PATCH", path, "application/json-patch+json", &fields).await
}

async fn read(client: &Client, exchange: &Exchange) -> Result<Answer> {
    client.send(exchange, &mut Bindings::default()).await
}

/// An object without what the server adds, at the revision of `now`.
fn own(object: &Value, now: &Value) -> Value {
    let mut own = object.clone();
    sort(&mut own);
    if let Some(map) = own.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = own["metadata"].as_object_mut() {
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
            metadata.remove(field);
        }
        if let Some(revision) = now["metadata"].get("resourceVersion") {
            metadata.insert("resourceVersion".into(), revision.clone());
        }
    }
    own
}
