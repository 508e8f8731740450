//! What `up` looks at to tell its user how things stand. It only watches.

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::Sighting;
use super::progress::is_ready;

/// What all pods of services have.
const POD_OF_SERVICE: &str = "app.kubernetes.io/part-of=llminferenceservice";

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

/// The services as they change. One that is Ready is told of when the gateway knows its pods, as a request may follow at
/// once: status and pods reach this place and the gateway each on a way of their own.
pub(super) async fn services(
    client: kube::Client,
    mut pods_known: watch::Receiver<u64>,
    sightings: mpsc::UnboundedSender<Sighting>,
) {
    let api = Api::all_with(client.clone(), &service_resource());
    let (all_sender, mut all) = mpsc::unbounded_channel();
    let told = async {
        while let Some(sighting) = all.recv().await {
            if let Sighting::Service(service) = &sighting
                && is_ready(service)
                && let Some(newest) = newest_pod(&client, service).await
                && pods_known.wait_for(|known| *known >= newest).await.is_err()
            {
                return;
            }
            if sightings.send(sighting).is_err() {
                return;
            }
        }
    };
    let config = watcher::Config::default();
    tokio::join!(observe(api, config, all_sender, Sighting::Service, Sighting::ServiceGone), told);
}

/// The newest version of a pod of a service; `None` if it has none, or the API server does not say.
async fn newest_pod(client: &kube::Client, service: &Value) -> Option<u64> {
    let word = |field: &str| service["metadata"][field].as_str();
    let name = plan::name_label(word("name")?);
    let params = ListParams::default().labels(&format!("{POD_OF_SERVICE},{}={name}", api::keys::APP_NAME));
    let pods =
        Api::<Pod>::namespaced(client.clone(), word("namespace")?).list_metadata(&params).await.ok()?;
    pods.items.iter().map(crate::gateway::version).max()
}

/// The pods of services as they change.
pub(super) async fn pods(client: kube::Client, sightings: mpsc::UnboundedSender<Sighting>) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let config = watcher::Config::default().labels(POD_OF_SERVICE);
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
