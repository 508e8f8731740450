//! Who asks, and may they: bearer tokens, RBAC, and the review kinds.

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::core::Core;
use crate::http::{Answer, Asker, Call};
use crate::path::Place;
use crate::rest::{Scope, WriteOptions};
use crate::status::{Cause, Failure, Names, quoted};

/// Paths that everybody may read, by the name of the binding that says so in a cluster.
const PUBLIC: &str = "system:public-info-viewer";
const DISCOVERY: &str = "system:discovery";

/// What somebody wants to do.
#[derive(Clone, Debug, Default)]
struct Deed {
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    /// Set for paths that are no resource.
    path: Option<String>,
}

impl Core {
    /// The user of a request. The trusted handle without a header is the administrator.
    pub(crate) fn authenticate(&self, headers: &HeaderMap, trusted: bool) -> Result<Asker, Failure> {
        let header =
            headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()).filter(|h| !h.is_empty());
        let asker = |name: &str, groups: &[&str]| Asker {
            name: name.into(),
            uid: String::new(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        };
        match header.map(|h| h.strip_prefix("Bearer ").unwrap_or_default()) {
            None if trusted => Ok(asker("admin", &["system:masters", "system:authenticated"])),
            None if self.options.anonymous => Ok(asker("system:anonymous", &["system:unauthenticated"])),
            None => Err(Failure::unauthorized()),
            Some(token) => self.user_of(token).ok_or_else(Failure::unauthorized),
        }
    }

    fn user_of(&self, token: &str) -> Option<Asker> {
        let (index, user) = self.options.users.iter().enumerate().find(|(_, u)| same(&u.token, token))?;
        let mut groups = user.groups.clone();
        groups.push("system:authenticated".into());
        Some(Asker { name: user.name.clone(), uid: (index + 1).to_string(), groups })
    }

