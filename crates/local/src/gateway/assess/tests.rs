use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::gateway::status::WishKind;
use crate::gateway::watch::{Change, Happened};

const CONTROLLER: &str = "llmisvc.example/local-gateway";

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn gateway() -> Value {
    json!({
        "metadata": { "name": "entry", "namespace": "system", "generation": 1, "resourceVersion": "10" },
        "spec": {
            "gatewayClassName": "any",
            "listeners": [{
                "name": "http", "port": 8080, "protocol": "HTTP",
                "allowedRoutes": { "namespaces": { "from": "All" } },
            }],
        },
    })
}

fn route() -> Value {
    let pool = json!({
        "group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "demo-inference-pool", "port": 8000,
    });
    json!({
        "metadata": {
            "name": "demo-kserve-route", "namespace": "team", "uid": "r", "generation": 3, "resourceVersion": "11",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "parentRefs": [{
                "group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "system", "name": "entry",
            }],
            "rules": [
                {
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/team/demo/v1/chat/completions" } }],
                    "filters": [{ "type": "URLRewrite", "urlRewrite": { "path": {
                        "type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1/chat/completions",
                    } } }],
                    "backendRefs": [pool],
                    "timeouts": { "request": "0s", "backendRequest": "0s" },
                },
                {
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/team/demo" } }],
                    "backendRefs": [{ "kind": "Service", "name": "demo-workload", "port": 8000 }],
                },
            ],
        },
    })
}

fn pool() -> Value {
    json!({
        "metadata": {
            "name": "demo-inference-pool", "namespace": "team", "generation": 2, "resourceVersion": "12",
        },
        "spec": {
            "selector": { "matchLabels": { "app": "demo" } },
            "targetPorts": [{ "number": 8000 }],
            "endpointPickerRef": { "name": "demo-epp-service", "port": { "number": 9002 } },
        },
    })
}

fn service(name: &str, selector: Value, port: Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "team" },
        "spec": { "selector": selector, "ports": [port] },
    })
}

fn pod(name: &str, ip: &str, ready: bool) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "team", "uid": name, "labels": { "app": "demo", "role": "both" } },
        "spec": { "containers": [{
            "name": "main", "ports": [{ "name": "http", "containerPort": 8000 }],
            "readinessProbe": { "httpGet": { "port": 8000, "path": "/health", "scheme": "HTTP" } },
        }] },
        "status": {
            "podIP": ip,
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        },
    })
}

fn picker(args: &[&str]) -> Value {
    json!({
        "metadata": { "name": "demo-epp", "namespace": "team" },
        "spec": {
            "selector": { "matchLabels": { "app": "epp" } },
            "template": {
                "metadata": { "labels": { "app": "epp" } },
                "spec": { "containers": [{ "name": "main", "args": args }] },
            },
        },
    })
}

/// A service as its controller makes it, with one pod that is ready and one that is not.
fn seen() -> Seen {
    let mut seen = Seen::default();
    seen.gateways.set([object(gateway())]);
    seen.routes.set([object(route())]);
    seen.pools.set([object(pool())]);
    seen.old_pools.set([]);
    seen.inference_services.set([object(json!({
        "metadata": { "name": "demo", "namespace": "team", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "model": { "name": "acme/tiny", "lora": { "adapters": [{ "name": "fr" }] } } },
        "status": { "addresses": [{ "url": "http://x/", "models": ["publishers/team/models/acme/tiny", "acme/tiny"] }] },
    }))]);
    seen.services.set([
        object(service("demo-epp-service", json!({ "app": "epp" }), json!({ "port": 9002 }))),
        object(service(
            "demo-workload",
            json!({ "app": "demo" }),
            json!({ "port": 8000, "targetPort": "http" }),
        )),
    ]);
    seen.pods.set([object(pod("a", "127.1.0.1", true)), object(pod("b", "127.1.0.2", false))]);
    seen.pickers.set([]);
    seen.picker_configs.set([]);
    seen
}

fn assessor(policy: Option<&str>) -> Assessor {
    let options = GatewayOptions { policy: policy.map(str::to_owned), ..GatewayOptions::new(CONTROLLER) };
    Assessor::new(&options, "127.0.0.1:8080".parse().unwrap()).unwrap()
}

