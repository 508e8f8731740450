//! Writes what was judged: the status if it differs, and the events.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kinds::ObjectKey;
use kube::api::{DynamicObject, PostParams};
use kube::runtime::events::{Event, EventType, Recorder};
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

/// Records the events on the object. An event that cannot be written is logged and left: nobody acts on events.
pub(crate) async fn events(recorder: &Recorder, object: &Value, events: &[plan::Event]) {
    let reference = ObjectReference {
        api_version: object["apiVersion"].as_str().map(str::to_owned),
        kind: object["kind"].as_str().map(str::to_owned),
        name: object["metadata"]["name"].as_str().map(str::to_owned),
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        uid: object["metadata"]["uid"].as_str().map(str::to_owned),
        ..ObjectReference::default()
    };
    for event in events {
        let type_ = match event.type_ {
            plan::EventType::Normal => EventType::Normal,
            plan::EventType::Warning => EventType::Warning,
        };
        let written = Event {
            type_,
            reason: event.reason.clone(),
            note: Some(event.message.clone()),
            action: event.reason.clone(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&written, &reference).await {
            tracing::debug!(reason = event.reason, %error, "event not recorded");
        }
    }
}
