//! The phases of a case as a story for an API server: what is planned in each, and what is refused.

use std::path::Path;

use anyhow::Result;

use super::play;
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
    let about = crate::golden::document::first(&dir.join("case.yaml"))?;
    let profile = about["cluster"].as_str().unwrap_or("plain");
    let mut world = World::new(root, profile, about["namespace"].as_str().unwrap_or_default())?;
    let mut chapters = Vec::new();
    play(dir, &mut world, |phase, world, _| {
        chapters.push(Chapter {
            name: phase.to_owned(),
            children: world.planned(),
            refused: world.refused.values().cloned().collect(),
        });
        Ok(())
    })?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Story { name, chapters })
}
