//! The one binary: parses, calls, prints. Decisions are in the crates below.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod args;
mod changes;
mod check;
mod crds;
mod inputs;
mod problem;
mod render;
mod services;
mod sidecar;
mod signals;
mod sim_engine;
mod up;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::problem::{Failure, say};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes are part of the interface: scripts hold on to them.
const RAN_AND_FAILED: u8 = 1;
const INPUT_AT_FAULT: u8 = 2;
const INTERRUPTED: u8 = 130;

/// How a command that was not refused ended.
enum Ended {
    Done,
    Interrupted,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Command::Up(up) => logged("warn").and_then(|()| up::run(&up)),
        Command::Render(render) => render::run(&render).map(|()| Ended::Done),
        Command::Crds(crds) => crds::run(&crds).map(|()| Ended::Done),
        Command::Sim(passed) => {
            logged("info").and_then(|()| sim_engine::run(passed.args)).map(|()| Ended::Done)
        }
        Command::Sidecar(passed) => {
            logged("info").and_then(|()| sidecar::run(&passed.args)).map(|()| Ended::Done)
        }
        Command::PodShim(passed) => return local::node::shim::main(&passed.args),
    };
    match outcome {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(Failure::Input(problems)) => {
            for problem in problems {
                say(&problem.text());
            }
            ExitCode::from(INPUT_AT_FAULT)
        }
        Err(Failure::Run(error)) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(RAN_AND_FAILED)
        }
    }
}

/// Logs go to stderr; `LLMISVC_LOG` says how much (`info`, `operator=debug`…).
fn logged(default: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("LLMISVC_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    Ok(())
}
