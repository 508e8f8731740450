//! Records events on services and configs.
//!
//! An event is named by what it says about which object, so saying it again is found by the server and counted, also by an
//! operator that remembers nothing. kube's own recorder counts by reason alone: of ten `Created` it keeps the first.

use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// The longest note that the API takes.
const NOTE_LIMIT_BYTES: usize = 1024;

/// Records under the name of one controller. Clones share the client.
#[derive(Clone)]
pub(crate) struct Announcer {
    client: kube::Client,
    controller: &'static str,
}

impl Announcer {
    /// `controller` is what `reportingController` says.
    pub(crate) fn new(client: kube::Client, controller: &'static str) -> Self {
        Self { client, controller }
    }

    /// Records the events on the object. One that cannot be written is logged and left: nobody acts on events.
    pub(crate) async fn announce(&self, object: &Value, events: &[plan::Event]) {
        let text = |field: &Value| field.as_str().map(str::to_owned);
        let regarding = ObjectReference {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
            namespace: text(&object["metadata"]["namespace"]),
            uid: text(&object["metadata"]["uid"]),
            ..ObjectReference::default()
        };
        let Some(namespace) = &regarding.namespace else { return };
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        join_all(events.iter().map(|event| async {
            if let Err(error) = record(&api, self.event(&regarding, event)).await {
                tracing::debug!(reason = event.reason, %error, "event not recorded");
            }
        }))
        .await;
    }

    /// Warns that a pass ended early.
    pub(crate) async fn warn(&self, object: &Value, error: &(dyn std::error::Error + Sync)) {
        let failed = plan::Event {
            type_: plan::EventType::Warning,
            reason: "Error".to_owned(),
            message: format!("Reconciliation failed: {error}"),
        };
        self.announce(object, &[failed]).await;
    }

    fn event(&self, regarding: &ObjectReference, event: &plan::Event) -> Event {
        let mut hasher = DefaultHasher::new();
        (&regarding.uid, event.type_.as_str(), &event.reason, &event.message).hash(&mut hasher);
        let name = format!("{}.{:016x}", regarding.name.as_deref().unwrap_or_default(), hasher.finish());
        let note = &event.message[..event.message.floor_char_boundary(NOTE_LIMIT_BYTES)];
        let mut recorded = Event {
            action: Some(event.reason.clone()),
            event_time: Some(MicroTime(Timestamp::now())),
            note: Some(note.to_owned()),
            reason: Some(event.reason.clone()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(self.controller.to_owned()),
            reporting_instance: Some(self.controller.to_owned()),
            type_: Some(event.type_.as_str().to_owned()),
            ..Event::default()
        };
        recorded.metadata.name = Some(name);
        recorded.metadata.namespace.clone_from(&regarding.namespace);
        recorded
    }
}

/// Creates the event, or counts it if it is there.
async fn record(api: &Api<Event>, event: Event) -> kube::Result<()> {
    match api.create(&PostParams::default(), &event).await {
        Err(kube::Error::Api(answer)) if answer.code == 409 => {}
        outcome => return outcome.map(drop),
    }
    let name = event.metadata.name.unwrap_or_default();
    let known = api.get(&name).await?;
    let count = known.series.map_or(1, |series| series.count) + 1;
    let series = EventSeries { count, last_observed_time: MicroTime(Timestamp::now()) };
    api.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"series": series}))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_is_named_by_what_it_says_and_cut_to_what_the_api_takes() {
        let service =
            tower::service_fn(|_| async { Err::<http::Response<kube::client::Body>, _>("not asked") });
        let announcer = Announcer::new(kube::Client::new(service, "a"), "c");
        let said = |message: &str| {
            let event = plan::Event {
                type_: plan::EventType::Normal,
                reason: "Created".to_owned(),
                message: message.to_owned(),
            };
            announcer.event(&ObjectReference::default(), &event)
        };
        assert_eq!(said("x").metadata.name, said("x").metadata.name);
        assert_ne!(said("x").metadata.name, said("y").metadata.name);
        assert_eq!(said(&"ü".repeat(2000)).note.unwrap().len(), 1024);
    }
}
