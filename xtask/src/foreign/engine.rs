//! A real vLLM under `up`: start-up, chat, streaming, its metrics in the picks, and a worker that dies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::foreign::clients::{http_get, succeed};
use crate::up::Up;
use crate::workspace;

/// Start-up takes half a minute on an idle machine with two cores, and several minutes on a busy one.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a CPU without the newest instructions needs: float32, blocks of 32 tokens, a small cache, no pinning.
const ARGS: &[&str] = &[
    "--dtype=float32",
    "--enforce-eager",
    "--block-size=32",
    "--max-model-len=512",
    "--max-num-seqs=8",
    "--num-gpu-blocks-override=65",
];
const ENV: &[(&str, &str)] = &[
    ("VLLM_CPU_KVCACHE_SPACE", "1"),
    ("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
    ("OMP_NUM_THREADS", "1"),
    ("VLLM_HOST_IP", "127.0.0.1"),
    ("HF_HUB_OFFLINE", "1"),
    ("TRANSFORMERS_OFFLINE", "1"),
    ("VLLM_NO_USAGE_STATS", "1"),
];

pub(crate) fn vllm() -> Result<()> {
    let venv = install()?;
    let dir = tempfile::tempdir()?;
    let model = dir.path().join("tiny");
    succeed(Command::new("python3").arg(script()).arg("model").arg(&model))?;
    let file = dir.path().join("service.yaml");
    std::fs::write(&file, service(&model))?;
    let data = dir.path().join("data");
    let up = Up::start(&data, &[&file], &["--engine", "vllm"], Some(&venv.join("bin")), PATIENCE)?;

    let answer = chat(&up.endpoint, false)?;
    let answer: serde_json::Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    ensure!(answer["usage"]["completion_tokens"].as_u64() > Some(0), "no completion: {answer}");
    let streamed = chat(&up.endpoint, true)?;
    let chunks = streamed.lines().filter(|line| line.starts_with("data: {")).count();
    ensure!(chunks > 2 && streamed.trim_end().ends_with("data: [DONE]"), "not a stream:\n{streamed}");

    // The engine's own counters must have seen what the gateway sent.
    let metrics = http_get(&format!("{}/default/tiny/metrics", up.endpoint))?;
    ensure!(
        metrics.contains("vllm:request_success_total"),
        "no metrics of vLLM through the gateway:\n{metrics}"
    );

    kill_worker_and_wait(&up)?;
    Ok(())
}

/// The engine notices the death of its worker and ends with exit code 0, which is no success.
fn kill_worker_and_wait(up: &Up) -> Result<()> {
    let worker = descendants(up.id())?
        .into_iter()
        .find(|(_, name)| name.contains("EngineCore"))
        .context("no EngineCore process below up")?;
    succeed(Command::new("kill").args(["-KILL", &worker.0.to_string()]))?;
    let started = Instant::now();
    let mut failed_once = false;
    while started.elapsed() < PATIENCE {
        match chat(&up.endpoint, false) {
            Ok(_) if failed_once => return Ok(()),
            Ok(_) => {}
            Err(_) => failed_once = true,
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    bail!("the engine did not come back within {} s (it was seen to fail: {failed_once})", PATIENCE.as_secs())
}

fn chat(endpoint: &str, stream: bool) -> Result<String> {
    let body = format!(
        r#"{{"model":"tiny","messages":[{{"role":"user","content":"Hello"}}],"max_tokens":8,"ignore_eos":true,"stream":{stream}}}"#
    );
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "120", "--no-buffer"])
        .args(["-H", "Content-Type: application/json", "-d", &body])
        .arg(format!("{endpoint}/v1/chat/completions"))
        .output()
        .context("curl")?;
    ensure!(output.status.success(), "chat: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Process ids and names of everything below `root`.
fn descendants(root: u32) -> Result<Vec<(u32, String)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1))
            .and_then(|p| p.parse().ok());
        let command =
            std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default().replace('\0', " ");
        all.push((id, parent.unwrap_or(0), format!("{stat} {command}")));
    }
    let mut below = vec![root];
    let mut found = Vec::new();
    while let Some(parent) = below.pop() {
        for (id, _, name) in all.iter().filter(|(_, p, _)| *p == parent) {
            below.push(*id);
            found.push((*id, name.clone()));
        }
    }
    Ok(found)
}

fn install() -> Result<PathBuf> {
    let venv = workspace::root().join("target/foreign/vllm");
    succeed(Command::new("python3").arg(script()).arg("install").arg(&venv))?;
    Ok(venv)
}

fn script() -> PathBuf {
    workspace::root().join("xtask/foreign/vllm/engine.py")
}

fn service(model: &Path) -> String {
    let args: String = ARGS.iter().map(|arg| format!("      - {arg}\n")).collect();
    let env: String =
        ENV.iter().map(|(k, v)| format!("      - name: {k}\n        value: \"{v}\"\n")).collect();
    format!(
        "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: tiny\nspec:\n  model:\n    \
         uri: file://{}\n    name: tiny\n  template:\n    containers:\n    - name: main\n      args:\n{args}      env:\n{env}  \
         router:\n    route: {{}}\n    gateway: {{}}\n    scheduler: {{}}\n",
        model.display()
    )
}
