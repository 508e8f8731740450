use super::*;
use serde_json::json;

fn service(ready: &str, reason: &str) -> Value {
    json!({"metadata": {"namespace": "default", "name": "x"}, "spec": {"model": {"name": "acme/x"}},
           "status": {"url": "http://127.0.0.1:8080/default/x",
                      "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "m"}]}})
}

fn engine(name: &str, ready: &str) -> Value {
    json!({"metadata": {"namespace": "default", "name": name,
                        "labels": {"app.kubernetes.io/name": "x", "kserve.io/component": "workload"}},
           "status": {"conditions": [{"type": "Ready", "status": ready}]}})
}

#[test]
fn each_step_is_said_once() {
    let mut progress = Progress::default();
    let mut said = Vec::new();
    for sighting in [
        Sighting::Merged { service: "default/x".to_owned(), configs: vec!["preset".to_owned()] },
        Sighting::Service(service("False", "MinimumReplicasUnavailable")),
        Sighting::Wrote { service: "default/x".to_owned(), created: 9, updated: 0, deleted: 0 },
        Sighting::Pod(engine("a", "False")),
        Sighting::Pod(engine("a", "False")),
        Sighting::Pod(engine("b", "False")),
        Sighting::Pod(engine("a", "True")),
        Sighting::Service(service("True", "")),
        Sighting::Service(service("True", "")),
    ] {
        said.extend(
            progress.observe(sighting, Duration::ZERO).into_iter().map(|s| format!("{} {}", s.step, s.text)),
        );
    }
    assert_eq!(
        said,
        [
            "merged preset",
            "objects 9 made",
            "engines 1 starting",
            "engines 2 starting",
            "engines 1 of 2 ready",
            "Ready http://127.0.0.1:8080/default/x",
        ]
    );
    assert!(progress.all_ready([&"default/x".to_owned()]));
    assert_eq!(
        progress.served().next(),
        Some(("default/x", Some("http://127.0.0.1:8080/default/x"), "acme/x"))
    );
}

#[test]
fn a_service_with_stages_says_which_engine_does_what() {
    let mut progress = Progress::default();
    progress.observe(Sighting::Service(service("False", "")), Duration::ZERO);
    let pod = |name: &str, role: &str, ready: &str| {
        let mut pod = engine(name, ready);
        pod["metadata"]["labels"]["llm-d.ai/role"] = json!(role);
        pod["status"]["podIP"] = json!(format!("127.1.1.{}", name.len()));
        Sighting::Pod(pod)
    };
    let mut worker = engine("decode-0-1", "True");
    worker["metadata"]["labels"] = json!({
        "app.kubernetes.io/name": "x", "app.kubernetes.io/component": "llminferenceservice-workload-worker",
    });
    let said: Vec<String> = [
        pod("decode-0", "decode", "False"),
        pod("prefill", "prefill", "False"),
        pod("decode-0", "decode", "True"),
        Sighting::Pod(worker),
    ]
    .into_iter()
    .flat_map(|sighting| progress.observe(sighting, Duration::ZERO))
    .map(|step| step.text)
    .collect();
    assert_eq!(
        said,
        [
            "decode 1 starting",
            "prefill 1 starting, decode 1 starting",
            "prefill 1 starting, decode 1 of 1 ready",
            "prefill 1 starting, decode 1 of 1 ready, worker 1 of 1 ready",
        ]
    );
    let stages: Vec<(&str, String)> =
        progress.stages().into_iter().map(|stage| (stage.role, stage.pod)).collect();
    assert_eq!(
        stages,
        [("prefill", "default/prefill".to_owned()), ("decode", "default/decode-0".to_owned())]
    );
}

#[test]
fn what_keeps_a_service_waiting_is_said_once_it_lasts() {
    let mut progress = Progress::default();
    progress.observe(Sighting::Service(service("False", "Unschedulable")), Duration::from_secs(1));
    assert_eq!(progress.complaints(Duration::from_secs(2)), []);
    let said = progress.complaints(Duration::from_secs(4));
    assert_eq!(said[0].text, "Unschedulable: m");
    assert_eq!(progress.complaints(Duration::from_secs(9)), [], "once");
}

#[test]
fn an_engines_line_is_told_without_its_time_and_what_is_cut_off_is_seen() {
    assert_eq!(
        readable(
            "\u{1b}[2m2026-11-28T15:00:00.123456Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m listening on 127.0.0.1:8000\n"
        ),
        "INFO listening on 127.0.0.1:8000"
    );
    assert_eq!(
        readable("INFO 11-28 15:00:00 [weights.py:9] 3 of 8 shards"),
        "INFO [weights.py:9] 3 of 8 shards"
    );
    assert_eq!(readable("127.0.0.1:8000 is in use"), "127.0.0.1:8000 is in use");
    let long = readable(&"word ".repeat(99));
    assert!(long.ends_with("word…") && long.chars().count() <= LONGEST_LINE, "{long}");
}

#[test]
fn a_model_that_a_config_names_is_told_by_that_name() {
    let mut service = service("True", "");
    service["spec"] = json!({"baseRefs": [{"name": "model"}]});
    service["status"]["addresses"] = json!([{"models": [{"name": "publishers/default/models/acme/y"}]},
                                            {"models": [{"name": "acme/y"}]}]);
    let mut progress = Progress::default();
    progress.observe(Sighting::Service(service), Duration::ZERO);
    assert_eq!(progress.served().next().map(|(_, _, model)| model), Some("acme/y"));
}

#[test]
fn without_a_route_the_engine_tells_the_name_that_a_config_gave_the_model() {
    let mut without_route = service("True", "");
    without_route["spec"] = json!({"model": {"name": "x"}, "baseRefs": [{"name": "model"}]});
    without_route["status"]["url"] = Value::Null;
    let mut progress = Progress::default();
    progress.observe(Sighting::Service(without_route), Duration::ZERO);
    assert_eq!(progress.served().next(), Some(("default/x", None, "x")));
    let mut pod = engine("a", "True");
    pod["spec"] = json!({"containers": [
        {"name": "main", "command": ["vllm", "serve", "/m", "--served-model-name", "acme/y", "publishers/default/models/acme/y"]},
    ]});
    progress.observe(Sighting::Pod(pod), Duration::ZERO);
    assert_eq!(progress.served().next(), Some(("default/x", None, "acme/y")));
}

#[test]
fn the_address_of_a_route_that_leads_nowhere_is_not_where_to_ask() {
    let mut nowhere = service("True", "");
    nowhere["spec"]["router"] =
        json!({"route": {"http": {"spec": {"rules": [{"timeouts": {"request": "9s"}}]}}}});
    let mut progress = Progress::default();
    progress.observe(Sighting::Service(nowhere), Duration::ZERO);
    assert_eq!(progress.served().next(), Some(("default/x", None, "acme/x")));
}
