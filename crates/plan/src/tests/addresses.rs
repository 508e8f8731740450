//! Where clients reach a service, by what its gateways say.

use compose::Facts;
use kinds::Objects;
use serde_json::{Value, json};

use super::{carried_out, facts, plan, service};
use crate::{Judged, Seen, judge};

fn gateway(listeners: Value, addresses: &[&str]) -> Value {
    let addresses: Vec<Value> = addresses.iter().map(|value| json!({"value": value})).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "team"},
        "spec": {"gatewayClassName": "class", "listeners": listeners},
        "status": {"addresses": addresses},
    })
}

fn listener(name: &str, protocol: &str, port: i32, hostname: Option<&str>) -> Value {
    let mut listener = json!({"name": name, "protocol": protocol, "port": port});
    if let Some(hostname) = hostname {
        listener["hostname"] = json!(hostname);
    }
    listener
}

fn judged(reference: Value, objects: &[Value], scheme: &str) -> Judged {
    let spec = json!({"router": {"route": {}, "gateway": {"refs": [reference]}}});
    let mut facts: Facts = facts(service("demo", spec), objects);
    facts.settings.ingress.url_scheme = scheme.to_owned();
    let plan = plan(&facts);
    let seen = Seen { objects: carried_out(&facts, &plan).objects, ..Seen::default() };
    judge(&facts, Ok(&compose::compose(&facts).unwrap()), &plan, &seen, None, jiff::Timestamp::UNIX_EPOCH)
}

fn url(listeners: Value, addresses: &[&str]) -> Option<String> {
    judged(json!({"name": "edge"}), &[gateway(listeners, addresses)], "http").status.url
}

#[test]
fn hosts_and_ports_are_written_as_browsers_write_them() {
    for (listener, address, wanted) in [
        (listener("a", "HTTP", 80, None), "203.0.113.7", "http://203.0.113.7/team/demo"),
        (listener("a", "HTTP", 8080, None), "203.0.113.7", "http://203.0.113.7:8080/team/demo"),
        (listener("a", "HTTPS", 443, None), "203.0.113.7", "https://203.0.113.7/team/demo"),
        (listener("a", "TLS", 8443, None), "203.0.113.7", "https://203.0.113.7:8443/team/demo"),
        (listener("a", "HTTP", 80, None), "2001:db8::1", "http://[2001:db8::1]/team/demo"),
        (
            listener("a", "HTTP", 80, Some("models.example.com")),
            "203.0.113.7",
            "http://models.example.com/team/demo",
        ),
        (
            listener("a", "HTTP", 80, Some("*.example.com")),
            "203.0.113.7",
            "http://inference.example.com/team/demo",
        ),
        (listener("a", "HTTP", 80, Some("*")), "203.0.113.7", "http://203.0.113.7/team/demo"),
    ] {
        assert_eq!(url(json!([listener]), &[address]).as_deref(), Some(wanted));
    }
}

#[test]
fn the_scheme_of_the_installation_comes_first_and_an_address_from_outside_before_one_from_inside() {
    let both = json!([listener("plain", "HTTP", 80, None), listener("secure", "HTTPS", 443, None)]);
    let with = |scheme: &str| {
        judged(json!({"name": "edge"}), &[gateway(both.clone(), &["203.0.113.7"])], scheme).status.addresses
    };
    assert_eq!(with("http").len(), with("https").len());
    assert_eq!(
        url(both.clone(), &["10.0.0.1", "203.0.113.7"]).as_deref(),
        Some("http://203.0.113.7/team/demo"),
        "a private address is reached from inside alone"
    );
    assert_eq!(url(both, &[]), None, "a gateway without an address is nowhere");
}

#[test]
fn a_reference_to_one_listener_has_its_addresses_alone() {
    let listeners = json!([
        listener("plain", "HTTP", 80, Some("a.com")),
        listener("secure", "HTTPS", 443, Some("b.com"))
    ]);
    let at = |section: &str| {
        judged(
            json!({"name": "edge", "sectionName": section}),
            &[gateway(listeners.clone(), &["203.0.113.7"])],
            "http",
        )
    };
    assert_eq!(at("secure").status.url.as_deref(), Some("https://b.com/team/demo"));
    let urls: Vec<String> =
        at("plain").status.addresses.into_iter().filter_map(|address| address.url).collect();
    assert!(urls.iter().all(|url| url.starts_with("http://a.com")), "{urls:?}");
}

fn told(judged: &Judged) -> (String, String) {
    let routes =
        judged.status.conditions.iter().find(|condition| condition.type_ == "HTTPRoutesReady").unwrap();
    (routes.reason.clone().unwrap_or_default(), routes.message.clone().unwrap_or_default())
}

