//! Which certificate a service needs: the names of its Services and the addresses that are known.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::keys;
use serde_json::{Value, json};

use super::CertificateOrder;
use crate::router::picker;
use crate::subject::{CLUSTER_DOMAIN, Subject, name_label};

/// The order of a service that is not stopped.
pub(crate) fn order(subject: &Subject) -> CertificateOrder {
    let labels = subject.component_labels("llminferenceservice-workload");
    let name = api::names::certificate_secret(subject.name);
    let mut dns: BTreeSet<String> = BTreeSet::from(["localhost".to_owned()]);
    let mut services = vec![api::names::workload_service(subject.name)];
    services.extend(picker::service_to_trust(subject));
    for service in services {
        dns.insert(format!("{service}.{}.svc", subject.namespace));
        dns.insert(format!("{service}.{}.svc.{CLUSTER_DOMAIN}", subject.namespace));
    }
    if crate::router::tokenizer::is_wanted(subject) {
        let service = subject.child("-tokenizer");
        dns.insert(format!("{service}.{}.svc", subject.namespace));
        dns.insert(format!("{service}.{}.svc.{CLUSTER_DOMAIN}", subject.namespace));
    }
    CertificateOrder {
        secret: subject.object("v1", "Secret", &name, labels, json!({"type": "kubernetes.io/tls"})),
        dns_names: dns.into_iter().collect(),
        ip_addresses: addresses(subject),
        organization: "Kserve Self Signed".to_owned(),
        expiration_annotations: subject.facts.settings.expiration_annotations.read().to_vec(),
    }
}

/// Loopback, the pods' addresses and those of the Services in front of them, as far as they are known.
fn addresses(subject: &Subject) -> Vec<IpAddr> {
    let mut found: BTreeSet<String> = BTreeSet::from(["127.0.0.1".to_owned()]);
    let name = name_label(subject.name);
    let is_ours = |object: &Value| {
        let labels = &object["metadata"]["labels"];
        labels[keys::APP_NAME] == name.as_str()
            && labels[keys::APP_PART_OF] == keys::PART_OF
            && labels[keys::APP_COMPONENT] != "llminferenceservice-router-scheduler"
    };
    let mut add = |value: &Value| {
        if let Some(address) = value.as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
            found.insert(address.to_string());
        }
    };
    for (_, pod) in subject.facts.objects.of_kind_in("v1", "Pod", subject.namespace) {
        if is_ours(pod) {
            add(&pod["status"]["podIP"]);
            pod["status"]["podIPs"].as_array().into_iter().flatten().for_each(|address| add(&address["ip"]));
        }
    }
    for (_, service) in subject.facts.objects.of_kind_in("v1", "Service", subject.namespace) {
        if is_ours(service) {
            add(&service["spec"]["clusterIP"]);
            service["spec"]["clusterIPs"].as_array().into_iter().flatten().for_each(&mut add);
        }
    }
    found.iter().filter_map(|text| text.parse().ok()).collect()
}
