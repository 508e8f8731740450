//! GET of one object.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Value, json};

use super::Scope;
use crate::catalog::Resource;
use crate::core::Core;
use crate::http::{Answer, Call};
use crate::status::Failure;
use crate::store::Object;

impl Core {
    pub(crate) async fn get(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        if let Some(revision) = call.query.get("resourceVersion") {
            let revision: u64 = revision.parse().map_err(|_| Failure::internal(not_a_revision(revision)))?;
            self.wait_for(revision).await?;
        }
        let object = self
            .store
            .get(&scope.key(name))
            .ok_or_else(|| Failure::not_found(scope.resource.names(), name))?;
        let value = self.shown(&scope.resource, &object);
        self.present(call, scope, 200, value)
    }

    /// A stored object in the version of `resource`.
    pub(crate) fn shown(&self, resource: &Resource, stored: &Object) -> Value {
        self.in_version_of(resource, stored.value())
    }

    /// A stored value in the version of `resource`.
    pub(crate) fn in_version_of(&self, resource: &Resource, stored: Value) -> Value {
        let api_version = resource.api_version();
        if stored["apiVersion"] == api_version {
            stored
        } else {
            self.converted(resource, stored, &api_version)
        }
    }

    /// The JSON of a stored object in the version of `resource`; that of most is what is stored.
    pub(crate) fn shown_text<'a>(&self, resource: &Resource, stored: &'a Object) -> Cow<'a, str> {
        // Keys are sorted, so nothing a kind usually has comes before `apiVersion`; where something does, it is converted
        // to the version that it has.
        let is_shown = stored.text().strip_prefix("{\"apiVersion\":\"").is_some_and(|rest| {
            rest.strip_prefix(resource.api_version().as_str()).is_some_and(|rest| rest.starts_with('"'))
        });
        if is_shown { stored.text().into() } else { self.shown(resource, stored).to_string().into() }
    }

    /// Converts to another version of the same resource.
    pub(crate) fn converted(&self, resource: &Resource, mut value: Value, api_version: &str) -> Value {
        if resource.group.is_empty() || resource.group == "events.k8s.io" {
            return crate::kinds::convert_event(value, api_version);
        }
        let hook = resource
            .custom()
            .filter(|c| c.hooked)
            .and_then(|_| self.options.conversion.get(&(resource.group.clone(), resource.kind.clone())));
        match hook {
            Some(convert) => match convert(value.clone(), api_version) {
                // Of the metadata a conversion may change labels and annotations alone.
                Ok(mut converted) => {
                    let mut metadata = value["metadata"].take();
                    if let Some(fields) = metadata.as_object_mut() {
                        for name in ["labels", "annotations"] {
                            match converted["metadata"].get_mut(name).map(Value::take) {
                                Some(map) if !map.is_null() => fields.insert(name.to_owned(), map),
                                _ => fields.remove(name),
                            };
                        }
                    }
                    value = converted;
                    value["metadata"] = metadata;
                }
                Err(error) => {
                    tracing::warn!(%error, kind = resource.kind, "an object cannot be converted");
                    value["apiVersion"] = json!(api_version);
                }
            },
            None => value["apiVersion"] = json!(api_version),
        }
        let target = self.resource_of(api_version, &resource.kind);
        if let Some(custom) = target.as_ref().and_then(|r| r.custom()) {
            crate::kinds::prune_unknown(&custom.schema, &mut value);
            crate::kinds::fill_custom(&custom.schema, &mut value);
        }
        value
    }

    /// Converts without pruning, for the record of field owners.
    pub(crate) fn reversioned(&self, resource: &Resource, value: Value, api_version: &str) -> Value {
        self.converted(resource, value, api_version)
    }

    /// Waits, not long, for a revision of the future.
    pub(crate) async fn wait_for(&self, revision: u64) -> Result<(), Failure> {
        const PATIENCE: Duration = Duration::from_secs(3);
        if self.store.revision() >= revision {
            return Ok(());
        }
        // Revisions this far ahead are not about to come.
        if revision - self.store.revision() < 1_000 {
            let reached = tokio::time::timeout(PATIENCE, self.store.reach(revision)).await;
            if reached.is_ok() {
                return Ok(());
            }
        } else {
            tokio::time::sleep(PATIENCE).await;
        }
        let current = self.store.revision();
        Err(Failure::new(
            504,
            Some("Timeout"),
            format!("Timeout: Too large resource version: {revision}, current: {current}"),
        )
        .with(json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        })))
    }
}

pub(super) fn not_a_revision(text: &str) -> String {
    let quoted = crate::status::quoted(text);
    format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax")
}
