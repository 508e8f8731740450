//! When a certificate is issued, and what for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Span, Timestamp};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::{facts, plan, routed, service};
use crate::{CertificateOrder, Issued, Verdict};

fn now() -> Timestamp {
    "2026-06-01T12:00:00.25Z".parse().unwrap()
}

fn order(objects: &[Value]) -> CertificateOrder {
    plan(&facts(service("demo", json!({"router": routed()})), objects)).certificates.remove(0)
}

fn issued(order: &CertificateOrder, last_year: i32) -> Issued {
    let mut names = order.dns_names.clone();
    names.extend(order.ip_addresses.iter().map(ToString::to_string));
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    Issued { key_pem: key.serialize_pem(), certificate_pem: certificate.clone(), ca_pem: certificate }
}

fn pod(ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "demo-kserve-1", "namespace": "team",
            "labels": {"app.kubernetes.io/name": "demo", "app.kubernetes.io/part-of": "llminferenceservice"},
        },
        "status": {"podIP": ip, "podIPs": [{"ip": ip}]},
    })
}

#[test]
fn it_covers_the_services_and_the_addresses_that_are_known() {
    let order = order(&[pod("10.1.2.3")]);
    assert_eq!(
        order.dns_names,
        [
            "demo-epp-service.team.svc",
            "demo-epp-service.team.svc.cluster.local",
            "demo-kserve-workload-svc.team.svc",
            "demo-kserve-workload-svc.team.svc.cluster.local",
            "localhost",
        ]
    );
    let addresses: Vec<String> = order.ip_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.1.2.3", "127.0.0.1"]);
}

#[test]
fn a_pod_without_an_address_and_a_headless_service_ask_for_nothing() {
    let headless = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "h", "namespace": "team",
            "labels": {"app.kubernetes.io/name": "demo", "app.kubernetes.io/part-of": "llminferenceservice"},
        },
        "spec": {"clusterIP": "None", "clusterIPs": ["None"]},
    });
    assert_eq!(order(&[pod(""), headless]).ip_addresses.len(), 1);
}

#[test]
fn it_is_kept_as_long_as_it_will_do() {
    let order = order(&[]);
    assert_eq!(order.verdict(None, now()), Verdict::Issue("there is no Secret"));
    let secret = order.with(&issued(&order, 2040), now());
    assert_eq!(order.verdict(Some(&secret), now()), Verdict::Keep);
    assert_eq!(
        secret["metadata"]["annotations"]["certificates.kserve.io/expiration"],
        "2034-05-30T12:00:00Z"
    );
    assert_eq!(order.keeping(&secret), secret);
    let much_later = now().checked_add(Span::new().hours(9 * 365 * 24)).unwrap();
    assert_eq!(order.verdict(Some(&secret), much_later), Verdict::Issue("it is time to renew it"));
}

#[test]
fn it_is_issued_again_for_a_new_address_or_what_is_broken() {
    let before = order(&[]);
    let secret = before.with(&issued(&before, 2040), now());
    let after = order(&[pod("10.9.9.9")]);
    assert_eq!(after.verdict(Some(&secret), now()), Verdict::Issue("it does not cover an address"));
    let broken = |key: &str, text: &str| {
        let mut secret = secret.clone();
        secret["data"][key] = json!(STANDARD.encode(text));
        before.verdict(Some(&secret), now())
    };
    assert_eq!(broken("tls.key", "no key"), Verdict::Issue("tls.key is not a key"));
    assert_eq!(broken("tls.crt", "no certificate"), Verdict::Issue("tls.crt is not PEM"));
    let mut unreadable_date = secret.clone();
    unreadable_date["metadata"]["annotations"] = json!({"certificates.kserve.io/expiration": "soon"});
    assert_eq!(before.verdict(Some(&unreadable_date), now()), Verdict::Keep);
    let expired = before.with(&issued(&before, 2025), now());
    assert_eq!(before.verdict(Some(&expired), now()), Verdict::Issue("it has expired"));
}
