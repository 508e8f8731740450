//! What all writes share: metadata, defaults, admission, validation, field ownership, the store.

use serde_json::{Map, Value, json};

use super::Scope;
use crate::catalog::Resource;
use crate::core::{Core, member};
use crate::http::Call;
use crate::options::{AdmissionRequest, Denied, Review};
use crate::status::{Cause, Failure};
use crate::store::{Change, Moved};

impl Core {
    /// Lets the admission functions of the kind change `object`; says whether there are any.
    pub(crate) fn mutate(
        &self,
        call: &Call,
        scope: &Scope,
        operation: &'static str,
        object: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<bool, Failure> {
        let mut request = None;
        for admission in self.options.admission.iter().filter(|a| scope.resource.is(&a.group, &a.kind)) {
            if let Review::Mutate(review) = &admission.review {
                let request = request.get_or_insert_with(|| AdmissionRequest {
                    operation,
                    subresource: scope.subresource.as_deref(),
                    user: &call.user.name,
                    object: object.take(),
                    old,
                    dry_run,
                });
                if let Err(denied) = review(request) {
                    return Err(refusal(&admission.name, denied));
                }
            }
        }
        let asked = request.is_some();
        if let Some(request) = request {
            *object = request.object;
        }
        Ok(asked)
    }

    /// Asks the validating admission functions of the kind; returns their warnings.
    pub(crate) fn admit(
        &self,
        call: &Call,
        scope: &Scope,
        operation: &'static str,
        object: &Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Vec<String>, Failure> {
        let mut warnings = Vec::new();
        for admission in self.options.admission.iter().filter(|a| scope.resource.is(&a.group, &a.kind)) {
            if let Review::Validate(review) = &admission.review {
                let request = AdmissionRequest {
                    operation,
                    subresource: scope.subresource.as_deref(),
                    user: &call.user.name,
                    object: object.clone(),
                    old,
                    dry_run,
                };
                match review(&request) {
                    Ok(more) => warnings.extend(more),
                    Err(denied) => return Err(refusal(&admission.name, denied)),
                }
            }
        }
        Ok(warnings)
    }

    /// The form in which an object of `resource` is kept.
    pub(crate) fn stored(&self, resource: &Resource, value: Value) -> Value {
        match resource.custom() {
            Some(custom) if custom.stored != resource.version => {
                let api_version = format!("{}/{}", resource.group, custom.stored);
                self.converted(resource, value, &api_version)
            }
            None if resource.group == "events.k8s.io" => self.converted(resource, value, "v1"),
            _ => value,
        }
    }

    /// What a write that is not carried out would return: what it is in the stored version, shown in that of `resource`.
    pub(crate) fn as_if_stored(&self, resource: &Resource, value: Value) -> Value {
        self.in_version_of(resource, self.stored(resource, value))
    }

    /// Writes, waits for the disk, and returns the object in the version of `resource`.
    pub(crate) async fn commit(
        &self,
        resource: &Resource,
        key: &str,
        expected: Option<u64>,
        change: Change,
    ) -> Result<Result<Value, Moved>, Failure> {
        let change = match change {
            Change::Put(value) => Change::Put(self.stored(resource, value)),
            Change::Delete(value) => Change::Delete(self.stored(resource, value)),
        };
        let deleted = matches!(change, Change::Delete(_));
        let committed = match self.store.commit(&resource.store_key(), key, expected, change) {
            Ok(committed) => committed,
            Err(moved) => return Ok(Err(moved)),
        };
        let value = committed.durable().await.map_err(Failure::internal)?;
        self.wrote(resource, &value, deleted);
        Ok(Ok(self.in_version_of(resource, value)))
    }

    /// What follows from a write.
    fn wrote(&self, resource: &Resource, value: &Value, deleted: bool) {
        if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.definitions_changed();
        }
        if deleted || !value["metadata"]["deletionTimestamp"].is_null() {
            self.garbage.notify_one();
        }
    }
}

fn refusal(name: &str, denied: Denied) -> Failure {
    let mut failure = Failure::new(
        denied.code,
        Some(denied.reason),
        format!("admission webhook {} denied the request: {}", crate::status::quoted(name), denied.message),
    );
    failure.details = denied.details;
    failure
}

/// `metadata` as a map, made if it is absent.
pub(crate) fn metadata(value: &mut Value) -> &mut Map<String, Value> {
    let metadata = member(value, "metadata");
    if !metadata.is_object() {
        *metadata = json!({});
    }
    match metadata {
        Value::Object(map) => map,
        // The line above made it a map.
        _ => unreachable!("metadata is an object"),
    }
}

/// Drops members of `metadata` that are empty, as Go's `omitempty` does.
pub(crate) fn tidy_metadata(value: &mut Value) {
    let metadata = metadata(value);
    metadata.remove("selfLink");
    metadata.retain(|key, v| match v {
        // An empty record says that the record is to be cleared.
        _ if key == "managedFields" => true,
        Value::Null => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => true,
    });
}

pub(crate) fn name_of(value: &Value) -> &str {
    value["metadata"]["name"].as_str().unwrap_or_default()
}

/// The rules on `metadata` that hold for every kind.
pub(crate) fn check_metadata(resource: &Resource, value: &Value) -> (Vec<Cause>, Vec<String>) {
    crate::kinds::validate::metadata(resource, value)
}

/// JSON with `metadata` in the order of Go's fields for built-in kinds; maps are sorted everywhere else.
pub(crate) fn in_field_order(resource: &Resource, value: &Value) -> String {
    const METADATA: [&str; 14] = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
    ];
    const ENTRY: [&str; 7] =
        ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"];
    if resource.custom().is_some() {
        return value.to_string();
    }
    let ordered = |map: &Value, names: &[&str]| -> Vec<String> {
        names.iter().filter_map(|n| Some(format!("\"{n}\":{}", map.get(*n)?))).collect()
    };
    let members: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, member)| {
            if key != "metadata" {
                return format!("{}:{member}", Value::String(key.clone()));
            }
            let mut parts = ordered(member, &METADATA);
            if let Some(entries) = member["managedFields"].as_array() {
                let entries: Vec<String> =
                    entries.iter().map(|e| format!("{{{}}}", ordered(e, &ENTRY).join(","))).collect();
                parts.push(format!("\"managedFields\":[{}]", entries.join(",")));
            }
            format!("\"metadata\":{{{}}}", parts.join(","))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Drops owners that are there twice; the warning says which.
pub(crate) fn dedup_owners(value: &mut Value) -> Option<String> {
    let list = value.pointer_mut("/metadata/ownerReferences")?.as_array_mut()?;
    let mut kept: Vec<Value> = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    for owner in list.drain(..) {
        let uid = owner["uid"].as_str().unwrap_or_default().to_owned();
        if kept.contains(&owner) {
            twice.push(uid);
        } else {
            kept.push(owner);
        }
    }
    *list = kept;
    if twice.is_empty() {
        return None;
    }
    Some(format!(
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        twice.join(", ")
    ))
}

/// What an update may not do to `metadata`.
pub(crate) fn check_metadata_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (new, old) = (&new["metadata"], &old["metadata"]);
    if !old["deletionTimestamp"].is_null() {
        let before = strings(&old["finalizers"]);
        let added: Vec<&str> =
            strings(&new["finalizers"]).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let list = added.iter().map(|f| crate::status::quoted(f)).collect::<Vec<_>>().join(", ");
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if new.get(field) != old.get(field) {
            let value = new.get(field).cloned().unwrap_or(Value::Null);
            causes.push(Cause::invalid(format!("metadata.{field}"), &value, "field is immutable"));
        }
    }
    // The original checks this twice, once for all kinds and once in each kind.
    causes.extend(causes.clone());
    causes
}

pub(crate) fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Everything but `metadata`, and `status` where that is written apart: what `generation` counts.
pub(crate) fn same_spec(resource: &Resource, a: &Value, b: &Value) -> bool {
    // A Deployment's annotations count too.
    if resource.is("apps", "Deployment")
        && a["metadata"].get("annotations") != b["metadata"].get("annotations")
    {
        return false;
    }
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let counted = |key: &str| key != "metadata" && !(key == "status" && resource.has_status());
    a.iter().filter(|(k, _)| counted(k)).eq(b.iter().filter(|(k, _)| counted(k)))
}

/// Equal but for the bookkeeping of the server.
pub(crate) fn same_object(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    if a.len() != b.len() {
        return false;
    }
    a.iter().all(|(key, value)| match b.get(key) {
        Some(other) if key == "metadata" => same_metadata(value, other),
        Some(other) => value == other,
        None => false,
    })
}

fn same_metadata(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let counted = |key: &str| key != "resourceVersion" && key != "managedFields";
    if !a.iter().filter(|(k, _)| counted(k)).eq(b.iter().filter(|(k, _)| counted(k))) {
        return false;
    }
    crate::managed::same(a.get("managedFields"), b.get("managedFields"))
}
