//! Cases of `render/`: children, statuses and events of one namespace through all its phases.
//!
//! A case is played like a cluster: the services are composed, planned and judged in turn, the planned children become
//! the live objects of the next round, until nothing changes. Facts and edits then begin the next phase.

mod compare;
pub(super) mod mends;
mod refuse;
mod story;
mod world;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

pub(crate) use story::stories;

use super::{Case, Outcome};
use mends::Mends;
use world::World;

/// Runs one case.
pub(super) fn run(case: &Case) -> Result<Outcome> {
    let mut outcome = Outcome::new();
    let about = read(&case.dir.join("case.yaml"))?.into_iter().next().unwrap_or_default();
    let profile = about["cluster"].as_str().unwrap_or("plain");
    let mut world = World::new(&case.root, profile, about["namespace"].as_str().unwrap_or_default())?;
    world.add(read(&case.dir.join("in.yaml"))?)?;
    world.settle()?;
    let mut before: BTreeMap<String, Value> = BTreeMap::new();
    check(case, &case.dir, "", &world, &mut before, &mut outcome)?;
    for (phase, name) in [("ready", "facts.yaml"), ("ready-2", "ready-2/facts.yaml")] {
        let dir = case.dir.join(phase);
        if !dir.is_dir() {
            continue;
        }
        world.begin();
        world.add(read(&case.dir.join(name))?)?;
        world.settle()?;
        check(case, &dir, phase, &world, &mut before, &mut outcome)?;
    }
    for number in 1.. {
        let phase = format!("edit-{number}");
        let dir = case.dir.join(&phase);
        if !dir.is_dir() {
            break;
        }
        world.begin();
        world.edit(read(&dir.join("in.yaml"))?)?;
        world.delete(&read(&dir.join("delete.yaml"))?)?;
        world.settle()?;
        check(case, &dir, &phase, &world, &mut before, &mut outcome)?;
    }
    Ok(outcome)
}

fn check(
    case: &Case,
    dir: &Path,
    phase: &str,
    world: &World,
    before: &mut BTreeMap<String, Value>,
    outcome: &mut Outcome,
) -> Result<()> {
    let children = world.children();
    let shown: BTreeMap<String, Value> = children
        .iter()
        .filter(|(key, child)| before.get(*key) != Some(*child))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut differences = compare::children(&read(&dir.join("want.yaml"))?, &shown);
    let mut certificates = compare::certificates(&read(&dir.join("certs.yaml"))?, &world.certificates());
    let mut changes = Vec::new();
    if !phase.is_empty() {
        let ours: Vec<String> = children
            .iter()
            .filter_map(|(key, child)| match before.get(key) {
                None => Some(format!("create {}", compare::listed(key))),
                Some(old) if compare::is_written(old, child) || world.reissued.contains(key) => {
                    Some(format!("update {}", compare::listed(key)))
                }
                Some(_) => None,
            })
            .chain(
                // A new secret is written again once the addresses of its Services are known.
                world
                    .reissued
                    .iter()
                    .filter(|key| !before.contains_key(*key) && children.contains_key(*key))
                    .map(|key| format!("update {}", compare::listed(key))),
            )
            .chain(world.deleted.iter().map(|key| format!("delete {key}")))
            .collect();
        changes = compare::lists(&lines(&dir.join("changes.txt"))?, &ours);
    }
    let mut events = compare::events(&read(&dir.join("events.yaml"))?, &world.events);
    let mut status = compare::statuses(&read(&dir.join("status.yaml"))?, &world.statuses());
    if !phase.is_empty() {
        differences.extend(compare::lists(&lines(&dir.join("deleted.txt"))?, &world.deleted));
    }
    for list in [&mut differences, &mut status, &mut changes, &mut events] {
        for line in list.iter_mut() {
            if !phase.is_empty() {
                *line = format!("{phase}: {line}");
            }
        }
    }
    let name = case.id.rsplit('/').next().unwrap_or_default();
    let mends = Mends::read(&crate::workspace::root())?;
    mends.apply(name, &mut differences);
    mends.apply(name, &mut status);
    mends.apply(name, &mut changes);
    mends.apply(name, &mut events);
    mends.apply(name, &mut certificates);
    if let Some(out) = &case.out {
        let dir = out.join(phase);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("want.yaml"), yaml::write_documents(shown.values()))?;
        std::fs::write(dir.join("status.yaml"), yaml::write_documents(world.statuses().values()))?;
    }
    outcome.entry("children").or_default().extend(differences);
    outcome.entry("status").or_default().extend(status);
    outcome.entry("certs").or_default().extend(certificates);
    outcome.entry("events").or_default().extend(events);
    outcome.entry("changes").or_default().extend(changes);
    *before = children;
    Ok(())
}

/// The documents of a file; none if there is no such file.
fn read(path: &Path) -> Result<Vec<Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let documents = yaml::read_documents(&text).with_context(|| path.display().to_string())?;
    Ok(documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect())
}

fn lines(path: &Path) -> Result<Vec<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
