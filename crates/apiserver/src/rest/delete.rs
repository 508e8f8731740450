//! DELETE of one object and of a collection.

use serde_json::{Value, json};

use super::Scope;
use super::body;
use super::list::selection;
use super::write::{metadata, name_of, strings};
use crate::core::{Core, NAMESPACE_NAMES};
use crate::http::{Answer, Call};
use crate::status::Failure;
use crate::store::{Change, Object};

/// `DeleteOptions`.
#[derive(Default)]
struct Options {
    grace_seconds: Option<i64>,
    uid: Option<String>,
    revision: Option<String>,
    dry_run: bool,
    /// `Foreground`, `Background` or `Orphan`; `None` is up to the kind.
    propagation: Option<String>,
}

enum Outcome {
    /// Gone; the last state.
    Gone(Value),
    /// Marked; it goes when the finalizers have.
    Waiting(Value),
}

impl Core {
    pub(crate) async fn delete(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        let options = options(call)?;
        if scope.resource.is("", "Namespace") && matches!(name, "default" | "kube-system" | "kube-public") {
            return Err(Failure::forbidden(NAMESPACE_NAMES, name, "this namespace may not be deleted"));
        }
        loop {
            let current = self
                .store
                .get(&scope.key(name))
                .ok_or_else(|| Failure::not_found(scope.resource.names(), name))?;
            if let Some(outcome) = self.delete_one(call, scope, &options, &current).await? {
                return self.deleted(call, scope, name, outcome);
            }
        }
    }

    fn deleted(&self, call: &Call, scope: &Scope, name: &str, outcome: Outcome) -> Result<Answer, Failure> {
        let resource = &scope.resource;
        match outcome {
            Outcome::Waiting(value) => self.present(call, scope, 200, value),
            // These answer with the object that went.
            Outcome::Gone(value) if crate::kinds::delete_shows_object(resource) => {
                self.present(call, scope, 200, value)
            }
            Outcome::Gone(value) => {
                let mut details =
                    json!({"name": name, "kind": resource.plural, "uid": value["metadata"]["uid"]});
                if !resource.group.is_empty() {
                    details["group"] = json!(resource.group);
                }
                let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
                Ok(Answer::ok(body))
            }
        }
    }

    pub(crate) async fn delete_collection(&self, call: &Call, scope: &Scope) -> Result<Answer, Failure> {
        let options = options(call)?;
        let resource = &scope.resource;
        let selection = selection(call, resource)?;
        let listed = self.store.list(&resource.prefix(scope.namespace.as_deref()));
        let mut items = Vec::new();
        for object in &listed.objects {
            if !selection.matches_stored(self, resource, object) {
                continue;
            }
            let mut shown = self.shown(resource, object);
            let single = Scope {
                resource: resource.clone(),
                namespace: shown["metadata"]["namespace"].as_str().map(str::to_owned),
                subresource: None,
            };
            let mut current = Some(object.clone());
            while let Some(object) = current {
                if self.delete_one(call, &single, &options, &object).await?.is_some() {
                    break;
                }
                current = self.store.get(&object.key);
            }
            if resource.built_in().is_some()
                && let Some(map) = shown.as_object_mut()
            {
                map.remove("apiVersion");
                map.remove("kind");
            }
            items.push(shown);
        }
        let mut metadata = json!({"resourceVersion": listed.revision.to_string()});
        if resource.custom().is_some() {
            metadata["continue"] = json!("");
        }
        Ok(Answer::ok(json!({
            "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": items,
        })))
    }

