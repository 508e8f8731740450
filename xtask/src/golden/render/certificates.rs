//! `certs.yaml`: what certificates say, from an order or from the certificate itself.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use plan::CertificateOrder;
use serde_json::{Value, json};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use crate::golden::document::normal_text;

const SECONDS_PER_DAY: i64 = 86_400;

/// What the certificate of an order would say.
pub(super) fn ordered(order: &CertificateOrder, now: Timestamp) -> Value {
    let addresses: BTreeSet<String> =
        order.ip_addresses.iter().map(|address| normal_text(&address.to_string())).collect();
    let (start, end) = CertificateOrder::validity(now);
    json!({
        "secret": order.key().name,
        "caEqualsCert": true,
        "commonName": "",
        "dnsNames": order.dns_names,
        "extKeyUsage": "[serverAuth]",
        "ipAddresses": addresses,
        "isCA": false,
        "keyUsage": 5,
        "organization": order.organization,
        "validDays": (end.as_second() - start.as_second()) / SECONDS_PER_DAY,
    })
}

/// What the certificate of a Secret says; `None` if the Secret is of another type.
pub(super) fn issued(secret: &Value) -> Result<Option<Value>> {
    if secret["type"] != "kubernetes.io/tls" {
        return Ok(None);
    }
    let name = secret["metadata"]["name"].as_str().unwrap_or_default();
    let data = |key: &str| secret["data"][key].as_str().unwrap_or_default();
    let unreadable = || anyhow!("{name}: tls.crt cannot be read");
    let (_, pem) = parse_x509_pem(&STANDARD.decode(data("tls.crt"))?).map_err(|_| unreadable())?;
    let certificate = pem.parse_x509().map_err(|_| unreadable())?;
    let mut dns = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for name in certificate.subject_alternative_name()?.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => drop(dns.insert((*name).to_owned())),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
                let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
                addresses.extend(v4.or(v6).ok().map(|address| normal_text(&address)));
            }
            _ => {}
        }
    }
    let subject = |mut parts: Vec<String>| parts.pop().unwrap_or_default();
    let text =
        |part: &x509_parser::x509::AttributeTypeAndValue<'_>| part.as_str().unwrap_or_default().to_owned();
    let usage = certificate.key_usage()?.map_or(0, |usage| usage.value.flags);
    let serves = certificate.extended_key_usage()?.is_some_and(|usage| usage.value.server_auth);
    let validity = certificate.validity();
    Ok(Some(json!({
        "secret": name,
        "caEqualsCert": data("ca.crt") == data("tls.crt"),
        "commonName": subject(certificate.subject().iter_common_name().map(text).collect()),
        "dnsNames": dns,
        "extKeyUsage": if serves { "[serverAuth]" } else { "[]" },
        "ipAddresses": addresses,
        "isCA": certificate.is_ca(),
        "keyUsage": usage,
        "organization": subject(certificate.subject().iter_organization().map(text).collect()),
        "validDays": (validity.not_after.timestamp() - validity.not_before.timestamp()) / SECONDS_PER_DAY,
    })))
}
