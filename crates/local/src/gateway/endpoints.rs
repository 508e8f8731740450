//! Pods as endpoints: those that a selector picks, whether they are ready, and in words why they are not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use relay::{EndpointSpec, Tls};

use super::labelled::Labelled;
use super::watch::{Kept, Key};

/// The pods by their labels.
pub(crate) struct Pods<'a>(Labelled<'a, Pod>);

/// What a selector finds.
#[derive(Default)]
pub(crate) struct FoundEndpoints {
    pub(crate) endpoints: Vec<Arc<EndpointSpec>>,
    /// Why none is ready; empty if one is.
    pub(crate) absent: String,
}

/// Which port of a pod.
pub(crate) enum PortWanted<'a> {
    Number(i32),
    Named(&'a str),
}

impl<'a> Pods<'a> {
    pub(crate) fn new(pods: &'a Kept<Pod>) -> Self {
        Self(Labelled::new(pods, |pod| pod.metadata.labels.as_ref()))
    }

    /// One of the pods of a selector.
    pub(crate) fn first(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<&'a Pod> {
        self.0.select(namespace, labels).into_iter().next().map(|pod| &**pod)
    }

    /// The endpoints of a selector on these ports of each pod.
    pub(crate) fn endpoints(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        ports: &[PortWanted<'_>],
        is_https: bool,
    ) -> FoundEndpoints {
        let pods = self.0.select(namespace, labels);
        let mut endpoints = Vec::new();
        for pod in &pods {
            for port in ports {
                endpoints.extend(endpoint(pod, port, is_https).map(Arc::new));
            }
        }
        let absent = if endpoints.iter().any(|endpoint| endpoint.ready) {
            String::new()
        } else {
            absent(&pods, labels)
        };
        FoundEndpoints { endpoints, absent }
    }
}

/// The endpoints of a port of a Service.
pub(crate) fn of_service(service: &Service, key: &Key, port: i32, pods: &Pods<'_>) -> FoundEndpoints {
    let spec = service.spec.as_ref();
    let Some(labels) = spec.and_then(|spec| spec.selector.as_ref()).filter(|labels| !labels.is_empty())
    else {
        return FoundEndpoints {
            absent: "the Service has no selector".to_owned(),
            ..FoundEndpoints::default()
        };
    };
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let Some(wanted) = ports.iter().find(|known| known.port == port) else {
        let known: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
        let absent = format!("the Service has no port {port}, only {}", known.join(", "));
        return FoundEndpoints { absent, ..FoundEndpoints::default() };
    };
    let is_https = wanted.app_protocol.as_deref() == Some("https");
    pods.endpoints(&key.0, labels, &[target_port(wanted)], is_https)
}

fn target_port(port: &ServicePort) -> PortWanted<'_> {
    match &port.target_port {
        Some(IntOrString::Int(number)) => PortWanted::Number(*number),
        Some(IntOrString::String(name)) => PortWanted::Named(name),
        None => PortWanted::Number(port.port),
    }
}

/// A pod's endpoint; `None` as long as it has no address or does not have the port.
fn endpoint(pod: &Pod, port: &PortWanted<'_>, is_https: bool) -> Option<EndpointSpec> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    // A sidecar is an init container that stays.
    let containers: Vec<&Container> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
        .collect();
    let number = match port {
        PortWanted::Number(number) => *number,
        PortWanted::Named(name) => containers.iter().find_map(|container| {
            let ports = container.ports.as_deref().unwrap_or_default();
            ports.iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
        })?,
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let tls = if is_https || containers.iter().any(|container| is_probed_with_https(container, number)) {
        // The way is this machine's loopback, and the certificates are the services' own.
        Tls::Unverified
    } else {
        Tls::Off
    };
    Some(EndpointSpec {
        name: format!("{namespace}/{name}"),
        address: SocketAddr::new(ip, u16::try_from(number).ok()?),
        ready: is_ready(pod),
        tls,
        incarnation: incarnation(pod),
        labels: Arc::new(pod.metadata.labels.clone().unwrap_or_default()),
    })
}

/// Whether the pod's own probes speak TLS to this port: the one sign of it on a pod.
fn is_probed_with_https(container: &Container, number: i32) -> bool {
    let probes = [&container.readiness_probe, &container.liveness_probe, &container.startup_probe];
    probes.into_iter().flatten().filter_map(|probe| probe.http_get.as_ref()).any(|get| {
        let is_port = match &get.port {
            IntOrString::Int(port) => *port == number,
            IntOrString::String(name) => container
                .ports
                .iter()
                .flatten()
                .any(|port| port.name.as_deref() == Some(name) && port.container_port == number),
        };
        is_port && get.scheme.as_deref() == Some("HTTPS")
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// Changes with each start of a container of the pod.
fn incarnation(pod: &Pod) -> String {
    let statuses =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let restarts: i32 = statuses.iter().map(|status| status.restart_count).sum();
    format!("{}/{restarts}", pod.metadata.uid.as_deref().unwrap_or_default())
}

/// Why no pod is ready, in words for a client.
fn absent(pods: &[&Arc<Pod>], labels: &BTreeMap<String, String>) -> String {
    if pods.is_empty() {
        let selector: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        return format!("there is no pod with {}", selector.join(","));
    }
    let reasons: BTreeSet<String> = pods.iter().map(|pod| not_ready_reason(pod)).collect();
    let reasons: Vec<String> = reasons.into_iter().take(3).collect();
    format!("0 of {} pods are ready ({})", pods.len(), reasons.join("; "))
}

fn not_ready_reason(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        return format!("{name} is ending");
    }
    let Some(status) = &pod.status else { return format!("{name} has not been started") };
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in containers {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let Some(reason) = waiting.and_then(|waiting| waiting.reason.as_deref()) else { continue };
        if !matches!(reason, "ContainerCreating" | "PodInitializing") {
            return format!("{name}: {reason}");
        }
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    match unscheduled {
        Some(condition) => {
            let why =
                condition.message.as_deref().or(condition.reason.as_deref()).unwrap_or("no reason given");
            format!("{name} has no place: {why}")
        }
        None => format!("{name} is starting"),
    }
}
