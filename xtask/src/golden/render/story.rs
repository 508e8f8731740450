//! The phases of a case as a story for an API server: what is planned in each, and what is refused.

use std::path::Path;

use anyhow::Result;

use super::read;
use super::world::World;
use crate::strict::{Chapter, Story};

/// Every case of `render/`, by name.
pub(crate) fn stories(root: &Path) -> Result<Vec<Story>> {
    let mut folders: Vec<_> = std::fs::read_dir(root.join("render"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    folders.retain(|folder| folder.join("case.yaml").is_file());
    folders.sort();
    folders.iter().map(|folder| story(root, folder)).collect()
}

fn story(root: &Path, dir: &Path) -> Result<Story> {
    let about = read(&dir.join("case.yaml"))?.into_iter().next().unwrap_or_default();
    let profile = about["cluster"].as_str().unwrap_or("plain");
    let mut world = World::new(root, profile, about["namespace"].as_str().unwrap_or_default())?;
    let mut chapters = Vec::new();
    world.add(read(&dir.join("in.yaml"))?)?;
    settle(&mut world, "", &mut chapters)?;
    for (phase, facts) in [("ready", "facts.yaml"), ("ready-2", "ready-2/facts.yaml")] {
        if dir.join(phase).is_dir() {
            world.begin();
            world.add(read(&dir.join(facts))?)?;
            settle(&mut world, phase, &mut chapters)?;
        }
    }
    for number in 1.. {
        let phase = format!("edit-{number}");
        let dir = dir.join(&phase);
        if !dir.is_dir() {
            break;
        }
        world.begin();
        world.edit(read(&dir.join("in.yaml"))?)?;
        world.delete(&read(&dir.join("delete.yaml"))?)?;
        settle(&mut world, &phase, &mut chapters)?;
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Story { name, chapters })
}

fn settle(world: &mut World, phase: &str, chapters: &mut Vec<Chapter>) -> Result<()> {
    world.settle()?;
    chapters.push(Chapter {
        name: phase.to_owned(),
        children: world.planned(),
        refused: world.refused.values().cloned().collect(),
    });
    Ok(())
}
