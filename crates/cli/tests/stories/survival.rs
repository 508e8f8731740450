//! What is killed comes back, and nothing is lost or left.

use std::time::Instant;

use crate::process::{PATIENCE, Up, chat, get, post, processes, service_file, signal};

#[test]
fn a_killed_engine_leaves_rotation_at_once_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = service_file(dir.path(), "demo", 2);
    let mut up = Up::start(&dir.path().join("data"), &[file.to_str().unwrap()]);
    let gateway = up.serving();
    let engines = up.children(" sim ");
    assert_eq!(engines.len(), 2);
    signal(engines[0], "KILL");
    // The other engine answers every request while the first is away.
    for _ in 0..20 {
        let answer = post(&gateway, "/v1/chat/completions", &chat("acme/demo")).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let deadline = Instant::now() + PATIENCE;
    let restarted = loop {
        let now = up.children(" sim ");
        if now.len() == 2 && !now.contains(&engines[0]) {
            break true;
        }
        if Instant::now() > deadline {
            break false;
        }
        std::thread::yield_now();
    };
    assert!(restarted, "the engine was not started again");
}

#[test]
fn where_no_mount_namespace_is_a_service_is_ready_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = service_file(dir.path(), "demo", 1);
    let mut up = Up::start(&dir.path().join("data"), &[file.to_str().unwrap(), "--rewrite-paths"]);
    let serving = up.wait_for("serving", |event| event["step"] == "serving");
    assert!(serving["volumes"].as_str().unwrap().contains("paths are rewritten"), "{serving}");
    let gateway = serving["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap();
    assert_eq!(post(gateway, "/v1/chat/completions", &chat("acme/demo")).unwrap().status, 200);
}

#[test]
fn a_killed_up_starts_again_with_the_same_services_and_without_orphans() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = service_file(dir.path(), "demo", 2);
    let mut up = Up::start(&data, &[file.to_str().unwrap()]);
    up.serving();
    let below = up.children("");
    signal(up.process.id(), "KILL");
    up.process.wait().unwrap();
    drop(up);

    let mut again = Up::start(&data, &[]);
    let gateway = again.serving();
    assert_eq!(get(&gateway, "/v1/models").json()["data"][0]["id"], "acme/demo");
    assert_eq!(post(&gateway, "/v1/chat/completions", &chat("acme/demo")).unwrap().status, 200);
    let orphans: Vec<_> = processes().into_iter().filter(|(id, _, _)| below.contains(id)).collect();
    assert!(orphans.is_empty(), "{orphans:?}");
}
