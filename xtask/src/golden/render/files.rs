//! The files of a phase: ours are written down, and compared with the recorded ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use kinds::ObjectKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::refusals;
use super::state::{self, State, listed};
use crate::golden::difference::{Difference, differ};
use crate::golden::document::{normal, normal_child, read, read_text, write};
use crate::golden::mends::Fact;
use crate::golden::{Case, Outcome, path_of};

/// Compares one way of playing a case with the recording, phase by phase.
pub(super) struct Comparison<'c> {
    case: &'c Case,
    outcome: &'c mut Outcome,
    /// The kind under which all differences are counted; `None` counts each kind of file for itself.
    kind: Option<&'static str>,
    out: Option<PathBuf>,
    /// The children of our phase before.
    before: BTreeMap<ObjectKey, Value>,
    statuses_before: Vec<Value>,
    /// The children that the recording has by now, and what it had deleted by then.
    recorded: BTreeMap<ObjectKey, Value>,
    deleted: Vec<String>,
}

impl<'c> Comparison<'c> {
    pub(super) fn new(case: &'c Case, outcome: &'c mut Outcome, kind: Option<&'static str>) -> Self {
        // What the operator made lies beside, so that the two can be compared.
        let out = case.out.as_ref().map(|out| match (kind, out.ancestors().nth(2), out.file_name()) {
            (Some(kind), Some(root), Some(name)) => root.join(kind).join(name),
            _ => out.clone(),
        });
        Self {
            case,
            outcome,
            kind,
            out,
            before: BTreeMap::new(),
            statuses_before: Vec::new(),
            recorded: BTreeMap::new(),
            deleted: Vec::new(),
        }
    }

    /// Writes and compares what a phase came to; the first state has no name.
    pub(super) fn phase(&mut self, phase: &str, state: &State) -> Result<()> {
        let recorded = self.case.dir.join(phase);
        let files = self.files(phase, state);
        if let Some(out) = &self.out {
            for (name, text) in &files {
                write(&out.join(phase).join(name), text)?;
            }
        }
        // Bodies of updates are what an API server makes of them, so only that way of playing shows them.
        if let (Some(_), Some(out), Some(text)) = (self.kind, &self.case.out, files.get("updated.yaml")) {
            write(&out.join(phase).join("updated.yaml"), text)?;
        }
        let id = format!("{}/{phase}", self.case.id);
        let found = self.against_the_recording(phase, &recorded, state)?;
        match self.case.mends.expected(id.trim_end_matches('/')) {
            Some(folder) => {
                let (inputs, outcomes): (Vec<Found>, Vec<Found>) =
                    found.into_iter().partition(|(kind, ..)| OF_INPUTS.contains(kind));
                inputs.into_iter().for_each(|(kind, file, found)| self.add(kind, phase, file, found));
                self.outcome.replaced.extend(in_phase(phase, outcomes));
                self.against_our_own(phase, &folder, state)?;
            }
            None => found.into_iter().for_each(|(kind, file, found)| self.add(kind, phase, file, found)),
        }
        if self.kind.is_none() {
            let mut facts = facts_of(self.case, phase, state, &self.statuses_before)?;
            self.deleted.extend(deletions(&recorded)?);
            facts.extend(self.deleted.iter().map(|line| Fact { service: None, line: line.clone() }));
            self.outcome.facts.insert(phase.to_owned(), facts);
        }
        self.before.clone_from(&state.children);
        self.statuses_before.clone_from(&state.statuses);
        Ok(())
    }

