//! Writes the status that was judged, if it differs.

use std::sync::Arc;

use kinds::ObjectKey;
use kube::api::{DynamicObject, PostParams};
use serde_json::Value;

use crate::apply::api;
use crate::stores::Stores;

/// Why the service or config itself was not written. Both pass by trying again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// Somebody changed it meanwhile; the next pass judges what is there now.
    #[error("it changed meanwhile")]
    Outdated,
    /// The API server did not take it.
    #[error("the write was not taken: {0}")]
    NotTaken(String),
}

/// Replaces the status of `object` (as the stores hold it) by `status`. No request if nothing differs: a status that
/// is written again and again would wake every watcher, the operator first of all.
pub(crate) async fn status(
    client: &kube::Client,
    stores: &Stores,
    object: &Arc<Value>,
    status: Value,
) -> Result<bool, PublishError> {
    let unchanged = match object.get("status") {
        Some(known) => *known == status,
        None => status.as_object().is_none_or(serde_json::Map::is_empty),
    };
    let Ok(key) = ObjectKey::of(object) else { return Ok(false) };
    if unchanged {
        return Ok(false);
    }
    let mut wanted = Value::clone(object);
    wanted["status"] = status;
    if let Some(metadata) = wanted["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let wanted: DynamicObject =
        serde_json::from_value(wanted).map_err(|error| PublishError::NotTaken(error.to_string()))?;
    match api(client, &key).replace_status(&key.name, &PostParams::default(), &wanted).await {
        Ok(written) => {
            stores.note_written(serde_json::to_value(written).unwrap_or_default());
            Ok(true)
        }
        // A service that is gone needs no status.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(false),
        Err(kube::Error::Api(answer)) if answer.code == 409 => Err(PublishError::Outdated),
        Err(error) => Err(PublishError::NotTaken(error.to_string())),
    }
}
