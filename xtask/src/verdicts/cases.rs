//! The objects of `tests/verdicts`: a base in each file, and named changes of it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The namespace of all of them.
pub(crate) const NAMESPACE: &str = "verdicts";

/// An object and how it is sent.
pub(crate) struct Case {
    /// `FILE: TITLE`.
    pub(crate) id: String,
    /// Whether it was written to be accepted.
    pub(crate) is_good: bool,
    /// `Strict`, `Warn` or `Ignore`.
    pub(crate) strictness: String,
    /// It is about what every object has, which no schema knows.
    pub(crate) servers_only: bool,
    pub(crate) object: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where pointers without a leading slash begin.
    #[serde(default)]
    at: String,
    base: Value,
    #[serde(default, rename = "serversOnly")]
    servers_only: bool,
    cases: Vec<Written>,
}

/// Exactly one of `good` and `bad` holds the title.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    good: Option<String>,
    bad: Option<String>,
    /// `Warn` if absent.
    validation: Option<String>,
    /// Values by JSON pointer. What is missing on the way is made; `-` is the place after the last item.
    #[serde(default)]
    set: Map<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
}

/// All of them, by file and in the order of the file.
pub(crate) fn read(folder: &Path) -> Result<Vec<Case>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let at = || path.display().to_string();
        let file: File =
            serde_json::from_value(yaml::read_value(&text).with_context(at)?).with_context(at)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for written in &file.cases {
            let mut case = case(&file, &name, written).with_context(at)?;
            case.servers_only = file.servers_only;
            ensure!(cases.iter().all(|other: &Case| other.id != case.id), "{} is there twice", case.id);
            cases.push(case);
        }
    }
    Ok(cases)
}

fn case(file: &File, stem: &str, written: &Written) -> Result<Case> {
    let (title, is_good) = match (&written.good, &written.bad) {
        (Some(title), None) => (title, true),
        (None, Some(title)) => (title, false),
        _ => bail!("a case is either good or bad"),
    };
    let mut object = file.base.clone();
    object["metadata"]["namespace"] = json!(NAMESPACE);
    object["metadata"]["name"] = json!(name(stem, title));
    let absolute = |pointer: &String| match pointer.as_str() {
        "" => file.at.clone(),
        path if path.starts_with('/') => path.to_owned(),
        below => format!("{}/{below}", file.at),
    };
    for (pointer, value) in &written.set {
        let pointer = absolute(pointer);
        *place(&mut object, &pointer).with_context(|| format!("{title}: {pointer}"))? = value.clone();
    }
    for pointer in written.remove.iter().map(absolute) {
        remove(&mut object, &pointer).with_context(|| format!("{title}: there is no {pointer}"))?;
    }
    Ok(Case {
        id: format!("{stem}: {title}"),
        is_good,
        strictness: written.validation.clone().unwrap_or_else(|| "Warn".to_owned()),
        servers_only: false,
        object,
    })
}

/// A name that is allowed.
fn name(file: &str, title: &str) -> String {
    let words = format!("{file}-{title}").to_lowercase();
    let plain: String = words.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    plain.trim_matches('-').to_owned()
}

fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

fn place<'v>(value: &'v mut Value, pointer: &str) -> Result<&'v mut Value> {
    let mut at = value;
    for step in steps(pointer) {
        let is_index = step == "-" || step.parse::<usize>().is_ok();
        if at.is_null() {
            *at = if is_index { json!([]) } else { json!({}) };
        }
        at = match at {
            Value::Object(fields) => fields.entry(step).or_insert(Value::Null),
            Value::Array(items) => {
                let index = if step == "-" { items.len() } else { step.parse()? };
                if index == items.len() {
                    items.push(Value::Null);
                }
                items.get_mut(index).context("no such item")?
            }
            _ => bail!("{step} is below a value"),
        };
    }
    Ok(at)
}

fn remove(value: &mut Value, pointer: &str) -> Option<()> {
    let (above, last) = pointer.rsplit_once('/')?;
    match value.pointer_mut(above)? {
        Value::Object(fields) => fields.remove(&last.replace("~1", "/")).map(drop),
        Value::Array(items) => {
            let index = last.parse().ok().filter(|index| *index < items.len())?;
            items.remove(index);
            Some(())
        }
        _ => None,
    }
}