    pub(crate) fn authorize(&self, call: &Call, place: &Place) -> Result<(), Failure> {
        let deed = deed(call, place);
        if self.allowed(&call.user, &deed).is_some() {
            return Ok(());
        }
        let user = quoted(&call.user.name);
        let Place::Target(_) = place else {
            let why = format!("forbidden: User {user} cannot {} path {}", deed.verb, quoted(&call.path));
            return Err(Failure::new(403, Some("Forbidden"), why).with(json!({})));
        };
        let resource = if deed.subresource.is_empty() {
            deed.resource.clone()
        } else {
            format!("{}/{}", deed.resource, deed.subresource)
        };
        let range = if deed.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", quoted(&deed.namespace))
        };
        let why = format!(
            "User {user} cannot {} resource {} in API group {} {range}",
            deed.verb,
            quoted(&resource),
            quoted(&deed.group)
        );
        let names = Names { group: &deed.group, plural: &deed.resource, kind: &deed.resource };
        let mut failure = Failure::forbidden(names, &deed.name, &why);
        if deed.name.is_empty() {
            failure.message = format!("{} is forbidden: {why}", names.resource());
        }
        Err(failure)
    }

    /// Why it is allowed; `None` if it is not. Empty for members of `system:masters`.
    fn allowed(&self, user: &Asker, deed: &Deed) -> Option<String> {
        if user.groups.iter().any(|g| g == "system:masters") {
            return Some(String::new());
        }
        if let Some(path) = &deed.path
            && deed.verb == "get"
        {
            let known =
                user.groups.iter().any(|g| g == "system:authenticated" || g == "system:unauthenticated");
            let public = ["/version", "/healthz", "/livez", "/readyz"]
                .iter()
                .any(|p| path == p || path.starts_with(&format!("{p}/")));
            if public && known {
                return Some(format!(
                    "RBAC: allowed by ClusterRoleBinding \"{PUBLIC}\" of ClusterRole \"{PUBLIC}\" to Group \"system:authenticated\""
                ));
            }
            let discovery =
                ["/api", "/apis", "/openapi"].iter().any(|p| path == p || path.starts_with(&format!("{p}/")));
            if discovery && user.groups.iter().any(|g| g == "system:authenticated") {
                return Some(format!(
                    "RBAC: allowed by ClusterRoleBinding \"{DISCOVERY}\" of ClusterRole \"{DISCOVERY}\" to Group \"system:authenticated\""
                ));
            }
        }
        // Everybody may ask about themselves.
        let about_self = matches!(
            deed.resource.as_str(),
            "selfsubjectaccessreviews" | "selfsubjectrulesreviews" | "selfsubjectreviews"
        );
        if about_self && deed.verb == "create" && user.groups.iter().any(|g| g == "system:authenticated") {
            return Some("RBAC: allowed by ClusterRoleBinding \"system:basic-user\" of ClusterRole \"system:basic-user\" to Group \"system:authenticated\"".into());
        }
        let mut places =
            vec![("rbac.authorization.k8s.io/clusterrolebindings/".to_owned(), "ClusterRoleBinding")];
        if !deed.namespace.is_empty() {
            places
                .push((format!("rbac.authorization.k8s.io/rolebindings/{}/", deed.namespace), "RoleBinding"));
        }
        for (prefix, kind) in places {
            for binding in self.store.list(&prefix).objects {
                let binding = &binding.value();
                if !subjects(binding, user) {
                    continue;
                }
                let (role_kind, role) =
                    (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
                if self.rules(role_kind, role, &deed.namespace).iter().any(|rule| permits(rule, deed)) {
                    let name = text(&binding["metadata"]["name"]);
                    return Some(format!(
                        "RBAC: allowed by {kind} {} of {role_kind} {}",
                        quoted(name),
                        quoted(role)
                    ));
                }
            }
        }
        None
    }

    fn rules(&self, kind: &str, name: &str, namespace: &str) -> Vec<Value> {
        let key = match kind {
            "ClusterRole" => format!("rbac.authorization.k8s.io/clusterroles/{name}"),
            _ => format!("rbac.authorization.k8s.io/roles/{namespace}/{name}"),
        };
        if let Some(role) = self.store.get(&key) {
            return role.value()["rules"].as_array().cloned().unwrap_or_default();
        }
        // The roles that every cluster has.
        let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        match name {
            "cluster-admin" => vec![everything, json!({"verbs": ["*"], "nonResourceURLs": ["*"]})],
            "admin" | "edit" => vec![everything],
            "view" => {
                vec![json!({"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"]})]
            }
            _ => Vec::new(),
        }
    }

    /// Answers the review kinds, which are questions and are not stored.
    pub(crate) fn review(
        &self,
        call: &Call,
        scope: &Scope,
        value: &Value,
        options: &WriteOptions,
    ) -> Result<Option<Answer>, Failure> {
        let resource = &scope.resource;
        if resource.verbs != ["create"] {
            return Ok(None);
        }
        let mut value = value.clone();
        value["apiVersion"] = json!(resource.api_version());
        value["kind"] = json!(resource.kind);
        if !value["metadata"].is_object() {
            value["metadata"] = json!({});
        }
        if resource.kind != "SelfSubjectReview" {
            crate::managed::created(self, resource, &mut value, options, None, &self.now());
        }
        let spec = value["spec"].clone();
        match resource.kind.as_str() {
            "TokenReview" => {
                let token = text(&spec["token"]);
                if token.is_empty() {
                    return Err(Failure::bad_request("token is required for TokenReview in authentication"));
                }
                value["status"] = match self.user_of(token) {
                    Some(user) => json!({
                        "authenticated": true, "audiences": [self.options.audience],
                        "user": shown(&user),
                    }),
                    None => json!({"user": {}, "error": "invalid bearer token"}),
                };
            }
            "SelfSubjectReview" => {
                value["metadata"]["creationTimestamp"] = json!(self.now());
                value["status"] = json!({"userInfo": shown(&call.user)});
            }
            "SelfSubjectRulesReview" => {
                let namespace = text(&spec["namespace"]);
                let (resources, paths) = self.own_rules(&call.user, namespace);
                value["status"] =
                    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
            }
            "SubjectAccessReview" | "LocalSubjectAccessReview" | "SelfSubjectAccessReview" => {
                let user = if resource.kind == "SelfSubjectAccessReview" {
                    call.user.clone()
                } else {
                    Asker {
                        name: text(&spec["user"]).to_owned(),
                        uid: String::new(),
                        groups: crate::rest::strings(&spec["groups"])
                            .into_iter()
                            .map(str::to_owned)
                            .collect(),
                    }
                };
                let reason = self.allowed(&user, &asked(&spec)?);
                let mut status = json!({"allowed": reason.is_some()});
                if let Some(reason) = reason.filter(|r| !r.is_empty()) {
                    status["reason"] = json!(reason);
                }
                value["status"] = status;
            }
            _ => return Err(Failure::method_not_allowed()),
        }
        Ok(Some(Answer::value(201, value)))
    }

    fn own_rules(&self, user: &Asker, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        if user.groups.iter().any(|g| g == "system:masters") {
            return (
                vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})],
                vec![json!({"verbs": ["*"], "nonResourceURLs": ["*"]})],
            );
        }
        let mut resources = vec![json!({
            "verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        })];
        let paths = vec![
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]}),
        ];
        for prefix in [
            "rbac.authorization.k8s.io/clusterrolebindings/".to_owned(),
            format!("rbac.authorization.k8s.io/rolebindings/{namespace}/"),
        ] {
            for binding in self.store.list(&prefix).objects {
                let binding = binding.value();
                if subjects(&binding, user) {
                    let role = &binding["roleRef"];
                    resources.extend(self.rules(text(&role["kind"]), text(&role["name"]), namespace));
                }
            }
        }
        (resources, paths)
    }
}

