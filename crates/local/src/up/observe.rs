//! What `up` looks at to tell its user how things stand. It only watches.

use futures_util::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::mpsc;

use super::Sighting;

/// The kind that `up` is about.
pub(super) fn service_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("serving.kserve.io", "v1alpha2", "LLMInferenceService"))
}

/// The operator's writes.
pub(super) async fn writes(
    mut reports: mpsc::UnboundedReceiver<operator::Report>,
    sightings: mpsc::UnboundedSender<Sighting>,
) {
    while let Some(report) = reports.recv().await {
        let service = format!("{}/{}", report.namespace, report.name);
        let _ = sightings.send(match report.done {
            operator::Done::Looked => continue,
            operator::Done::Merged(configs) => Sighting::Merged { service, configs },
            operator::Done::Wrote(changes) => {
                let count = |verb: plan::Verb| changes.iter().filter(|change| change.verb == verb).count();
                Sighting::Wrote {
                    service,
                    created: count(plan::Verb::Create),
                    updated: count(plan::Verb::Update),
                    deleted: count(plan::Verb::Delete),
                }
            }
        });
    }
}

/// The services as they change.
pub(super) async fn services(client: kube::Client, sightings: mpsc::UnboundedSender<Sighting>) {
    let api = Api::all_with(client, &service_resource());
    observe(api, watcher::Config::default(), sightings, Sighting::Service, Sighting::ServiceGone).await;
}

/// The pods of services as they change.
pub(super) async fn pods(client: kube::Client, sightings: mpsc::UnboundedSender<Sighting>) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let config = watcher::Config::default().labels("app.kubernetes.io/part-of=llminferenceservice");
    observe(Api::all_with(client, &resource), config, sightings, Sighting::Pod, Sighting::PodGone).await;
}

async fn observe(
    api: Api<DynamicObject>,
    config: watcher::Config,
    sightings: mpsc::UnboundedSender<Sighting>,
    seen: fn(Value) -> Sighting,
    gone: fn(String) -> Sighting,
) {
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let sighting = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                seen(serde_json::to_value(object).unwrap_or_default())
            }
            Ok(watcher::Event::Delete(object)) => {
                let namespace = object.metadata.namespace.unwrap_or_default();
                gone(format!("{namespace}/{}", object.metadata.name.unwrap_or_default()))
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        if sightings.send(sighting).is_err() {
            return;
        }
    }
}
