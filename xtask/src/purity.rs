//! The arrows between crates, checked from what cargo resolves.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Decisions and words: no runtime, no sockets.
const PURE: &[&str] = &["yaml", "api", "kinds", "patch", "gotmpl", "compose", "plan", "wire", "sched"];
/// The data plane never sees Kubernetes types.
const DATA_PLANE: &[&str] = &["wire", "sched", "relay", "sim"];

/// Prints each broken arrow; `true` if none is.
pub(crate) fn check() -> Result<bool> {
    println!("== purity: cargo tree of {} crates", PURE.len() + DATA_PLANE.len());
    let mut broken = Vec::new();
    for (crates, forbidden) in [(PURE, ["tokio", "hyper"]), (DATA_PLANE, ["kube", "k8s-openapi"])] {
        for package in crates {
            for dependency in dependencies(package)? {
                if forbidden.contains(&dependency.as_str()) {
                    broken.push(format!("{package} depends on {dependency}"));
                }
            }
        }
    }
    for line in &broken {
        println!("purity: {line}");
    }
    Ok(broken.is_empty())
}

/// Names of all crates that `package` is built from, itself included.
fn dependencies(package: &str) -> Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(crate::workspace::root())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo tree --package {package}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}
