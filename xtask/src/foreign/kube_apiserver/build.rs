//! etcd and kube-apiserver, built from their published Go modules into `target/foreign/kube-apiserver`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// The oldest Go that builds them.
const GO: (u32, u32) = (1, 25);
/// What Kubernetes is called in the list of modules.
const KUBERNETES: &str = "k8s.io/kubernetes ";

/// The programs, ready to run.
pub(super) struct Programs {
    pub(super) etcd: PathBuf,
    pub(super) kube_apiserver: PathBuf,
}

/// Builds what is not there yet. A change of the list of modules builds both again.
pub(super) fn programs() -> Result<Programs> {
    let modules = workspace::root().join("xtask/foreign/kube-apiserver");
    let folder = workspace::root().join("target/foreign/kube-apiserver");
    let programs = Programs { etcd: folder.join("etcd"), kube_apiserver: folder.join("kube-apiserver") };
    let read = |name: &str| {
        let path = modules.join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let (list, sums) = (read("go.mod")?, read("go.sum")?);
    let wanted = format!("{list}{sums}");
    let complete = folder.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|built| built == wanted) {
        return Ok(programs);
    }
    check_go()?;
    std::fs::create_dir_all(&folder)?;
    println!("building etcd and kube-apiserver in {}; this takes minutes, once", folder.display());
    build(&modules, &programs.etcd, "go.etcd.io/etcd/server/v3", "")?;
    let flags = version_flags(&list)?;
    build(&modules, &programs.kube_apiserver, "k8s.io/kubernetes/cmd/kube-apiserver", &flags)?;
    std::fs::write(complete, wanted)?;
    Ok(programs)
}

fn check_go() -> Result<()> {
    let wanted = format!("{}.{}", GO.0, GO.1);
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .output()
        .with_context(|| format!("cannot start go; install Go {wanted} or newer"))?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut parts = found.trim_start_matches("go").split(['.', '-', 'r', 'b']).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= GO => Ok(()),
        _ => bail!("Go {wanted} or newer is needed, and this is {found:?}"),
    }
}

fn build(modules: &Path, program: &Path, package: &str, flags: &str) -> Result<()> {
    let status = Command::new("go")
        .args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
        .arg(format!("-s -w {flags}"))
        .arg("-o")
        .arg(program)
        .arg(package)
        .current_dir(modules)
        .env("CGO_ENABLED", "0")
        .status()
        .context("cannot start go")?;
    ensure!(
        status.success(),
        "go build {package}: {status}; it needs the Go module proxy, or a filled module cache"
    );
    Ok(())
}

/// A published module does not know its own version, and clients look at it.
fn version_flags(list: &str) -> Result<String> {
    let version = list
        .lines()
        .find_map(|line| line.trim().strip_prefix(KUBERNETES)?.split(' ').next())
        .context("go.mod does not say which Kubernetes")?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    Ok(format!(
        "-X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    ))
}
