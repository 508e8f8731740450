//! Where clients reach a service: from routes, gateways and their addresses.

use std::net::IpAddr;

use api::v1alpha2::{Address, ModelName, ObjectReference};
use kinds::gateway::{API_VERSION, GROUP, HTTPRouteMatch, Listener};
use serde_json::Value;

use super::Sight;
use super::router::{Route, gateway_key};
use crate::storage::published_name;
use crate::subject::{CLUSTER_DOMAIN, Subject};

/// What stands for `*` in the host name of a listener.
const WILDCARD_HOST: &str = "inference";

/// An address that was found, in the order of preference.
pub(super) struct Found {
    scheme: &'static str,
    host: String,
    port: i32,
    path: String,
    gateway: ObjectReference,
}

/// Why a route leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("failed to get Gateway {0}: not found")]
    CreateGateway(String),
    #[error("failed to get GatewayClass {0}: not found")]
    CreateGatewayClass(String),
    #[error(
        "failed to select listeners for gateway {gateway}: listener {section} not found in gateway {gateway}"
    )]
    CorrectSectionName { gateway: String, section: String },
    #[error("failed to select listeners for gateway {0}: no HTTP-capable listener found in gateway {0}")]
    AddHttpListener(String),
}

impl Found {
    fn url(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.scheme == "https" { 443 } else { 80 };
        let port = if self.port == default { String::new() } else { format!(":{}", self.port) };
        format!("{}://{host}{port}{}", self.scheme, self.path)
    }

    fn is_in_cluster(&self) -> bool {
        self.host.ends_with(&format!(".{CLUSTER_DOMAIN}"))
    }

    fn is_internal(&self) -> bool {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return match address {
                IpAddr::V4(address) => address.is_private(),
                IpAddr::V6(address) => address.is_unique_local(),
            };
        }
        self.is_in_cluster()
            || self.host == "localhost"
            || [".local", ".localhost", ".internal"].iter().any(|suffix| self.host.ends_with(suffix))
    }

    fn routes_by_model(&self) -> bool {
        self.path.is_empty() || self.path == "/"
    }
}

/// Adds what one route leads to.
pub(super) fn discover(
    subject: &Subject,
    sight: Sight,
    route: &Route,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    let paths = paths(subject, route);
    for parent in &route.spec.parent_refs {
        let (namespace, name) = gateway_key(parent, subject.namespace);
        let full = format!("{namespace}/{name}");
        let gateway = sight
            .get(API_VERSION, "Gateway", Some(&namespace), &name)
            .ok_or_else(|| Error::CreateGateway(full.clone()))?;
        let class = gateway["spec"]["gatewayClassName"].as_str().unwrap_or_default();
        if sight.get(API_VERSION, "GatewayClass", None, class).is_none() {
            return Err(Error::CreateGatewayClass(class.to_owned()));
        }
        let listeners = listeners(subject, gateway, parent.section_name.as_deref(), &full)?;
        let origin = ObjectReference {
            group: GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            name: name.clone(),
            namespace: Some(namespace.clone()),
        };
        let mut add = |scheme, host: &str, port, path: &str| {
            let new =
                Found { scheme, host: host.to_owned(), port, path: path.to_owned(), gateway: origin.clone() };
            if found.iter().all(|old| old.gateway != new.gateway || old.url() != new.url()) {
                found.push(new);
            }
        };
        let addresses: Vec<&str> = gateway["status"]["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|address| address["value"].as_str())
            .collect();
        if !addresses.is_empty() {
            for listener in &listeners {
                for host in hosts(&route.spec.hostnames, listener, &addresses) {
                    for path in &paths {
                        add(scheme(listener), &host, listener.port, path);
                    }
                }
            }
        }
        if let Some((host, ports)) = backing_service(sight, &namespace, &name) {
            for listener in
                listeners.iter().filter(|listener| ports.is_empty() || ports.contains(&listener.port))
            {
                for path in &paths {
                    add(scheme(listener), &host, listener.port, path);
                }
            }
        }
    }
    Ok(())
}

fn scheme(listener: &Listener) -> &'static str {
    if listener.protocol == "HTTP" { "http" } else { "https" }
}

/// The listeners that a route can use, the one with the wanted scheme first, then the safer.
fn listeners(
    subject: &Subject,
    gateway: &Value,
    section: Option<&str>,
    full: &str,
) -> Result<Vec<Listener>, Error> {
    let all: Vec<Listener> = gateway["spec"]["listeners"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|listener| serde_json::from_value(listener.clone()).ok())
        .collect();
    let speaks_http = |listener: &Listener| matches!(listener.protocol.as_str(), "HTTP" | "HTTPS" | "TLS");
    if let Some(section) = section.filter(|section| !section.is_empty()) {
        let listener = all.into_iter().find(|listener| listener.name == section);
        let listener = listener.ok_or_else(|| Error::CorrectSectionName {
            gateway: full.to_owned(),
            section: section.to_owned(),
        })?;
        return Ok(if speaks_http(&listener) { vec![listener] } else { Vec::new() });
    }
    let mut usable: Vec<Listener> = all.into_iter().filter(speaks_http).collect();
    if usable.is_empty() {
        return Err(Error::AddHttpListener(full.to_owned()));
    }
    let wanted = subject.facts.settings.ingress.url_scheme.as_str();
    usable.sort_by_key(|listener| {
        let scheme = scheme(listener);
        (scheme != wanted, scheme != "https")
    });
    Ok(usable)
}

