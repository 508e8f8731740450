//! A real kube-apiserver as judge of our definitions, of our API server, and of the children that we plan.

mod build;
mod children;
mod definitions;
mod process;
mod verdicts;

use std::path::Path;

use anyhow::{Result, bail, ensure};

use process::KubeApiServer;

/// Findings that are printed; the rest is counted.
const SHOWN: usize = 200;

/// The whole check; with the recorded cases if their folder is given.
pub(super) fn run(recordings: Option<&Path>) -> Result<()> {
    if let Some(folder) = recordings {
        ensure!(folder.join("render").is_dir(), "{}: no folder of recorded cases", folder.display());
    }
    let programs = build::programs()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = KubeApiServer::start(&programs).await?;
        let mut real = server.judge().await?;
        definitions::install(&server.kubeconfig)?;
        let mut findings = verdicts::installed(&mut real).await?;
        findings.extend(children::own(&mut real).await?);
        definitions::spell_out(&mut real).await?;
        findings.extend(verdicts::full(&mut real).await?);
        if let Some(folder) = recordings {
            // One that knows no definition yet.
            let server = KubeApiServer::start(&programs).await?;
            findings.extend(children::recorded(&mut server.judge().await?, folder).await?);
        }
        report(&findings)
    })
}

fn report(findings: &[String]) -> Result<()> {
    for finding in findings.iter().take(SHOWN) {
        println!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}