fn assess(seen: &Seen) -> Assessment {
    assessor(None).assess(seen, Timestamp::UNIX_EPOCH)
}

fn wish(assessment: &Assessment, kind: WishKind) -> &Wish {
    assessment.wishes.iter().find(|wish| wish.kind == kind).unwrap()
}

fn condition<'a>(conditions: &'a Value, kind: &str) -> &'a Value {
    conditions.as_array().unwrap().iter().find(|condition| condition["type"] == kind).unwrap()
}

/// The wishes come true.
fn fulfil(seen: &mut Seen, wishes: &[Wish]) {
    for wish in wishes {
        let with_status = |value: Value| {
            let mut value = value;
            let status = value.as_object_mut().unwrap().entry("status").or_insert(Value::Null);
            if status.is_null() {
                *status = json!({});
            }
            for (field, new) in wish.status.as_object().unwrap() {
                status[field] = new.clone();
            }
            value
        };
        match wish.kind {
            WishKind::Gateway => {
                let new = with_status(json!(**seen.gateways.get(&wish.namespace, &wish.name).unwrap()));
                seen.apply(Change::Gateway(Happened::Seen(kube::runtime::watcher::Event::Apply(object(
                    new,
                )))));
            }
            WishKind::Route => {
                let new = with_status(json!(**seen.routes.get(&wish.namespace, &wish.name).unwrap()));
                seen.apply(Change::Route(Happened::Seen(kube::runtime::watcher::Event::Apply(object(new)))));
            }
            WishKind::Pool => {
                let new = with_status(json!(**seen.pools.get(&wish.namespace, &wish.name).unwrap()));
                seen.apply(Change::Pool(Happened::Seen(kube::runtime::watcher::Event::Apply(object(new)))));
            }
            WishKind::OldPool => {
                let new = with_status(json!(**seen.old_pools.get(&wish.namespace, &wish.name).unwrap()));
                seen.apply(Change::OldPool(Happened::Seen(kube::runtime::watcher::Event::Apply(object(
                    new,
                )))));
            }
        }
    }
}

#[test]
fn a_services_objects_become_a_route_a_pool_and_a_service_with_their_pods() {
    let table = assess(&seen()).table;
    assert_eq!(table.routes.len(), 1);
    assert_eq!(table.routes[0].rules.len(), 2);
    assert_eq!(table.routes[0].rules[0].request_timeout, None, "0s is no limit");
    for endpoints in [
        &table.pools["team/demo-inference-pool"].endpoints,
        &table.services["team/demo-workload:8000"].endpoints,
    ] {
        let found: Vec<_> =
            endpoints.iter().map(|e| (e.name.as_str(), e.address.to_string(), e.ready)).collect();
        assert_eq!(
            found,
            [("team/a", "127.1.0.1:8000".to_owned(), true), ("team/b", "127.1.0.2:8000".to_owned(), false)]
        );
    }
}

#[test]
fn gateway_route_and_pool_are_told_that_they_are_served_and_then_there_is_nothing_to_say() {
    let mut seen = seen();
    let assessment = assess(&seen);
    let gateway = &wish(&assessment, WishKind::Gateway).status;
    assert_eq!(gateway["addresses"][0]["value"], "127.0.0.1");
    assert_eq!(condition(&gateway["conditions"], "Programmed")["status"], "True");
    assert_eq!(gateway["listeners"][0]["attachedRoutes"], 1);
    let route = wish(&assessment, WishKind::Route);
    assert_eq!(route.resource_version, "11");
    let parent = &route.status["parents"][0];
    assert_eq!(parent["controllerName"], CONTROLLER);
    assert_eq!(parent["parentRef"]["name"], "entry");
    for kind in ["Accepted", "ResolvedRefs"] {
        assert_eq!(condition(&parent["conditions"], kind)["status"], "True");
        assert_eq!(condition(&parent["conditions"], kind)["observedGeneration"], 3);
    }
    let parent = &wish(&assessment, WishKind::Pool).status["parents"][0];
    assert_eq!(parent["parentRef"]["namespace"], "system");
    assert_eq!(condition(&parent["conditions"], "Accepted")["status"], "True");
    assert_eq!(condition(&parent["conditions"], "Accepted")["observedGeneration"], 2);
    fulfil(&mut seen, &assessment.wishes);
    let later = assessor(None).assess(&seen, Timestamp::MAX);
    assert!(later.wishes.is_empty(), "{:?}", later.wishes);
}

