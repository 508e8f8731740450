//! The tests and checks that need Rust alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Formatting, lints, purity of the decision crates, every test.
pub(crate) fn test() -> Result<bool> {
    let steps: &[(&str, &[&str])] = &[
        ("formatting", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
        ("tests", &["test", "--workspace"]),
    ];
    for (name, args) in steps {
        println!("== {name}: cargo {}", args.join(" "));
        if !cargo(args)? {
            println!("== {name} failed");
            return Ok(false);
        }
    }
    crate::purity::check()
}

/// Runs cargo with its output shown.
pub(crate) fn cargo(args: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(args).current_dir(root()).status().context("cannot start cargo")?;
    Ok(status.success())
}
