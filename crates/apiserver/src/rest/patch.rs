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
            let replaced = self.replace(call, scope, &options, &current, value, &ownership).await;
            if let Some(stored) = replaced.map_err(|failure| failure.warned(warnings.clone()))? {
                return Ok(self
                    .present(call, scope, 200, stored.value)?
                    .warned(warnings)
                    .warned(stored.warnings));
            }
        }
    }

    fn patch_kind(&self, call: &Call, scope: &Scope) -> Result<Kind, Failure> {
        let media =
            call.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
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
            _ => Err(Failure::new(415, Some("UnsupportedMediaType"), "415: Unsupported Media Type")
                .with(json!({}))),
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
        let base = self.shown(resource, current);
        let Decoded { value: patch, mut oddities } = body::from_json(&call.body)
            .map_err(|why| Failure::bad_request(format!("error decoding patch: {why}")))?;
        let result = match kind {
            Kind::Merge => patch::merge::apply(&base, &patch),
            Kind::Json => patch::json::apply(&base, &patch).map_err(|e| json_failure(&e))?,
            Kind::Strategic => {
                let keys = patch::ListKeys::of_kind(&resource.group, &resource.kind);
                patch::strategic::apply(&base, &patch, keys).map_err(|e| Failure::internal(e.to_string()))?
            }
            Kind::Apply => return Err(Failure::internal("an apply is no patch of the stored object")),
        };
        let mut decoded = Decoded { value: result, oddities: std::mem::take(&mut oddities) };
        let warnings = body::prune_patched(resource, &mut decoded, options.strictness)?;
        Ok((decoded.value, warnings))
    }

    async fn apply_new(
        &self,
        call: &Call,
        scope: &Scope,
        options: &WriteOptions,
        name: &str,
    ) -> Result<Answer, Failure> {
        let (value, warnings) = self.applied(call, scope, options, name, None)?;
        let created = self.create_object(call, scope, options, value, &Ownership::Applied).await;
        let (value, more) = created.map_err(|failure| failure.warned(warnings.clone()))?;
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
        let decoded = body::from_yaml(&call.body)
            .map_err(|why| Failure::bad_request(format!("error decoding YAML: {why}")))?;
        let mut wanted = decoded.value;
        if !wanted.is_object() {
            return Err(Failure::bad_request("the object provided is unrecognized (must be of type object)"));
        }
        // Checked here; the namespace is filled in only after the apply.
        place(scope, &mut wanted.clone())?;
        if name_of(&wanted).is_empty() {
            super::write::metadata(&mut wanted).insert("name".into(), json!(name));
        }
        let live = current.map(|c| self.shown(&scope.resource, c));
        let subresource = scope.subresource.as_deref();
        let value = crate::managed::applied(
            self,
            &scope.resource,
            live.as_ref(),
            &wanted,
            options,
            subresource,
            &self.now(),
        )?;
        let mut decoded = Decoded { value, oddities: decoded.oddities };
        place(scope, &mut decoded.value)?;
        let warnings = body::prune(&scope.resource, &mut decoded, options.strictness)?;
        Ok((decoded.value, warnings))
    }
}

/// A JSON patch that cannot be carried out.
pub(super) fn json_failure(error: &patch::json::Error) -> Failure {
    match error {
        patch::json::Error::NotAList(_) => Failure::bad_request(format!("error decoding patch: {error}")),
        _ => Failure::new(
            422,
            Some("Invalid"),
            "the server rejected our request due to an error in our request",
        )
        .with(json!({})),
    }
}
