//! `llmisvc render`: the same functions as the operator's, over files instead of a cluster.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;

use compose::{Origin, Warning};
use jiff::Timestamp;
use kinds::{ObjectKey, Objects};
use plan::{Change, Plan, Seen};
use serde_json::{Value, json};

use crate::args::{Format, Render, Show};
use crate::changes;
use crate::check::{Checked, check, known};
use crate::inputs::field_path;
use crate::problem::{Failure, Problem, say};
use crate::services::{self, Service};

/// Prints what was asked for, or all that is at fault.
pub(crate) fn run(args: &Render) -> Result<(), Failure> {
    let documents = services::read(&args.inputs)?;
    if documents.services.is_empty() {
        let problem = Problem::new("no LLMInferenceService in the input")
            .hint("configs alone are given with --cluster");
        return Err(problem.into());
    }
    if args.show == Show::Stored {
        let stored: Vec<Value> = documents.services.into_iter().map(|service| service.stored).collect();
        print(&stored, args.output.unwrap_or(Format::Yaml));
        return Ok(());
    }
    let mut present = services::for_cluster(&args.cluster)?;
    present.extend(documents.others);
    // Without a gateway no service with a route could be rendered, so then there is the one that `up` has.
    if !present.iter().any(|object| object["kind"] == "Gateway") {
        let usual = local::up::objects(SocketAddr::from(([127, 0, 0, 1], 8080)));
        present.extend(usual.into_iter().filter(|object| object["kind"] != "ConfigMap"));
    }
    let mut objects = services::object_set(present)?;
    // Services of one input see each other, as they would in a cluster.
    for service in &documents.services {
        let _ = objects.insert(known(service, &objects));
    }
    let now = args.now.unwrap_or_else(Timestamp::now);
    let mut checked = Vec::new();
    let mut problems = Vec::new();
    for service in &documents.services {
        let outcome = check(service, &objects, false)?;
        warn(service, &outcome);
        // A status says by itself what is wrong.
        if !matches!(args.show, Show::Status | Show::Events) {
            problems.extend(outcome.problem(service));
        }
        checked.push((service, outcome));
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let printed: Vec<Value> = match args.show {
        Show::Children => children(&checked),
        Show::Merged => checked.iter().filter_map(|(service, c)| merged(service, c)).collect(),
        Show::Status | Show::Events => {
            checked.iter().map(|(_, c)| judged(c, &objects, now, args.show)).collect()
        }
        Show::Changes => {
            let Some(format) = args.output else {
                changes::print_lines(&checked, now);
                return Ok(());
            };
            let documents: Vec<Value> =
                checked.iter().map(|(service, c)| changes::document(service, c, now)).collect();
            print(&documents, format);
            return Ok(());
        }
        Show::Origins => checked.iter().map(|(service, c)| origins(service, c)).collect(),
        Show::Stored => Vec::new(),
    };
    print(&printed, args.output.unwrap_or(Format::Yaml));
    Ok(())
}

/// Prints objects to stdout: YAML documents, or one JSON document.
pub(crate) fn print(objects: &[Value], format: Format) {
    let mut out = std::io::stdout().lock();
    // A closed pipe (`| head`) is no failure of ours.
    let _ = match (format, objects) {
        (Format::Yaml, objects) => out.write_all(yaml::write_documents(objects).as_bytes()),
        (Format::Json, [object]) => writeln!(out, "{object:#}"),
        (Format::Json, objects) => {
            writeln!(out, "{:#}", json!({"apiVersion": "v1", "kind": "List", "items": objects}))
        }
    };
    let _ = out.flush();
}

/// What is worth knowing and stops nothing. The plan's findings repeat the warnings of the composition, for the events;
/// here each is said once, with its line.
fn warn(service: &Service, checked: &Checked) {
    let warnings: Vec<&Warning> = checked.merged.iter().flat_map(|merged| &merged.warnings).collect();
    let mut texts = BTreeSet::new();
    for warning in &warnings {
        texts.insert(service.problem(Some(&warning.field), warning.message.clone()).text());
    }
    for finding in &checked.plan.findings {
        if !warnings.iter().any(|warning| finding.message.contains(&warning.message)) {
            let mut problem = service.problem(None, finding.message.clone());
            problem.hint.clone_from(&finding.hint);
            texts.insert(problem.text());
        }
    }
    for text in texts {
        say(&text.replacen("error: ", "warning: ", 1));
    }
}

/// The objects of all plans, ordered by apiVersion, kind, namespace and name. Certificates are issued when the plan is
/// carried out, so their data is empty here.
fn children(checked: &[(&Service, Checked)]) -> Vec<Value> {
    let mut objects = Objects::new();
    for (_, Checked { plan: Plan { steps, certificates, .. }, .. }) in checked {
        for order in certificates {
            let mut secret = order.secret.clone();
            secret["data"] = json!({"ca.crt": "", "tls.crt": "", "tls.key": ""});
            let _ = objects.insert(secret);
        }
        for object in steps.iter().flat_map(|step| &step.objects) {
            let _ = objects.insert(object.clone());
        }
    }
    objects.into_iter().map(|(_, object)| Value::clone(&object)).collect()
}

fn merged(service: &Service, checked: &Checked) -> Option<Value> {
    let merged = checked.merged.as_ref().ok()?;
    Some(json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
        "metadata": {"name": service.stored["metadata"]["name"], "namespace": service.stored["metadata"]["namespace"]},
        "spec": merged.spec_json(),
    }))
}

