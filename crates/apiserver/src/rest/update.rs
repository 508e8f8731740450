//! PUT, and the part of an update that patches share.

use serde_json::{Value, json};

use super::Scope;
use super::body::{self, WriteOptions};
use super::create::{Ownership, place};
use super::write::{
    check_metadata, check_metadata_update, dedup_owners, metadata, name_of, same_object, same_spec,
    tidy_metadata,
};
use crate::core::Core;
use crate::http::{Answer, Call};
use crate::status::{Cause, Failure};
use crate::store::{Change, Object};

/// An update that is ready to be stored.
pub(crate) struct Update {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

impl Core {
    pub(crate) async fn update(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        let options = body::options(call, "UpdateOptions")?;
        let mut decoded = self.decode(call, scope)?;
        let warnings = body::prune(&scope.resource, &mut decoded, options.strictness)?;
        let mut value = decoded.value;
        place(scope, &mut value)?;
        match name_of(&value) {
            "" => {
                metadata(&mut value).insert("name".into(), json!(name));
            }
            given if given != name => {
                return Err(Failure::bad_request(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
            _ => {}
        }
        loop {
            let Some(current) = self.store.get(&scope.key(name)) else {
                if scope.subresource.is_none() && scope.resource.built_in().is_some_and(|b| b.put_creates()) {
                    let (value, more) =
                        self.create_object(call, scope, &options, value, &Ownership::Update).await?;
                    return Ok(self.present(call, scope, 201, value)?.warned(warnings).warned(more));
                }
                return Err(Failure::not_found(scope.resource.names(), name));
            };
            let conditional = has_revision(&value);
            let replaced =
                self.replace(call, scope, &options, &current, value.clone(), &Ownership::Update).await;
            if let Some(stored) = replaced.map_err(|failure| failure.warned(warnings.clone()))? {
                return Ok(self
                    .present(call, scope, 200, stored.value)?
                    .warned(warnings)
                    .warned(stored.warnings));
            }
            if conditional {
                return Err(Failure::modified(scope.resource.names(), name));
            }
        }
    }

    /// Puts `value` in the place of `current`. `None`: somebody else was faster.
    pub(crate) async fn replace(
        &self,
        call: &Call,
        scope: &Scope,
        options: &WriteOptions,
        current: &Object,
        value: Value,
        ownership: &Ownership,
    ) -> Result<Option<Update>, Failure> {
        let resource = &scope.resource;
        let old = &self.shown(resource, current);
        let name = name_of(old).to_owned();
        let Update { mut value, warnings } = self.prepare(call, scope, options, old, value, ownership)?;
        if same_object(&value, old) {
            return Ok(Some(Update { value: old.clone(), warnings }));
        }
        let finished = !value["metadata"]["deletionTimestamp"].is_null()
            && value["metadata"].get("finalizers").is_none()
            && crate::kinds::may_vanish(resource, &value);
        if options.dry_run {
            return Ok(Some(Update { value: self.as_if_stored(resource, value), warnings }));
        }
        let key = scope.key(&name);
        if finished {
            // The answer shows the object with its last revision, as the original does.
            return Ok(
                match self.commit(resource, &key, Some(current.revision), Change::Delete(old.clone())).await?
                {
                    Ok(_) => {
                        value["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
                        Some(Update { value, warnings })
                    }
                    Err(_) => None,
                },
            );
        }
        Ok(match self.commit(resource, &key, Some(current.revision), Change::Put(value)).await? {
            Ok(value) => Some(Update { value, warnings }),
            Err(_) => None,
        })
    }

    /// Everything between decoding and storing.
    fn prepare(
        &self,
        call: &Call,
        scope: &Scope,
        options: &WriteOptions,
        old: &Value,
        mut value: Value,
        ownership: &Ownership,
    ) -> Result<Update, Failure> {
        let resource = &scope.resource;
        let name = name_of(old).to_owned();
        self.check_revision(scope, &value, old)?;
        if let (Some(new), Some(was)) = (value["metadata"]["uid"].as_str(), old["metadata"]["uid"].as_str())
            && new != was
            && call.method == http::Method::PUT
        {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}{}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {new}, UID in object meta: {was}",
                registry(scope),
                scope.namespace.as_ref().map(|n| format!("/{n}")).unwrap_or_default(),
            );
            return Err(Failure::conflict(resource.names(), &name, &why));
        }
        inherit(&mut value, old);
        let mut warnings: Vec<String> = dedup_owners(&mut value).into_iter().collect();
        let subresource = scope.subresource.as_deref();
        let status = subresource == Some("status");
        self.keep_the_rest(scope, &mut value, old);
        crate::kinds::fill(resource, &mut value, Some(old));
        tidy_metadata(&mut value);
        if matches!(ownership, Ownership::Update) {
            crate::managed::updated(self, resource, &mut value, old, options, subresource, &self.now());
        }
        if value["metadata"]["managedFields"].as_array().is_some_and(Vec::is_empty) {
            metadata(&mut value).remove("managedFields");
        }
        if self.mutate(call, scope, "UPDATE", &mut value, Some(old), options.dry_run)? {
            // What a webhook makes of the status counts as little as what the client sent.
            if !status {
                self.keep_the_rest(scope, &mut value, old);
            }
            crate::kinds::fill_again(resource, &mut value, Some(old));
            tidy_metadata(&mut value);
        }
        crate::kinds::admit(self, resource, &mut value, Some(old));
        if old["metadata"].get("generation").is_some() {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            let next = if subresource == Some("binding") || same_spec(resource, &value, old) {
                generation
            } else {
                generation + 1
            };
            metadata(&mut value).insert("generation".into(), json!(next));
        } else {
            metadata(&mut value).remove("generation");
        }
        let mut causes: Vec<Cause> = check_metadata_update(&value, old);
        let (more, found) = check_metadata(resource, &value);
        if resource.built_in().is_some() {
            // Four passes of the original look at owners in an update.
            let owners: Vec<Cause> =
                more.iter().filter(|c| c.field == "metadata.ownerReferences").cloned().collect();
            causes.extend(std::iter::repeat_n(owners, 3).flatten());
        }
        causes.extend(more);
        warnings.extend(found);
        let found = crate::kinds::validate::update(resource, &value, old, status, &causes);
        causes.extend(found);
        if !causes.is_empty() {
            return Err(Failure::invalid(resource.names(), &name, causes));
        }
        warnings.extend(self.admit(call, scope, "UPDATE", &value, Some(old), options.dry_run)?);
        Ok(Update { value, warnings })
    }

    fn check_revision(&self, scope: &Scope, value: &Value, old: &Value) -> Result<(), Failure> {
        let resource = &scope.resource;
        match value["metadata"]["resourceVersion"].as_str().filter(|r| !r.is_empty()) {
            None if crate::kinds::updates_blindly(resource) => Ok(()),
            None => {
                let names = resource.names();
                let plural = crate::status::Names { kind: names.plural, ..names };
                let cause =
                    Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
                Err(Failure::invalid(plural, name_of(old), vec![cause]))
            }
            Some(text) => {
                if text.parse::<u64>().is_err() {
                    return Err(Failure::internal(super::get::not_a_revision(text)));
                }
                if old["metadata"]["resourceVersion"] == text {
                    Ok(())
                } else {
                    Err(Failure::modified(resource.names(), name_of(old)))
                }
            }
        }
    }

    /// A write to `/status` changes nothing else, and a write to the object not its status.
    fn keep_the_rest(&self, scope: &Scope, value: &mut Value, old: &Value) {
        let resource = &scope.resource;
        if let Some(("ephemeralcontainers", field) | ("finalize", field)) =
            scope.subresource.as_deref().zip(Some(if scope.subresource.as_deref() == Some("finalize") {
                "finalizers"
            } else {
                "ephemeralContainers"
            }))
        {
            let mut kept = old.clone();
            match value["spec"].get(field).filter(|v| v.as_array().is_some_and(|l| !l.is_empty())) {
                Some(list) => kept["spec"][field] = list.clone(),
                None => {
                    if let Some(spec) = kept["spec"].as_object_mut() {
                        spec.remove(field);
                    }
                }
            }
            if let Some(fields) = value["metadata"].get("managedFields") {
                kept["metadata"]["managedFields"] = fields.clone();
            }
            *value = kept;
            return;
        }
        if !resource.has_status() {
            return;
        }
        if scope.subresource.as_deref() == Some("status") {
            let mut kept = old.clone();
            match value.get("status") {
                Some(status) if !status.is_null() => kept["status"] = status.clone(),
                _ => {
                    if let Some(map) = kept.as_object_mut() {
                        map.remove("status");
                    }
                }
            }
            let from = value["metadata"].take();
            let metadata = metadata(&mut kept);
            match from.get("managedFields") {
                Some(fields) => metadata.insert("managedFields".into(), fields.clone()),
                None => metadata.remove("managedFields"),
            };
            if resource.custom().is_none() {
                // Built-in kinds let labels, annotations and finalizers through here.
                for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                    match from.get(field) {
                        Some(given) => metadata.insert(field.into(), given.clone()),
                        None => metadata.remove(field),
                    };
                }
            }
            *value = kept;
        } else if scope.subresource.is_none()
            && let Some(map) = value.as_object_mut()
        {
            match old.get("status") {
                Some(status) => map.insert("status".into(), status.clone()),
                None => map.remove("status"),
            };
        }
    }
}

/// What the server keeps whatever the caller sends.
fn inherit(value: &mut Value, old: &Value) {
    let old = &old["metadata"];
    let metadata = metadata(value);
    for field in ["uid", "creationTimestamp", "namespace", "name"] {
        if metadata.get(field).is_none_or(|v| v.is_null() || *v == "")
            && let Some(was) = old.get(field)
        {
            metadata.insert(field.into(), was.clone());
        }
    }
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "creationTimestamp",
        "generation",
        "resourceVersion",
    ] {
        match old.get(field) {
            Some(was) => metadata.insert(field.into(), was.clone()),
            None => metadata.remove(field),
        };
    }
}

fn has_revision(value: &Value) -> bool {
    value["metadata"]["resourceVersion"].as_str().is_some_and(|r| !r.is_empty())
}

fn registry(scope: &Scope) -> String {
    let resource = &scope.resource;
    match resource.built_in() {
        Some(_) => resource.plural.clone(),
        None => format!("{}/{}", resource.group, resource.plural),
    }
}
