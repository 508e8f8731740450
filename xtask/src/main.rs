//! Tasks of the project, run as `cargo xtask TASK`.
//!
//! `test` needs Rust alone; `golden` needs a folder of recorded behaviour; `foreign` needs programs of others and says
//! which. None of them changes a file of the tree except `generate`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the terminal")]

mod bench;
mod foreign;
mod fuzz;
mod golden;
mod purity;
mod strict;
mod up;
mod verdicts;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the project")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every test and check that needs Rust alone
    Test,
    /// The shipped code against recorded behaviour of the original programs
    Golden(golden::Args),
    /// Clients and engines of others against the shipped binary
    Foreign(foreign::Args),
    /// Random inputs for what reads what strangers send
    Fuzz(fuzz::Args),
    /// Figures of the built binary, for docs/performance.md
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Test => workspace::test(),
        Task::Golden(args) => golden::run(&args),
        Task::Foreign(args) => foreign::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