#[test]
fn what_other_controllers_report_of_a_route_stays() {
    let mut seen = seen();
    let mut given = route();
    given["status"] = json!({ "parents": [{
        "parentRef": { "name": "entry", "namespace": "system" }, "controllerName": "example.com/policies",
        "conditions": [{ "type": "Enforced", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }],
    }] });
    seen.routes.set([object(given)]);
    let assessment = assess(&seen);
    let parents = wish(&assessment, WishKind::Route).status["parents"].as_array().unwrap();
    assert_eq!(parents.len(), 2);
    assert_eq!(parents[0]["controllerName"], "example.com/policies");
    assert_eq!(parents[0]["conditions"][0]["type"], "Enforced");
}

#[test]
fn a_condition_keeps_its_time_as_long_as_it_says_the_same() {
    let mut seen = seen();
    let wishes = assess(&seen).wishes;
    fulfil(&mut seen, &wishes);
    seen.services.set([]);
    let assessment = assessor(None).assess(&seen, "2026-06-01T00:00:00Z".parse().unwrap());
    let conditions = &wish(&assessment, WishKind::Route).status["parents"][0]["conditions"];
    assert_eq!(condition(conditions, "Accepted")["lastTransitionTime"], "1970-01-01T00:00:00Z");
    let resolved = condition(conditions, "ResolvedRefs");
    assert_eq!(resolved["lastTransitionTime"], "2026-06-01T00:00:00Z");
    assert_eq!(
        (resolved["status"].as_str(), resolved["reason"].as_str()),
        (Some("False"), Some("BackendNotFound"))
    );
    assert_eq!(resolved["message"], "it does not exist: Service team/demo-workload");
}

#[test]
fn a_pool_of_the_older_group_is_served_where_its_kind_is_known_and_refused_as_a_kind_where_not() {
    let mut given = route();
    given["spec"]["rules"][0]["backendRefs"][0]["group"] = json!("inference.networking.x-k8s.io");
    let mut seen = seen();
    seen.routes.set([object(given)]);
    seen.old_pools.set([object(json!({
        "metadata": { "name": "demo-inference-pool", "namespace": "team", "generation": 1, "resourceVersion": "13" },
        "spec": {
            "selector": { "app": "demo" }, "targetPortNumber": 8000,
            "extensionRef": { "name": "demo-epp-service" },
        },
    }))]);
    let assessment = assess(&seen);
    assert_eq!(assessment.table.pools["team/demo-inference-pool"].endpoints.len(), 2);
    let parent = &wish(&assessment, WishKind::OldPool).status["parent"][0];
    assert_eq!(condition(&parent["conditions"], "Accepted")["status"], "True");
    fulfil(&mut seen, &assessment.wishes);
    assert!(assess(&seen).wishes.is_empty());

    seen.apply(Change::OldPool(Happened::NotServed));
    let assessment = assess(&seen);
    let conditions = &wish(&assessment, WishKind::Route).status["parents"][0]["conditions"];
    assert_eq!(condition(conditions, "ResolvedRefs")["reason"], "InvalidKind");
}

