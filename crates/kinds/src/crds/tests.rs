use serde_json::{Value, json};

use super::crds;
use crate::schema::{Schema, apply_defaults, prune, validate};

fn schema(kind: &str, group: &str) -> Schema {
    let crd = crds()
        .into_iter()
        .find(|crd| crd["spec"]["names"]["kind"] == kind && crd["spec"]["group"] == group)
        .unwrap();
    Schema::parse(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).unwrap()
}

#[test]
fn every_definition_is_structural_and_named_after_its_plural_and_group() {
    for crd in crds() {
        Schema::parse(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).unwrap();
        let spec = &crd["spec"];
        let name =
            format!("{}.{}", spec["names"]["plural"].as_str().unwrap(), spec["group"].as_str().unwrap());
        assert_eq!(crd["metadata"]["name"], Value::from(name));
    }
    assert_eq!(crds().len(), 7);
}

#[test]
fn a_route_gets_the_defaults_of_the_gateway_api_and_keeps_what_we_do_not_know() {
    let schema = schema("HTTPRoute", "gateway.networking.k8s.io");
    let mut route = json!({"apiVersion": "x", "kind": "y", "metadata": {}, "spec": {"parentRefs": [{"name": "g"}],
        "rules": [{"backendRefs": [{"name": "b", "port": 80}], "retry": {"attempts": 2}}]}});
    assert_eq!(prune(&schema, &mut route, None), Vec::<String>::new());
    apply_defaults(&schema, &mut route);
    assert_eq!(validate(&schema, &route, None), []);
    assert_eq!(route["spec"]["parentRefs"][0]["kind"], "Gateway");
    assert_eq!(route["spec"]["rules"][0]["matches"], json!([{"path": {"type": "PathPrefix", "value": "/"}}]));
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0]["weight"], 1);
    assert_eq!(route["spec"]["rules"][0]["retry"]["attempts"], 2);
}

#[test]
fn a_pool_without_ports_is_refused() {
    let schema = schema("InferencePool", "inference.networking.k8s.io");
    let pool = json!({"spec": {"selector": {"matchLabels": {}}, "targetPorts": [], "endpointPickerRef": {"name": "e"}}});
    let said: Vec<String> = validate(&schema, &pool, None).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["spec.targetPorts: Invalid value: 0: spec.targetPorts in body should have at least 1 items"]
    );
}

#[test]
fn a_leader_worker_set_can_be_scaled() {
    let crd = crds().into_iter().find(|crd| crd["spec"]["names"]["kind"] == "LeaderWorkerSet").unwrap();
    assert_eq!(crd["spec"]["versions"][0]["subresources"]["scale"]["specReplicasPath"], ".spec.replicas");
}