fn judged(checked: &Checked, objects: &Objects, now: Timestamp, show: Show) -> Value {
    let writes = plan::diff_live(&checked.plan, objects, now).writes;
    let changes: Vec<Change> = writes.into_iter().map(|write| write.change).collect();
    let seen = Seen { objects: children_seen(&checked.plan, objects, &changes), changes, ..Seen::default() };
    let previous = serde_json::from_value(checked.facts.service["status"].clone()).ok();
    let judged =
        plan::judge(&checked.facts, checked.merged.as_ref(), &checked.plan, &seen, previous.as_ref(), now);
    let metadata = &checked.facts.service["metadata"];
    let mut out = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    });
    match show {
        Show::Events => {
            let events = judged.events.iter();
            out["events"] = events
                .map(|e| json!({"type": e.type_.as_str(), "reason": e.reason, "message": e.message}))
                .collect();
        }
        _ => out["status"] = serde_json::to_value(&judged.status).unwrap_or_default(),
    }
    out
}

/// What a pass of the operator would see: its children with the status that `--cluster` gives them, and the rest of it.
/// A child that the pass changes has a new generation, so what was reported of the old one no longer holds.
fn children_seen(plan: &Plan, objects: &Objects, changes: &[Change]) -> Objects {
    let mut seen = objects.clone();
    for child in plan.steps.iter().flat_map(|step| &step.objects) {
        let Ok(key) = ObjectKey::of(child) else { continue };
        let known = objects.get_key(&key);
        let is_whole =
            known.is_some_and(|known| known.get("spec").is_some() || known.get("status").is_none());
        if is_whole && changes.iter().all(|change| change.key != key) {
            continue;
        }
        let mut child = child.clone();
        if let Some(known) = known {
            if let Some(status) = known.get("status") {
                child["status"] = status.clone();
            }
            if let Some(generation) = known["metadata"]["generation"].as_i64() {
                child["metadata"]["generation"] = json!(generation + 1);
            }
        }
        let _ = seen.insert(child);
    }
    seen
}

/// Field, and who wrote it: a preset, a base ref, or a line of the user's file.
fn origins(service: &Service, checked: &Checked) -> Value {
    let fields: Vec<Value> = checked
        .merged
        .iter()
        .flat_map(|merged| merged.origins.fields(&merged.document))
        .map(|(pointer, origin)| {
            let from = match origin {
                Origin::Preset(name) => format!("preset {name}"),
                Origin::BaseRef(name) => format!("baseRef {name}"),
                Origin::Composed(step) => format!("default: {step}"),
                Origin::Service => match service.marks.position(&pointer) {
                    Some(position) => format!("{}:{}", service.file.display(), position.line),
                    None => service.file.display().to_string(),
                },
            };
            json!({"field": field_path(&pointer), "from": from})
        })
        .collect();
    json!({"service": service.full_name(), "origins": fields})
}
