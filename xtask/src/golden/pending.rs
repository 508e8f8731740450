//! The list of recorded cases that are not met yet. It only shrinks.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Entries `FOLDER/NAME KIND`, one a line; `#` starts a comment.
pub(crate) struct Pending(BTreeSet<(String, String)>);

impl Pending {
    pub(crate) fn contains(&self, case: &str, kind: &str) -> bool {
        self.0.contains(&(case.to_owned(), kind.to_owned()))
    }
}

/// Reads the list; a missing file is an empty list.
pub(crate) fn read(path: &Path) -> Result<Pending> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut entries = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let Some((case, kind)) = line.split_once(' ') else {
            bail!("{}:{}: expected `FOLDER/NAME KIND`", path.display(), number + 1);
        };
        entries.insert((case.to_owned(), kind.trim().to_owned()));
    }
    Ok(Pending(entries))
}
