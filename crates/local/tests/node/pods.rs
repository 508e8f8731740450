//! What happens to one pod.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use super::machine::{Machine, condition, exit_code, is_ready, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_its_command_and_ends_with_its_exit_code() {
    let mut machine = Machine::start().await;
    machine.script("job", "echo one; echo two >&2; exit 3", json!({"restartPolicy": "Never"})).await;
    let pod = machine.wait_pod("job", "an end", |pod| exit_code(pod).is_some()).await;
    assert_eq!(exit_code(&pod), Some(3));
    let state = status(&pod).and_then(|status| status.state.clone()).and_then(|state| state.terminated);
    let state = state.expect("an end");
    assert_eq!(state.reason.as_deref(), Some("Error"));
    assert!(state.message.is_some_and(|message| message == "one" || message == "two"));
    let pod = machine.wait_pod("job", "Failed", |pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed")
    });
    pod.await;
    let log = machine.log("job", "main", false).await;
    assert!(log.contains("one\n") && log.contains("two\n"), "{log}");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_come_from_values_fields_maps_and_secrets() {
    let mut machine = Machine::start().await;
    machine.config_map("settings", json!({"level": "debug", "A": "from-map"})).await;
    machine.secret("keys", json!({"token": "s3cret"})).await;
    let container = json!({
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}],
        "env": [
            {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "x", "optional": true}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "BOTH", "value": "$(LEVEL)-$(TOKEN)-$$(LEVEL)-$(NONE)"},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        "resources": {"limits": {"cpu": "1500m"}},
        "command": ["sh", "-c", "echo $P_A $0 $1 $POD $IP $CPU ${GONE-unset}; pwd", "$(BOTH)", "$(UNKNOWN)"],
        "workingDir": "/usr",
    });
    machine.script("env", "", json!({"restartPolicy": "Never", "container": container})).await;
    let pod = machine.wait_pod("env", "an end", |pod| exit_code(pod).is_some()).await;
    let ip = pod.status.and_then(|status| status.pod_ip).expect("an address");
    assert!(ip.starts_with("127."), "{ip}");
    let log = machine.log("env", "main", false).await;
    assert_eq!(log, format!("from-map debug-s3cret-$(LEVEL)-$(NONE) $(UNKNOWN) env {ip} 1500 unset\n/usr\n"));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_where_the_container_expects_them_and_nowhere_else() {
    let mut machine = Machine::start().await;
    machine.config_map("files", json!({"a.txt": "alpha", "b.txt": "beta"})).await;
    machine.secret("keys", json!({"token": "s3cret"})).await;
    let claim = machine.data.join("volumes/default/models/tiny");
    std::fs::create_dir_all(&claim).expect("a claim");
    std::fs::write(claim.join("config.json"), "{}").expect("a model");
    let script = "cat /llmisvc-test/files/a.txt /llmisvc-test/one.txt /llmisvc-test/all/token /llmisvc-test/all/name && \
                  ls /mnt/models && echo x > /tmp/note && echo y > /llmisvc-test/data/sub/f && \
                  (echo z > /mnt/models/no) 2>/dev/null; echo; test -e /etc/passwd && echo host";
    let extra = json!({
        "restartPolicy": "Never",
        "volumes": [
            {"name": "files", "configMap": {"name": "files"}},
            {"name": "all", "projected": {"sources": [
                {"secret": {"name": "keys"}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ]}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "data", "emptyDir": {"medium": "Memory"}},
            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": true}},
        ],
        "container": {"volumeMounts": [
            {"name": "files", "mountPath": "/llmisvc-test/files"},
            {"name": "files", "mountPath": "/llmisvc-test/one.txt", "subPath": "b.txt"},
            {"name": "all", "mountPath": "/llmisvc-test/all"},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "data", "mountPath": "/llmisvc-test/data/sub", "subPath": "inner"},
            {"name": "models", "mountPath": "/mnt/models", "subPath": "tiny", "readOnly": true},
        ]},
    });
    machine.script("volumes", script, extra).await;
    machine.wait_pod("volumes", "an end", |pod| exit_code(pod).is_some()).await;
    let log = machine.log("volumes", "main", false).await;
    assert_eq!(log, "alphabetas3cretvolumesconfig.json\n\nhost\n");
    assert!(machine.node().view().is_some());
    assert!(!std::path::Path::new("/llmisvc-test").exists(), "the machine itself is as before");
    assert!(!claim.join("no").exists(), "a volume that is mounted to be read cannot be written");
    let volumes = machine.data.join("pods/default/volumes/.volumes");
    assert_eq!(std::fs::read_to_string(volumes.join("tmp/note")).expect("a note"), "x\n");
    assert_eq!(std::fs::read_to_string(volumes.join("data/inner/f")).expect("a file"), "y\n");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_lies_in_tmp_itself_is_not_hidden_by_a_volume_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut machine = Machine::start().await;
    // A copy: of a script the interpreter would be the program.
    let program = tempfile::Builder::new().prefix("llmisvc-test-").tempfile_in("/tmp").expect("a file");
    std::fs::copy("/bin/sh", program.path()).expect("a copy");
    std::fs::set_permissions(program.path(), std::fs::Permissions::from_mode(0o755)).expect("a program");
    let program = program.into_temp_path();
    let extra = json!({
        "restartPolicy": "Never",
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "container": {
            "command": [program.to_str(), "-c", "ls /tmp | grep -v llmisvc-test-; echo here"],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        },
    });
    machine.script("tmp", "", extra).await;
    let pod = machine.wait_pod("tmp", "an end", |pod| exit_code(pod).is_some()).await;
    assert_eq!(exit_code(&pod), Some(0), "{}", machine.log("tmp", "main", false).await);
    assert_eq!(
        machine.log("tmp", "main", false).await,
        "here\n",
        "nothing else of the machine's /tmp is shown"
    );
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mount_namespace_a_container_finds_its_volumes_by_rewritten_paths() {
    let mut machine = Machine::start().await;
    machine.restart(|options| options.private_view = false).await;
    machine.config_map("files", json!({"a.txt": "alpha"})).await;
    let extra = json!({
        "restartPolicy": "Never",
        "volumes": [{"name": "files", "configMap": {"name": "files"}}, {"name": "work", "emptyDir": {}}],
        "container": {
            "command": ["sh", "-c", "cat /llmisvc-test/files/a.txt; pwd; echo $WORK; echo x > $WORK/note"],
            "env": [{"name": "WORK", "value": "/llmisvc-test/work"}],
            "workingDir": "/llmisvc-test/work",
            "volumeMounts": [
                {"name": "files", "mountPath": "/llmisvc-test/files"},
                {"name": "work", "mountPath": "/llmisvc-test/work"},
            ],
        },
    });
    machine.script("rewritten", "", extra).await;
    let pod = machine.wait_pod("rewritten", "an end", |pod| exit_code(pod).is_some()).await;
    let log = machine.log("rewritten", "main", false).await;
    assert_eq!(exit_code(&pod), Some(0), "{log}");
    let work = machine.data.join("pods/default/rewritten/.volumes/work");
    assert_eq!(log, format!("alpha{0}\n{0}\n", work.display()));
    assert_eq!(std::fs::read_to_string(work.join("note")).expect("a note"), "x\n");
    assert_eq!(machine.node().view(), Some(local::node::View::Rewritten));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_in_order_before_the_others() {
    let mut machine = Machine::start().await;
    let mounts = json!([{"name": "work", "mountPath": "/llmisvc-work"}]);
    let init = |name: &str, script: &str| json!({"name": name, "image": "x", "command": ["sh", "-c", script], "volumeMounts": mounts});
    let extra = json!({
        "volumes": [{"name": "work", "emptyDir": {}}],
        "initContainers": [init("one", "echo 1 >> /llmisvc-work/order"), init("two", "echo 2 >> /llmisvc-work/order")],
        "container": {"volumeMounts": mounts},
    });
    machine.script("init", "tr -d '\\n' < /llmisvc-work/order; echo; exec sleep 60", extra).await;
    let pod = machine.wait_pod("init", "readiness", is_ready).await;
    assert_eq!(condition(&pod, "Initialized"), Some("True"));
    assert_eq!(machine.first_line("init").await, "12");
    machine.api::<Pod>().delete("init", &DeleteParams::default()).await.expect("deleted");
    machine.wait_gone("init").await;
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_seen_at_once_and_started_again_at_once() {
    let mut machine = Machine::start().await;
    machine.script("loop", "echo $$$$; exec sleep 1000", json!({})).await;
    machine.wait_pod("loop", "readiness", is_ready).await;
    let pid: i32 = machine.first_line("loop").await.parse().expect("a process id");
    let killed = Instant::now();
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    let pod = machine.wait_pod("loop", "a restart", |pod| {
        is_ready(pod) && status(pod).is_some_and(|status| status.restart_count == 1)
    });
    let pod = pod.await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    let last = status(&pod).and_then(|status| status.last_state.clone()).and_then(|state| state.terminated);
    assert_eq!(last.map(|last| (last.exit_code, last.signal)), Some((137, Some(9))));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_keeps_failing_waits_in_back_off_even_when_it_exits_with_zero() {
    let mut machine = Machine::start().await;
    machine.script("crash", "echo worker died; exit 0", json!({})).await;
    let pod = machine.wait_pod("crash", "a back-off", |pod| {
        let waiting =
            status(pod).and_then(|status| status.state.as_ref()).and_then(|state| state.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
    });
    let pod = pod.await;
    let status = status(&pod).expect("a status");
    assert_eq!(status.restart_count, 1);
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).expect("an end");
    assert_eq!(last.message.as_deref(), Some("worker died"));
    assert_eq!(condition(&pod, "Ready"), Some("False"));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_ends_with_sigterm_and_is_gone_with_its_data() {
    let mut machine = Machine::start().await;
    machine
        .script(
            "end",
            "trap 'echo bye > /tmp/x; exit 0' TERM; echo up; while :; do sleep 0.02; done",
            json!({}),
        )
        .await;
    machine.wait_pod("end", "readiness", is_ready).await;
    let begun = Instant::now();
    machine.api::<Pod>().delete("end", &DeleteParams::default()).await.expect("deleted");
    machine.wait_gone("end").await;
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    machine.stop().await;
    assert!(!machine.data.join("pods/default/end").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ignores_sigterm_is_killed_when_its_grace_ends_with_all_it_started() {
    let mut machine = Machine::start().await;
    machine
        .script(
            "deaf",
            "trap '' TERM; setsid sleep 977 & echo $!; sleep 978",
            json!({"terminationGracePeriodSeconds": 1}),
        )
        .await;
    machine.wait_pod("deaf", "readiness", is_ready).await;
    let grandchild: i32 = machine.first_line("deaf").await.parse().expect("a process id");
    let begun = Instant::now();
    machine.api::<Pod>().delete("deaf", &DeleteParams::default()).await.expect("deleted");
    machine.wait_gone("deaf").await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(!alive(grandchild), "a grandchild in a session of its own has survived");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_and_an_unknown_program_are_named_in_the_status() {
    let mut machine = Machine::start().await;
    let env = json!({"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "late", "key": "t"}}}]});
    machine.script("late", "echo $T; sleep 100", json!({"container": env})).await;
    let message = |pod: &Pod| {
        let waiting = status(pod)?.state.as_ref()?.waiting.clone()?;
        Some((waiting.reason?, waiting.message?))
    };
    let pod = machine.wait_pod("late", "a reason", |pod| message(pod).is_some()).await;
    assert_eq!(
        message(&pod),
        Some(("CreateContainerConfigError".into(), "secret \"late\" not found".into()))
    );
    machine.secret("late", json!({"t": "now"})).await;
    machine.wait_pod("late", "readiness", is_ready).await;

    let container = json!({"command": ["llmisvc-no-such-program"]});
    machine.script("unknown", "", json!({"container": container})).await;
    let pod = machine.wait_pod("unknown", "a reason", |pod| message(pod).is_some()).await;
    let (reason, text) = message(&pod).expect("a message");
    assert_eq!(reason, "ProgramNotFound");
    assert!(text.contains("llmisvc-no-such-program"), "{text}");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_runs_the_same_pods_again_at_the_same_address() {
    let mut machine = Machine::start().await;
    machine.script("stay", "echo $$$$; exec sleep 1000", json!({})).await;
    let before = machine.wait_pod("stay", "readiness", is_ready).await;
    machine.restart(|_| ()).await;
    let after = machine.wait_pod("stay", "readiness again", |pod| {
        is_ready(pod) && status(pod).is_some_and(|status| status.restart_count > 0)
    });
    let after = after.await;
    assert_eq!(before.metadata.uid, after.metadata.uid);
    let ip = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    assert_eq!(ip(&before), ip(&after));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_life_of_a_pod() {
    let mut machine = Machine::start().await;
    machine.script("told", "sleep 1000", json!({})).await;
    machine.wait_pod("told", "readiness", is_ready).await;
    machine.wait::<Event>("Started", |event| event.reason.as_deref() == Some("Started")).await;
    let events = machine.api::<Event>().list(&ListParams::default()).await.expect("events");
    let scheduled =
        events.items.iter().find(|event| event.reason.as_deref() == Some("Scheduled")).expect("scheduled");
    assert_eq!(scheduled.message.as_deref(), Some("Successfully assigned default/told to llmisvc-local"));
    assert_eq!(scheduled.involved_object.name.as_deref(), Some("told"));
    machine.stop().await;
}

fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
