//! Engines and what belongs to them: models, pickers, simulated engines inside this process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use local::node::{Engine, EngineCall, EngineLauncher};
use serde_json::{Value, json};

use super::machine::{Machine, is_ready, status};

fn engine_pod(name: &str, uri: &str) -> Value {
    let mounts = json!([{"name": "model", "mountPath": "/mnt/models"}]);
    json!({"metadata": {"name": name}, "spec": {
        "volumes": [{"name": "model", "emptyDir": {}}],
        "initContainers": [{"name": "storage-initializer", "image": "kserve/storage-initializer:latest",
                            "args": [uri, "/mnt/models"], "volumeMounts": mounts}],
        "containers": [{"name": "main", "image": "x", "command": ["vllm", "serve", "/mnt/models", "--port", "8000"],
                        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", "15"]}}},
                        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
                        "volumeMounts": mounts}],
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_of_this_process_is_ready_when_it_says_so_and_restarted_when_it_ends() {
    let mut machine = Machine::start().await;
    let calls: Arc<Mutex<Vec<EngineCall>>> = Arc::default();
    let launcher: EngineLauncher = Arc::new({
        let calls = Arc::clone(&calls);
        move |call: EngineCall| {
            let mut stop = call.stop.clone();
            let ready = call.ready.clone();
            call.log.line("stdout", "loading");
            calls.lock().expect("the calls").push(call);
            async move {
                let _ = stop.wait_for(|stop| *stop).await;
                drop(ready);
                0
            }
            .boxed()
        }
    });
    machine.restart(|options| options.launcher = Some(launcher)).await;
    machine.create::<Pod>(engine_pod("engine", "hf://acme/tiny")).await;
    let pod = machine.wait_pod("engine", "a start", |pod| {
        status(pod).is_some_and(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
    });
    let pod = pod.await;
    assert!(!is_ready(&pod));
    assert_eq!(machine.node().progress()[0].line, "loading");
    let host = pod.status.and_then(|status| status.pod_ip).expect("an address");
    let argv = calls.lock().expect("the calls")[0].argv.clone();
    let model = machine.data.join("pods/default/engine/.volumes/model").display().to_string();
    assert_eq!(argv, [model.as_str(), "--port", "8000", "--host", &host, "--speed", "1"]);
    calls.lock().expect("the calls")[0].ready.send_replace(true);
    machine.wait_pod("engine", "readiness", is_ready).await;
    assert!(machine.node().progress().is_empty());
    let init = machine.log("engine", "storage-initializer", false).await;
    assert!(init.starts_with("hf://acme/tiny: not downloaded"), "{init}");

    let begun = Instant::now();
    machine.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "a hook that only sleeps holds nothing up: {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_there_is_named_and_found_when_it_comes() {
    let mut machine = Machine::start().await;
    let folder = machine.data.join("my-model");
    let mut pod = engine_pod("model", &format!("file://{}", folder.display()));
    pod["spec"]["containers"][0] = json!({
        "name": "main", "image": "x", "command": ["sh", "-c", "cat /mnt/models/config.json; exec sleep 1000"],
        "volumeMounts": [{"name": "model", "mountPath": "/mnt/models"}],
    });
    machine.create::<Pod>(pod).await;
    let failed = machine.wait_pod("model", "a failure", |pod| {
        let init = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_ref());
        init.is_some_and(|statuses| {
            statuses[0].last_state.as_ref().is_some_and(|state| state.terminated.is_some())
        })
    });
    let failed = failed.await;
    let init = failed.status.and_then(|status| status.init_container_statuses).expect("statuses");
    let last = init[0].last_state.as_ref().and_then(|state| state.terminated.clone()).expect("an end");
    let message = last.message.expect("a message");
    assert!(
        message.contains(&folder.display().to_string()) && message.contains("no such directory"),
        "{message}"
    );

    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("config.json"), "{\"here\": true}\n").expect("a model");
    machine.api::<Pod>().delete("model", &DeleteParams::default()).await.expect("deleted");
    machine.wait_gone("model").await;
    let mut pod = engine_pod("model", &format!("file://{}", folder.display()));
    pod["spec"]["containers"][0] = json!({
        "name": "main", "image": "x", "command": ["sh", "-c", "cat /mnt/models/config.json; exec sleep 1000"],
        "volumeMounts": [{"name": "model", "mountPath": "/mnt/models"}],
    });
    machine.create::<Pod>(pod).await;
    machine.wait_pod("model", "readiness", is_ready).await;
    assert_eq!(machine.first_line("model").await, "{\"here\": true}");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_is_ready_without_a_process_of_its_own() {
    let mut machine = Machine::start().await;
    let pod = json!({"metadata": {"name": "picker"}, "spec": {"containers": [{
        "name": "main", "image": "x", "command": ["/app/epp", "--grpc-port", "9002"],
        "readinessProbe": {"grpc": {"port": 9003, "service": "readiness"}, "initialDelaySeconds": 30},
    }]}});
    machine.create::<Pod>(pod).await;
    machine.wait_pod("picker", "readiness", is_ready).await;
    assert!(machine.first_line("picker").await.contains("gateway of this process"));
    machine.api::<Pod>().delete("picker", &DeleteParams::default()).await.expect("deleted");
    machine.wait_gone("picker").await;
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_engine_is_called_with_the_address_of_its_pod_and_its_installation_stays_visible() {
    let mut machine = Machine::start().await;
    // A stand-in for vLLM below a directory that the pod covers with a volume of its own.
    let bin = machine.data.join("venv/bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let vllm = bin.join("vllm");
    std::fs::write(
        &vllm,
        "#!/bin/sh\ncat \"$(dirname \"$0\")/../lib\"\necho \"$@\" $VLLM_HOST_IP\nexec sleep 1000\n",
    )
    .expect("written");
    std::fs::write(machine.data.join("venv/lib"), "library ").expect("written");
    std::fs::set_permissions(&vllm, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    machine.restart(|options| options.engine = Engine::Vllm).await;
    let covered = std::fs::canonicalize(&machine.data).expect("a path");
    let mut pod = engine_pod("real", "hf://acme/tiny");
    pod["spec"]["volumes"].as_array_mut().expect("volumes").push(json!({"name": "home", "emptyDir": {}}));
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = json!([{"name": "PATH", "value": bin}]);
    container["volumeMounts"]
        .as_array_mut()
        .expect("mounts")
        .push(json!({"name": "home", "mountPath": covered}));
    container.as_object_mut().expect("a container").remove("readinessProbe");
    container.as_object_mut().expect("a container").remove("lifecycle");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    machine.create::<Pod>(pod).await;
    let pod = machine.wait_pod("real", "readiness", is_ready).await;
    let ip = pod.status.and_then(|status| status.pod_ip).expect("an address");
    let want = format!("library serve acme/tiny --port 8000 --host {ip} 127.0.0.1");
    assert_eq!(machine.first_line("real").await, want);
    machine.stop().await;
}
