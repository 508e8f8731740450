//! `error.txt`: the inputs that were refused, one after the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::golden::difference::{Difference, differ};

/// An object that was not taken.
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) message: String,
    pub(super) causes: Vec<Cause>,
}

/// One reason of a refusal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cause {
    pub(super) reason: String,
    pub(super) field: String,
    pub(super) message: String,
}

/// The file.
pub(super) fn write(refused: &[Refused]) -> String {
    let mut text = String::new();
    for one in refused {
        let Refused { code, reason, kind, namespace, name, message, causes } = one;
        let _ = writeln!(text, "{code} {reason} create {kind} {namespace}/{name}\n{message}");
        for Cause { reason, field, message } in causes {
            let _ = writeln!(text, "  cause {reason} field={field}: {message}");
        }
    }
    text
}

/// Differences of code, and of the reasons and fields of causes. Words are our own; the field of what is not invalid but
/// unreadable or forbidden is not recorded.
pub(super) fn compare(recorded: &str, ours: &[Refused]) -> Vec<Difference> {
    let wanted = read(recorded);
    let ours: BTreeMap<String, Value> = ours
        .iter()
        .map(|one| {
            let path = format!("error/{}/{}/{}", one.kind, one.namespace, one.name);
            let mut causes: Vec<String> =
                one.causes.iter().map(|cause| format!("{} {}", cause.reason, cause.field)).collect();
            causes.sort();
            (path, json!({"code": one.code, "causes": if one.code == 422 { causes } else { Vec::new() }}))
        })
        .collect();
    let mut found = Vec::new();
    for (path, wanted) in &wanted {
        match ours.get(path) {
            Some(ours) => differ(wanted, ours, path, &mut found),
            None => found.push(Difference::of_text("", path, &wanted.to_string(), "")),
        }
    }
    for (path, ours) in ours.iter().filter(|(path, _)| !wanted.contains_key(*path)) {
        found.push(Difference::of_text("", path, "", &ours.to_string()));
    }
    for difference in &mut found {
        let name = difference
            .path
            .strip_prefix("error/LLMInferenceService/")
            .and_then(|path| path.split('/').nth(1));
        // A name may have dots; what follows it is a field of ours.
        difference.service =
            name.map(|name| name.trim_end_matches(".code").trim_end_matches(".causes").to_owned());
    }
    found
}

fn read(text: &str) -> BTreeMap<String, Value> {
    let mut found: BTreeMap<String, (u16, Vec<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(cause) = line.strip_prefix("  cause ") {
            if let (Some((reason, rest)), Some(entry)) =
                (cause.split_once(" field="), found.get_mut(&current))
            {
                entry.1.push(format!("{reason} {}", rest.split(": ").next().unwrap_or(rest)));
            }
        } else if let (Some(Ok(code)), Some(at)) =
            (words.first().map(|word| word.parse::<u16>()), words.iter().position(|word| *word == "create"))
            && let (Some(kind), Some(name)) = (words.get(at + 1), words.get(at + 2))
        {
            current = format!("error/{kind}/{name}");
            found.insert(current.clone(), (code, Vec::new()));
        }
    }
    let entry = |(path, (code, mut causes)): (String, (u16, Vec<String>))| {
        causes.sort();
        (path, json!({"code": code, "causes": causes}))
    };
    found.into_iter().map(entry).collect()
}
