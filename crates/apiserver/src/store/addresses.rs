//! The addresses and node ports that Services hold, counted with every write, so that a new Service need not look
//! at all others.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use serde_json::Value;

/// Where Services are kept.
pub(super) const SERVICES: &str = "/services";

/// What is taken, and by how many Services.
#[derive(Default)]
pub(crate) struct Addresses {
    cluster_ips: HashMap<Ipv4Addr, u32>,
    node_ports: HashMap<u64, u32>,
}

impl Addresses {
    pub(crate) fn has_address(&self, address: Ipv4Addr) -> bool {
        self.cluster_ips.contains_key(&address)
    }

    pub(crate) fn has_node_port(&self, port: u64) -> bool {
        self.node_ports.contains_key(&port)
    }

    pub(super) fn changed(&mut self, old: Option<&Value>, new: Option<&Value>) {
        for service in new.into_iter() {
            if let Some(address) = cluster_ip(service) {
                *self.cluster_ips.entry(address).or_default() += 1;
            }
            for port in node_ports(service) {
                *self.node_ports.entry(port).or_default() += 1;
            }
        }
        for service in old.into_iter() {
            if let Some(address) = cluster_ip(service) {
                release(&mut self.cluster_ips, &address);
            }
            for port in node_ports(service) {
                release(&mut self.node_ports, &port);
            }
        }
    }
}

fn release<K: std::hash::Hash + Eq>(held: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = held.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            held.remove(key);
        }
    }
}

fn cluster_ip(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

fn node_ports(service: &Value) -> impl Iterator<Item = u64> {
    service["spec"]["ports"].as_array().into_iter().flatten().filter_map(|port| port["nodePort"].as_u64())
}
