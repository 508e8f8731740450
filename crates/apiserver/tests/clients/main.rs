//! The server as `kube` sees it: typed and dynamic clients over the in-process service.

mod custom_kinds;
mod judging;
mod objects;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::{Admission, ApiServer, Denied, Options, Review};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn start(options: Options) -> Result<(ApiServer, Client), apiserver::Error> {
    let server = ApiServer::new(options)?;
    let client = Client::new(server.clone(), "default");
    Ok((server, client))
}

fn config_map(name: &str, data: &Value) -> Result<ConfigMap, serde_json::Error> {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data}))
}

fn crd(conversion: &str) -> Result<CustomResourceDefinition, serde_json::Error> {
    let version = |name: &str, storage: bool, field: &str| {
        json!({
            "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {"type": "object", "required": [field], "properties": {
                        field: {"type": "string"}, "size": {"type": "integer", "default": 3, "maximum": 9},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            }},
        })
    };
    serde_json::from_value(json!({
        "metadata": {"name": "cups.tea.example.org"},
        "spec": {
            "group": "tea.example.org", "scope": "Namespaced", "names": {"plural": "cups", "kind": "Cup"},
            "conversion": {"strategy": conversion, "webhook": {"conversionReviewVersions": ["v1"]}},
            "versions": [version("v1", true, "kind"), version("v1old", false, "sort")],
        },
    }))
}

fn cups(client: &Client, version: &str) -> Api<DynamicObject> {
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tea.example.org", version, "Cup"));
    resource.plural = "cups".into();
    Api::default_namespaced_with(client.clone(), &resource)
}

fn cup(version: &str, spec: &Value) -> Result<DynamicObject, serde_json::Error> {
    serde_json::from_value(json!({
        "apiVersion": format!("tea.example.org/{version}"), "kind": "Cup", "metadata": {"name": "c"}, "spec": spec,
    }))
}
