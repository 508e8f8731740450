//! Issues the certificates that a plan orders. What to issue and when is the plan's decision; the randomness is here.

use jiff::Timestamp;
use kinds::Objects;
use plan::{CertificateOrder, Issued, Verdict};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::Value;

/// The Secrets of all orders: as they are where their data will do, newly issued where not.
///
/// # Errors
/// In words, if a name cannot stand in a certificate. Then nothing of the plan may be applied, for pods would wait for
/// the Secret for ever.
pub(crate) fn issue(
    orders: &[CertificateOrder],
    live: &Objects,
    now: Timestamp,
) -> Result<Vec<Value>, String> {
    orders
        .iter()
        .map(|order| {
            let existing = live.get_key(&order.key());
            match (order.verdict(existing.map(AsRef::as_ref), now), existing) {
                (Verdict::Keep, Some(existing)) => Ok(order.keeping(existing)),
                (Verdict::Keep | Verdict::Issue(_), _) => self_signed(order, now)
                    .map(|issued| order.with(&issued, now))
                    .map_err(|error| error.to_string()),
            }
        })
        .collect()
}

/// ECDSA on P-256: a key costs microseconds where KServe's RSA-4096 costs the better part of a second.
fn self_signed(order: &CertificateOrder, now: Timestamp) -> Result<Issued, rcgen::Error> {
    let mut params = CertificateParams::default();
    for name in &order.dns_names {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(order.ip_addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, order.organization.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (from, until) = CertificateOrder::validity(now);
    let ((y, m, d), (to_y, to_m, to_d)) = (day(from), day(until));
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(to_y, to_m, to_d);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let certificate_pem = certificate.pem();
    Ok(Issued { key_pem: key.serialize_pem(), ca_pem: certificate_pem.clone(), certificate_pem })
}

/// Year, month and day. Certificates carry whole days here, from the midnight before, so that a clock that lags accepts
/// a new one at once.
fn day(time: Timestamp) -> (i32, u8, u8) {
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(name: &str) -> CertificateOrder {
        CertificateOrder {
            secret: json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                           "metadata": {"name": "s", "namespace": "a"}}),
            dns_names: vec![name.to_owned()],
            ip_addresses: vec!["127.0.0.1".parse().unwrap()],
            organization: "o".to_owned(),
            expiration_annotations: vec!["certificates.kserve.io/expiration".to_owned()],
        }
    }

    #[test]
    fn an_issued_certificate_satisfies_the_order_until_a_name_is_new() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let secret = issue(&[order("x.a.svc")], &Objects::new(), now).unwrap().remove(0);
        assert_eq!(order("x.a.svc").verdict(Some(&secret), now), Verdict::Keep);
        assert!(matches!(order("y.a.svc").verdict(Some(&secret), now), Verdict::Issue(_)));
        let live = Objects::from_documents([secret.clone()]).unwrap();
        assert_eq!(
            issue(&[order("x.a.svc")], &live, now).unwrap()[0]["data"],
            secret["data"],
            "the key is kept"
        );
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_refused_in_words() {
        assert!(issue(&[order("ü.a.svc")], &Objects::new(), Timestamp::UNIX_EPOCH).is_err());
    }
}
