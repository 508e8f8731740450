//! Adds and removes a finalizer of ours and leaves those of others.

use kinds::ObjectKey;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::apply::api;
use crate::publish::PublishError;

/// Whether the object has the finalizer.
pub(crate) fn has(object: &Value, finalizer: &str) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == finalizer))
}

/// Adds the finalizer, or takes it away. The write comes back as a change, and that is the next pass.
///
/// # Errors
/// [`PublishError::Outdated`] if somebody was quicker, which the resource version tells.
pub(crate) async fn set(
    client: &kube::Client,
    object: &Value,
    finalizer: &str,
    wanted: bool,
) -> Result<(), PublishError> {
    let Ok(key) = ObjectKey::of(object) else { return Ok(()) };
    let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|one| one != finalizer);
    if wanted {
        finalizers.push(json!(finalizer));
    }
    let patch = json!({"metadata": {
        "resourceVersion": object["metadata"]["resourceVersion"],
        "finalizers": finalizers,
    }});
    match api(client, &key).patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 409 => Err(PublishError::Outdated),
        Err(error) => Err(PublishError::NotTaken(error.to_string())),
    }
}
