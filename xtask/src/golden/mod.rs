//! Recorded behaviour of the original programs, against the code that ships.
//!
//! The folder (default `../shared/golden`, its README explains the files) holds one folder per program or part, each with
//! one folder per case. A runner (one module here per folder) turns a case into differences. A difference that
//! `tests/golden-pending.txt` names is known and does not fail the run; one that is listed but no longer occurs does,
//! so the list only shrinks.

mod apiserver;
mod compose;
mod convert;
mod crds;
mod pending;
mod render;
mod stored;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use globset::{Glob, GlobMatcher};

pub(crate) use render::stories;

/// What the runner of a folder gets.
pub(crate) struct Case {
    /// `FOLDER/NAME`, the name used by `--only` and by the pending list.
    pub(crate) id: String,
    /// Folder of the case.
    pub(crate) dir: PathBuf,
    /// The root of all recorded data.
    pub(crate) root: PathBuf,
    /// `OUT/FOLDER/NAME` if our own outcome is to be written down.
    pub(crate) out: Option<PathBuf>,
}

/// What a case came to, by kind of file (`want`, `status`, `exchanges`…): the differences, one line each.
/// A kind with no difference passes.
pub(crate) type Outcome = BTreeMap<&'static str, Vec<String>>;

/// Runs one case.
type Runner = fn(&Case) -> Result<Outcome>;

/// Folder → runner. The table only grows.
const RUNNERS: &[(&str, Runner)] = &[
    ("apiserver", apiserver::run),
    ("compose", compose::run),
    ("convert", convert::run),
    ("crds", crds::run),
    ("render", compose::run_merged),
    ("render", render::run),
    ("render", stored::run),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the recorded data
    #[arg(default_value = "../shared/golden")]
    dir: PathBuf,
    /// Only the cases whose FOLDER/NAME matches
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Write what we made to OUT/FOLDER/NAME
    #[arg(long, value_name = "OUT")]
    out: Option<PathBuf>,
}

/// Runs the cases and prints a line per difference and the counts per folder and kind of file.
/// `true` if nothing differs but what the pending list names.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !args.dir.is_dir() {
        bail!("{}: no folder of recorded data; give its path", args.dir.display());
    }
    let only = args.only.as_deref().map(matcher).transpose()?;
    let pending = pending::read(&crate::workspace::root().join("tests/golden-pending.txt"))?;
    let mut counts: BTreeMap<(&str, &'static str), (usize, usize)> = BTreeMap::new();
    let mut unexpected = 0usize;
    let mut stale = Vec::new();
    for (folder, runner) in RUNNERS {
        for case in cases(&args.dir, folder, args.out.as_deref())? {
            if only.as_ref().is_some_and(|only| !only.is_match(&case.id)) {
                continue;
            }
            let outcome = runner(&case).with_context(|| case.id.clone())?;
            for (kind, differences) in outcome {
                let count = counts.entry((folder, kind)).or_default();
                count.1 += 1;
                let known = pending.contains(&case.id, kind);
                if differences.is_empty() {
                    count.0 += 1;
                    if known {
                        stale.push(format!("{} {kind}", case.id));
                    }
                } else if !known {
                    unexpected += 1;
                    for difference in &differences {
                        println!("{} {kind}: {difference}", case.id);
                    }
                }
            }
        }
    }
    for ((folder, kind), (passed, all)) in &counts {
        println!("{folder} {kind} {passed} of {all}");
    }
    for entry in &stale {
        println!("tests/golden-pending.txt: `{entry}` passes now; delete the line");
    }
    let all: usize = counts.values().map(|(_, all)| all).sum();
    if all == 0 {
        bail!(
            "no case matches; the folders with a runner are {:?}",
            RUNNERS.iter().map(|r| r.0).collect::<Vec<_>>()
        );
    }
    let passed: usize = counts.values().map(|(passed, _)| passed).sum();
    println!("golden: {passed} of {all}, {unexpected} unexpected");
    Ok(unexpected == 0 && stale.is_empty())
}

fn matcher(glob: &str) -> Result<GlobMatcher> {
    Ok(Glob::new(glob).with_context(|| format!("--only {glob}"))?.compile_matcher())
}

fn cases(root: &Path, folder: &str, out: Option<&Path>) -> Result<Vec<Case>> {
    let dir = root.join(folder);
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let is_crd =
            folder == "crds" && entry.path().extension().is_some_and(|extension| extension == "json");
        if is_crd || entry.path().join("case.yaml").is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            cases.push(Case {
                id: format!("{folder}/{name}"),
                dir: entry.path(),
                root: root.to_owned(),
                out: out.map(|out| out.join(folder).join(&name)),
            });
        }
    }
    // Recorded commands: one file each, in a folder of their own.
    let commands = dir.join("kubectl");
    if commands.is_dir() {
        for entry in std::fs::read_dir(&commands)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let name = format!("kubectl-{}", path.file_stem().unwrap_or_default().to_string_lossy());
                cases.push(Case {
                    id: format!("{folder}/{name}"),
                    dir: commands.clone(),
                    root: root.to_owned(),
                    out: out.map(|out| out.join(folder).join(&name)),
                });
            }
        }
    }
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(cases)
}
