//! Recorded behaviour of the original programs, against the code that ships.
//!
//! The folder (default `../shared/golden`, its README explains the files) holds one folder per program or part, each with
//! one folder per case. A runner (one module here per folder) turns a case into differences. Those that are meant are
//! named by `tests/golden-mends.yaml`. A case that `tests/golden-pending.txt` names is known and does not fail the run; one
//! that is listed but no longer differs does, so that list only shrinks.

mod apiserver;
mod compose;
mod convert;
mod crds;
mod difference;
mod document;
mod mends;
mod pending;
mod render;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use globset::{Glob, GlobMatcher};
use kinds::ObjectKey;

use difference::Difference;
use mends::{Fact, Mends};

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
    /// What differs on purpose.
    pub(crate) mends: Arc<Mends>,
}

/// What a case came to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Differences by kind of file (`want`, `status`, `exchanges`…). A kind without any passes.
    kinds: BTreeMap<&'static str, Vec<Difference>>,
    /// What is true of each phase, for rules that ask; the first state has no name.
    pub(crate) facts: BTreeMap<String, Vec<Fact>>,
    /// Differences from recordings in whose place files of ours were compared. Other recordings may show the same, so
    /// rules over paths are of use here, too.
    pub(crate) replaced: Vec<Difference>,
    /// Differences from those files of ours, by kind. No rule takes them out.
    own: BTreeMap<&'static str, Vec<Difference>>,
}

impl Outcome {
    /// Adds the differences of one file, even if there are none.
    pub(crate) fn add(&mut self, kind: &'static str, file: &str, found: Vec<Difference>) {
        let all = self.kinds.entry(kind).or_default();
        all.extend(in_file(file, found));
    }

    /// The same of a file of our own.
    pub(crate) fn add_own(&mut self, kind: &'static str, file: &str, found: Vec<Difference>) {
        self.own.entry(kind).or_default().extend(in_file(file, found));
    }
}

fn in_file(file: &str, found: Vec<Difference>) -> impl Iterator<Item = Difference> {
    found.into_iter().map(move |difference| Difference { file: file.to_owned(), ..difference })
}

/// An object as paths name it: `apiVersion/kind/namespace/name`, with an empty namespace if it has none.
pub(crate) fn path_of(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{}/{}/{namespace}/{}", key.api_version, key.kind, key.name)
}

/// Runs one case.
type Runner = fn(&Case) -> Result<Outcome>;

/// Folder → runner. The table only grows.
const RUNNERS: &[(&str, Runner)] = &[
    ("apiserver", apiserver::run),
    ("compose", compose::run),
    ("convert", convert::run),
    ("crds", crds::run),
    ("render", render::run),
];

/// Where the recordings are that the lists of this tree were made with.
const DEFAULT_DIR: &str = "../shared/golden";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the recorded data
    #[arg(default_value = DEFAULT_DIR)]
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
    let root = crate::workspace::root();
    let pending = pending::read(&root.join("tests/golden-pending.txt"))?;
    let mends = Arc::new(Mends::read(&root)?);
    if let Some(mend) = mends.without_test(&root)?.first() {
        bail!("tests/golden-mends.yaml: {mend}: there is no such test");
    }
    let mut jobs = Vec::new();
    for (folder, runner) in RUNNERS {
        let cases = cases(&args.dir, folder, args.out.as_deref(), &mends)?;
        let wanted =
            cases.into_iter().filter(|case| only.as_ref().is_none_or(|only| only.is_match(&case.id)));
        jobs.extend(wanted.map(|case| (*folder, *runner, case)));
    }
    let mut counts: BTreeMap<(&str, &'static str), (usize, usize)> = BTreeMap::new();
    let mut unexpected = 0usize;
    let mut stale = Vec::new();
    for ((folder, _, case), outcome) in jobs.iter().zip(run_all(&jobs)) {
        for (kind, differences) in outcome.with_context(|| case.id.clone())? {
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
    // With other recordings, or some of them, a rule may well have nothing to do.
    let unused = if only.is_none() && is_default(&args.dir) { mends.unused() } else { Vec::new() };
    for rule in &unused {
        println!("tests/golden-mends.yaml: `{rule}` is needed by nothing; delete it");
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
    Ok(unexpected == 0 && stale.is_empty() && unused.is_empty())
}

type Job = (&'static str, Runner, Case);

/// What differs by kind of file, without what is meant.
type Differences = BTreeMap<&'static str, Vec<Difference>>;

/// Runs the jobs, as many at a time as there are processors. Outcomes are in the order of the jobs.
fn run_all(jobs: &[Job]) -> Vec<Result<Differences>> {
    let next = Mutex::new(jobs.iter().enumerate());
    let outcomes = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let job = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, (_, runner, case))) = job else { return };
                    let outcome = runner(case).map(|outcome| unmeant(outcome, &case.mends));
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(index, outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn unmeant(outcome: Outcome, mends: &Mends) -> Differences {
    let Outcome { mut kinds, facts, replaced, own } = outcome;
    let is_meant = |difference: &Difference| {
        mends.covers(difference, facts.get(difference.phase()).map_or(&[][..], Vec::as_slice))
    };
    replaced.iter().for_each(|difference| {
        is_meant(difference);
    });
    kinds.values_mut().for_each(|differences| differences.retain(|difference| !is_meant(difference)));
    own.into_iter().for_each(|(kind, differences)| kinds.entry(kind).or_default().extend(differences));
    kinds
}

fn is_default(dir: &Path) -> bool {
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    same(dir).is_some() && same(dir) == same(&crate::workspace::root().join(DEFAULT_DIR))
}

fn matcher(glob: &str) -> Result<GlobMatcher> {
    Ok(Glob::new(glob).with_context(|| format!("--only {glob}"))?.compile_matcher())
}

fn cases(root: &Path, folder: &str, out: Option<&Path>, mends: &Arc<Mends>) -> Result<Vec<Case>> {
    let dir = root.join(folder);
    let mut cases = Vec::new();
    // Other recordings may be of some programs only.
    if !dir.is_dir() {
        return Ok(cases);
    }
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
                mends: mends.clone(),
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
                    mends: mends.clone(),
                });
            }
        }
    }
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(cases)
}
