//! What KServe's webhooks do to our kinds, called by the API server in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::admission::{Refusal, Request, mutate};
use api::convert::convert;
use api::crd::{Kind, Version};
use api::validate::{self, Finding};
use apiserver::{Admission, AdmissionRequest, Convert, Denied, Review};
use compose::{Facts, presets};
use kinds::Objects;
use serde_json::{Value, json};

/// The defaulter of services and the validators of both kinds. `caches`: the caches of models; `None` if there are none.
pub fn hooks(caches: Option<Arc<Objects>>) -> Vec<Admission> {
    let default_service =
        move |request: &mut AdmissionRequest<'_>| default_service(request, caches.as_deref());
    let hook = |name: &str, kind: Kind, review: Review| Admission {
        name: name.to_owned(),
        group: api::GROUP.to_owned(),
        kind: kind.as_str().to_owned(),
        review,
    };
    vec![
        hook("llminferenceservice.defaulter", Kind::Service, Review::Mutate(Arc::new(default_service))),
        hook("llminferenceservice.validator", Kind::Service, Review::Validate(Arc::new(validate_service))),
        hook(
            "llminferenceserviceconfig.validator",
            Kind::Config,
            Review::Validate(Arc::new(validate_config)),
        ),
    ]
}

/// Conversion of both kinds.
pub fn conversion() -> BTreeMap<(String, String), Convert> {
    let convert: Convert = Arc::new(|object: Value, to: &str| {
        let version = Version::of(to).ok_or_else(|| format!("{to} is not a version of this kind"))?;
        Ok(convert(&object, version))
    });
    [Kind::Service, Kind::Config]
        .into_iter()
        .map(|kind| ((api::GROUP.to_owned(), kind.as_str().to_owned()), convert.clone()))
        .collect()
}

fn default_service(request: &mut AdmissionRequest<'_>, caches: Option<&Objects>) -> Result<(), Denied> {
    let (true, Some(version)) = (is_write(request), version(&request.object)) else { return Ok(()) };
    request.object = mutate(request.object.clone(), version, Request { old: None, caches })
        .map_err(|r| denied(&r, request))?;
    Ok(())
}

fn validate_service(request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denied> {
    let (true, Some(version)) = (is_write(request), version(&request.object)) else { return Ok(Vec::new()) };
    let old = request.old.map(|old| convert(old, Version::V1alpha2));
    let stored = convert(&request.object, Version::V1alpha2);
    let verdict = validate::service(&stored, old.as_ref(), version == Version::V1alpha1);
    accept(verdict, request)
}

fn validate_config(request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denied> {
    if !is_write(request) {
        let is_deletion = request.subresource.is_none();
        return Ok(well_known(&request.object).filter(|_| is_deletion).map_or_else(Vec::new, |name| {
            vec![format!(
                "deleting well-known config {name} is not recommended; what is built in under that name is used instead"
            )]
        }));
    }
    let old = request.old.map(|old| convert(old, Version::V1alpha2));
    let stored = convert(&request.object, Version::V1alpha2);
    // One that is on its way out has to lose its finalizers, whatever it says.
    if old.is_some() && !stored["metadata"]["deletionTimestamp"].is_null() {
        return Ok(Vec::new());
    }
    let mut warnings = accept(validate::config(&stored, old.as_ref()), request)?;
    if let (Some(name), Some(old)) = (well_known(&stored), &old)
        && !is_contained(&old["spec"], &stored["spec"])
    {
        warnings.push(format!(
            "modifying well-known config {name} is not recommended. Consider creating a custom config instead"
        ));
    }
    // A config is rendered for services that nobody knows yet; one that renders for none is of no use to any.
    let sample = Facts { service: Arc::new(validate::sample_service()), ..Facts::default() };
    match compose::render(&stored, &sample) {
        Ok(_) => Ok(warnings),
        Err(error) => Err(Denied {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: format!("{} does not render: {error}", request.object["metadata"]["name"]),
            details: None,
        }),
    }
}

/// Namespace and name of a config that is called like a preset.
fn well_known(config: &Value) -> Option<String> {
    let metadata = &config["metadata"];
    let (namespace, name) = (metadata["namespace"].as_str()?, metadata["name"].as_str()?);
    let preset = name.strip_prefix(Facts::default().config_prefix.as_str())?;
    presets::get(preset).map(|_| format!("{namespace}/{name}"))
}

/// Whether `new` says everything that `old` says. Empty values say nothing.
fn is_contained(old: &Value, new: &Value) -> bool {
    match old {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) if number.as_f64() == Some(0.0) => true,
        Value::String(text) if text.is_empty() => true,
        Value::Object(fields) => fields.iter().all(|(name, value)| is_contained(value, &new[name])),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .all(|(index, item)| new.get(index).is_some_and(|new| is_contained(item, new))),
        value => value == new,
    }
}

fn is_write(request: &AdmissionRequest<'_>) -> bool {
    request.subresource.is_none() && request.operation != "DELETE"
}

fn version(object: &Value) -> Option<Version> {
    object["apiVersion"].as_str().and_then(Version::of)
}

fn accept(verdict: validate::Verdict, request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denied> {
    if verdict.findings.is_empty() {
        Ok(verdict.warnings)
    } else {
        Err(denied(&Refusal { code: 422, causes: verdict.findings }, request))
    }
}

/// The refusal as the API server shows it: the rule's words, and what to do after them.
fn denied(refusal: &Refusal, request: &AdmissionRequest<'_>) -> Denied {
    let hints: Vec<&str> = refusal.causes.iter().map(Finding::hint).filter(|hint| !hint.is_empty()).collect();
    let name = request.object["metadata"]["name"].as_str().unwrap_or_default();
    let kind = request.object["kind"].as_str().unwrap_or_default();
    let mut message = match refusal.code {
        422 => format!("{kind}.{} {name:?} is invalid: {refusal}", api::GROUP),
        _ => refusal.to_string(),
    };
    if !hints.is_empty() {
        message.push_str(&format!(" (hint: {})", hints.join("; ")));
    }
    let causes: Vec<Value> = refusal
        .causes
        .iter()
        .map(|cause| {
            json!({"reason": cause.violation.type_.reason(), "message": cause.violation.detail,
                   "field": cause.violation.field})
        })
        .collect();
    Denied {
        code: refusal.code,
        reason: if refusal.code == 422 { "Invalid" } else { "BadRequest" }.to_owned(),
        message,
        details: Some(json!({"group": api::GROUP, "kind": kind, "name": name, "causes": causes})),
    }
}

#[cfg(test)]
mod tests;