#[test]
fn a_listener_that_is_not_there_and_a_gateway_without_http_are_named() {
    let plain = json!([listener("plain", "HTTP", 80, None)]);
    let wrong =
        judged(json!({"name": "edge", "sectionName": "gone"}), &[gateway(plain, &["203.0.113.7"])], "http");
    let (reason, message) = told(&wrong);
    assert_eq!(reason, "HTTPRouteReconcileError");
    assert!(message.contains("listener gone not found in gateway team/edge"), "{message}");
    let tcp = json!([listener("tcp", "TCP", 5432, None)]);
    let (_, message) = told(&judged(json!({"name": "edge"}), &[gateway(tcp, &["203.0.113.7"])], "http"));
    assert!(message.contains("no HTTP-capable listener found in gateway team/edge"), "{message}");
}

#[test]
fn the_service_behind_a_gateway_is_reached_from_inside_on_the_ports_it_has() {
    let behind = |ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "lb", "namespace": "team", "labels": {"gateway.networking.k8s.io/gateway-name": "edge"}},
            "spec": {"ports": ports},
        })
    };
    let listeners = json!([listener("plain", "HTTP", 80, None), listener("other", "HTTP", 8080, None)]);
    let inside = |ports: Value, addresses: &[&str]| -> Vec<(String, String)> {
        let objects = [gateway(listeners.clone(), addresses), behind(ports)];
        judged(json!({"name": "edge"}), &objects, "http")
            .status
            .addresses
            .into_iter()
            .filter_map(|address| Some((address.name?, address.url?)))
            .filter(|(_, url)| url.ends_with("/team/demo"))
            .collect()
    };
    let address = |port: &str| {
        ("gateway-internal".to_owned(), format!("http://lb.team.svc.cluster.local{port}/team/demo"))
    };
    assert_eq!(inside(json!([{"port": 80}]), &[]), [address("")]);
    assert_eq!(inside(json!([{"port": 8080}]), &[]), [address(":8080")]);
    assert_eq!(inside(json!([]), &[]).len(), 2, "no ports: all of them");
    let twice = inside(json!([{"port": 80}]), &["lb.team.svc.cluster.local"]);
    let urls: std::collections::BTreeSet<&String> = twice.iter().map(|(_, url)| url).collect();
    assert_eq!(urls.len(), twice.len(), "{twice:?}");
}

#[test]
fn addresses_name_the_models_that_they_serve() {
    let spec = json!({
        "model": {"uri": "hf://org/tiny", "name": "org/tiny", "lora": {"adapters": [{"name": "a", "uri": "hf://org/a"}]}},
        "router": {"route": {}, "gateway": {}},
    });
    let facts = facts(service("demo", spec), &[]);
    let plan = plan(&facts);
    let seen = Seen { objects: carried_out(&facts, &plan).objects, ..Seen::default() };
    let merged = compose::compose(&facts).unwrap();
    let judged = judge(&facts, Ok(&merged), &plan, &seen, None, jiff::Timestamp::UNIX_EPOCH);
    for address in &judged.status.addresses {
        let names: Vec<&str> = address.models.iter().map(|model| model.name.as_str()).collect();
        let by_model = address.name.as_deref().unwrap().ends_with("-model-routing");
        for (name, wanted) in [
            ("publishers/team/models/org/tiny", true),
            ("publishers/team/models/a", true),
            ("org/tiny", !by_model),
            ("a", !by_model),
        ] {
            assert_eq!(names.contains(&name), wanted, "{name} at {:?}", address.url);
        }
    }
    let gateways = &judged.status.router.as_ref().unwrap().gateways;
    assert_eq!(gateways.len(), 1);
    assert_eq!(gateways[0].http_routes[0].name, "demo-kserve-route");
    assert!(judged.status.address.is_none(), "the single address is of older versions");
}

#[test]
fn a_gateway_that_is_gone_is_told() {
    let facts = facts(service("demo", json!({"router": {"route": {}, "gateway": {}}})), &[]);
    let plan = plan(&facts);
    let mut after = Objects::new();
    for (key, object) in carried_out(&facts, &plan).objects {
        if key.kind != "GatewayClass" {
            after.insert(object).unwrap();
        }
    }
    let mut without = facts.clone();
    without.objects = after.clone();
    let seen = Seen { objects: after, ..Seen::default() };
    let merged = compose::compose(&facts).unwrap();
    let judged = judge(&without, Ok(&merged), &plan, &seen, None, jiff::Timestamp::UNIX_EPOCH);
    assert!(told(&judged).1.contains("failed to get GatewayClass class: not found"), "{:?}", told(&judged));
}
