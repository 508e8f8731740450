//! Gateway API and InferencePool.

use serde_json::{Value, json};

use super::{Definition, conditions, keyed, labels, list, number, object, open, port, text, word};
use crate::{gateway, inference};

pub(super) fn crds() -> Vec<Value> {
    vec![gateway_class(), gateway(), route(), pool(), old_pool()]
}

fn gateway_class() -> Value {
    Definition {
        group: gateway::GROUP,
        version: "v1",
        kind: "GatewayClass",
        plural: "gatewayclasses",
        short: &["gc"],
        is_namespaced: false,
        columns: &[
            ("Controller", "string", ".spec.controllerName"),
            ("Accepted", "string", ".status.conditions[?(@.type==\"Accepted\")].status"),
        ],
        spec: object(
            json!({"controllerName": text(), "description": text(), "parametersRef": open()}),
            &["controllerName"],
        ),
        status: object(json!({"conditions": conditions()}), &[]),
        scale: None,
    }
    .crd()
}

fn gateway() -> Value {
    let listener = object(
        json!({
            "name": text(), "hostname": text(), "port": port(), "protocol": text(), "tls": open(),
            "allowedRoutes": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "default": {"namespaces": {"from": "Same"}},
                "properties": {"namespaces": object(json!({"from": word("Same"), "selector": open()}), &[])},
            },
        }),
        &["name", "port", "protocol"],
    );
    let mut listeners = keyed(listener, &["name"]);
    listeners["minItems"] = json!(1);
    listeners["maxItems"] = json!(64);
    let address = object(json!({"type": word("IPAddress"), "value": text()}), &[]);
    let seen = object(
        json!({"name": text(), "attachedRoutes": number(), "conditions": conditions(), "supportedKinds": list(open())}),
        &["name"],
    );
    Definition {
        group: gateway::GROUP,
        version: "v1",
        kind: "Gateway",
        plural: "gateways",
        short: &["gtw"],
        is_namespaced: true,
        columns: &[
            ("Class", "string", ".spec.gatewayClassName"),
            ("Address", "string", ".status.addresses[*].value"),
            ("Programmed", "string", ".status.conditions[?(@.type==\"Programmed\")].status"),
        ],
        spec: object(
            json!({"gatewayClassName": text(), "listeners": listeners, "addresses": list(address.clone())}),
            &["gatewayClassName", "listeners"],
        ),
        status: object(
            json!({"addresses": list(address), "conditions": conditions(), "listeners": keyed(seen, &["name"])}),
            &[],
        ),
        scale: None,
    }
    .crd()
}

fn parent(default_kind: bool) -> Value {
    let kind = |default: &str| if default_kind { word(default) } else { text() };
    object(
        json!({
            "group": kind(gateway::GROUP), "kind": kind("Gateway"), "namespace": text(), "name": text(),
            "sectionName": text(), "port": port(),
        }),
        &["name"],
    )
}

fn route() -> Value {
    let matched_value = |type_: &str| {
        object(json!({"type": word(type_), "name": text(), "value": text()}), &["name", "value"])
    };
    let path = json!({
        "type": "object", "default": {"type": "PathPrefix", "value": "/"},
        "properties": {
            "type": {"type": "string", "default": "PathPrefix", "enum": ["Exact", "PathPrefix", "RegularExpression"]},
            "value": {"type": "string", "default": "/", "maxLength": 1024},
        },
    });
    let matched = object(
        json!({
            "path": path, "headers": keyed(matched_value("Exact"), &["name"]),
            "queryParams": keyed(matched_value("Exact"), &["name"]), "method": text(),
        }),
        &[],
    );
    let mut matches = list(matched);
    matches["default"] = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    matches["maxItems"] = json!(64);
    let filter = object(json!({"type": text()}), &["type"]);
    let backend = object(
        json!({
            "group": word(""), "kind": word("Service"), "name": text(), "namespace": text(), "port": port(),
            "weight": {"type": "integer", "format": "int32", "default": 1, "minimum": 0, "maximum": 1_000_000},
            "filters": list(filter.clone()),
        }),
        &["name"],
    );
    let mut backends = list(backend);
    backends["maxItems"] = json!(16);
    let rule = object(
        json!({
            "name": text(), "matches": matches, "filters": list(filter), "backendRefs": backends,
            "timeouts": object(json!({"request": text(), "backendRequest": text()}), &[]),
        }),
        &[],
    );
    let mut rules = list(rule);
    rules["default"] = json!([{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]);
    rules["minItems"] = json!(1);
    rules["maxItems"] = json!(16);
    let said = object(
        json!({"parentRef": parent(true), "controllerName": text(), "conditions": conditions()}),
        &["parentRef"],
    );
    let mut parents = list(parent(true));
    parents["maxItems"] = json!(32);
    let mut hostnames = list(text());
    hostnames["maxItems"] = json!(16);
    Definition {
        group: gateway::GROUP,
        version: "v1",
        kind: "HTTPRoute",
        plural: "httproutes",
        short: &[],
        is_namespaced: true,
        columns: &[("Hostnames", "string", ".spec.hostnames")],
        spec: object(json!({"parentRefs": parents, "hostnames": hostnames, "rules": rules}), &[]),
        status: object(json!({"parents": list(said)}), &[]),
        scale: None,
    }
    .crd()
}

fn pool() -> Value {
    let target = object(json!({"number": port()}), &["number"]);
    let mut ports = list(target.clone());
    ports["minItems"] = json!(1);
    ports["maxItems"] = json!(8);
    let picker = object(
        json!({
            "group": word(""), "kind": word("Service"), "name": {"type": "string", "minLength": 1, "maxLength": 253},
            "port": target,
            "failureMode": {"type": "string", "default": "FailClose", "enum": ["FailOpen", "FailClose"]},
        }),
        &["name"],
    );
    Definition {
        group: inference::GROUP,
        version: "v1",
        kind: "InferencePool",
        plural: "inferencepools",
        short: &["infpool"],
        is_namespaced: true,
        columns: &[("Picker", "string", ".spec.endpointPickerRef.name")],
        spec: object(
            json!({
                "selector": object(json!({"matchLabels": labels()}), &["matchLabels"]),
                "targetPorts": ports,
                "appProtocol": {"type": "string", "default": "http", "enum": ["http", "kubernetes.io/h2c"]},
                "endpointPickerRef": picker,
            }),
            &["selector", "targetPorts", "endpointPickerRef"],
        ),
        status: pool_status("parents"),
        scale: None,
    }
    .crd()
}

fn old_pool() -> Value {
    let picker = object(
        json!({
            "group": word(""), "kind": word("Service"), "name": {"type": "string", "minLength": 1, "maxLength": 253},
            "portNumber": port(),
            "failureMode": {"type": "string", "default": "FailClose", "enum": ["FailOpen", "FailClose"]},
        }),
        &["name"],
    );
    Definition {
        group: inference::OLD_GROUP,
        version: "v1alpha2",
        kind: "InferencePool",
        plural: "inferencepools",
        short: &["xinfpool"],
        is_namespaced: true,
        columns: &[("Picker", "string", ".spec.extensionRef.name")],
        spec: object(
            json!({"selector": labels(), "targetPortNumber": port(), "extensionRef": picker}),
            &["selector", "targetPortNumber", "extensionRef"],
        ),
        status: pool_status("parent"),
        scale: None,
    }
    .crd()
}

fn pool_status(parents: &str) -> Value {
    let said = object(json!({"parentRef": parent(true), "conditions": conditions()}), &["parentRef"]);
    object(json!({parents: list(said)}), &[])
}
