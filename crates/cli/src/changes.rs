//! `render --show changes`: what the operator would do to what `--cluster` holds.

use std::collections::BTreeSet;
use std::io::Write as _;

use jiff::Timestamp;
use plan::{Diff, diff_live};
use serde_json::{Map, Value, json};

use crate::check::Checked;
use crate::problem::say;
use crate::services::Service;

/// Prints a line for each write (`update apps/v1 Deployment team/demo-kserve`), sorted, and says what follows from them.
pub(crate) fn print_lines(checked: &[(&Service, Checked)], now: Timestamp) {
    let diffs: Vec<Diff> = checked.iter().map(|(_, c)| diff_live(&c.plan, &c.facts.objects, now)).collect();
    let lines: BTreeSet<String> =
        diffs.iter().flat_map(|diff| &diff.writes).map(|write| write.change.to_string()).collect();
    let mut out = std::io::stdout().lock();
    // A closed pipe (`| head`) is no failure of ours.
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
    for diff in &diffs {
        for key in &diff.foreign {
            say(&format!(
                "warning: {key} belongs to somebody else; the operator would leave it alone and stop there"
            ));
        }
        for pods in &diff.pods {
            let (before, after) = pods.pods;
            say(&format!("{}: {before} pods, then {after}; {} restart", pods.workload, pods.restarts));
        }
        for (name, devices) in &diff.devices {
            say(&format!("{name}: {}, then {} ({:+})", devices.before, devices.after, devices.change()));
        }
    }
}

/// The same with fields, as a document.
pub(crate) fn document(service: &Service, checked: &Checked, now: Timestamp) -> Value {
    let diff = diff_live(&checked.plan, &checked.facts.objects, now);
    let object = |key: &kinds::ObjectKey| {
        let mut object = json!({"apiVersion": key.api_version, "kind": key.kind, "name": key.name});
        if let Some(namespace) = &key.namespace {
            object["namespace"] = json!(namespace);
        }
        object
    };
    let changes: Vec<Value> = diff
        .writes
        .iter()
        .map(|write| {
            let mut change = object(&write.change.key);
            change["verb"] = json!(write.change.verb.as_str());
            if let Some(reason) = write.reason {
                change["reason"] = json!(reason);
            }
            if !write.fields.is_empty() {
                let fields = write.fields.iter().map(|change| {
                    let mut field = Map::new();
                    field.insert("field".to_owned(), json!(change.field));
                    field.extend(change.from.clone().map(|from| ("from".to_owned(), from)));
                    field.extend(change.to.clone().map(|to| ("to".to_owned(), to)));
                    Value::Object(field)
                });
                change["fields"] = fields.collect();
            }
            change
        })
        .collect();
    let pods: Vec<Value> = diff
        .pods
        .iter()
        .map(|pods| {
            let mut workload = object(&pods.workload);
            workload["replicas"] = json!({"from": pods.replicas.0, "to": pods.replicas.1});
            workload["pods"] = json!({"from": pods.pods.0, "to": pods.pods.1, "restart": pods.restarts});
            workload
        })
        .collect();
    let devices: Map<String, Value> = diff
        .devices
        .iter()
        .map(|(name, devices)| {
            let counts = json!({"from": devices.before, "to": devices.after, "change": devices.change()});
            (name.clone(), counts)
        })
        .collect();
    json!({
        "service": service.full_name(),
        "changes": changes,
        "notOurs": diff.foreign.iter().map(object).collect::<Vec<Value>>(),
        "pods": pods,
        "devices": devices,
    })
}
