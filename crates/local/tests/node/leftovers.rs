//! Nothing that was started outlives who started it.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::machine::{Machine, is_ready, status};

fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn stat(pid: i32) -> (i32, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 1..].split_whitespace().collect();
    (fields[1].parse().expect("a parent"), fields[19].parse().expect("a start"))
}

/// Waits until the process has ended; fails when it does not.
async fn ended(pid: i32) {
    let end = async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), end).await.expect("the process has ended");
}

#[tokio::test]
async fn when_the_agent_dies_its_containers_die_with_all_they_started() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = directory.path().join("spec");
    let script = "setsid sleep 1000 & echo $!; exec sleep 1001";
    let text = json!({
        "argv": ["sh", "-c", script], "env": {"PATH": std::env::var("PATH").expect("a PATH")}, "cwd": null,
        "mounts": [], "private_view": true, "keep": [], "scratch": directory.path().join("root"),
    });
    std::fs::write(&spec, text.to_string()).expect("written");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut shim = Command::new(env!("CARGO_BIN_EXE_pod_shim"))
        .arg("pod-shim")
        .arg(&spec)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shim");
    let mut line = String::new();
    let mut notices = BufReader::new(ours);
    notices.read_line(&mut line).expect("a notice");
    let notice: Value = serde_json::from_str(&line).expect("JSON");
    let main = i32::try_from(notice["started"]["pid"].as_i64().expect("a process")).expect("a process id");
    let mut output = BufReader::new(shim.stdout.take().expect("a pipe"));
    line.clear();
    output.read_line(&mut line).expect("a line");
    let grandchild: i32 = line.trim().parse().expect("a process id");
    assert!(alive(main) && alive(grandchild));
    assert!(!spec.exists(), "the file with the variables is gone");

    // What the system does for a killed agent: its end of the socket is closed.
    drop(notices);
    ended(main).await;
    ended(grandchild).await;
    shim.wait().expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_shim_is_killed_the_container_is_ended_and_started_again() {
    let mut machine = Machine::start().await;
    machine.script("orphan", "sleep 1000 & echo $! $$$$; wait", json!({})).await;
    machine.wait_pod("orphan", "readiness", is_ready).await;
    let line = machine.first_line("orphan").await;
    let pids: Vec<i32> = line.split(' ').map(|pid| pid.parse().expect("a process id")).collect();
    let (shim, _) = stat(pids[1]);
    kill_process(Pid::from_raw(shim).expect("a process id"), Signal::KILL).expect("killed");
    for pid in pids {
        ended(pid).await;
    }
    let again = machine.wait_pod("orphan", "a restart", |pod| {
        is_ready(pod) && status(pod).is_some_and(|status| status.restart_count == 1)
    });
    again.await;
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_ends_what_is_on_record_and_no_process_that_only_has_the_number() {
    let mut machine = Machine::start().await;
    machine.stop().await;
    let start = || {
        let mut command = Command::new("setsid");
        command
            .args(["sh", "-c", "sleep 1000 & wait"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process")
    };
    let (mut recorded, mut stranger) = (start(), start());
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    let (one, other) = (leads(recorded.id()).await, leads(stranger.id()).await);
    let record = |name: &str, pid: i32, start_ticks: u64| {
        let directory = machine.data.join("pods/default").join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        let identity = json!({"pid": pid, "start_ticks": start_ticks, "boot_id": boot.trim()});
        std::fs::write(directory.join("main.shim"), identity.to_string()).expect("written");
    };
    record("one", one, stat(one).1);
    record("other", other, stat(other).1 - 1);
    machine.restart(|_| ()).await;
    ended(one).await;
    assert!(alive(other), "a process with the number of an old one was killed");
    rustix::process::kill_process_group(Pid::from_raw(other).expect("an id"), Signal::KILL).expect("killed");
    for child in [&mut recorded, &mut stranger] {
        let _ = child.kill();
        child.wait().expect("an end");
    }
    machine.stop().await;
}

/// The process, once it leads a session. Read from `/proc`: where the session it was born into has its leader outside of
/// this PID namespace, `getsid` answers 0.
async fn leads(pid: u32) -> i32 {
    let pid = i32::try_from(pid).expect("an id");
    let session = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let fields = stat[stat.rfind(')').expect("a name") + 1..].split_whitespace();
        fields.into_iter().nth(3).expect("a session").parse::<i32>().expect("a number")
    };
    while session() != pid {
        tokio::task::yield_now().await;
    }
    pid
}
