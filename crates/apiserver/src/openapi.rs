//! OpenAPI v3: the index, and one document per group and version, made from the schemas when it is asked for.
//!
//! The documents hold the schemas of the kinds, of their lists and of what is sent along, and the paths with their
//! operations. A document is made when it is first asked for and kept as bytes until a CRD changes.

mod paths;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::{Map, Value, json};
use sha2::Digest;

use crate::catalog::{Catalog, GroupVersion, Origin, Resource};
use crate::core::Core;
use crate::http::{Answer, Call, Content};

/// Answers `/openapi/v3` and below.
pub(crate) fn answer(core: &Core, call: &Call) -> Option<Answer> {
    let path = call.path.strip_prefix("/openapi/v3")?.trim_matches('/');
    let catalog = core.catalog.load_full();
    if path.is_empty() {
        let bytes = catalog.document("", "", || index(&catalog));
        let content = Content::Bytes("text/plain; charset=utf-8", bytes);
        return Some(Answer { status: 200, warnings: Vec::new(), content });
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
        Some(resources) => {
            let bytes = catalog.document(group, version, || of_version(resources).to_string().into());
            Answer { status: 200, warnings: Vec::new(), content: Content::Bytes("application/json", bytes) }
        }
        None => absent(),
    })
}

fn absent() -> Answer {
    Answer { status: 404, warnings: Vec::new(), content: Content::None }
}

fn index(catalog: &Catalog) -> Bytes {
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
    json!({"paths": paths}).to_string().into()
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
                let mut schema = published(&custom.document());
                let properties = &mut schema["properties"];
                properties["apiVersion"] =
                    json!({"type": "string", "description": field_description("apiVersion")});
                properties["kind"] = json!({"type": "string", "description": field_description("kind")});
                properties["metadata"] = json!({
                    "description": "Standard object's metadata.",
                    "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],
                });
                schema["x-kubernetes-group-version-kind"] = kind.clone();
                if let Some(fields) = selectable(resource) {
                    schema["x-kubernetes-selectable-fields"] = fields;
                }
                schemas.insert(name.clone(), schema);
                let _ = generator.subschema_for::<meta::ObjectMeta>();
            }
        }
        if resource.verbs.contains(&"list") {
            schemas.insert(format!("{name}List"), list_schema(resource, &name));
        }
        if resource.has("scale") {
            let _ = generator.subschema_for::<k8s_openapi::api::autoscaling::v1::Scale>();
        }
        paths::add(&mut paths, resource, &name, &kind[0]);
    }
    let _ = generator.subschema_for::<meta::ListMeta>();
    let _ = generator.subschema_for::<meta::DeleteOptions>();
    let _ = generator.subschema_for::<meta::Status>();
    for (name, mut schema) in generator.take_definitions(true) {
        // Newer than the version that is served.
        if name.ends_with(".ShardInfo") {
            continue;
        }
        as_go_types(&mut schema);
        list_types(&name, &mut schema);
        top_level(&name, &mut schema);
        schemas.entry(name).or_insert(schema);
    }
    schemas.insert(
        "io.k8s.apimachinery.pkg.apis.meta.v1.Patch".into(),
        json!({"description": "The body of a PATCH: its form is that of the content type.", "type": "object"}),
    );
    document(title, paths, schemas)
}

fn list_schema(resource: &Resource, name: &str) -> Value {
    let mut schema = json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": field_description("apiVersion")},
            "kind": {"type": "string", "description": field_description("kind")},
            "items": {
                "description": format!("List of {}.", resource.plural),
                "type": "array", "items": {"$ref": format!("#/components/schemas/{name}")},
            },
            "metadata": {
                "description": "Standard list metadata.",
                "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"}],
            },
        },
        "x-kubernetes-group-version-kind":
            [{"group": resource.group, "version": resource.version, "kind": resource.list_kind}],
    });
    if let Some(fields) = selectable(resource) {
        schema["x-kubernetes-selectable-fields"] = fields;
    }
    schema
}

/// The fields that a CRD lets field selectors use.
fn selectable(resource: &Resource) -> Option<Value> {
    let fields = &resource.custom().filter(|custom| !custom.selectable.is_empty())?.selectable;
    Some(fields.iter().map(|field| json!({"fieldPath": field})).collect())
}

/// Go's zero values, which the original writes as defaults of what is not a pointer.
fn as_go_types(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for key in ["items", "additionalProperties"] {
        let Some(inner) = map.get_mut(key) else { continue };
        if inner["type"] == "string" && inner.get("format").is_none() {
            inner["default"] = json!("");
        } else if let Some(reference) = inner.get("$ref").cloned() {
            *inner = json!({"default": {}, "allOf": [{"$ref": reference}]});
        }
        as_go_types(inner);
    }
    let required: Vec<String> = map
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|r| r.as_str().map(str::to_owned))
        .collect();
    for (name, property) in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if required.contains(name) {
            let zero = match property["type"].as_str() {
                Some("string") => json!(""),
                Some("integer") => json!(0),
                Some("boolean") => json!(false),
                _ => Value::Null,
            };
            if !zero.is_null() {
                property["default"] = zero;
            }
        }
        as_go_types(property);
    }
}

/// What is sent by itself names its kind, and holds its parts by value.
fn top_level(name: &str, schema: &mut Value) {
    let group = match name.rsplit('.').next().unwrap_or_default() {
        "Scale" => "autoscaling",
        "Status" => "",
        "ScaleSpec" => {
            schema["properties"]["replicas"]["default"] = json!(0);
            return;
        }
        "ListMeta" => {
            if let Some(properties) = schema["properties"].as_object_mut() {
                properties.remove("shardInfo");
            }
            return;
        }
        _ => return,
    };
    let kind = name.rsplit('.').next().unwrap_or_default();
    schema["x-kubernetes-group-version-kind"] = json!([{"group": group, "version": "v1", "kind": kind}]);
    if let Some(map) = schema.as_object_mut() {
        map.remove("required");
    }
    for field in ["metadata", "spec", "status"] {
        if let Some(Value::Object(part)) = schema["properties"].get_mut(field)
            && part.contains_key("allOf")
        {
            part.insert("default".into(), json!({}));
        }
    }
}

/// How the lists of what all kinds share are merged; the schemas do not say.
fn list_types(name: &str, schema: &mut Value) {
    let extensions: &[(&str, Value)] = match name.rsplit('.').next().unwrap_or_default() {
        "ObjectMeta" => &[
            ("finalizers", json!({"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"})),
            ("managedFields", json!({"x-kubernetes-list-type": "atomic"})),
            (
                "ownerReferences",
                json!({
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                    "x-kubernetes-patch-merge-key": "uid", "x-kubernetes-patch-strategy": "merge",
                }),
            ),
        ],
        "OwnerReference" => &[("", json!({"x-kubernetes-map-type": "atomic"}))],
        "DeleteOptions" => &[("dryRun", json!({"x-kubernetes-list-type": "atomic"}))],
        "StatusDetails" => &[("causes", json!({"x-kubernetes-list-type": "atomic"}))],
        _ => return,
    };
    for (field, extension) in extensions {
        let target = if field.is_empty() { Some(&mut *schema) } else { schema["properties"].get_mut(*field) };
        if let (Some(Value::Object(target)), Some(extension)) = (target, extension.as_object()) {
            target.extend(extension.clone());
        }
    }
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
    let schema = config_map.map(crate::kinds::schema::of);
    schema.as_ref().and_then(|schema| schema.description_of(field)).unwrap_or_default().to_owned()
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
