//! Cluster IPs and node ports of Services.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::core::Core;

/// The first address of the range that Services get addresses from, 10.96.0.0/12.
const FIRST: u32 = 0x0a60_0000;
const HOSTS: u64 = (1 << 20) - 2;
const NODE_PORTS: std::ops::Range<u64> = 30_000..32_768;

/// An update that leaves the addresses out keeps them.
pub(super) fn inherit(value: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    if value["spec"]["type"] == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
        let was = &old["spec"][field];
        if !was.is_null()
            && value["spec"][field].as_str().is_none_or(str::is_empty)
            && !value["spec"][field].is_array()
        {
            value["spec"][field] = was.clone();
        }
    }
    // A changed address is changed in the list too.
    let single = value["spec"]["clusterIP"].clone();
    if single != old["spec"]["clusterIP"]
        && value["spec"]["clusterIPs"] == old["spec"]["clusterIPs"]
        && single.is_string()
    {
        value["spec"]["clusterIPs"] = json!([single]);
    }
    let ports = old["spec"]["ports"].clone();
    for port in value["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let same = ports
            .as_array()
            .into_iter()
            .flatten()
            .find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"]);
        if let Some(number) = same.map(|p| &p["nodePort"]).filter(|n| !n.is_null())
            && port.get("nodePort").is_none()
        {
            port["nodePort"] = number.clone();
        }
    }
    drop_nulls(&mut value["spec"]);
}

/// Gives a Service the addresses that it needs.
pub(super) fn allocate(core: &Core, value: &mut Value) {
    let spec = &mut value["spec"];
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        if let Some(map) = spec.as_object_mut() {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                map.remove(field);
            }
            map.retain(|_, v| !v.is_null());
        }
        return;
    }
    let given = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
    let address = if given.is_empty() { free_address(core) } else { given };
    if spec["clusterIPs"].as_array().is_none_or(Vec::is_empty) {
        spec["clusterIPs"] = json!([address]);
    }
    spec["clusterIP"] = json!(address);
    if spec["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") && spec["allocateLoadBalancerNodePorts"] != false
    {
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            if port["nodePort"].as_u64().unwrap_or(0) == 0 {
                port["nodePort"] = json!(free_port(core));
            }
        }
    } else {
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            if let Some(map) = port.as_object_mut() {
                map.remove("nodePort");
            }
        }
    }
    drop_nulls(spec);
}

fn drop_nulls(spec: &mut Value) {
    if let Some(map) = spec.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
}

fn free_address(core: &Core) -> String {
    let mut at = core.random.next() % HOSTS;
    core.store.with_addresses(|held| {
        loop {
            let address = Ipv4Addr::from(FIRST + u32::try_from(at + 1).unwrap_or(1));
            // The range is larger than the number of Services that fit into memory.
            if !held.has_address(address) {
                return address.to_string();
            }
            at = (at + 1) % HOSTS;
        }
    })
}

fn free_port(core: &Core) -> u64 {
    let width = NODE_PORTS.end - NODE_PORTS.start;
    let start = core.random.next() % width;
    core.store.with_addresses(|held| {
        (0..width)
            .map(|i| NODE_PORTS.start + (start + i) % width)
            .find(|port| !held.has_node_port(*port))
            .unwrap_or(NODE_PORTS.start)
    })
}