    /// Our files by name. What the recordings keep for part of the cases only is written where they have it.
    fn files(&self, phase: &str, state: &State) -> BTreeMap<&'static str, String> {
        let is_recorded = |name: &str| self.case.dir.join(phase).join(name).is_file();
        let mut files = BTreeMap::new();
        let documents = |documents: &[Value]| yaml::write_documents(documents);
        let mut add = |name: &'static str, text: String| {
            if !text.trim().is_empty() {
                files.insert(name, text);
            }
        };
        let shown: Vec<Value> = self.shown(state).cloned().collect();
        add("want.yaml", documents(&shown));
        add("status.yaml", documents(&state.statuses));
        add("events.yaml", documents(&told(state)));
        if phase.is_empty() {
            add("stored.yaml", documents(&state.stored));
            add("error.txt", refusals::write(&state.refused));
            if is_recorded("merged.yaml") {
                add("merged.yaml", documents(state.merged.as_deref().unwrap_or_default()));
            }
            if is_recorded("certs.yaml") {
                add("certs.yaml", documents(&state.certificates));
            }
        } else {
            let mut changes = state.changes.clone();
            changes.sort();
            changes.dedup();
            let deleted: Vec<&str> = changes.iter().filter_map(|line| line.strip_prefix("delete ")).collect();
            let lines = |lines: String| if lines.is_empty() { lines } else { lines + "\n" };
            // The deletions of a report are among its changes alone.
            if phase.starts_with("edit-") {
                add("deleted.txt", lines(deleted.join("\n")));
            }
            add("changes.txt", lines(changes.join("\n")));
            if phase.starts_with("edit-") {
                add("updated.yaml", documents(state.updated.as_deref().unwrap_or_default()));
            }
        }
        files
    }

    fn add(&mut self, kind: &'static str, phase: &str, file: &str, found: Vec<Difference>) {
        let file = if phase.is_empty() { file.to_owned() } else { format!("{phase}/{file}") };
        self.outcome.add(self.kind.unwrap_or(kind), &file, found);
    }

    fn add_own(&mut self, kind: &'static str, phase: &str, file: &str, found: Vec<Difference>) {
        let folder = if phase.is_empty() { String::new() } else { format!("{phase}/") };
        self.outcome.add_own(self.kind.unwrap_or(kind), &format!("{folder}{file}"), found);
    }

    /// Differences by kind and file.
    fn against_the_recording(&mut self, phase: &str, dir: &Path, state: &State) -> Result<Vec<Found>> {
        let changes = read_text(&dir.join("changes.txt"))?.unwrap_or_default();
        let gone: BTreeSet<&str> = changes.lines().filter_map(|line| line.strip_prefix("delete ")).collect();
        self.recorded.retain(|key, _| !gone.contains(listed(key).as_str()));
        for child in read(&dir.join("want.yaml"))? {
            self.recorded.insert(ObjectKey::of(&child)?, normal_child(child));
        }
        let recorded = |name: &str| read(&dir.join(name));
        let mut all: Vec<Found> = vec![
            ("want", "want.yaml", children(&self.recorded, &state.children)),
            ("status", "status.yaml", statuses(&recorded("status.yaml")?, &state.statuses)),
            ("events", "events.yaml", events(&recorded("events.yaml")?, state)),
        ];
        if phase.is_empty() {
            let stored = documents(&recorded("stored.yaml")?, &state.stored, normal_child);
            all.push(("stored", "stored.yaml", stored));
            let refused = read_text(&dir.join("error.txt"))?;
            if refused.is_some() || !state.refused.is_empty() {
                let found = refusals::compare(&refused.unwrap_or_default(), &state.refused);
                all.push(("refused", "error.txt", found));
            }
            let merged = recorded("merged.yaml")?;
            if let Some(ours) = state.merged.as_deref().filter(|_| !merged.is_empty()) {
                all.push(("merged", "merged.yaml", documents(&merged, ours, normal_child)));
            }
            let wanted = recorded("certs.yaml")?;
            if !wanted.is_empty() {
                all.push(("certs", "certs.yaml", certificates(&wanted, state)));
            }
            return Ok(all);
        }
        all.push(("changes", "changes.txt", lines("changes", &changes, &state.changes)));
        if phase.starts_with("edit-") {
            let ours =
                state.changes.iter().filter_map(|line| line.strip_prefix("delete ")).map(str::to_owned);
            let wanted = read_text(&dir.join("deleted.txt"))?.unwrap_or_default();
            all.push(("deleted", "deleted.txt", lines("deleted", &wanted, &ours.collect::<Vec<_>>())));
            if let Some(ours) = &state.updated {
                let found = documents(&recorded("updated.yaml")?, ours, normal_child);
                all.push(("updated", "updated.yaml", found));
            }
        }
        Ok(all)
    }

    /// A phase whose whole outcome is another one than the recorded, against files of ours.
    fn against_our_own(&mut self, phase: &str, folder: &Path, state: &State) -> Result<()> {
        let shown: Vec<Value> = self.shown(state).map(shortened).collect();
        let is_edit = phase.starts_with("edit-");
        let deleted: Vec<String> =
            state.changes.iter().filter_map(|line| line.strip_prefix("delete ")).map(str::to_owned).collect();
        if self.kind.is_none() && std::env::var_os("UPDATE_GOLDEN").is_some() {
            write(&folder.join("want.yaml"), &yaml::write_documents(&shown))?;
            write(&folder.join("status.yaml"), &yaml::write_documents(&state.statuses))?;
            write(&folder.join("events.yaml"), &yaml::write_documents(&told(state)))?;
            if is_edit {
                write(&folder.join("changes.txt"), &(state.changes.join("\n") + "\n"))?;
            }
        }
        let want = documents(&read(&folder.join("want.yaml"))?, &shown, normal_child);
        self.add_own("want", phase, "want.yaml", want);
        self.add_own(
            "status",
            phase,
            "status.yaml",
            statuses(&read(&folder.join("status.yaml"))?, &state.statuses),
        );
        self.add_own("events", phase, "events.yaml", events(&read(&folder.join("events.yaml"))?, state));
        if is_edit {
            let changes = read_text(&folder.join("changes.txt"))?.unwrap_or_default();
            self.add_own("changes", phase, "changes.txt", lines("changes", &changes, &state.changes));
            let gone: String = changes
                .lines()
                .filter_map(|line| line.strip_prefix("delete "))
                .map(|line| format!("{line}\n"))
                .collect();
            self.add_own("deleted", phase, "deleted.txt", lines("deleted", &gone, &deleted));
        }
        Ok(())
    }

    /// The children that are new or other than in the phase before.
    fn shown<'s>(&'s self, state: &'s State) -> impl Iterator<Item = &'s Value> {
        let is_shown = |(key, child): &(&ObjectKey, &Value)| self.before.get(*key) != Some(*child);
        state.children.iter().filter(is_shown).map(|(_, child)| child)
    }
}

