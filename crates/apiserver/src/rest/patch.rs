//! PATCH in its four forms.

use serde_json::{Value, json};

use super::Scope;
use super::body::{self, Decoded, WriteOptions};
use super::create::{Ownership, place};
use super::write::name_of;
use crate::core::Core;
use crate::http::{Answer, Call};
use crate::status::Failure;
use crate::store::Object;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Core {
    pub(crate) async fn patch(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        let kind = self.patch_kind(call, scope)?;
        let options = body::options(call, "PatchOptions")?;
        if scope.subresource.is_some() && !scope.resource.has_status() {
            return Err(Failure::no_such_path());
        }
        loop {
            let Some(current) = self.store.get(&scope.key(name)) else {
                if kind == Kind::Apply && scope.subresource.is_none() {
                    return self.apply_new(call, scope, &options, name).await;
                }
                return Err(Failure::not_found(scope.resource.names(), name));
            };
            let (value, warnings, ownership) = if kind == Kind::Apply {
                let (value, warnings) = self.applied(call, scope, &options, name, Some(&current))?;
                (value, warnings, Ownership::Applied)
            } else {
                let (value, warnings) = self.patched(call, scope, kind, &options, &current)?;
                (value, warnings, Ownership::Update)
            };
            if let Some(stored) = self.replace(call, scope, &options, &current, value, &ownership).await? {
                return Ok(self.present(call, scope, 200, stored.value)?.warned(warnings).warned(stored.warnings));
            }
        }
    }

    fn patch_kind(&self, call: &Call, scope: &Scope) -> Result<Kind, Failure> {
        let media = call.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let custom = scope.resource.custom().is_some();
        match media {
            "application/json-patch+json" => Ok(Kind::Json),
            "application/merge-patch+json" => Ok(Kind::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Kind::Strategic),
            "application/apply-patch+yaml" => Ok(Kind::Apply),
            _ if custom => Err(Failure::new(
                415,
                Some("UnsupportedMediaType"),
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
            _ => Err(Failure::new(415, Some("UnsupportedMediaType"), "415: Unsupported Media Type").with(json!({}))),
        }
    }

    fn patched(
        &self,
        call: &Call,
        scope: &Scope,
        kind: Kind,
        options: &WriteOptions,
        current: &Object,
    ) -> Result<(Value, Vec<String>), Failure> {
        let resource = &scope.resource;
        let base = self.shown(resource, &current.value).into_owned();
        let Decoded { value: patch, mut oddities } = body::from_json(&call.body)
            .map_err(|why| Failure::bad_request(format!("error decoding patch: {why}")))?;
        let result = match kind {
            Kind::Merge | Kind::Strategic => {
                let mut value = base;
                merge(&mut value, &patch);
                value
            }
            _ => return Err(Failure::bad_request("this kind of patch is not supported yet")),
        };
        let mut decoded = Decoded { value: result, oddities: std::mem::take(&mut oddities) };
        let warnings = body::prune(resource, &mut decoded, options.strictness)?;
        Ok((decoded.value, warnings))
    }

    async fn apply_new(&self, call: &Call, scope: &Scope, options: &WriteOptions, name: &str) -> Result<Answer, Failure> {
        let (value, warnings) = self.applied(call, scope, options, name, None)?;
        let (value, more) = self.create_object(call, scope, options, value, &Ownership::Applied).await?;
        Ok(self.present(call, scope, 201, value)?.warned(warnings).warned(more))
    }

    fn applied(
        &self,
        call: &Call,
        scope: &Scope,
        options: &WriteOptions,
        name: &str,
        current: Option<&Object>,
    ) -> Result<(Value, Vec<String>), Failure> {
        let mut decoded = body::from_yaml(&call.body).map_err(Failure::bad_request)?;
        let warnings = body::prune(&scope.resource, &mut decoded, options.strictness)?;
        place(scope, &mut decoded.value)?;
        if name_of(&decoded.value).is_empty() {
            super::write::metadata(&mut decoded.value).insert("name".into(), json!(name));
        }
        let value = match current {
            Some(current) => {
                let mut value = self.shown(&scope.resource, &current.value).into_owned();
                merge(&mut value, &decoded.value);
                value
            }
            None => decoded.value,
        };
        Ok((value, warnings))
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(map) = target.as_object_mut() {
                map.remove(key);
            }
        } else {
            merge(&mut target[key], value);
        }
    }
}
