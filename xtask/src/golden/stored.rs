//! `stored.yaml` and `error.txt` of the cases of `render/`: what admission makes of the objects, and what it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use api::admission::{Refusal, Request, admit, written_back};
use api::validate::sample_service;
use compose::Facts;
use kinds::Objects;
use serde_json::{Value, json};

use super::convert::{differ, normal, read};
use super::render::mends::Mends;
use super::{Case, Outcome};

/// `namespace/name`, or the name of what is refused, with code and causes (`TYPE FIELD`).
type Refusals = BTreeMap<String, (u16, Vec<String>)>;

pub(super) fn run(case: &Case) -> Result<Outcome> {
    let about = read(&case.dir.join("case.yaml"))?.into_iter().next().unwrap_or_default();
    let caches = caches(case, about["cluster"].as_str().unwrap_or("plain"))?;
    let sample = Facts { service: Arc::new(sample_service()), ..Facts::default() };
    let mut stored = BTreeMap::new();
    let mut refused = Refusals::new();
    for object in read(&case.dir.join("in.yaml"))? {
        let is_ours = object["apiVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("serving.kserve.io/"))
            && matches!(object["kind"].as_str(), Some("LLMInferenceService" | "LLMInferenceServiceConfig"));
        if !is_ours {
            continue;
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match admit(&object, Request { old: None, caches: caches.as_ref() }) {
            Ok(admitted) if object["kind"] == "LLMInferenceService" => {
                stored.insert(name, finalized(&admitted.object));
            }
            // A config's templates have to render for a sample service; that they do not is forbidden, not invalid.
            Ok(admitted) => {
                if compose::render(&admitted.object, &sample).is_err() {
                    refused.insert(name, (403, Vec::new()));
                }
            }
            Err(refusal) => {
                refused.insert(name, (refusal.code, causes(&refusal)));
            }
        }
    }
    if let Some(out) = &case.out {
        std::fs::create_dir_all(out)?;
        let documents: Vec<Value> = stored.values().cloned().collect();
        std::fs::write(out.join("stored.yaml"), yaml::write_documents(&documents))?;
    }
    let mut outcome = Outcome::new();
    let wanted = case.dir.join("stored.yaml");
    if wanted.is_file() {
        let mut differences = Vec::new();
        for service in read(&wanted)? {
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            match stored.get(name) {
                Some(ours) => differ(&normal(service.clone()), &normal(ours.clone()), name, &mut differences),
                None => differences.push(format!("{name}: refused: {:?}", refused.get(name))),
            }
        }
        outcome.insert("stored", differences);
    }
    let wanted = case.dir.join("error.txt");
    let wanted = if wanted.is_file() { refusals(&std::fs::read_to_string(wanted)?) } else { Refusals::new() };
    let mut differences = Vec::new();
    for (name, refusal) in &wanted {
        match refused.get(name) {
            Some(ours) if ours == refusal || (ours.0 == refusal.0 && refusal.1.is_empty()) => {}
            ours => differences.push(format!("{name}: {ours:?}, wanted {refusal:?}")),
        }
    }
    differences.extend(
        refused
            .iter()
            .filter(|(name, _)| !wanted.contains_key(*name))
            .map(|unwanted| format!("unwanted {unwanted:?}")),
    );
    Mends::read(&crate::workspace::root())?
        .apply(case.id.rsplit('/').next().unwrap_or_default(), &mut differences);
    if !wanted.is_empty() || !differences.is_empty() {
        outcome.insert("refused", differences);
    }
    Ok(outcome)
}

/// The caches of the cluster, if it uses them.
fn caches(case: &Case, profile: &str) -> Result<Option<Objects>> {
    let mut objects = Objects::new();
    for path in [case.root.join(format!("presets/cluster/{profile}.yaml")), case.dir.join("in.yaml")] {
        for document in read(&path)? {
            objects.add_document(document).with_context(|| path.display().to_string())?;
        }
    }
    let config = objects.get("v1", "ConfigMap", Some("kserve"), "inferenceservice-config");
    let local: Value = config
        .and_then(|config| config["data"]["localModel"].as_str())
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    Ok((local["enabled"] == true).then_some(objects))
}

/// The recorded controller had put its finalizer on, and so written the service back, when it was looked at.
fn finalized(service: &Value) -> Value {
    let mut service = written_back(service);
    service["metadata"]["finalizers"] = json!([api::keys::SERVICE_FINALIZER]);
    if let Some(fields) = service.as_object_mut() {
        fields.remove("status");
    }
    service
}

fn causes(refusal: &Refusal) -> Vec<String> {
    if refusal.code == 400 {
        return Vec::new();
    }
    let mut causes: Vec<String> = refusal
        .causes
        .iter()
        .map(|cause| {
            let field = cause.violation.field.as_deref().unwrap_or("<nil>");
            format!("{} {field}", cause.violation.type_.reason())
        })
        .collect();
    causes.sort();
    causes
}

/// Reads `CODE REASON create KIND NAMESPACE/NAME`, and `  cause TYPE field=FIELD: …` below it.
fn refusals(text: &str) -> Refusals {
    let mut found = Refusals::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(cause) = line.trim_start().strip_prefix("cause ").filter(|_| line.starts_with("  ")) {
            if let (Some((type_, rest)), Some(entry)) = (cause.split_once(" field="), found.get_mut(&current))
            {
                let field = rest.split(": ").next().unwrap_or(rest);
                entry.1.push(format!("{type_} {field}"));
                entry.1.sort();
            }
        } else if let (Some(Ok(code)), Some(position)) =
            (words.first().map(|word| word.parse::<u16>()), words.iter().position(|word| *word == "create"))
        {
            current = words
                .get(position + 2)
                .and_then(|name| name.split_once('/'))
                .map(|(_, name)| name.to_owned())
                .unwrap_or_default();
            found.insert(current.clone(), (code, Vec::new()));
        }
    }
    found
}
