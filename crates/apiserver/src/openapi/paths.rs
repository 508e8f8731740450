//! The paths of a resource with their operations: what can be asked, with which parameters, and what comes back.

use serde_json::{Map, Value, json};

use crate::catalog::Resource;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// The schema of a scale, whatever is scaled.
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// A query parameter: name, JSON type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const LIST: [Parameter; 10] = [
    ("allowWatchBookmarks", "boolean", "A watch is told now and then which revision it has reached."),
    ("continue", "string", "The token that a cut list came with: the next part of that list."),
    ("fieldSelector", "string", "Only objects with these values of fields. Default: all."),
    ("labelSelector", "string", "Only objects with these labels. Default: all."),
    ("limit", "integer", "At most so many objects; a cut list comes with a token for the rest."),
    ("resourceVersion", "string", "The revision to answer from; resourceVersionMatch says how it is meant."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "A watch begins with the objects that are there."),
    ("timeoutSeconds", "integer", "The call ends after so many seconds."),
    ("watch", "boolean", "Changes, as they happen, in the place of a list."),
];
const DRY_RUN: Parameter = ("dryRun", "string", "All: everything is checked, nothing is stored.");
const WRITE: [Parameter; 3] = [
    DRY_RUN,
    ("fieldManager", "string", "Who is recorded as the owner of the fields that are written."),
    ("fieldValidation", "string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict."),
];
const FORCE: Parameter = ("force", "boolean", "An apply takes fields that others own.");
const READ: [Parameter; 1] = [("resourceVersion", "string", "The answer is not older than this revision.")];
const DELETE: [Parameter; 5] = [
    DRY_RUN,
    (
        "gracePeriodSeconds",
        "integer",
        "How long the object may take to end. 0: at once. Default: up to the kind.",
    ),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "For objects that cannot be read; there are none here.",
    ),
    ("orphanDependents", "boolean", "Replaced by propagationPolicy."),
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
];
const PRETTY: Parameter = ("pretty", "string", "true: the answer is indented.");

fn query((name, kind, description): &Parameter) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
}

fn in_path(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "path", "description": description, "required": true,
        "schema": {"type": "string", "uniqueItems": true},
    })
}

/// `golden.example.com` → `GoldenExampleCom`; the core group is `Core`, built-in groups lose `.k8s.io`.
fn camel(resource: &Resource) -> String {
    let group = match resource.group.as_str() {
        "" => "core",
        group if resource.built_in().is_some() => group.trim_end_matches(".k8s.io"),
        group => group,
    };
    group.split(['.', '-']).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// How an operation is called, and by which verb of the resource it is allowed.
struct Operation {
    verb: &'static str,
    method: &'static str,
    action: &'static str,
    id: &'static str,
    words: &'static str,
    codes: &'static [&'static str],
}

const COLLECTION: [Operation; 3] = [
    Operation {
        verb: "list",
        method: "get",
        action: "list",
        id: "list",
        words: "list objects of kind",
        codes: &["200"],
    },
    Operation {
        verb: "create",
        method: "post",
        action: "post",
        id: "create",
        words: "create a",
        codes: &["200", "201", "202"],
    },
    Operation {
        verb: "deletecollection",
        method: "delete",
        action: "deletecollection",
        id: "delete",
        words: "delete collection of",
        codes: &["200"],
    },
];
const GET: Operation = Operation {
    verb: "get",
    method: "get",
    action: "get",
    id: "read",
    words: "read the specified",
    codes: &["200"],
};
const PUT: Operation = Operation {
    verb: "update",
    method: "put",
    action: "put",
    id: "replace",
    words: "replace the specified",
    codes: &["200", "201"],
};
const PATCH: Operation = Operation {
    verb: "patch",
    method: "patch",
    action: "patch",
    id: "patch",
    words: "partially update the specified",
    codes: &["200"],
};
const REMOVE: Operation = Operation {
    verb: "delete",
    method: "delete",
    action: "delete",
    id: "delete",
    words: "delete a",
    codes: &["200", "202"],
};