#[test]
fn a_route_that_no_listener_allows_is_not_served_and_is_told_why() {
    let mut seen = seen();
    let mut same_namespace_only = gateway();
    same_namespace_only["spec"]["listeners"][0]["allowedRoutes"] = Value::Null;
    seen.gateways.set([object(same_namespace_only)]);
    let assessment = assess(&seen);
    assert!(assessment.table.routes.is_empty());
    assert!(assessment.table.served.is_empty());
    let conditions = &wish(&assessment, WishKind::Route).status["parents"][0]["conditions"];
    assert_eq!(condition(conditions, "Accepted")["reason"], "NotAllowedByListeners");

    let mut other_section = route();
    other_section["spec"]["parentRefs"][0]["sectionName"] = json!("https");
    seen.gateways.set([object(gateway())]);
    seen.routes.set([object(other_section)]);
    let assessment = assess(&seen);
    let conditions = &wish(&assessment, WishKind::Route).status["parents"][0]["conditions"];
    assert_eq!(condition(conditions, "Accepted")["reason"], "NoMatchingParent");
}

#[test]
fn a_route_takes_the_host_names_that_it_and_its_listener_have_in_common() {
    for (listens, asks, taken) in [
        (None, vec![], Some(vec![])),
        (None, vec!["a.example"], Some(vec!["a.example"])),
        (Some("*.example"), vec![], Some(vec!["*.example"])),
        (Some("*.example"), vec!["a.example", "b.other"], Some(vec!["a.example"])),
        (Some("a.example"), vec!["*.example"], Some(vec!["a.example"])),
        (Some("a.example"), vec!["b.example"], None),
    ] {
        let mut seen = seen();
        let (mut gateway, mut route) = (gateway(), route());
        gateway["spec"]["listeners"][0]["hostname"] = json!(listens);
        route["spec"]["hostnames"] = json!(asks);
        seen.gateways.set([object(gateway)]);
        seen.routes.set([object(route)]);
        let routes = assess(&seen).table.routes;
        let hostnames = routes.first().map(|route| route.hostnames.iter().map(String::as_str).collect());
        assert_eq!(hostnames, taken, "{listens:?} {asks:?}");
    }
}

#[test]
fn the_pickers_own_configuration_schedules_unless_a_policy_is_given() {
    let config = "plugins:\n- type: random-picker\nschedulingProfiles:\n- name: mine\n  plugins:\n  - pluginRef: random-picker\n";
    let mut seen = seen();
    let default = format!("{:?}", sched::Scheduler::default());
    let of = |assessor: &mut Assessor, seen: &Seen| {
        let table = assessor.assess(seen, Timestamp::UNIX_EPOCH).table;
        format!("{:?}", table.pools["team/demo-inference-pool"].scheduler)
    };
    assert_eq!(of(&mut assessor(None), &seen), default);
    seen.pickers.set([object(picker(&["--v", "1", "--config-text", config]))]);
    let configured = of(&mut assessor(None), &seen);
    assert!(configured.contains("\"mine\""), "{configured}");
    let round_robin = format!("{:?}", sched::Scheduler::policy("round-robin").unwrap());
    assert_eq!(of(&mut assessor(Some("round-robin")), &seen), round_robin);
    let mut from_file = picker(&["--config-file=/config/epp.yaml"]);
    let pod = &mut from_file["spec"]["template"]["spec"];
    pod["volumes"] = json!([{ "name": "c", "configMap": { "name": "mine" } }]);
    pod["containers"][0]["volumeMounts"] = json!([{ "name": "c", "mountPath": "/config" }]);
    seen.pickers.set([object(from_file)]);
    seen.picker_configs.set([object(json!({
        "metadata": { "name": "mine", "namespace": "team" }, "data": { "epp.yaml": config },
    }))]);
    assert_eq!(of(&mut assessor(None), &seen), configured);
}

#[test]
fn a_wrong_picker_configuration_is_reported_and_the_built_in_profile_picks() {
    let mut seen = seen();
    seen.pickers.set([object(picker(&["--config-text", "plugins: [{type: no-such-plugin}]"]))]);
    let assessment = assess(&seen);
    let pool = &assessment.table.pools["team/demo-inference-pool"];
    assert_eq!(format!("{:?}", pool.scheduler), format!("{:?}", sched::Scheduler::default()));
    let conditions = &wish(&assessment, WishKind::Pool).status["parents"][0]["conditions"];
    let resolved = condition(conditions, "ResolvedRefs");
    assert_eq!(resolved["status"], "False");
    assert!(resolved["message"].as_str().unwrap().contains("no-such-plugin"), "{resolved}");
}

