//! Cases of `compose/`, and `merged.yaml` of those of `render/`: the configuration machinery alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use api::admission;
use compose::{Facts, Settings};
use kinds::Objects;
use serde_json::{Value, json};

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
    let error = case.dir.join("error.txt");
    let mut differences = Vec::new();
    if error.is_file() {
        let wanted = std::fs::read_to_string(&error)?;
        match &ours {
            Err(message) if same_message(message, &wanted) => {}
            Err(message) => differences.push(format!("error {message:?}, wanted {:?}", wanted.trim())),
            Ok(_) => differences.push(format!("no error, wanted {:?}", wanted.trim())),
        }
    } else {
        match &ours {
            Ok(value) => {
                differ(
                    &normal(first(&case.dir.join("want.yaml"))?),
                    &normal(value.clone()),
                    "",
                    &mut differences,
                );
            }
            Err(message) => differences.push(format!("error {message:?}")),
        }
    }
    if let Some(out) = &case.out {
        std::fs::create_dir_all(out)?;
        match &ours {
            Ok(value) => std::fs::write(out.join("want.yaml"), yaml::write(value))?,
            Err(message) => std::fs::write(out.join("error.txt"), message)?,
        }
    }
    Ok([("want", differences)].into())
}

/// `merged.yaml` of a case of `render/`, if it has one.
pub(super) fn run_merged(case: &Case) -> Result<Outcome> {
    let wanted = case.dir.join("merged.yaml");
    if !wanted.is_file() {
        return Ok(Outcome::new());
    }
    let about = first(&case.dir.join("case.yaml"))?;
    let mut objects = Objects::new();
    let inputs = read(&case.dir.join("in.yaml"))?;
    let present = cluster(&case.root, &about)?.into_iter().map(|(_, document)| (*document).clone());
    for document in present.chain(inputs.into_iter().filter(|document| document["kind"] != SERVICE)) {
        // What is refused was not stored.
        if let Ok(admitted) = admission::admit(&document, admission::Request::default()) {
            objects.add_document(admitted.object)?;
        }
    }
    let services = read(&case.dir.join("stored.yaml"))?;
    let mut differences = Vec::new();
    for body in read(&wanted)? {
        let generated = body["metadata"]["generateName"].as_str().unwrap_or_default();
        let service = services.iter().find(|service| {
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            api::names::child_name(name, "-validation-") == generated
        });
        let Some(service) = service else { bail!("no service for {generated}") };
        match compose::combine(&facts(service, objects.clone())?) {
            Ok(merged) => {
                let ours = json!({"spec": merged.spec_json()});
                differ(&normal(json!({"spec": body["spec"]})), &normal(ours), "", &mut differences);
                if let Some(out) = &case.out {
                    std::fs::create_dir_all(out)?;
                    std::fs::write(out.join("merged.yaml"), yaml::write(&merged.document))?;
                }
            }
            Err(error) => differences.push(format!("{generated}: {error}")),
        }
    }
    Ok([("merged", differences)].into())
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

/// As the recordings are normalised.
fn normal(mut value: Value) -> Value {
    clean(&mut value);
    value
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                clean(value);
                let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
                !value.is_null()
                    && name != "creationTimestamp"
                    && !(empty && matches!(name.as_str(), "resources" | "strategy" | "status"))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}

fn differ(wanted: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(ours.keys()).collect();
            for name in names {
                let path = format!("{path}/{name}");
                match (wanted.get(name), ours.get(name)) {
                    (Some(wanted), Some(ours)) => differ(wanted, ours, &path, found),
                    (Some(wanted), None) => found.push(format!("{path}: missing {}", short(wanted))),
                    (None, Some(ours)) => found.push(format!("{path}: not wanted {}", short(ours))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(wanted), Value::Array(ours)) if wanted.len() == ours.len() => {
            for (index, (wanted, ours)) in wanted.iter().zip(ours).enumerate() {
                differ(wanted, ours, &format!("{path}/{index}"), found);
            }
        }
        (wanted, ours) if same(wanted, ours) => {}
        (wanted, ours) => found.push(format!("{path}: {}, wanted {}", short(ours), short(wanted))),
    }
}

/// Numbers are equal by value: 1 is 1.0.
fn same(wanted: &Value, ours: &Value) -> bool {
    wanted == ours || matches!((wanted.as_f64(), ours.as_f64()), (Some(a), Some(b)) if a == b)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 300 { text } else { format!("{}…", &text[..text.floor_char_boundary(300)]) }
}

fn read(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let documents = yaml::read_documents(&text).with_context(|| path.display().to_string())?;
    Ok(documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect())
}

fn first(path: &Path) -> Result<Value> {
    Ok(read(path)?.into_iter().next().unwrap_or_default())
}