/// Adds the paths of `resource`, whose schema is called `schema`.
pub(super) fn add(paths: &mut Map<String, Value>, resource: &Resource, schema: &str, kind: &Value) {
    let root = match resource.group.as_str() {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    };
    let everywhere = format!("{root}/{}", resource.plural);
    let of = Described { resource, schema, kind };
    let (collection, namespaced) = if resource.namespaced {
        (format!("{root}/namespaces/{{namespace}}/{}", resource.plural), "Namespaced")
    } else {
        (everywhere.clone(), "")
    };
    let place = |named: bool| {
        let mut list = Vec::new();
        if named {
            list.push(in_path("name", &format!("name of the {}", resource.kind)));
        }
        if resource.namespaced {
            list.push(in_path("namespace", "The namespace of the objects."));
        }
        list.push(query(&PRETTY));
        Value::Array(list)
    };
    let path = |operations: Vec<(&Operation, Value)>, parameters: Value| {
        let mut all = Map::new();
        for (operation, described) in operations {
            if resource.verbs.contains(&operation.verb) {
                all.insert(operation.method.to_owned(), described);
            }
        }
        all.insert("parameters".into(), parameters);
        Value::Object(all)
    };
    let list = COLLECTION.iter().map(|o| (o, of.operation(o, namespaced, "", schema))).collect();
    paths.insert(collection.clone(), path(list, place(false)));
    if resource.namespaced && resource.verbs.contains(&"list") {
        let [list, ..] = &COLLECTION;
        let mut described = of.operation(list, "", "ForAllNamespaces", schema);
        if let Some(map) = described.as_object_mut() {
            map.remove("parameters");
        }
        let mut parameters: Vec<Value> = LIST.iter().map(query).collect();
        parameters.insert(5, query(&PRETTY));
        paths.insert(everywhere, json!({"get": described, "parameters": parameters}));
    }
    if !resource.verbs.contains(&"get") {
        return;
    }
    let one = [&GET, &PUT, &REMOVE, &PATCH].map(|o| (o, of.operation(o, namespaced, "", schema)));
    paths.insert(format!("{collection}/{{name}}"), path(one.into(), place(true)));
    for (subresource, suffix, answers) in [("status", "Status", schema), ("scale", "Scale", SCALE)] {
        if resource.has(subresource) {
            let all = [&GET, &PUT, &PATCH].map(|o| (o, of.operation(o, namespaced, suffix, answers)));
            paths.insert(format!("{collection}/{{name}}/{subresource}"), path(all.into(), place(true)));
        }
    }
}

struct Described<'a> {
    resource: &'a Resource,
    schema: &'a str,
    kind: &'a Value,
}

impl Described<'_> {
    fn operation(&self, operation: &Operation, namespaced: &str, suffix: &str, object: &str) -> Value {
        let resource = self.resource;
        let group = camel(resource);
        let version = capital(&resource.version);
        let collection = if operation.verb == "deletecollection" { "Collection" } else { "" };
        let what = match suffix {
            "Status" => {
                format!("{} status of the specified", operation.words.trim_end_matches(" the specified"))
            }
            "Scale" => {
                format!("{} scale of the specified", operation.words.trim_end_matches(" the specified"))
            }
            _ => operation.words.to_owned(),
        };
        let mut tag = group.clone();
        if let Some(first) = tag.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let status = format!("{META}.Status");
        let list = format!("{}List", self.schema);
        let answer = match operation.verb {
            "list" => list.as_str(),
            "delete" | "deletecollection" => status.as_str(),
            _ => object,
        };
        let codes = operation.codes.iter().map(|code| {
            let words = match *code {
                "200" => "OK",
                "201" => "Created",
                _ => "Accepted",
            };
            ((*code).to_owned(), json!({"description": words, "content": content(&["application/json", "application/yaml"], answer)}))
        });
        let mut responses: Map<String, Value> = codes.collect();
        responses.insert("401".into(), json!({"description": "Unauthorized"}));
        let parameters: Vec<Value> = match operation.verb {
            "list" | "deletecollection" => LIST.iter().map(query).collect(),
            "get" => READ.iter().map(query).collect(),
            "delete" => DELETE.iter().map(query).collect(),
            "patch" => WRITE.iter().chain([&FORCE]).map(query).collect(),
            _ => WRITE.iter().map(query).collect(),
        };
        let mut out = json!({
            "tags": [format!("{tag}_{}", resource.version)],
            "description": format!("{what} {}", resource.kind),
            "operationId": format!("{}{group}{version}{collection}{namespaced}{}{suffix}", operation.id, resource.kind),
            "parameters": parameters, "responses": responses,
            "x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": self.kind,
        });
        match operation.verb {
            "create" | "update" => {
                out["requestBody"] = json!({"content": content(&["application/json", "application/yaml"], object), "required": true});
            }
            "patch" => {
                let mut media = vec![
                    "application/apply-patch+yaml",
                    "application/json-patch+json",
                    "application/merge-patch+json",
                ];
                if resource.built_in().is_some() {
                    media.push("application/strategic-merge-patch+json");
                }
                out["requestBody"] =
                    json!({"content": content(&media, &format!("{META}.Patch")), "required": true});
            }
            "delete" => {
                let options = format!("{META}.DeleteOptions");
                out["requestBody"] =
                    json!({"content": content(&["application/json", "application/yaml"], &options)});
            }
            _ => {}
        }
        out
    }
}

fn content(media: &[&str], schema: &str) -> Value {
    let schema = json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}});
    media.iter().map(|media| ((*media).to_owned(), schema.clone())).collect::<Map<_, _>>().into()
}