fn asked(spec: &Value) -> Result<Deed, Failure> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let own = |value: &Value| text(value).to_owned();
    match (resource.is_object(), path.is_object()) {
        (true, false) => Ok(Deed {
            verb: own(&resource["verb"]),
            group: own(&resource["group"]),
            resource: own(&resource["resource"]),
            subresource: own(&resource["subresource"]),
            namespace: own(&resource["namespace"]),
            name: own(&resource["name"]),
            path: None,
        }),
        (false, true) => {
            Ok(Deed { verb: own(&path["verb"]), path: Some(own(&path["path"])), ..Deed::default() })
        }
        _ => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let cause = Cause::invalid("spec.resourceAttributes", &Value::Null, why);
            let names = Names { group: "authorization.k8s.io", plural: "", kind: "" };
            let mut failure = Failure::invalid(names, "", vec![cause]);
            if let Some(details) = failure.details.as_mut().and_then(Value::as_object_mut) {
                details.remove("kind");
            }
            Err(failure)
        }
    }
}

fn shown(user: &Asker) -> Value {
    let mut shown = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        shown["uid"] = json!(user.uid);
    }
    shown
}

fn deed(call: &Call, place: &Place) -> Deed {
    let Place::Target(target) = place else {
        return Deed {
            verb: call.method.as_str().to_lowercase(),
            path: Some(call.path.clone()),
            ..Deed::default()
        };
    };
    let verb = match (&call.method, target.name.is_some()) {
        (&Method::GET, _) if target.watch || call.query.flag("watch") => "watch",
        (&Method::GET, true) => "get",
        (&Method::GET, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => "",
    };
    Deed {
        verb: verb.into(),
        group: target.group.clone(),
        resource: target.plural.clone(),
        subresource: target.subresource.clone().unwrap_or_default(),
        namespace: target.namespace.clone().unwrap_or_default(),
        name: target.name.clone().unwrap_or_default(),
        path: None,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn subjects(binding: &Value, user: &Asker) -> bool {
    binding["subjects"].as_array().into_iter().flatten().any(|subject| match text(&subject["kind"]) {
        "User" => text(&subject["name"]) == user.name,
        "Group" => user.groups.iter().any(|g| g == text(&subject["name"])),
        "ServiceAccount" => {
            user.name
                == format!("system:serviceaccount:{}:{}", text(&subject["namespace"]), text(&subject["name"]))
        }
        _ => false,
    })
}

fn permits(rule: &Value, deed: &Deed) -> bool {
    let has = |field: &str, wanted: &str| {
        crate::rest::strings(&rule[field]).iter().any(|v| *v == "*" || *v == wanted)
    };
    if !has("verbs", &deed.verb) {
        return false;
    }
    if let Some(path) = &deed.path {
        return crate::rest::strings(&rule["nonResourceURLs"])
            .iter()
            .any(|url| url == path || url.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix)));
    }
    let resource = if deed.subresource.is_empty() {
        deed.resource.clone()
    } else {
        format!("{}/{}", deed.resource, deed.subresource)
    };
    let names = crate::rest::strings(&rule["resourceNames"]);
    has("apiGroups", &deed.group)
        && has("resources", &resource)
        && (names.is_empty() || names.contains(&deed.name.as_str()))
}

/// Compares without telling by its time how much is right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}
