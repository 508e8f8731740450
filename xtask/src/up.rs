//! `llmisvc up` as a user starts it: the built binary, a folder of its own, ports that the system gives.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A running `up`. It is interrupted and awaited when dropped, so that nothing stays behind.
pub(crate) struct Up {
    process: Child,
    /// Address of the gateway, `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    /// The kubeconfig that it wrote.
    pub(crate) kubeconfig: PathBuf,
    /// Time from its start until all services were Ready, as it measured it.
    pub(crate) ready_ms: f64,
}

impl Up {
    /// Builds the binary if needed, starts it on `inputs`, and waits until all services are Ready.
    pub(crate) fn start(
        data_dir: &Path,
        inputs: &[&Path],
        more: &[&str],
        path_first: Option<&Path>,
        patience: Duration,
    ) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("up").args(inputs).args(["--listen", "127.0.0.1:0", "--output", "json", "--data-dir"]);
        command.arg(data_dir).args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        if let Some(first) = path_first {
            let rest = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(first.to_owned()).chain(std::env::split_paths(&rest));
            command.env("PATH", std::env::join_paths(all)?);
        }
        let mut process = command.spawn().context("llmisvc up")?;
        let lines = lines_of(process.stdout.take().context("no output")?);
        let mut up =
            Self { process, endpoint: String::new(), kubeconfig: data_dir.join("kubeconfig"), ready_ms: 0.0 };
        let deadline = std::time::Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let line = match lines.recv_timeout(left) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("not Ready within {} s", patience.as_secs()),
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("up ended: {}", up.process.wait()?),
            };
            let event: serde_json::Value =
                serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
            if event["step"] == "serving" {
                up.ready_ms = event["at_ms"].as_f64().unwrap_or(f64::NAN);
                up.endpoint = event["endpoint"].as_str().context("no endpoint")?.to_owned();
                return Ok(up);
            }
        }
    }

    /// The process id of `up`.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ctrl-C, and the exit code.
    pub(crate) fn interrupt(&mut self) -> Result<i32> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-INT", &id]).status()?;
        Ok(self.process.wait()?.code().unwrap_or(-1))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.interrupt();
        }
    }
}

/// The release build, made if needed.
pub(crate) fn binary() -> Result<PathBuf> {
    if !workspace::cargo(&["build", "--quiet", "--release", "--package", "llmisvc"])? {
        bail!("the binary does not build");
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace::root().join("target"), PathBuf::from);
    Ok(target.join("release/llmisvc"))
}

fn lines_of(output: std::process::ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
