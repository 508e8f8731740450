//! A spec as a layer: how Go would write it, and what of it becomes the patch.

use std::borrow::Cow;
use std::sync::LazyLock;

use api::shape::{self, Struct};
use serde_json::{Value, json};

use crate::Error;

static SPEC: LazyLock<&'static Struct> =
    LazyLock::new(|| shape::find("api.LLMInferenceServiceSpec").expect("the table of types has the spec"));

/// The type of `spec`.
pub(crate) fn spec_type() -> &'static Struct {
    &SPEC
}

/// The paths of pod specs whose `containers` Go never leaves nil in a layer that goes over another.
const PODS: &[&[&str]] = &[
    &["template"],
    &["worker"],
    &["prefill", "template"],
    &["prefill", "worker"],
    &["router", "scheduler", "template"],
];

/// `spec` as Go writes it after it has read it. `whose` is named if it cannot be read.
pub(crate) fn normal(spec: &Value, whose: &str) -> Result<Value, Error> {
    shape::marshal(spec_type(), spec)
        .map_err(|error| Error::FixMerge { reason: format!("{whose}: spec.{error}") })
}

/// What of a spec decides about presets: all but what stands in the pod specs of workloads, by far the most of it.
pub(crate) fn decisive(spec: &Value) -> Value {
    let parts = spec.as_object().into_iter().flatten().filter_map(|(name, part)| {
        let part = match name.as_str() {
            "template" => return None,
            "worker" if part.is_object() => json!({}),
            "prefill" if part.is_object() => decisive(part),
            _ => part.clone(),
        };
        Some((name.clone(), part))
    });
    Value::Object(parts.collect())
}

/// What of a normal spec goes over the layers below.
pub(crate) fn overlay(spec: &Value) -> Cow<'_, Value> {
    let lacks_containers = |path: &&&[&str]| {
        let pod = path.iter().try_fold(spec, |part, name| part.get(name));
        pod.is_some_and(|pod| pod.is_object() && pod.get("containers").is_none())
    };
    let incomplete: Vec<&&[&str]> = PODS.iter().filter(lacks_containers).collect();
    // An empty URI equals that of an empty spec, so it is not part of the patch.
    let has_empty_uri = spec["model"]["uri"] == "";
    if incomplete.is_empty() && !has_empty_uri {
        return Cow::Borrowed(spec);
    }
    let mut spec = spec.clone();
    for path in incomplete {
        if let Some(pod) = path.iter().try_fold(&mut spec, |part, name| part.get_mut(name)) {
            pod["containers"] = json!([]);
        }
    }
    if has_empty_uri && let Some(model) = spec["model"].as_object_mut() {
        model.remove("uri");
    }
    Cow::Owned(spec)
}