/// `events.yaml`.
fn told(state: &State) -> Vec<Value> {
    let services = state.events.iter().filter(|(_, events)| !events.is_empty());
    services.map(|(service, events)| json!({"service": service, "events": events})).collect()
}

/// What a phase with another outcome has in common with the recording: how its inputs were taken.
const OF_INPUTS: [&str; 3] = ["stored", "merged", "refused"];

/// Kind, file, and what differs in it.
type Found = (&'static str, &'static str, Vec<Difference>);

fn in_phase(phase: &str, found: Vec<Found>) -> impl Iterator<Item = Difference> {
    let named = move |file: &str| if phase.is_empty() { file.to_owned() } else { format!("{phase}/{file}") };
    found.into_iter().flat_map(move |(_, file, found)| {
        let file = named(file);
        found.into_iter().map(move |difference| Difference { file: file.clone(), ..difference })
    })
}

/// What is made of the presets of others has no place among our files; length and hash stand for longer parts of it.
const LONGEST_TEXT_BYTES: usize = 400;

fn shortened(child: &Value) -> Value {
    let mut child = child.clone();
    for (name, value) in child.as_object_mut().into_iter().flatten().filter(|(name, _)| *name != "metadata") {
        let text = value.to_string();
        if text.len() > LONGEST_TEXT_BYTES {
            let hash: String =
                Sha256::digest(&text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            *value = json!(format!("<{name} of {} bytes, sha256 {hash}…>", text.len()));
        }
    }
    child
}

/// What rules may ask about: what was posted, merged, recorded and judged in this phase and, of the statuses, in the one before.
fn facts_of(case: &Case, phase: &str, state: &State, before: &[Value]) -> Result<Vec<Fact>> {
    let recorded = case.dir.join(phase);
    let mut facts = state.facts.clone();
    let mut add = |prefix: &str, documents: &[Value]| {
        documents.iter().for_each(|document| state::add_facts(prefix, document, &mut facts));
    };
    add("posted/", &read(&case.dir.join("in.yaml"))?);
    add("recorded/", &read(&recorded.join("status.yaml"))?);
    add("before/", before);
    add("", &state.statuses);
    if !recorded.join("events.yaml").is_file() {
        facts.push(Fact { service: None, line: "recorded/events=absent".to_owned() });
    }
    Ok(facts)
}

/// The deletions that were recorded in a phase; they stay true in the later ones.
fn deletions(recorded: &Path) -> Result<Vec<String>> {
    let changes = read_text(&recorded.join("changes.txt"))?.unwrap_or_default();
    let deleted = changes.lines().filter_map(|line| line.strip_prefix("delete "));
    Ok(deleted.map(|line| format!("recorded/deleted/{}", line.replace(' ', "/"))).collect())
}

fn owner(document: &Value) -> Option<String> {
    if document["kind"] == "LLMInferenceService" {
        return document["metadata"]["name"].as_str().map(str::to_owned);
    }
    let owners = document["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["kind"] == "LLMInferenceService")?["name"].as_str().map(str::to_owned)
}

/// Differences of children. One that only one side has is one difference without a field.
fn children(wanted: &BTreeMap<ObjectKey, Value>, ours: &BTreeMap<ObjectKey, Value>) -> Vec<Difference> {
    let mut all = Vec::new();
    let keys: BTreeSet<&ObjectKey> = wanted.keys().chain(ours.keys()).collect();
    for key in keys {
        let (wanted, ours) = (wanted.get(key), ours.get(key));
        let mut found = Vec::new();
        match (wanted, ours) {
            (Some(wanted), Some(ours)) => differ(wanted, ours, &path_of(key), &mut found),
            (wanted, ours) => found.push(Difference {
                file: String::new(),
                path: path_of(key),
                wanted: wanted.cloned(),
                ours: ours.cloned(),
                service: None,
            }),
        }
        let service = ours.or(wanted).and_then(owner);
        all.extend(found.into_iter().map(|difference| Difference { service: service.clone(), ..difference }));
    }
    all
}

/// Differences of documents of the same name. `normal` brings the recorded ones into form.
fn documents(wanted: &[Value], ours: &[Value], normal: fn(Value) -> Value) -> Vec<Difference> {
    let by_key = |documents: &[Value]| -> BTreeMap<ObjectKey, Value> {
        let keyed = documents.iter().filter_map(|document| {
            let mut document = document.clone();
            // The body of a create has no name yet.
            if let Some(name) = document["metadata"].get("generateName").cloned() {
                document["metadata"]["name"] = name;
            }
            Some((ObjectKey::of(&document).ok()?, normal(document)))
        });
        keyed.collect()
    };
    children(&by_key(wanted), &by_key(ours))
}

/// Words that are an API server's or Go's.
const FOREIGN: [&str; 6] = [
    "v1.HTTPRouteStatus",
    "failed to create",
    "failed to get defaults",
    "is invalid:",
    "dry-run",
    "json field",
];

/// Differences of statuses. Messages that quote Go structs or an API server are compared no further than their reason.
fn statuses(wanted: &[Value], ours: &[Value]) -> Vec<Difference> {
    let mut found = documents(wanted, ours, normal);
    found.retain(|difference| {
        let is_foreign = |text: &str| FOREIGN.iter().any(|word| text.contains(word));
        let is_message = difference.path.ends_with(".message")
            && difference.wanted.as_ref().and_then(Value::as_str).is_some_and(is_foreign);
        !is_message && !difference.path.ends_with(".status.observedGeneration")
    });
    found
}

/// Differences of what certificates say. Whether a pod's address is there depends on when it was asked for.
fn certificates(wanted: &[Value], state: &State) -> Vec<Difference> {
    let mut all = Vec::new();
    for document in wanted {
        let name = document["secret"].as_str().unwrap_or_default();
        let path = format!("certs/{name}");
        let mut document = document.clone();
        if let Some(addresses) = document["ipAddresses"].as_array() {
            let addresses: BTreeSet<&str> = addresses.iter().filter_map(Value::as_str).collect();
            document["ipAddresses"] = json!(addresses);
        }
        match state.certificates.iter().find(|ours| ours["secret"] == document["secret"]) {
            Some(ours) => differ(&document, ours, &path, &mut all),
            None => all.push(Difference::of_text("", path, name, "")),
        }
    }
    all
}

/// Differences of events. An error counts by its reason: its words are those of the condition. Their order is not
/// compared, since independent children are written at the same time.
fn events(wanted: &[Value], state: &State) -> Vec<Difference> {
    let line = |event: &Value| {
        let text = |field: &str| event[field].as_str().unwrap_or_default();
        match text("reason") {
            "Error" => format!("{}.Error", text("type")),
            reason => format!("{}.{reason}.{}", text("type"), text("message")),
        }
    };
    let mut theirs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for document in wanted {
        let events = document["events"].as_array().into_iter().flatten();
        theirs.entry(document["service"].as_str().unwrap_or_default()).or_default().extend(events.map(line));
    }
    let mut ours: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (service, events) in &state.events {
        ours.entry(service.as_str()).or_default().extend(events.iter().map(line));
    }
    let names: BTreeSet<&str> = theirs.keys().chain(ours.keys()).copied().collect();
    let none = BTreeSet::new();
    let mut found = Vec::new();
    for name in names {
        let (theirs, ours) = (theirs.get(name).unwrap_or(&none), ours.get(name).unwrap_or(&none));
        for (line, is_wanted) in theirs
            .difference(ours)
            .map(|line| (line, true))
            .chain(ours.difference(theirs).map(|line| (line, false)))
        {
            let (wanted, ours) = if is_wanted { ("recorded", "") } else { ("", "recorded") };
            let difference = Difference::of_text("", format!("events/{name}.{line}"), wanted, ours);
            found.push(Difference { service: Some(name.to_owned()), ..difference });
        }
    }
    found
}

/// Lines that only one of two lists has.
fn lines(list: &str, wanted: &str, ours: &[String]) -> Vec<Difference> {
    let path = |line: &str| format!("{list}/{}", line.replacen(' ', "/", line.matches(' ').count()));
    let wanted: BTreeSet<&str> = wanted.lines().filter(|line| !line.is_empty()).collect();
    let ours: BTreeSet<&str> = ours.iter().map(String::as_str).collect();
    let missing = wanted.difference(&ours).map(|line| Difference::of_text("", path(line), "recorded", ""));
    let extra = ours.difference(&wanted).map(|line| Difference::of_text("", path(line), "", "recorded"));
    missing.chain(extra).collect()
}
