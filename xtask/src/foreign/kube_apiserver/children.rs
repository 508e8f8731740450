//! Everything that we plan, applied to the real server and to ours with strict field validation.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::strict::{Played, Story};
use crate::verdicts::Judge;

/// The services of this repository, with our narrow definitions of foreign kinds.
pub(super) async fn own(real: &mut Judge) -> Result<Vec<String>> {
    let mut ours = Judge::ours()?;
    for definition in kinds::crds() {
        ours.put(&definition).await?;
    }
    both(&crate::strict::own()?, real, &mut ours).await
}

/// The recorded cases and the services of this repository, with the definitions of foreign kinds that were recorded.
/// `real` has none yet.
pub(super) async fn recorded(real: &mut Judge, recordings: &Path) -> Result<Vec<String>> {
    let mut ours = Judge::ours()?;
    let folder = recordings.join("crds");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    for file in files {
        let definition: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        real.put(&definition).await?;
        real.established(&definition).await?;
        ours.put(&definition).await?;
    }
    let mut stories = crate::golden::stories(recordings)?;
    ensure!(!stories.is_empty(), "no recorded case in {}", recordings.display());
    stories.extend(crate::strict::own()?);
    both(&stories, real, &mut ours).await
}

async fn both(stories: &[Story], real: &mut Judge, ours: &mut Judge) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let (mut taken, mut refused) = (0, Vec::new());
    for story in stories {
        for judge in [&mut *real, &mut *ours] {
            let name = judge.name;
            let played: Played =
                judge.play(story).await.with_context(|| format!("{}: {name}", story.name))?;
            taken += played.taken;
            refused.extend(played.refused);
            findings.extend(played.findings);
        }
    }
    for line in &refused {
        println!("as it is to be: {line}");
    }
    println!(
        "{} stories: {taken} objects taken, {} refused as they are to be, by both servers together",
        stories.len(),
        refused.len()
    );
    Ok(findings)
}
