//! Cases of `compose/`: the configuration machinery alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use compose::{Facts, Settings};
use kinds::Objects;
use serde_json::{Value, json};

use super::difference::{Difference, differ};
use super::document::{first, normal, read, read_text, write};
use super::{Case, Outcome};

const SERVICE: &str = "LLMInferenceService";
const SYSTEM: &str = "kserve";

/// One case of `compose/`.
pub(super) fn run(case: &Case) -> Result<Outcome> {
    let about = first(&case.dir.join("case.yaml"))?;
    let documents = read(&case.dir.join("in.yaml"))?;
    let ours = match about["mode"].as_str() {
        Some("merge") => merge(&documents),
        Some("replace") => replace(case, &about, &documents),
        Some("combine") => combine(case, &about, &documents),
        mode => bail!("unknown mode {mode:?}"),
    }?;
    let mut found = Vec::new();
    let mut outcome = Outcome::default();
    let file = match read_text(&case.dir.join("error.txt"))? {
        Some(wanted) => {
            let message = ours.as_ref().err().map_or("", String::as_str);
            if !same_message(message, &wanted) {
                found.push(Difference::of_text("", "error", wanted.trim(), message));
            }
            // What had been selected before the error.
            let selected = first(&case.dir.join("want.yaml"))?;
            if let (Ok(ours), Some(selected)) = (&ours, selected.get("appliedConfigs")) {
                differ(selected, &ours["appliedConfigs"], "compose.appliedConfigs", &mut found);
            }
            "error.txt"
        }
        None => {
            match &ours {
                Ok(value) => differ(
                    &normal(first(&case.dir.join("want.yaml"))?),
                    &normal(value.clone()),
                    "compose",
                    &mut found,
                ),
                Err(message) => found.push(Difference::of_text("", "error", "", message)),
            }
            "want.yaml"
        }
    };
    outcome.add("want", file, found);
    if let Some(out) = &case.out {
        match &ours {
            Ok(value) => write(&out.join("want.yaml"), &yaml::write(&normal(value.clone())))?,
            Err(message) => write(&out.join("error.txt"), message)?,
        }
    }
    Ok(outcome)
}

type Ours = std::result::Result<Value, String>;

fn merge(documents: &[Value]) -> Result<Ours> {
    Ok(compose::merge(documents).map(|spec| json!({"spec": spec})).map_err(|error| error.to_string()))
}

fn replace(case: &Case, about: &Value, documents: &[Value]) -> Result<Ours> {
    let [service, config] = documents else { bail!("a service and a config are needed") };
    let facts = facts(service, cluster(&case.root, about)?)?;
    Ok(compose::render(config, &facts).map_err(|error| error.to_string()))
}

fn combine(case: &Case, about: &Value, documents: &[Value]) -> Result<Ours> {
    let mut objects = cluster(&case.root, about)?;
    let mut service = Value::Null;
    for document in documents {
        if document["kind"] == SERVICE {
            service = document.clone();
        } else {
            objects.add_document(document.clone())?;
        }
    }
    let merged = match compose::combine(&facts(&service, objects)?) {
        Ok(merged) => merged,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let applied: Vec<Value> = merged
        .applied_configs
        .iter()
        .map(|config| json!({"name": config.name, "namespace": config.namespace, "source": config.source.word()}))
        .collect();
    let mut outcome = json!({"appliedConfigs": applied, "spec": merged.spec_json()});
    if let Some(config) = &merged.scheduler_config
        && let Some((namespace, name)) = &config.config_map
    {
        outcome["resolvedSchedulerConfigMap"] = format!("{namespace}/{name}").into();
        outcome["schedulerConfigText"] = config.text.clone().into();
    }
    Ok(Ok(outcome))
}

fn facts(service: &Value, objects: Objects) -> Result<Facts> {
    let settings = Settings::from_objects(&objects, SYSTEM)?;
    Ok(Facts { service: Arc::new(service.clone()), objects, settings, ..Facts::default() })
}

/// KServe's presets as objects, and the settings of the case's profile.
fn cluster(root: &Path, about: &Value) -> Result<Objects> {
    let presets = root.join("presets");
    let profile = about["cluster"].as_str().unwrap_or("plain");
    let mut objects = Objects::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&presets)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.push(presets.join(format!("cluster/{profile}.yaml")));
    for file in files {
        for document in read(&file)? {
            objects.add_document(document).with_context(|| file.display().to_string())?;
        }
    }
    Ok(objects)
}

/// Offsets into the text of a template mean nothing to anybody else.
fn same_message(ours: &str, wanted: &str) -> bool {
    without_offsets(ours.trim()) == without_offsets(wanted.trim())
}

fn without_offsets(message: &str) -> String {
    let mut parts = message.split("config:1:");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("config:1:");
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    text
}
