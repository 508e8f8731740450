//! Our templates against Go's own text/template: the committed lines are what Go says today.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Renders the table with Go and compares with what the test of `gotmpl` expects.
pub(super) fn table() -> Result<()> {
    let tests = crate::workspace::root().join("crates/gotmpl/tests");
    let output = Command::new("go")
        .args(["run", ".", "../templates.txt"])
        .current_dir(tests.join("go"))
        .output()
        .context("cannot start go")?;
    if !output.status.success() {
        bail!("go run: {}", String::from_utf8_lossy(&output.stderr));
    }
    let expected = std::fs::read_to_string(tests.join("go.jsonl"))?;
    let go = String::from_utf8_lossy(&output.stdout);
    let differing: Vec<&str> =
        go.lines().filter(|line| !expected.lines().any(|known| known == *line)).take(5).collect();
    if !differing.is_empty() || go.lines().count() != expected.lines().count() {
        bail!("Go says something else than go.jsonl: {}", differing.join("\n"));
    }
    Ok(())
}
