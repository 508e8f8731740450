//! The certificate that engines, picker and tokenizer serve with: what it must say, and when it is issued anew.
//!
//! An order is pure: names and addresses that are known now, the Secret as found, and the time. The key is made by whoever
//! carries the order out. KServe makes a new key whenever a pod has no address yet; here an address that is not one is
//! not asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Span, Timestamp};
use kinds::ObjectKey;
use serde_json::{Value, json};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) mod order;

/// Reason of a certificate that is due.
const RENEW: &str = "it is time to renew it";
const HOURS_PER_YEAR: i64 = 365 * 24;
/// A certificate is valid for ten years, and two more as a reserve.
const VALID_HOURS: i64 = 12 * HOURS_PER_YEAR;
/// After eight years it is replaced.
const RENEW_AFTER_HOURS: i64 = 8 * HOURS_PER_YEAR;

/// A certificate Secret to have.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateOrder {
    /// The Secret without its data: apiVersion, kind, metadata with owner and labels, type.
    pub secret: Value,
    /// DNS names that the certificate must cover, sorted.
    pub dns_names: Vec<String>,
    /// IP addresses that it must cover, sorted as text.
    pub ip_addresses: Vec<IpAddr>,
    /// Organization of its subject; there is no common name.
    pub organization: String,
    /// Annotations of the Secret that say when to renew. The first is written, all are read, and the first found counts.
    pub expiration_annotations: Vec<String>,
}

/// What to do about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The Secret's data are good; its labels and owner may still have to be applied.
    Keep,
    /// A new key and certificate are needed, for this reason.
    Issue(&'static str),
}

/// What issuing gives, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The private key, PKCS#8.
    pub key_pem: String,
    /// The certificate.
    pub certificate_pem: String,
    /// What clients trust; the certificate itself if it is self-signed.
    pub ca_pem: String,
}

impl CertificateOrder {
    /// Key of the Secret.
    pub fn key(&self) -> ObjectKey {
        let word = |pointer| self.secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        ObjectKey::new("v1", "Secret", Some(word("/metadata/namespace")), word("/metadata/name"))
    }

    /// Start and end of validity of a certificate issued at `now`.
    pub fn validity(now: Timestamp) -> (Timestamp, Timestamp) {
        (now, later(now, VALID_HOURS))
    }

    /// Whether the Secret as found will do. `existing` is `None` if there is none.
    pub fn verdict(&self, existing: Option<&Value>, now: Timestamp) -> Verdict {
        let Some(existing) = existing else { return Verdict::Issue("there is no Secret") };
        let annotations = &existing["metadata"]["annotations"];
        let expires = self.expiration_annotations.iter().find_map(|name| annotations.get(name)?.as_str());
        // A date that cannot be read counts as one that has not come.
        if expires.and_then(|text| text.parse::<Timestamp>().ok()).is_some_and(|expires| expires < now) {
            return Verdict::Issue(RENEW);
        }
        if pem(existing, "tls.key").is_none_or(|text| !text.contains("PRIVATE KEY-----")) {
            return Verdict::Issue("tls.key is not a key");
        }
        let Some(certificate) = pem(existing, "tls.crt") else { return Verdict::Issue("tls.crt is missing") };
        let Some(der) = first_pem_block(&certificate) else { return Verdict::Issue("tls.crt is not PEM") };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
            return Verdict::Issue("tls.crt is not a certificate");
        };
        let mut dns = BTreeSet::new();
        let mut ips = BTreeSet::new();
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => drop(dns.insert((*name).to_owned())),
                    GeneralName::IPAddress(bytes) => ips.extend(ip_of(bytes)),
                    _ => {}
                }
            }
        }
        if self.dns_names.iter().any(|name| !dns.contains(name)) {
            return Verdict::Issue("it does not cover a name");
        }
        if self.ip_addresses.iter().any(|address| !ips.contains(address)) {
            return Verdict::Issue("it does not cover an address");
        }
        if certificate.validity().not_after.timestamp() < now.as_second() {
            return Verdict::Issue("it has expired");
        }
        Verdict::Keep
    }

    /// [`CertificateOrder::verdict`] of a Secret in a dump, whose data may have been taken out: what cannot be read is not
    /// held against it.
    pub(crate) fn verdict_of_dump(&self, existing: Option<&Value>, now: Timestamp) -> Verdict {
        match self.verdict(existing, now) {
            Verdict::Issue(reason) if reason != RENEW && existing.is_some_and(is_redacted) => Verdict::Keep,
            verdict => verdict,
        }
    }

    /// The whole Secret with what was issued at `now`.
    pub fn with(&self, issued: &Issued, now: Timestamp) -> Value {
        let mut secret = self.secret.clone();
        let encode = |text: &str| json!(STANDARD.encode(text));
        secret["data"] = json!({
            "ca.crt": encode(&issued.ca_pem),
            "tls.crt": encode(&issued.certificate_pem),
            "tls.key": encode(&issued.key_pem),
        });
        if let Some(annotation) = self.expiration_annotations.first() {
            secret["metadata"]["annotations"] =
                json!({annotation: whole_seconds(later(now, RENEW_AFTER_HOURS))});
        }
        secret
    }

    /// The whole Secret with the data and expiry that `existing` has.
    pub fn keeping(&self, existing: &Value) -> Value {
        let mut secret = self.secret.clone();
        secret["data"] = existing["data"].clone();
        let kept = self
            .expiration_annotations
            .iter()
            .find_map(|name| Some((name.clone(), existing["metadata"]["annotations"].get(name)?.clone())));
        if let Some((name, value)) = kept {
            secret["metadata"]["annotations"] = json!({name: value});
        }
        secret
    }
}

fn later(now: Timestamp, hours: i64) -> Timestamp {
    now.checked_add(Span::new().hours(hours)).unwrap_or(Timestamp::MAX)
}

fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn pem(secret: &Value, key: &str) -> Option<String> {
    if let Some(text) = secret["stringData"].get(key).and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let bytes = STANDARD.decode(secret["data"].get(key)?.as_str()?).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Whether the key or the certificate is no data that a server would store.
fn is_redacted(secret: &Value) -> bool {
    ["tls.key", "tls.crt"].iter().any(|key| {
        let text = secret["data"][key].as_str().unwrap_or_default();
        text.is_empty() || STANDARD.decode(text).is_err()
    })
}

fn first_pem_block(text: &str) -> Option<Vec<u8>> {
    let body = text.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(body).ok()
}
