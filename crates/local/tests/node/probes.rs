//! Probes, against a server that the test itself is, on the pod's address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::machine::{Machine, is_ready, status};

/// Answers every request with 200 or 503.
async fn serve(listener: TcpListener, healthy: Arc<AtomicBool>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.unwrap_or(0);
        assert!(request[..read].starts_with(b"GET /health HTTP/1.1\r\n"));
        let status = if healthy.load(Ordering::Relaxed) { "200 OK" } else { "503 Service Unavailable" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

fn address(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone().filter(|_| {
        status(pod).is_some_and(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_ready_soon_after_its_server_and_not_ready_when_the_threshold_is_passed() {
    let mut machine = Machine::start().await;
    let get = json!({"path": "/health", "port": "http", "scheme": "HTTP"});
    let container = json!({
        "ports": [{"name": "http", "containerPort": 18431}],
        "startupProbe": {"httpGet": get, "periodSeconds": 10, "failureThreshold": 60},
        "readinessProbe": {"httpGet": get, "periodSeconds": 1, "failureThreshold": 2},
    });
    machine.script("probed", "exec sleep 1000", json!({"container": container})).await;
    let pod = machine.wait_pod("probed", "a start", |pod| address(pod).is_some()).await;
    assert!(!is_ready(&pod));
    assert_eq!(status(&pod).and_then(|status| status.started), Some(false));

    let listener = TcpListener::bind((address(&pod).expect("an address"), 18431)).await.expect("bound");
    let healthy = Arc::new(AtomicBool::new(true));
    let server = tokio::spawn(serve(listener, Arc::clone(&healthy)));
    let begun = Instant::now();
    machine.wait_pod("probed", "readiness", is_ready).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());

    healthy.store(false, Ordering::Relaxed);
    machine.wait_pod("probed", "unreadiness", |pod| !is_ready(pod)).await;
    let unhealthy =
        machine.wait::<Event>("an event", |event| event.reason.as_deref() == Some("Unhealthy")).await;
    assert_eq!(
        unhealthy.message.as_deref(),
        Some("Readiness probe failed: HTTP probe failed with statuscode: 503")
    );
    healthy.store(true, Ordering::Relaxed);
    let pod = machine.wait_pod("probed", "readiness again", is_ready).await;
    assert_eq!(status(&pod).map(|status| status.restart_count), Some(0));
    server.abort();
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_fails_its_liveness_probe_is_restarted() {
    let mut machine = Machine::start().await;
    let mounts = json!([{"name": "work", "mountPath": "/llmisvc-live"}]);
    let container = json!({
        "volumeMounts": mounts,
        "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/llmisvc-live/sick"]}, "periodSeconds": 1, "failureThreshold": 1},
    });
    let extra = json!({"volumes": [{"name": "work", "emptyDir": {}}], "container": container});
    let script = "if [ -e /llmisvc-live/sick ]; then rm /llmisvc-live/sick; else touch /llmisvc-live/sick; fi; exec sleep 1000";
    machine.script("live", script, extra).await;
    let pod = machine.wait_pod("live", "a restart", |pod| {
        is_ready(pod) && status(pod).is_some_and(|status| status.restart_count == 1)
    });
    pod.await;
    let killing = machine.wait::<Event>("Killing", |event| {
        event.message.as_deref() == Some("Container main failed liveness probe, will be restarted")
    });
    killing.await;
    machine.stop().await;
}
