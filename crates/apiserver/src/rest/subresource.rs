//! The subresources that are not the object itself: scale, log, binding, and what needs a node.

use http::Method;
use serde_json::{Value, json};

use super::Scope;
use super::body::{self, Strictness};
use super::create::Ownership;
use super::write::{metadata, name_of};
use crate::catalog::{Origin, Resource};
use crate::core::Core;
use crate::http::{Answer, Call, Content};
use crate::status::{Cause, Failure, Names};

const SCALE: Names<'static> = Names { group: "autoscaling", plural: "scales", kind: "Scale" };

/// The number of replicas that a kube-apiserver shows to a patch of a Scale where there is none.
const NOT_SET: i64 = i32::MIN as i64;

impl Core {
    pub(crate) async fn subresource(
        &self,
        call: &Call,
        scope: &Scope,
        name: &str,
        subresource: &str,
    ) -> Result<Answer, Failure> {
        let resource = &scope.resource;
        if !resource.has(subresource) {
            return match resource.custom() {
                Some(_) => Err(Failure::not_found(resource.names(), name)),
                None => Err(Failure::no_such_path()),
            };
        }
        match (&call.method, subresource) {
            (&Method::GET, "log") => self.log(call, scope, name).await,
            (&Method::GET | &Method::PUT | &Method::PATCH, "scale") => self.scale(call, scope, name).await,
            (&Method::POST, "binding") => self.bind(call, scope, name).await,
            (&Method::POST, "eviction") => self.delete(call, &whole(scope), name).await,
            (&Method::POST, "token") => {
                Err(Failure::new(501, Some("NotImplemented"), "service account tokens are not issued here"))
            }
            (&Method::POST | &Method::GET, "exec" | "attach" | "portforward") => {
                let pod = self
                    .store
                    .get(&scope.key(name))
                    .ok_or_else(|| Failure::not_found(resource.names(), name))?;
                if pod.value()["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
                    return Err(Failure::bad_request(format!("pod {name} does not have a host assigned")));
                }
                Err(Failure::new(
                    501,
                    Some("NotImplemented"),
                    format!(
                        "{subresource} is not offered by this server: pods run as processes of this machine"
                    ),
                ))
            }
            _ => Err(Failure::method_not_allowed()),
        }
    }

    async fn scale(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        let resource = &scope.resource;
        let current =
            self.store.get(&scope.key(name)).ok_or_else(|| Failure::not_found(resource.names(), name))?;
        let value = self.shown(resource, &current);
        if call.method == Method::GET {
            return match unset_replicas(resource, &value) {
                Some(path) => Err(Failure::internal_error(&format!(
                    "the spec replicas field \".{path}\" does not exist"
                ))),
                None => Ok(Answer::ok(scale_of(resource, &value))),
            };
        }
        let options =
            body::options(call, if call.method == Method::PUT { "UpdateOptions" } else { "PatchOptions" })?;
        loop {
            let current =
                self.store.get(&scope.key(name)).ok_or_else(|| Failure::not_found(resource.names(), name))?;
            let value = self.shown(resource, &current);
            let (scale, entries) = self.wanted_scale(call, scope, name, &value)?;
            let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
            if replicas == NOT_SET && resource.custom().is_some() {
                let path = paths(resource).0;
                return Err(Failure::bad_request(format!(
                    "the spec replicas field \".{path}\" cannot be empty"
                )));
            }
            if replicas < 0 && resource.built_in().is_some() {
                let cause =
                    Cause::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
                return Err(Failure::invalid(SCALE, name, vec![cause]));
            }
            let mut next = value.clone();
            set_path(&mut next, &paths(resource).0, json!(replicas));
            match scale["metadata"]["resourceVersion"].as_str() {
                Some(revision) if !revision.is_empty() => {
                    next["metadata"]["resourceVersion"] = json!(revision)
                }
                _ => {}
            }
            let ownership = match entries {
                Some(entries) => {
                    metadata(&mut next).insert("managedFields".into(), entries);
                    Ownership::Applied
                }
                None => Ownership::Update,
            };
            if let Some(stored) = self.replace(call, scope, &options, &current, next, &ownership).await? {
                return Ok(Answer::ok(scale_of(resource, &stored.value)).warned(stored.warnings));
            }
        }
    }

