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
mod surroundings;
mod world;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

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
    play(case, &mut world, Comparison::new(case, &mut outcome, None))?;
    cluster::with(&case.root, profile, namespace, &case.dir, |cluster| {
        play(case, cluster, Comparison::new(case, &mut outcome, Some("operator")))
    })
    .context("operator")?;
    Ok(outcome)
}

/// Folders of the phases after the first state, in order.
fn phases(case: &Case) -> Vec<(String, Act)> {
    let mut phases = vec![
        ("ready".to_owned(), Act::Report(case.dir.join("facts.yaml"))),
        ("ready-2".to_owned(), Act::Report(case.dir.join("ready-2/facts.yaml"))),
    ];
    phases.retain(|(name, _)| case.dir.join(name).is_dir());
    let edits = (1..).map(|number| format!("edit-{number}")).take_while(|name| case.dir.join(name).is_dir());
    phases.extend(edits.map(|name| {
        let act = Act::Edit(case.dir.join(&name));
        (name, act)
    }));
    phases
}

fn play(case: &Case, stage: &mut dyn Stage, mut comparison: Comparison<'_>) -> Result<()> {
    let refused = stage.post(&read(&case.dir.join("in.yaml"))?)?;
    stage.settle().context("first state")?;
    let mut state = stage.state()?;
    state.refused = refused;
    comparison.phase("", &state)?;
    for (phase, act) in phases(case) {
        stage.begin();
        match act {
            Act::Report(file) => stage.report(&read(&file)?)?,
            Act::Edit(folder) => {
                stage.replace(&read(&folder.join("in.yaml"))?)?;
                stage.delete(&read(&folder.join("delete.yaml"))?)?;
            }
        }
        stage.settle().with_context(|| phase.clone())?;
        comparison.phase(&phase, &stage.state()?)?;
    }
    Ok(())
}
