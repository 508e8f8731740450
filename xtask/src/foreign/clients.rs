//! kubectl and the Python clients against `up`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::up::Up;
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "qwen2-7b";
const MODEL: &str = "Qwen/Qwen2-7B-Instruct";

fn example() -> PathBuf {
    workspace::root().join("examples/qwen2-7b.yaml")
}

/// The openai client chats and streams through the gateway.
pub(crate) fn openai() -> Result<()> {
    let python = python()?;
    let dir = tempfile::tempdir()?;
    let up = Up::start(dir.path(), &[&example()], &["--engine", "sim", "--speed", "20"], None, PATIENCE)?;
    let base_url = format!("{}/v1", up.endpoint);
    succeed(Command::new(python).arg(script("openai_client.py")).args([&base_url, MODEL]))
}

/// The kubernetes client watches and changes the service.
pub(crate) fn kubernetes() -> Result<()> {
    let python = python()?;
    let dir = tempfile::tempdir()?;
    let up = Up::start(dir.path(), &[&example()], &["--engine", "sim"], None, PATIENCE)?;
    succeed(
        Command::new(python).arg(script("kubernetes_client.py")).arg(&up.kubeconfig).args(["default", NAME]),
    )
}

/// kubectl does to the local cluster what it does to any other.
pub(crate) fn kubectl() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let up = Up::start(dir.path(), &[&example()], &["--engine", "sim"], None, PATIENCE)?;
    let run = |args: &[&str], input: Option<&str>| kubectl_says(&up.kubeconfig, args, input);

    let table = run(&["get", "llmisvc"], None)?;
    for column in ["NAME", "URL", "READY", "REASON", "AGE", NAME, "True"] {
        ensure!(table.contains(column), "get llmisvc lacks {column}:\n{table}");
    }
    let explained = run(&["explain", "llmisvc.spec.model"], None)?;
    ensure!(explained.contains("uri"), "explain lacks the field:\n{explained}");
    let described = run(&["describe", "llmisvc", NAME], None)?;
    ensure!(
        described.contains("Conditions") && described.contains("Created v1.Deployment"),
        "describe is short:\n{described}"
    );

    let second = "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: second\nspec:\n  \
                  model:\n    uri: hf://acme/tiny\n    name: acme/second\n  router:\n    route: {}\n    gateway: {}\n    scheduler: {}\n";
    let applied = run(&["apply", "-f", "-"], Some(second))?;
    ensure!(applied.contains("created"), "{applied}");
    ensure!(
        run(&["apply", "-f", "-"], Some(second))?.contains("unchanged"),
        "a second apply changed something"
    );
    run(&["wait", "llmisvc/second", "--for=condition=Ready", "--timeout=30s"], None)?;
    let names = http_get(&format!("{}/v1/models", up.endpoint))?;
    ensure!(names.contains("acme/second") && names.contains(MODEL), "both models are to be listed:\n{names}");

    let third = second.replace("second", "third");
    run(&["apply", "--server-side", "-f", "-"], Some(&third))?;
    run(&["wait", "llmisvc/third", "--for=condition=Ready", "--timeout=30s"], None)?;
    // `edit` with an editor that changes one word, as a person would.
    edit(&up.kubeconfig, "third", "s,acme/third,acme/edited,")?;
    let edited = run(&["get", "llmisvc", "third", "-o", "jsonpath={.spec.model.name}"], None)?;
    ensure!(edited == "acme/edited", "edit left {edited}");

    let pods = run(&["get", "pods", "-l", &format!("app.kubernetes.io/name={NAME}"), "-o", "name"], None)?;
    let pod = pods.lines().next().context("no pod")?.to_owned();
    ensure!(!run(&["logs", &pod, "-c", "main"], None)?.is_empty(), "no log of {pod}");
    watch_sees_a_change(&up.kubeconfig)?;
    ensure!(run(&["delete", "llmisvc", "second", "third"], None)?.contains("deleted"), "not deleted");
    let left = run(&["get", "deployments", "-o", "name"], None)?;
    ensure!(!left.contains("second"), "children of a deleted service are left:\n{left}");
    Ok(())
}

fn edit(kubeconfig: &Path, name: &str, expression: &str) -> Result<()> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig).args(["edit", "llmisvc", name]);
    succeed(command.env("KUBE_EDITOR", format!("sed -i {expression}")))
}

/// `get -w` prints the row again when the object changes; `logs -f` is followed by its own story test.
fn watch_sees_a_change(kubeconfig: &Path) -> Result<()> {
    use std::io::{BufRead, BufReader};
    let mut watch = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["get", "llmisvc", NAME, "-w", "--request-timeout=30s", "-L", "touched"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut rows = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let head = rows.next().context("no table")??;
    ensure!(head.contains("TOUCHED"), "{head}");
    rows.next().context("no first row")??;
    kubectl_says(kubeconfig, &["label", "llmisvc", NAME, "touched=yes"], None)?;
    let changed = rows.map_while(Result::ok).any(|row| row.contains("yes"));
    let _ = watch.kill();
    let _ = watch.wait();
    ensure!(changed, "get -w did not show the new label");
    Ok(())
}

fn kubectl_says(kubeconfig: &Path, args: &[&str], input: Option<&str>) -> Result<String> {
    use std::io::Write;
    let mut process = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(args)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl is not on the PATH")?;
    if let (Some(text), Some(mut stdin)) = (input, process.stdin.take()) {
        stdin.write_all(text.as_bytes())?;
    }
    let output = process.wait_with_output()?;
    if !output.status.success() {
        bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The interpreter of a virtual environment with the clients.
fn python() -> Result<PathBuf> {
    let venv = workspace::root().join("target/foreign/clients");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(script("requirements.txt"))?;
    if std::fs::read_to_string(venv.join("complete")).is_ok_and(|complete| complete == wanted) {
        return Ok(python);
    }
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    succeed(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(script("requirements.txt")),
    )?;
    std::fs::write(venv.join("complete"), wanted)?;
    Ok(python)
}

fn script(name: &str) -> PathBuf {
    workspace::root().join("xtask/foreign/clients").join(name)
}

/// The body of a GET.
pub(crate) fn http_get(url: &str) -> Result<String> {
    let output =
        Command::new("curl").args(["--silent", "--show-error", "--fail", url]).output().context("curl")?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end; an exit code other than 0 is an error.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