fn hosts(route: &[String], listener: &Listener, addresses: &[&str]) -> Vec<String> {
    let named: Vec<String> =
        route.iter().filter(|host| !host.is_empty() && host.as_str() != "*").cloned().collect();
    if !named.is_empty() {
        return named;
    }
    if let Some(host) = listener.hostname.as_deref().filter(|host| !host.is_empty() && *host != "*") {
        return vec![match host.strip_prefix("*.") {
            Some(rest) => format!("{WILDCARD_HOST}.{rest}"),
            None => host.to_owned(),
        }];
    }
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

/// Host and ports of the Service in front of a gateway.
fn backing_service(sight: Sight, namespace: &str, gateway: &str) -> Option<(String, Vec<i32>)> {
    let services = sight.of_kind_in("v1", "Service", namespace);
    let named = |service: &&&Value| {
        service["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"] == gateway
    };
    let service = services
        .iter()
        .find(named)
        .or_else(|| services.iter().find(|service| service["metadata"]["name"] == gateway))?;
    let name = service["metadata"]["name"].as_str()?;
    let ports = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|port| i32::try_from(port["port"].as_i64()?).ok())
        .collect();
    Some((format!("{name}.{namespace}.svc.{CLUSTER_DOMAIN}"), ports))
}

/// A path of each kind: by service, by publisher, by model header.
fn paths(subject: &Subject, route: &Route) -> Vec<String> {
    let header = subject.facts.settings.ingress.model_routing_header.as_str();
    let mut buckets: [Vec<(bool, String)>; 3] = Default::default();
    for rule in &route.spec.rules {
        let to_service =
            rule.backend_refs.iter().any(|backend| backend.kind.as_deref().unwrap_or("Service") == "Service");
        for matched in &rule.matches {
            let path =
                matched.path.as_ref().and_then(|path| path.value.clone()).unwrap_or_else(|| "/".to_owned());
            let bucket = match bucket(matched, header, &path) {
                Some(bucket) => bucket,
                None => continue,
            };
            buckets[bucket].push((!to_service, path));
        }
    }
    let depth = |path: &str| path.matches('/').count();
    let mut paths: Vec<String> = buckets
        .into_iter()
        .filter_map(|bucket| {
            bucket
                .into_iter()
                .min_by_key(|(to_pool, path)| (*to_pool, depth(path), path.len()))
                .map(|(_, path)| path)
        })
        .collect();
    if paths.is_empty() {
        paths.push("/".to_owned());
    }
    paths.sort_by_key(|path| (depth(path), path.len()));
    paths.dedup();
    paths
}

fn bucket(matched: &HTTPRouteMatch, header: &str, path: &str) -> Option<usize> {
    if matched.headers.is_empty() {
        return Some(usize::from(path.starts_with("/publishers/")));
    }
    let by_model = !header.is_empty()
        && matched.headers.iter().any(|condition| condition.name.eq_ignore_ascii_case(header));
    by_model.then_some(2)
}

/// The URL to hand out: an external one with the service's own path, if there is one. KServe looks through them by URL.
pub(super) fn preferred(subject: &Subject, found: &[Found]) -> Option<String> {
    let prefix = format!("/{}/{}", subject.namespace, subject.name);
    let mut found: Vec<&Found> = found.iter().collect();
    found.sort_by_key(|found| found.url());
    let external = || found.iter().filter(|found| !found.is_internal());
    let own = |found: &&&Found| found.path.starts_with(&prefix);
    let wanted = subject.facts.settings.ingress.url_scheme.as_str();
    external()
        .find(own)
        .or_else(|| external().next())
        .or_else(|| found.iter().find(|found| found.path.starts_with(&prefix) && found.scheme == wanted))
        .or_else(|| found.iter().find(own))
        .or_else(|| found.first())
        .map(|found| found.url())
}

/// `status.addresses`, by URL.
pub(super) fn addresses(subject: &Subject, found: &[Found]) -> Vec<Address> {
    let mut addresses: Vec<Address> = found
        .iter()
        .map(|found| {
            let place = if found.is_in_cluster() {
                "gateway-internal"
            } else if found.is_internal() {
                "internal"
            } else {
                "gateway-external"
            };
            let by_model = found.routes_by_model();
            Address {
                name: Some(if by_model { format!("{place}-model-routing") } else { place.to_owned() }),
                url: Some(found.url()),
                origin: Some(found.gateway.clone()),
                models: models(subject, by_model),
                ..Address::default()
            }
        })
        .collect();
    addresses.sort_by(|a, b| a.url.cmp(&b.url));
    addresses
}

fn models(subject: &Subject, by_model: bool) -> Vec<ModelName> {
    std::iter::once(subject.model_name().to_owned())
        .chain(
            subject
                .spec
                .model
                .lora
                .iter()
                .flat_map(|lora| &lora.adapters)
                .filter_map(|adapter| adapter.name.clone()),
        )
        .flat_map(|name| {
            let published = published_name(subject.namespace, &name);
            if by_model { vec![published] } else { vec![published, name] }
        })
        .map(|name| ModelName { name })
        .collect()
}

/// The address of a service without a route.
pub(super) fn internal_address(subject: &Subject) -> Address {
    let scheme = if subject.tls() { "https" } else { "http" };
    let service = api::names::workload_service(subject.name);
    Address {
        url: Some(format!("{scheme}://{service}.{}.svc.{CLUSTER_DOMAIN}", subject.namespace)),
        ..Address::default()
    }
}
