//! Cases of `render/`: children, statuses and events of one namespace through all its phases.
//!
//! A case is played twice. Once by the pure functions alone ([`world`]): the services are composed, planned and judged in
//! turn until nothing changes. And once by the operator on an API server of its own in this process ([`cluster`]). Facts
//! and edits then begin the next phase. What came of a phase ([`state`]) is written down and compared in the same way.

mod certificates;
mod cluster;
mod files;
mod refusals;
mod refuse;
mod state;
mod story;
mod surroundings;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

pub(crate) use story::stories;

use super::document::read;
use super::{Case, Outcome};
use files::Comparison;
use refusals::Refused;
use state::State;
use world::World;

/// A way to play a case.
trait Stage {
    /// Posts objects as a user would; gives back what was refused.
    fn post(&mut self, documents: &[Value]) -> Result<Vec<Refused>>;
    /// Reports statuses as a cluster would.
    fn report(&mut self, documents: &[Value]) -> Result<()>;
    /// Replaces objects as a user would.
    fn replace(&mut self, documents: &[Value]) -> Result<()>;
    /// Deletes objects as a user would.
    fn delete(&mut self, documents: &[Value]) -> Result<()>;
    /// Begins a phase: what was done so far is no longer told.
    fn begin(&mut self);
    /// Works until nothing changes.
    fn settle(&mut self) -> Result<()>;
    /// What is there, and what was done in this phase.
    fn state(&self) -> Result<State>;
}

/// What happens at the beginning of a phase.
enum Act {
    Report(PathBuf),
    Edit(PathBuf),
}

/// Runs one case.
pub(super) fn run(case: &Case) -> Result<Outcome> {
    let about = super::document::first(&case.dir.join("case.yaml"))?;
    let profile = about["cluster"].as_str().unwrap_or("plain");
    let namespace = about["namespace"].as_str().unwrap_or_default();
    let mut outcome = Outcome::default();
    let mut world = World::new(&case.root, profile, namespace)?;
    let mut comparison = Comparison::new(case, &mut outcome, None);
    play(&case.dir, &mut world, |phase, world, refused| {
        comparison.phase(phase, &State { refused, ..world.state()? })
    })?;
    cluster::with(&case.root, profile, namespace, &case.dir, |cluster| {
        let mut comparison = Comparison::new(case, &mut outcome, Some("operator"));
        play(&case.dir, cluster, |phase, cluster, refused| {
            comparison.phase(phase, &State { refused, ..cluster.state()? })
        })
    })
    .context("operator")?;
    Ok(outcome)
}

/// Folders of the phases after the first state, in order.
fn phases(dir: &Path) -> Vec<(String, Act)> {
    let mut phases = vec![
        ("ready".to_owned(), Act::Report(dir.join("facts.yaml"))),
        ("ready-2".to_owned(), Act::Report(dir.join("ready-2/facts.yaml"))),
    ];
    phases.retain(|(name, _)| dir.join(name).is_dir());
    let edits = (1..).map(|number| format!("edit-{number}")).take_while(|name| dir.join(name).is_dir());
    phases.extend(edits.map(|name| {
        let act = Act::Edit(dir.join(&name));
        (name, act)
    }));
    phases
}

/// Plays the case of a folder. `settled` looks at the stage after each phase; it gets the phase's name, empty for the first
/// state, and the inputs that were refused in it.
fn play<S: Stage>(
    dir: &Path,
    stage: &mut S,
    mut settled: impl FnMut(&str, &S, Vec<Refused>) -> Result<()>,
) -> Result<()> {
    let refused = stage.post(&read(&dir.join("in.yaml"))?)?;
    stage.settle().context("first state")?;
    settled("", stage, refused)?;
    for (phase, act) in phases(dir) {
        stage.begin();
        match act {
            Act::Report(file) => stage.report(&read(&file)?)?,
            Act::Edit(folder) => {
                stage.replace(&read(&folder.join("in.yaml"))?)?;
                stage.delete(&read(&folder.join("delete.yaml"))?)?;
            }
        }
        stage.settle().with_context(|| phase.clone())?;
        settled(&phase, stage, Vec::new())?;
    }
    Ok(())
}