    /// The Scale that the caller wants; after an apply also the ownership records of the object.
    fn wanted_scale(
        &self,
        call: &Call,
        scope: &Scope,
        name: &str,
        value: &Value,
    ) -> Result<(Value, Option<Value>), Failure> {
        let mut before = scale_of(&scope.resource, value);
        if unset_replicas(&scope.resource, value).is_some() {
            before["spec"]["replicas"] = NOT_SET.into();
        }
        let media = call
            .header("content-type")
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        if call.method == Method::PUT {
            let scale = body::from_json(&call.body).map_err(Failure::bad_request)?.value;
            let given = name_of(&scale);
            if !given.is_empty() && given != name {
                return Err(Failure::bad_request(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
            return Ok((scale, None));
        }
        match media.as_str() {
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                let patch = body::from_json(&call.body).map_err(Failure::bad_request)?.value;
                Ok((patch::merge::apply(&before, &patch), None))
            }
            "application/json-patch+json" => {
                let patch = body::from_json(&call.body).map_err(Failure::bad_request)?.value;
                Ok((patch::json::apply(&before, &patch).map_err(|e| super::patch::json_failure(&e))?, None))
            }
            "application/apply-patch+yaml" => {
                let wanted = body::from_yaml(&call.body).map_err(Failure::bad_request)?.value;
                let options = body::options(call, "PatchOptions")?;
                let (scale, entries) =
                    crate::managed::apply_scale(&before, &wanted, value, &options, &self.now())?;
                Ok((scale, Some(entries)))
            }
            _ => Err(Failure::new(415, Some("UnsupportedMediaType"), "415: Unsupported Media Type")
                .with(json!({}))),
        }
    }

    async fn bind(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        let resource = &scope.resource;
        let mut options = body::options(call, "CreateOptions")?;
        options.strictness = Strictness::Ignore;
        let binding = body::from_json(&call.body).map_err(Failure::bad_request)?.value;
        let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
        if node.is_empty() {
            return Err(Failure::internal("target.name: Required value"));
        }
        loop {
            let current =
                self.store.get(&scope.key(name)).ok_or_else(|| Failure::not_found(resource.names(), name))?;
            let mut value = current.value();
            if let Some(assigned) = value["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
                let names = Names { plural: "pods/binding", ..resource.names() };
                return Err(Failure::conflict(
                    names,
                    name,
                    &format!("pod {name} is already assigned to node \"{assigned}\""),
                ));
            }
            value["spec"]["nodeName"] = json!(node);
            let mut conditions = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.retain(|c| c["type"] != "PodScheduled");
            conditions.push(json!({
                "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": self.now(),
            }));
            value["status"]["conditions"] = json!(conditions);
            if self.replace(call, scope, &options, &current, value, &Ownership::Untracked).await?.is_some() {
                let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
                return Ok(Answer { status: 201, warnings: Vec::new(), content: Content::Value(body) });
            }
        }
    }
}

fn whole(scope: &Scope) -> Scope {
    Scope { resource: scope.resource.clone(), namespace: scope.namespace.clone(), subresource: None }
}

/// Where replicas are wanted and seen, and the selector.
fn paths(resource: &Resource) -> (String, String, Option<String>) {
    match &resource.origin {
        Origin::Custom(custom) => match &custom.scale {
            Some(scale) => {
                (scale.spec_replicas.clone(), scale.status_replicas.clone(), scale.selector.clone())
            }
            None => (String::new(), String::new(), None),
        },
        Origin::BuiltIn(_) => ("spec.replicas".into(), "status.replicas".into(), None),
    }
}

/// Where the replicas of a custom resource are, if it does not say them. Those of other kinds have a default.
fn unset_replicas(resource: &Resource, value: &Value) -> Option<String> {
    let path = resource.custom().map(|_| paths(resource).0)?;
    at(value, &path).is_null().then_some(path)
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, part| &value[part])
}

fn set_path(value: &mut Value, path: &str, new: Value) {
    let mut value = value;
    for part in path.split('.') {
        value = crate::core::member(value, part);
    }
    *value = new;
}

/// The Scale of an object.
pub(crate) fn scale_of(resource: &Resource, value: &Value) -> Value {
    let (wanted, seen, selector) = paths(resource);
    let metadata: serde_json::Map<String, Value> =
        ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), value["metadata"].get(*field)?.clone())))
            .collect();
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {}, "status": {"replicas": at(value, &seen).as_i64().unwrap_or(0)},
    });
    if let Some(replicas) = at(value, &wanted).as_i64().filter(|r| *r != 0) {
        scale["spec"]["replicas"] = json!(replicas);
    }
    let selector = match selector {
        Some(path) => at(value, &path).as_str().unwrap_or_default().to_owned(),
        None => {
            let labels = &value["spec"]["selector"]["matchLabels"];
            let labels = if labels.is_object() { labels } else { &value["spec"]["selector"] };
            let list: Vec<String> = labels
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)))
                .collect();
            list.join(",")
        }
    };
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}
