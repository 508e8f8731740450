//! Fuzzing with libFuzzer on the stable toolchain.
//!
//! The targets are in `fuzz/`, outside the workspace, since they are built with LLVM's coverage counters. Inputs that
//! showed something new stay under `target/fuzz`; `--keep` makes the smallest set of them, and of the committed ones, the
//! new committed corpus.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Target → the crate that it is about.
const TARGETS: &[(&str, &str)] = &[
    ("convert", "api"),
    ("gotmpl", "gotmpl"),
    ("patch", "patch"),
    ("sched", "sched"),
    ("wire", "wire"),
    ("yaml", "yaml"),
];

/// What makes LLVM count edges and comparisons for libFuzzer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longest input, in bytes.
const MAX_BYTES: usize = 4096;
/// What a committed corpus may hold: the tests of the crates replay all of it. Of a larger one inputs of every length
/// stay, of too long ones the shorter.
const MAX_KEPT: usize = 500;
const MAX_KEPT_BYTES: u64 = 400_000;
/// One input that takes longer is a finding.
const TIMEOUT_S: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets; all without a name
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Inputs for each target
    #[arg(long, default_value_t = 20_000)]
    runs: u64,
    /// Afterwards the smallest set of inputs that covers as much replaces the committed one
    #[arg(long)]
    keep: bool,
}

/// Runs the targets and prints a line for each; `true` if none found anything.
pub(crate) fn run(args: &Args) -> Result<bool> {
    println!("fuzz: needs a C++ compiler for libFuzzer, and the crate libfuzzer-sys");
    for name in &args.targets {
        if !TARGETS.iter().any(|(target, _)| target == name) {
            let known: Vec<_> = TARGETS.iter().map(|(target, _)| *target).collect();
            bail!("no target is called {name}; there are {}", known.join(", "));
        }
    }
    let triple = host()?;
    let mut found_nothing = true;
    for (target, crates) in TARGETS {
        if !args.targets.is_empty() && !args.targets.iter().any(|name| name == target) {
            continue;
        }
        let binary = build(target, crates, &triple)?;
        found_nothing &= fuzz(target, &binary, args.runs)?;
        if args.keep {
            keep(target, &binary)?;
        }
    }
    Ok(found_nothing)
}

/// The host's triple: with it flags are for the target alone, not for build scripts.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let triple =
        text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(triple.to_owned())
}

fn folder() -> PathBuf {
    workspace::root().join("target/fuzz")
}

fn build(target: &str, crates: &str, triple: &str) -> Result<PathBuf> {
    let target_dir = folder().join("build");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--target", triple, "--bin", target, "--features", crates])
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(workspace::root().join("fuzz"))
        .env("RUSTFLAGS", FLAGS)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "target {target} does not build; does the machine have a C++ compiler?");
    Ok(target_dir.join(triple).join("release").join(target))
}

/// The folder of new inputs and that of committed ones.
fn corpora(target: &str) -> Result<[PathBuf; 2]> {
    let new = folder().join("corpus").join(target);
    fs::create_dir_all(&new)?;
    Ok([new, workspace::root().join("fuzz/corpus").join(target)])
}

fn fuzz(target: &str, binary: &Path, runs: u64) -> Result<bool> {
    let findings = folder().join("findings");
    fs::create_dir_all(&findings)?;
    let log = folder().join(format!("{target}.log"));
    let mut command = Command::new(binary);
    command
        .args(corpora(target)?)
        .arg(format!("-runs={runs}"))
        .arg(format!("-max_len={MAX_BYTES}"))
        .arg(format!("-timeout={TIMEOUT_S}"))
        .arg(format!("-artifact_prefix={}/{target}-", findings.display()))
        .stderr(Stdio::from(File::create(&log)?));
    let words = workspace::root().join("fuzz/words").join(target);
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    let begun = Instant::now();
    let status = command.status().context("cannot start the fuzzer")?;
    let took_s = begun.elapsed().as_secs_f64();
    if status.success() {
        println!("ok {target}: {runs} runs in {took_s:.0} s, nothing found");
    } else {
        println!(
            "FAILED {target} after {took_s:.0} s: see {}; the input is in {}",
            log.display(),
            findings.display()
        );
    }
    Ok(status.success())
}

/// Merges what was found into the committed corpus: of inputs that cover the same the smallest, up to a bound.
fn keep(target: &str, binary: &Path) -> Result<()> {
    let smallest = folder().join("smallest").join(target);
    if smallest.exists() {
        fs::remove_dir_all(&smallest)?;
    }
    fs::create_dir_all(&smallest)?;
    let [new, committed] = corpora(target)?;
    let status = Command::new(binary)
        .arg("-set_cover_merge=1")
        .args([&smallest, &committed, &new])
        .stderr(Stdio::from(File::create(folder().join(format!("{target}-merge.log")))?))
        .status()
        .context("cannot start the fuzzer")?;
    ensure!(status.success(), "the corpus of {target} cannot be merged");
    // Files with a name in words were written by hand, and stay.
    for file in fs::read_dir(&committed)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            fs::remove_file(path)?;
        }
    }
    let mut inputs = Vec::new();
    for file in fs::read_dir(&smallest)? {
        let file = file?;
        inputs.push((file.metadata()?.len(), file.path()));
    }
    inputs.sort();
    let found = inputs.len();
    if found > MAX_KEPT {
        inputs = (0..MAX_KEPT).map(|index| inputs[index * found / MAX_KEPT].clone()).collect();
    }
    let mut bytes = 0;
    inputs.retain(|(length, _)| {
        bytes += length;
        bytes <= MAX_KEPT_BYTES
    });
    for (_, path) in &inputs {
        fs::copy(path, committed.join(path.file_name().unwrap_or_default()))?;
    }
    let kept: u64 = inputs.iter().map(|(length, _)| length).sum();
    println!("{target}: {} inputs of {found}, {kept} bytes", inputs.len());
    Ok(())
}