    /// `None`: somebody else was faster.
    async fn delete_one(
        &self,
        call: &Call,
        scope: &Scope,
        options: &Options,
        current: &Object,
    ) -> Result<Option<Outcome>, Failure> {
        let resource = &scope.resource;
        let value = self.shown(resource, current);
        let name = name_of(&value).to_owned();
        check_preconditions(scope, options, &value)?;
        self.admit(call, scope, "DELETE", &value, Some(&value), options.dry_run)?;
        let marked = !value["metadata"]["deletionTimestamp"].is_null();
        let mut next = value.clone();
        match options.propagation.as_deref() {
            Some("Orphan") => add_finalizer(&mut next, "orphan", marked),
            Some("Foreground") => add_finalizer(&mut next, "foregroundDeletion", marked),
            _ => {}
        }
        let grace = crate::kinds::grace_seconds(resource, &value, options.grace_seconds);
        let held = !strings(&next["metadata"]["finalizers"]).is_empty()
            || crate::kinds::holds(resource, &mut next, self);
        if marked {
            let shortened = grace < value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
            if held && !(shortened && resource.is("", "Pod")) {
                return Ok(Some(Outcome::Waiting(value)));
            }
            if !held && grace > 0 && !shortened {
                return Ok(Some(Outcome::Waiting(value)));
            }
        }
        if !held && grace == 0 {
            if options.dry_run {
                return Ok(Some(Outcome::Gone(value)));
            }
            let key = scope.key(&name);
            let gone = self.commit(resource, &key, Some(current.revision), Change::Delete(value)).await?;
            return Ok(gone.ok().map(|mut gone| {
                // The answer says what was decided; what watchers see is the object as it was.
                if resource.is("", "Pod") {
                    let generation = gone["metadata"]["generation"].as_i64().filter(|_| !marked);
                    let metadata = metadata(&mut gone);
                    metadata.insert("deletionTimestamp".into(), json!(self.now()));
                    metadata.insert("deletionGracePeriodSeconds".into(), json!(0));
                    if let Some(generation) = generation {
                        metadata.insert("generation".into(), json!(generation + 1));
                    }
                }
                Outcome::Gone(gone)
            }));
        }
        let when = (self.options.now)() + jiff::SignedDuration::from_secs(grace);
        let stamp = when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let counted = value["metadata"]["generation"].as_i64().filter(|_| !marked);
        let metadata = metadata(&mut next);
        metadata.insert("deletionTimestamp".into(), json!(stamp));
        if !crate::kinds::hides_grace(resource) {
            metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
            if let Some(generation) = counted {
                metadata.insert("generation".into(), json!(generation + 1));
            }
        }
        if options.dry_run {
            return Ok(Some(Outcome::Waiting(next)));
        }
        let key = scope.key(&name);
        let waiting = self.commit(resource, &key, Some(current.revision), Change::Put(next)).await?;
        Ok(waiting.ok().map(Outcome::Waiting))
    }
}

fn add_finalizer(value: &mut Value, name: &str, marked: bool) {
    if marked || strings(&value["metadata"]["finalizers"]).contains(&name) {
        return;
    }
    let finalizers = metadata(value).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut() {
        list.push(json!(name));
    }
}

fn check_preconditions(scope: &Scope, options: &Options, value: &Value) -> Result<(), Failure> {
    let names = scope.resource.names();
    let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
    let revision = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if let Some(wanted) = options.uid.as_deref().filter(|w| *w != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(Failure::precondition(names, name_of(value), &why));
    }
    if let Some(wanted) = options.revision.as_deref().filter(|w| *w != revision) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({revision}). The object might have been modified"
        );
        return Err(Failure::precondition(names, name_of(value), &why));
    }
    Ok(())
}

fn options(call: &Call) -> Result<Options, Failure> {
    let write = body::options(call, "DeleteOptions")?;
    let mut options = Options { dry_run: write.dry_run, ..Options::default() };
    if !call.body.is_empty() {
        let media = call.header("content-type").unwrap_or("application/json");
        let decoded = if media.starts_with("application/yaml") {
            body::from_yaml(&call.body)
        } else {
            body::from_json(&call.body)
        };
        let value = decoded.map_err(Failure::bad_request)?.value;
        let kind = value["kind"].as_str().unwrap_or("DeleteOptions");
        if kind != "DeleteOptions" {
            let version = value["apiVersion"].as_str().unwrap_or_default();
            return Err(Failure::bad_request(format!(
                "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
                crate::status::quoted(kind),
                crate::status::quoted(version)
            )));
        }
        options.grace_seconds = value["gracePeriodSeconds"].as_i64();
        options.uid = value["preconditions"]["uid"].as_str().map(str::to_owned);
        options.revision = value["preconditions"]["resourceVersion"].as_str().map(str::to_owned);
        options.propagation = value["propagationPolicy"].as_str().map(str::to_owned);
        if value["orphanDependents"] == true {
            options.propagation = Some("Orphan".into());
        }
        if let Some(list) = value["dryRun"].as_array() {
            options.dry_run |= !list.is_empty();
        }
    } else {
        options.grace_seconds = call.query.number("gracePeriodSeconds");
        options.propagation = call.query.get("propagationPolicy").map(str::to_owned);
    }
    Ok(options)
}