#[test]
fn the_names_of_a_service_are_those_of_its_model_its_adapters_and_its_addresses() {
    let served = assess(&seen()).table.served;
    assert_eq!(served.len(), 1);
    assert_eq!(served[0].path(), "/team/demo");
    assert_eq!(served[0].models, ["acme/tiny", "fr", "publishers/team/models/acme/tiny"]);
}

#[test]
fn a_mere_count_of_routes_can_wait_and_a_new_address_cannot() {
    let mut seen = seen();
    let wishes = assess(&seen).wishes;
    fulfil(&mut seen, &wishes);
    let mut second = route();
    second["metadata"]["name"] = json!("second");
    seen.routes.set([object(route()), object(second)]);
    assert!(wish(&assess(&seen), WishKind::Gateway).can_wait);
    let options = GatewayOptions::new(CONTROLLER);
    let mut moved = Assessor::new(&options, "127.0.0.9:8080".parse().unwrap()).unwrap();
    assert!(!wish(&moved.assess(&seen, Timestamp::UNIX_EPOCH), WishKind::Gateway).can_wait);
}

#[test]
fn why_no_pod_is_ready_is_said_in_words() {
    let absent = |pods: Vec<Value>| {
        let mut seen = seen();
        seen.pods.set(pods.into_iter().map(object));
        assess(&seen).table.pools["team/demo-inference-pool"].absent.clone()
    };
    assert_eq!(absent(vec![]), "there is no pod with app=demo");
    assert_eq!(absent(vec![pod("a", "127.1.0.1", false)]), "0 of 1 pods are ready (a is starting)");
    let mut failing = pod("a", "127.1.0.1", false);
    failing["status"]["containerStatuses"] = json!([{
        "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 3,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
    }]);
    assert_eq!(absent(vec![failing]), "0 of 1 pods are ready (a: CrashLoopBackOff)");
    assert_eq!(absent(vec![pod("a", "127.1.0.1", true)]), "");
}

#[test]
fn a_pod_that_is_probed_with_https_or_whose_service_says_so_is_spoken_to_with_tls() {
    let mut seen = seen();
    let mut secure = pod("a", "127.1.0.1", true);
    secure["spec"]["containers"][0]["readinessProbe"]["httpGet"]["scheme"] = json!("HTTPS");
    seen.pods.set([object(secure)]);
    let table = assess(&seen).table;
    assert_eq!(table.pools["team/demo-inference-pool"].endpoints[0].tls, relay::Tls::Unverified);
    seen.pods.set([object(pod("a", "127.1.0.1", true))]);
    let port = json!({ "port": 8000, "appProtocol": "https" });
    seen.services.set([object(service("demo-workload", json!({ "app": "demo" }), port))]);
    let table = assess(&seen).table;
    assert_eq!(table.services["team/demo-workload:8000"].endpoints[0].tls, relay::Tls::Unverified);
    assert_eq!(table.pools["team/demo-inference-pool"].endpoints[0].tls, relay::Tls::Off);
}

