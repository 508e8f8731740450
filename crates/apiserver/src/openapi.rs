//! OpenAPI v3: the index, and one document per group and version, made from the schemas when it is asked for.
//!
//! The documents hold what kubectl reads: the schemas of the kinds and the paths that lead to them with their verbs. The
//! parameters of requests are left out.

use serde_json::{Map, Value, json};
use sha2::Digest;

use crate::catalog::{Catalog, GroupVersion, Origin, Resource};
use crate::core::Core;
use crate::http::{Answer, Call, Content};

/// Answers `/openapi/v3` and below.
pub(crate) fn answer(core: &Core, call: &Call) -> Option<Answer> {
    let path = call.path.strip_prefix("/openapi/v3")?.trim_matches('/');
    let catalog = core.catalog.load();
    if path.is_empty() {
        return Some(index(&catalog));
    }
    let parts: Vec<&str> = path.split('/').collect();
    let (group, version) = match parts.as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        ["api" | "version"] => return Some(Answer::ok(document("Kubernetes", Map::new(), Map::new()))),
        ["apis", group] if crate::kinds::is_built_in_group(group) => {
            return Some(Answer::ok(document("Kubernetes", Map::new(), Map::new())));
        }
        _ => return Some(absent()),
    };
    Some(match catalog.group_version(group, version) {
        Some(resources) => Answer::ok(of_version(resources)),
        None => absent(),
    })
}

fn absent() -> Answer {
    Answer { status: 404, warnings: Vec::new(), content: Content::None }
}

fn index(catalog: &Catalog) -> Answer {
    let mut paths = Map::new();
    let mut add = |path: String, seed: &str| {
        let digest = sha2::Sha256::digest(seed);
        let hash: String = digest.iter().map(|b| format!("{b:02X}")).collect();
        let url = format!("/openapi/v3/{path}?hash={hash}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    add("api".into(), "api");
    add("version".into(), "version");
    for (group, versions) in &catalog.groups {
        if crate::kinds::is_built_in_group(group) && !group.is_empty() {
            add(format!("apis/{group}"), group);
        }
        for version in versions {
            let path =
                if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            // The hash stands for the content: clients keep documents as long as it stays.
            let seed: String = catalog
                .group_version(group, version)
                .into_iter()
                .flat_map(GroupVersion::values)
                .map(|r| r.custom().map_or_else(|| r.kind.clone(), |c| c.document.to_string()))
                .collect();
            add(path, &seed);
        }
    }
    let body = json!({"paths": paths}).to_string();
    let content = Content::Bytes("text/plain; charset=utf-8", body.into());
    Answer { status: 200, warnings: Vec::new(), content }
}

fn document(title: &str, paths: Map<String, Value>, schemas: Map<String, Value>) -> Value {
    json!({
        "openapi": "3.0.0", "info": {"title": title, "version": "v0.1.0"},
        "paths": paths, "components": {"schemas": schemas},
    })
}

fn of_version(resources: &GroupVersion) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    let mut generator = crate::kinds::schema::generator();
    let mut title = "Kubernetes CRD Swagger";
    for resource in resources.values() {
        let name = schema_name(resource);
        let kind = json!([{"group": resource.group, "version": resource.version, "kind": resource.kind}]);
        match &resource.origin {
            Origin::BuiltIn(built_in) => {
                title = "Kubernetes";
                let mut schema = (built_in.schema)(&mut generator).to_value();
                schema["x-kubernetes-group-version-kind"] = kind.clone();
                schemas.insert(name.clone(), schema);
            }
            Origin::Custom(custom) => {
                let mut schema = published(&custom.document);
                let properties = &mut schema["properties"];
                properties["apiVersion"] =
                    json!({"type": "string", "description": field_description("apiVersion")});
                properties["kind"] = json!({"type": "string", "description": field_description("kind")});
                properties["metadata"] = json!({
                    "description": "Standard object's metadata.",
                    "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],
                });
                schema["x-kubernetes-group-version-kind"] = kind.clone();
                schemas.insert(name.clone(), schema);
                let _ =
                    generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
            }
        }
        add_paths(&mut paths, resource, &name, &kind[0]);
    }
    for (name, schema) in generator.take_definitions(true) {
        schemas.entry(name).or_insert(schema);
    }
    document(title, paths, schemas)
}

/// The name under which a schema is published: the group backwards.
fn schema_name(resource: &Resource) -> String {
    match &resource.origin {
        Origin::BuiltIn(built_in) if built_in.kind == "CustomResourceDefinition" => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition".into()
        }
        Origin::BuiltIn(built_in) => {
            let group = match built_in.group.split('.').next().unwrap_or_default() {
                "" => "core",
                first => first,
            };
            format!("io.k8s.api.{group}.{}.{}", built_in.version, built_in.kind)
        }
        Origin::Custom(_) => {
            let backwards: Vec<&str> = resource.group.rsplit('.').collect();
            format!("{}.{}.{}", backwards.join("."), resource.version, resource.kind)
        }
    }
}

fn field_description(field: &str) -> String {
    let config_map = crate::kinds::BUILT_IN.iter().find(|b| b.kind == "ConfigMap");
    config_map.and_then(|b| crate::kinds::schema::of(b).description(field)).unwrap_or_default()
}

/// A CRD schema in the form that clients of OpenAPI understand.
fn published(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| *key != "nullable" || map.get("nullable") != Some(&Value::Bool(false)))
                .map(|(key, value)| (key.clone(), published(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(published).collect()),
        other => other.clone(),
    }
}

fn add_paths(paths: &mut Map<String, Value>, resource: &Resource, schema: &str, kind: &Value) {
    let root = match resource.group.as_str() {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    };
    let collection = if resource.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{root}/{}", resource.plural)
    };
    let operation = |action: &str| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
            "responses": {"200": {"description": "OK", "content": {"application/json": {
                "schema": {"$ref": format!("#/components/schemas/{schema}")},
            }}}},
        })
    };
    let allowed = |verb: &str| resource.verbs.contains(&verb);
    let mut all = Map::new();
    let mut one = Map::new();
    for (verb, method, target, action) in [
        ("list", "get", false, "list"),
        ("create", "post", false, "post"),
        ("deletecollection", "delete", false, "deletecollection"),
        ("get", "get", true, "get"),
        ("update", "put", true, "put"),
        ("patch", "patch", true, "patch"),
        ("delete", "delete", true, "delete"),
    ] {
        if allowed(verb) {
            let mut described = operation(action);
            // kubectl looks here to learn whether a server can check fields and try a write.
            if matches!(verb, "create" | "update" | "patch" | "delete") {
                described["parameters"] = json!([
                    {"name": "dryRun", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
                    {"name": "fieldManager", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
                    {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
                ]);
            }
            let map = if target { &mut one } else { &mut all };
            map.insert(method.to_owned(), described);
        }
    }
    paths.insert(format!("{collection}/{{name}}"), Value::Object(one));
    paths.insert(collection, Value::Object(all));
}
