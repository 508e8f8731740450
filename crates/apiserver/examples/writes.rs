//! How long a write takes: `cargo run --release -p apiserver --example writes [CRD.json OBJECT.json]`.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Instant;

use apiserver::{ApiServer, Options};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::Service;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const WRITES: u32 = 2_000;

async fn send(server: &ApiServer, method: &str, path: &str, media: &str, body: String) -> Outcome<()> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .header("user-agent", "writes/1")
        .body(Full::new(Bytes::from(body)))?;
    let response = server.clone().call(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(())
}

fn deployment(name: &str, image: &str) -> Value {
    let env: Vec<Value> = (0..8).map(|i| json!({"name": format!("E{i}"), "value": "x"})).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name, "b": "c"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{
                "name": "main", "image": image, "args": ["--model", "m", "--port", "8000"], "env": env,
                "ports": [{"containerPort": 8000, "name": "http"}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "volumeMounts": [{"name": "a", "mountPath": "/a"}],
            }], "volumes": [{"name": "a", "emptyDir": {}}]},
        }},
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
    const APPLY: &str = "application/apply-patch+yaml";
    const JSON: &str = "application/json";
    let server = ApiServer::new(Options::default())?;
    let mut started = Instant::now();
    let mut took = |what: &str| {
        println!("{what}: {} µs each", started.elapsed().as_micros() / u128::from(WRITES));
        started = Instant::now();
    };
    send(&server, "POST", DEPLOYMENTS, JSON, deployment("first", "i").to_string()).await?;
    took("first write (of all)");
    for i in 0..WRITES {
        send(&server, "POST", DEPLOYMENTS, JSON, deployment(&format!("a{i}"), "i").to_string()).await?;
    }
    took("create Deployment");
    for (what, image) in [("apply new", "i"), ("apply same", "i"), ("apply changed", "j")] {
        for i in 0..WRITES {
            let path = format!("{DEPLOYMENTS}/b{i}?fieldManager=m&force=true");
            send(&server, "PATCH", &path, APPLY, deployment(&format!("b{i}"), image).to_string()).await?;
        }
        took(what);
    }
    for i in 0..WRITES {
        let path = format!("{DEPLOYMENTS}/b{i}/status");
        let status = json!({"status": {"replicas": 1, "readyReplicas": 1}}).to_string();
        send(&server, "PATCH", &path, "application/merge-patch+json", status).await?;
    }
    took("merge patch of status");
    for i in 0..WRITES {
        let name = format!("s{i}");
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}});
        send(&server, "POST", "/api/v1/namespaces/default/services", JSON, service.to_string()).await?;
    }
    took("create Service");
    let files: Vec<String> = std::env::args().skip(1).collect();
    if let [crd, object] = files.as_slice() {
        let crd: Value = serde_json::from_slice(&std::fs::read(crd)?)?;
        let mut object: Value = serde_json::from_slice(&std::fs::read(object)?)?;
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        send(&server, "POST", path, JSON, crd.to_string()).await?;
        took("CRD (of all)");
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default().to_owned();
        let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        for what in ["apply custom", "apply custom again"] {
            for i in 0..WRITES {
                object["metadata"] = json!({"name": format!("c{i}")});
                let path = format!("/apis/{api_version}/namespaces/default/{plural}/c{i}?fieldManager=m");
                send(&server, "PATCH", &path, APPLY, object.to_string()).await?;
            }
            took(what);
        }
    }
    Ok(())
}
