//! CustomResourceDefinitions on the real server: installed as a user installs them, then with every field spelled out.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::crd::{Edition, crds};
use serde_json::{Value, json};

use crate::verdicts::{Judge, NAMESPACE};

/// A definition is served within a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// What `llmisvc crds` prints, and the definitions of foreign kinds, with a plain `kubectl apply`.
pub(super) fn install(kubeconfig: &Path) -> Result<()> {
    let printed = Command::new(crate::up::binary()?).arg("crds").output().context("llmisvc crds")?;
    ensure!(printed.status.success(), "llmisvc crds: {}", String::from_utf8_lossy(&printed.stderr));
    let ours = String::from_utf8(printed.stdout)?;
    let foreign = yaml::write_documents(&kinds::crds());
    for text in [&ours, &foreign] {
        kubectl(kubeconfig, &["apply", "-f", "-"], text)?;
    }
    let again = kubectl(kubeconfig, &["apply", "-f", "-"], &ours)?;
    ensure!(
        again.lines().all(|line| line.ends_with("unchanged")),
        "a second apply of the definitions changes them:\n{again}"
    );
    kubectl(kubeconfig, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "")?;
    let listed: Value = serde_json::from_str(&kubectl(kubeconfig, &["get", "crd", "-o", "json"], "")?)?;
    let installed = listed["items"].as_array().context("no list")?;
    let wanted = crds(Edition::Installed, None).len() + kinds::crds().len();
    ensure!(installed.len() == wanted, "{} definitions, and {wanted} were applied", installed.len());
    for definition in installed {
        for condition in definition["status"]["conditions"].as_array().into_iter().flatten() {
            let is_complaint = match condition["type"].as_str() {
                Some("Established" | "NamesAccepted") => condition["status"] != "True",
                // Nobody approved our narrow copies of Kubernetes' own groups, as they say themselves.
                Some("KubernetesAPIApprovalPolicyConformant") => false,
                _ => condition["status"] == "True",
            };
            ensure!(!is_complaint, "{}: {condition}", definition["metadata"]["name"]);
        }
    }
    println!("{wanted} definitions are installed by kubectl apply and established");
    Ok(())
}

/// Replaces ours by those that say everything, and waits until the server goes by them.
pub(super) async fn spell_out(real: &mut Judge) -> Result<()> {
    for definition in crds(Edition::Full, None) {
        real.put(&definition).await?;
    }
    for kind in ["LLMInferenceService", "LLMInferenceServiceConfig"] {
        let probe = json!({
            "apiVersion": "serving.kserve.io/v1alpha2", "kind": kind,
            "metadata": {"name": "probe", "namespace": NAMESPACE},
            // The installed edition leaves the inside of probes to the webhook.
            "spec": {"template": {"containers": [{"name": "main", "livenessProbe": {"periodSeconds": "often"}}]}},
        });
        let path = format!("{}?dryRun=All", real.collection(&probe).await?);
        let deadline = Instant::now() + PATIENCE;
        while real.ask("POST", &path, "application/json", &probe).await?.code != 422 {
            ensure!(Instant::now() < deadline, "the server does not go by the full definition of {kind}");
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn kubectl(kubeconfig: &Path, args: &[&str], input: &str) -> Result<String> {
    let mut process = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl is not on the PATH")?;
    process.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    let output = process.wait_with_output()?;
    ensure!(
        output.status.success(),
        "kubectl {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
