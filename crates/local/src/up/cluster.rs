//! The objects that make an empty API server a place where services run. Pure.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// The namespace of the installation: settings, presets, the gateway.
pub const SYSTEM_NAMESPACE: &str = "kserve";
/// Name of the gateway, the one that KServe's settings name by default.
pub const GATEWAY: &str = "kserve-ingress-gateway";
/// The class of the gateway in this process, and who answers for it.
pub const GATEWAY_CLASS: &str = "llmisvc";
/// `spec.controllerName` of the class.
pub const GATEWAY_CONTROLLER: &str = "llmisvc.serving.kserve.io/local-gateway";

/// CRDs: ours with every field spelled out, and those of the foreign kinds that services are made of.
pub fn definitions() -> Vec<Value> {
    // The API server asks its conversion hook where a cluster's would call this webhook.
    let conversion = json!({
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": SYSTEM_NAMESPACE, "name": "llmisvc-webhook", "path": "/convert"}},
        },
    });
    let mut definitions = api::crd::crds(api::crd::Edition::Full, Some(&conversion));
    definitions.extend(kinds::crds());
    definitions
}

/// Namespaces, gateway and settings, for a gateway that listens at `listen`.
pub fn objects(listen: SocketAddr) -> Vec<Value> {
    let gateway = "gateway.networking.k8s.io/v1";
    vec![
        namespace("default"),
        namespace(SYSTEM_NAMESPACE),
        json!({
            "apiVersion": gateway, "kind": "GatewayClass", "metadata": {"name": GATEWAY_CLASS},
            "spec": {"controllerName": GATEWAY_CONTROLLER},
        }),
        json!({
            "apiVersion": gateway, "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": SYSTEM_NAMESPACE},
            "spec": {
                "gatewayClassName": GATEWAY_CLASS,
                "addresses": [{"type": "IPAddress", "value": reachable(listen).ip().to_string()}],
                "listeners": [{
                    "name": "http", "port": listen.port(), "protocol": "HTTP",
                    "allowedRoutes": {"namespaces": {"from": "All"}},
                }],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": SYSTEM_NAMESPACE},
            "data": {
                // Engines listen on loopback addresses of this machine, so their traffic needs no TLS.
                "ingress": json!({
                    "kserveIngressGateway": format!("{SYSTEM_NAMESPACE}/{GATEWAY}"),
                    "ingressGateway": format!("{SYSTEM_NAMESPACE}/{GATEWAY}"),
                    "urlScheme": "http",
                    "enableLLMInferenceServiceTLS": false,
                }).to_string(),
                // Pods are processes here, so they see the folders that `file://` names.
            },
        }),
    ]
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The address that a client on this machine uses: a listener on all addresses is reached through loopback.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback = match listen {
        SocketAddr::V4(_) => std::net::IpAddr::from([127, 0, 0, 1]),
        SocketAddr::V6(_) => std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
    };
    if listen.ip().is_unspecified() { SocketAddr::new(loopback, listen.port()) } else { listen }
}
