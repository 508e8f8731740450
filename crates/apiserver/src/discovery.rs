//! Which groups, versions and resources there are, and the paths that are no resource.

use serde_json::{Value, json};

use crate::catalog::{Catalog, Resource};
use crate::core::Core;
use crate::http::{Answer, Call, Content};
use crate::path::Place;
use crate::status::Failure;

/// The version of Kubernetes whose behaviour this is.
const MINOR: &str = "35";

/// Answers `/api`, `/apis` and what is directly below.
pub(crate) fn answer(core: &Core, call: &Call, place: &Place) -> Result<Answer, Failure> {
    let catalog = core.catalog.load();
    let aggregated = call.header("accept").is_some_and(|a| a.contains("as=APIGroupDiscoveryList"));
    match place {
        Place::LegacyVersions if aggregated => Ok(aggregate(&catalog, |group| group.is_empty())),
        Place::Groups if aggregated => Ok(aggregate(&catalog, |group| !group.is_empty())),
        Place::LegacyVersions => Ok(Answer::ok(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": call.header("host").unwrap_or("127.0.0.1")}],
        }))),
        Place::Groups => {
            let groups: Vec<Value> =
                catalog.groups.iter().filter(|(g, _)| !g.is_empty()).map(|(g, v)| group(g, v)).collect();
            Ok(Answer::ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
        }
        Place::Group(name) => match catalog.versions_of(name) {
            Some(versions) if !name.is_empty() => {
                let mut body = group(name, versions);
                body["kind"] = json!("APIGroup");
                body["apiVersion"] = json!("v1");
                Ok(Answer::ok(body))
            }
            _ => Ok(missing()),
        },
        Place::Resources { group, version } => match catalog.group_version(group, version) {
            Some(resources) => {
                let list: Vec<Value> = resources.values().flat_map(|r| legacy(r)).collect();
                let group_version =
                    if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
                let mut body =
                    json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
                // The list of the core group has none.
                if !group.is_empty() {
                    body["apiVersion"] = json!("v1");
                }
                Ok(Answer::ok(body))
            }
            None => Ok(missing()),
        },
        Place::Target(_) | Place::Other => Ok(missing()),
    }
}

fn missing() -> Answer {
    Answer::text(404, "404 page not found\n")
}

fn group(name: &str, versions: &[String]) -> Value {
    let list: Vec<Value> =
        versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
    json!({"name": name, "versions": list, "preferredVersion": list.first()})
}

fn legacy(resource: &Resource) -> Vec<Value> {
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    if resource.verbs.contains(&"get") {
        entry["storageVersionHash"] = json!(hash(resource));
    }
    let mut out = vec![entry];
    for (name, kind, verbs) in subresources(resource) {
        let mut entry = json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": kind.2, "verbs": verbs,
        });
        if !kind.1.is_empty() {
            entry["group"] = json!(kind.0);
            entry["version"] = json!(kind.1);
        }
        out.push(entry);
    }
    out
}

fn hash(resource: &Resource) -> String {
    use base64::Engine;
    use sha2::Digest;
    let digest = sha2::Sha256::digest(format!("{}/{}", resource.store_key(), resource.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

type Kind = (&'static str, &'static str, String);

/// Subresources with their kinds (group and version empty: those of the resource) and verbs.
fn subresources(resource: &Resource) -> Vec<(&'static str, Kind, &'static [&'static str])> {
    const CHANGE: &[&str] = &["get", "patch", "update"];
    const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
    let own = || ("", "", resource.kind.clone());
    let other = |group, version, kind: &str| (group, version, kind.to_owned());
    let all: &[&'static str] = match resource.built_in() {
        Some(built_in) => built_in.subresources,
        None => &["status", "scale"],
    };
    all.iter()
        .filter(|name| resource.has(name))
        .map(|name| match *name {
            "scale" => (*name, other("autoscaling", "v1", "Scale"), CHANGE),
            "finalize" => (*name, own(), &["update"][..]),
            "log" => (*name, own(), &["get"][..]),
            "exec" => (*name, other("", "", "PodExecOptions"), &["create", "get"][..]),
            "attach" => (*name, other("", "", "PodAttachOptions"), &["create", "get"][..]),
            "portforward" => (*name, other("", "", "PodPortForwardOptions"), &["create", "get"][..]),
            "binding" => (*name, other("", "", "Binding"), &["create"][..]),
            "eviction" => (*name, other("policy", "v1", "Eviction"), &["create"][..]),
            "token" => (*name, other("authentication.k8s.io", "v1", "TokenRequest"), &["create"][..]),
            "proxy" => (*name, other("", "", &format!("{}ProxyOptions", resource.kind)), PROXY),
            _ => (*name, own(), CHANGE),
        })
        .collect()
}

fn aggregate(catalog: &Catalog, wanted: impl Fn(&str) -> bool) -> Answer {
    let items: Vec<Value> = catalog
        .groups
        .iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .filter_map(|version| {
                    let resources: Vec<Value> =
                        catalog.group_version(group, version)?.values().map(|r| aggregated(r)).collect();
                    Some(json!({"version": version, "freshness": "Current", "resources": resources}))
                })
                .collect();
            let mut metadata = json!({});
            if !group.is_empty() {
                metadata["name"] = json!(group);
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
    let content = Content::Bytes(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        body.to_string().into(),
    );
    Answer { status: 200, warnings: Vec::new(), content }
}

fn aggregated(resource: &Resource) -> Value {
    // The original names group and version of custom kinds alone.
    let (group, version) = match resource.custom() {
        Some(_) => (resource.group.as_str(), resource.version.as_str()),
        None => ("", ""),
    };
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let list: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, kind, verbs)| {
            let (g, v) = if kind.1.is_empty() { (group, version) } else { (kind.0, kind.1) };
            json!({"subresource": name, "responseKind": {"group": g, "version": v, "kind": kind.2}, "verbs": verbs})
        })
        .collect();
    if !list.is_empty() {
        entry["subresources"] = json!(list);
    }
    entry
}

/// The paths that are no resource.
pub(crate) fn other(core: &Core, call: &Call) -> Result<Answer, Failure> {
    let path = call.path.trim_end_matches('/');
    match path {
        "/version" => Ok(Answer::ok(json!({
            "major": "1", "minor": MINOR, "emulationMajor": "1", "emulationMinor": MINOR,
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "34",
            "gitVersion": format!("v1.{MINOR}.4"), "gitCommit": "$Format:%H$", "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26.8", "compiler": "gc", "platform": "linux/amd64",
        }))),
        "/healthz" | "/livez" | "/readyz" | "/healthz/ping" | "/livez/ping" | "/readyz/ping" => {
            Ok(Answer::text(200, "ok"))
        }
        _ if path.starts_with("/openapi/v3") => {
            Ok(crate::openapi::answer(core, call).unwrap_or_else(missing))
        }
        _ => Ok(missing()),
    }
}