#[test]
fn a_restarted_container_is_a_new_engine_and_unchanged_specs_are_shared() {
    let mut seen = seen();
    let mut assessor = assessor(None);
    let before = assessor.assess(&seen, Timestamp::UNIX_EPOCH).table;
    let same = assessor.assess(&seen, Timestamp::UNIX_EPOCH).table;
    assert!(Arc::ptr_eq(&before.pools["team/demo-inference-pool"], &same.pools["team/demo-inference-pool"]));
    assert!(Arc::ptr_eq(&before.routes[0], &same.routes[0]));
    let mut restarted = pod("a", "127.1.0.1", true);
    restarted["status"]["containerStatuses"] =
        json!([{ "name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 1 }]);
    seen.pods.set([object(restarted)]);
    let after = assessor.assess(&seen, Timestamp::UNIX_EPOCH).table;
    let incarnation =
        |table: &RouteTable| table.pools["team/demo-inference-pool"].endpoints[0].incarnation.clone();
    assert_ne!(incarnation(&before), incarnation(&after));
}

#[test]
fn a_service_without_a_router_is_reached_at_its_own_path_in_stages_if_it_has_them() {
    let mut seen = seen();
    seen.routes.set([]);
    seen.pools.set([]);
    let inference_service =
        |spec: Value| object(json!({ "metadata": { "name": "demo", "namespace": "team" }, "spec": spec }));
    seen.inference_services
        .set([inference_service(json!({ "model": { "name": "acme/tiny" }, "prefill": {} }))]);
    seen.services.set([object(service(
        "demo-kserve-workload-svc",
        json!({ "app": "demo" }),
        json!({ "port": 8000, "targetPort": "http" }),
    ))]);
    let mut assessor = assessor(None);
    let table = assessor.assess(&seen, Timestamp::UNIX_EPOCH).table;
    assert_eq!(table.served.iter().map(|served| served.path()).collect::<Vec<_>>(), ["/team/demo"]);
    let pool = &table.pools["team/demo-kserve-workload-svc"];
    assert_eq!(pool.endpoints.len(), 2);
    assert!(format!("{:?}", pool.scheduler).contains("Always"), "prompts are computed apart");
    assert!(
        matches!(&table.routes[0].rules[0].backends[0].target, relay::Target::Pool(name) if name == "team/demo-kserve-workload-svc")
    );
    let again = assessor.assess(&seen, Timestamp::UNIX_EPOCH).table;
    assert!(Arc::ptr_eq(pool, &again.pools["team/demo-kserve-workload-svc"]), "what has not changed is kept");

    // One that asks for a route gets what that says, which here is nothing.
    let mut routes = |router: Value| {
        seen.inference_services.set([inference_service(json!({ "router": router }))]);
        assess(&seen).table.routes.len()
    };
    assert_eq!(routes(json!({ "route": {} })), 0);
    let rules = |rule: Value| json!({ "route": { "http": { "spec": { "rules": [rule] } } } });
    assert_eq!(routes(rules(json!({ "backendRefs": [{ "name": "demo-kserve-workload-svc" }] }))), 0);
    // A Gateway alone leads nowhere, as does a rule without a back-end.
    assert_eq!(routes(json!({ "gateway": {} })), 1);
    assert_eq!(routes(rules(json!({ "matches": [{ "path": { "value": "/a" } }] }))), 1);
}

#[test]
fn a_scheduler_without_a_route_picks_at_the_services_own_path_and_its_pool_is_accepted() {
    let mut seen = seen();
    seen.routes.set([]);
    let mut own = pool();
    own["metadata"]["name"] = json!("demo-inference-pool");
    seen.pools.set([object(own)]);
    seen.inference_services.set([object(json!({
        "metadata": { "name": "demo", "namespace": "team" }, "spec": { "router": { "scheduler": {} } },
    }))]);
    let assessment = assess(&seen);
    let target = &assessment.table.routes[0].rules[0].backends[0].target;
    assert!(matches!(target, relay::Target::Pool(name) if name == "team/demo-inference-pool"), "{target:?}");
    let parent = &wish(&assessment, WishKind::Pool).status["parents"][0];
    assert_eq!(condition(&parent["conditions"], "Accepted")["status"], "True");
    fulfil(&mut seen, &assessment.wishes);
    assert!(assess(&seen).wishes.is_empty());
}

#[test]
fn pods_with_the_labels_of_another_service_are_reached_at_the_path_of_their_own() {
    let mut seen = seen();
    seen.routes.set([]);
    seen.pools.set([]);
    seen.services.set([object(service(
        "demo-kserve-workload-svc",
        json!({ "app": "mine" }),
        json!({ "port": 8000, "targetPort": "http" }),
    ))]);
    let mut found = |labels: Value| {
        seen.inference_services.set([object(json!({
            "metadata": { "name": "demo", "namespace": "team" }, "spec": { "labels": labels },
        }))]);
        assess(&seen).table.pools["team/demo-kserve-workload-svc"].endpoints.len()
    };
    assert_eq!(found(json!({ "app": "demo", "tier": "x" })), 2);
    assert_eq!(found(json!({})), 0, "without such labels the Service's own selector finds what it finds");
}
