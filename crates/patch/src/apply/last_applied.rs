//! The annotation that client-side apply keeps: what kubectl may take over, and keeping it fresh.

use serde_json::{Value, json};

use super::Kind;
use crate::fields::PathSet;
use crate::typed;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotations of an object together may not be longer; a longer one is left empty.
const LONGEST_BYTES: usize = 256 * 1024;

/// Fields of the annotation that the live object still has as they were. None if there is no annotation of this version.
pub(super) fn untouched(live: &Value, kind: &Kind<'_>) -> Option<PathSet> {
    let text = live["metadata"]["annotations"][ANNOTATION].as_str()?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last["apiVersion"] != kind.api_version || !typed::validate(&last, kind.schema, false).is_empty() {
        return None;
    }
    let change = typed::compare(&last, live, kind.schema);
    let fields = typed::fields(&last, kind.schema);
    Some(fields.difference(&change.modified).difference(&change.added).difference(&change.removed))
}

/// Writes what was applied into the annotation, if the object has one.
pub(super) fn refresh(object: &mut Value, applied: &Value) {
    if object["metadata"]["annotations"].get(ANNOTATION).is_none() {
        return;
    }
    let mut last = applied.clone();
    if let Some(annotations) = last.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let text = format!("{last}\n");
    let text = if text.len() > LONGEST_BYTES { String::new() } else { text };
    object["metadata"]["annotations"][ANNOTATION] = json!(text);
}
