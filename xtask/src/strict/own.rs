//! The examples, the cases of `plan`, and the services of `tests/strict`: composed and planned with our presets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use api::admission::{Request, admit};
use compose::{Facts, Settings};
use kinds::Objects;
use serde_json::{Value, json};

use super::{Chapter, Story};

const KIND: &str = "LLMInferenceService";

/// A story of one chapter per file that holds a service. An input that is refused, as one example is meant to be, has no
/// children.
pub(crate) fn own() -> Result<Vec<Story>> {
    let root = crate::workspace::root();
    let mut stories = Vec::new();
    for (folder, are_to_plan) in [
        ("examples", false),
        ("examples/seeds", false),
        ("crates/plan/tests/cases", true),
        ("tests/strict", true),
    ] {
        for file in files(&root.join(folder))? {
            let name = file.strip_prefix(&root)?.display().to_string();
            let children = children(&file, are_to_plan).with_context(|| name.clone())?;
            stories.push(Story {
                name,
                chapters: vec![Chapter { name: String::new(), children, refused: Vec::new() }],
            });
        }
    }
    Ok(stories)
}

/// The YAML files of a folder, and the `in.yaml` of the folders in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        } else if path.join("in.yaml").is_file() {
            files.push(path.join("in.yaml"));
        }
    }
    files.sort();
    Ok(files)
}

/// What the services of a file are made of. They move into a namespace of their own.
fn children(file: &Path, are_to_plan: bool) -> Result<Vec<Value>> {
    let namespace = namespace_of(file);
    let mut documents: Vec<Value> = Vec::new();
    for document in yaml::read_documents(&std::fs::read_to_string(file)?)? {
        documents.push(document.value);
    }
    documents.retain(|document| !document.is_null());
    let home = documents
        .iter()
        .find(|document| document["kind"] == KIND)
        .map(|service| service["metadata"]["namespace"].clone())
        .unwrap_or_default();
    let mut objects = Objects::new();
    for object in surroundings(&namespace) {
        objects.add_document(object)?;
    }
    let mut services = Vec::new();
    for mut document in documents {
        let is_ours =
            document["apiVersion"].as_str().is_some_and(|version| version.starts_with("serving.kserve.io/"));
        let there = &document["metadata"]["namespace"];
        if (*there == home || there.is_null()) && document["kind"] != "GatewayClass" {
            document["metadata"]["namespace"] = json!(namespace);
        }
        if !is_ours {
            objects.add_document(document)?;
            continue;
        }
        match admit(&document, Request::default()) {
            Ok(admitted) if admitted.object["kind"] == KIND => services.push(admitted.object),
            Ok(admitted) => objects.add_document(admitted.object)?,
            Err(refusal) => ensure!(!are_to_plan, "{}: {refusal}", document["metadata"]["name"]),
        }
    }
    let settings = Settings::from_objects(&objects, "kserve")?;
    let mut children = Vec::new();
    for mut service in services {
        service["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
        service["metadata"]["generation"] = json!(1);
        let name = service["metadata"]["name"].clone();
        let facts = Facts {
            service: Arc::new(service),
            objects: objects.clone(),
            settings: settings.clone(),
            ..Facts::default()
        };
        match compose::compose(&facts) {
            Ok(merged) => {
                let plan = plan::build(&merged, &facts);
                ensure!(!are_to_plan || plan.failure.is_none(), "{name}: {:?}", plan.failure);
                children.extend(plan.certificates.iter().map(|order| {
                    let mut secret = order.secret.clone();
                    secret["data"] = json!({"ca.crt": "", "tls.crt": "", "tls.key": ""});
                    secret
                }));
                children.extend(plan.steps.into_iter().flat_map(|step| step.objects));
            }
            Err(error) => ensure!(!are_to_plan, "{name}: {error}"),
        }
    }
    Ok(children)
}

fn namespace_of(file: &Path) -> String {
    let text = file.with_extension("").display().to_string();
    let from = text.rfind("cases/").or_else(|| text.rfind('/').map(|at| at + 1)).unwrap_or(0);
    let plain: String = text[from..]
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("strict-{plain}")
}

/// A gateway with an address, the account that every namespace has, and where metrics are.
fn surroundings(namespace: &str) -> Vec<Value> {
    let gateway = "gateway.networking.k8s.io/v1";
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}),
        json!({
            "apiVersion": gateway, "kind": "GatewayClass", "metadata": {"name": "class"},
            "spec": {"controllerName": "example.com/gateway"},
        }),
        json!({
            "apiVersion": gateway, "kind": "Gateway",
            "metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"},
            "spec": {"gatewayClassName": "class", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
            "status": {"addresses": [{"type": "IPAddress", "value": "198.51.100.4"}]},
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
            "data": {
                "ingress": json!({"kserveIngressGateway": "kserve/kserve-ingress-gateway", "ingressGateway": "a/b"}).to_string(),
                "storageInitializer": json!({"enableModelcar": true}).to_string(),
                "autoscaling-wva-controller-config": json!({"prometheus": {"url": "http://prometheus.monitoring:9090"}}).to_string(),
            },
        }),
    ]
}
