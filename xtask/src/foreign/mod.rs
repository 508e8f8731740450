//! Our servers against clients that we did not write, and our operator over an engine that we did not write.
//!
//! Each check says what it needs. What can be had from a package index is installed into `target/foreign`; what cannot is
//! named, and the check fails: nothing is skipped in silence.

mod clients;
mod engine;
mod gotmpl;
mod kube_apiserver;

use std::path::PathBuf;

use anyhow::{Result, bail};

/// A check by name.
struct Check {
    name: &'static str,
    needs: &'static str,
    run: fn(&Args) -> Result<()>,
}

const CHECKS: &[Check] = &[
    Check { name: "gotmpl", needs: "go 1.24 or newer", run: |_| gotmpl::table() },
    Check {
        name: "kube-apiserver",
        needs: "go 1.25 or newer, kubectl, setpriv; builds etcd and kube-apiserver (1 GB to download, 4 minutes)",
        run: |args| kube_apiserver::run(args.recorded.as_deref()),
    },
    Check { name: "kubectl", needs: "kubectl", run: |_| clients::kubectl() },
    Check {
        name: "openai",
        needs: "python3 with venv; installs the openai client",
        run: |_| clients::openai(),
    },
    Check {
        name: "kubernetes",
        needs: "python3 with venv; installs the kubernetes client",
        run: |_| clients::kubernetes(),
    },
    Check {
        name: "vllm",
        needs: "python3 with venv, gcc, readelf, libnuma1; installs vLLM for CPUs (1 GB to download, 3 GB on disk)",
        run: |_| engine::vllm(),
    },
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these checks; all without a name
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Recorded cases whose children kube-apiserver is to take as well
    #[arg(long, value_name = "DIR")]
    recorded: Option<PathBuf>,
}

/// Runs the checks and prints a line for each; `true` if all passed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    for name in &args.names {
        if !CHECKS.iter().any(|check| check.name == name) {
            let known: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
            bail!("no check is called {name}; there are {}", known.join(", "));
        }
    }
    let mut failed = 0;
    let mut passed = 0;
    for check in
        CHECKS.iter().filter(|c| args.names.is_empty() || args.names.iter().any(|name| name == c.name))
    {
        println!("== foreign {} (needs {})", check.name, check.needs);
        let started = std::time::Instant::now();
        match (check.run)(args) {
            Ok(()) => {
                passed += 1;
                println!("ok {} in {:.1} s", check.name, started.elapsed().as_secs_f64());
            }
            Err(error) => {
                failed += 1;
                println!("FAILED {}: {error:#}", check.name);
            }
        }
    }
    println!("foreign: {passed} passed, {failed} failed");
    Ok(failed == 0)
}
