//! Services of `tests/cases`, each with the children and the status that it is to have.
//!
//! `in.yaml` holds the service, and what else the cluster shows. `UPDATE_GOLDEN=1 cargo test -p plan` writes what is made
//! now; read the difference before you commit it.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read has failed")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use compose::{Facts, Settings};
use jiff::Timestamp;
use kinds::{ObjectKey, Objects};
use plan::{Plan, Seen};
use serde_json::{Value, json};

#[test]
fn every_case_has_the_children_and_the_status_that_are_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for case in cases {
        let (children, status) = outcome(&case);
        for (file, made) in [("children.yaml", children), ("status.yaml", status)] {
            let path = case.join(file);
            if update {
                std::fs::write(&path, &made).unwrap();
            }
            let wanted = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(made == wanted, "{} differs; UPDATE_GOLDEN=1 writes it anew\n{made}", path.display());
        }
    }
}

fn outcome(case: &Path) -> (String, String) {
    let text = std::fs::read_to_string(case.join("in.yaml")).unwrap();
    let documents = yaml::read_documents(&text).unwrap();
    let mut service = Value::Null;
    let mut objects = Objects::new();
    for document in documents.into_iter().map(|document| document.value) {
        if document["kind"] == "LLMInferenceService" {
            service = api::admission::admit(&document, api::admission::Request::default()).unwrap().object;
            service["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
            service["metadata"]["generation"] = json!(1);
        } else {
            objects.add_document(document).unwrap();
        }
    }
    let settings = Settings::from_objects(&objects, "kserve").unwrap();
    let facts = Facts { service: Arc::new(service), objects, settings, ..Facts::default() };
    let merged = compose::compose(&facts).unwrap();
    let plan = plan::build(&merged, &facts);
    let seen = Seen { objects: carried_out(&facts, &plan), ..Seen::default() };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let judged = plan::judge(&facts, Ok(&merged), &plan, &seen, None, now);
    let mut children: Vec<&Value> = plan.steps.iter().flat_map(|step| &step.objects).collect();
    children.extend(plan.certificates.iter().map(|order| &order.secret));
    children.sort_by_key(|child| ObjectKey::of(child).unwrap());
    (yaml::write_documents(children), yaml::write(&serde_json::to_value(&judged.status).unwrap()))
}

/// What the cluster holds afterwards; statuses that the case reports stay.
fn carried_out(facts: &Facts, plan: &Plan) -> Objects {
    let mut objects = facts.objects.clone();
    for object in plan.steps.iter().flat_map(|step| &step.objects) {
        let status =
            objects.get_key(&ObjectKey::of(object).unwrap()).and_then(|old| old.get("status")).cloned();
        let mut live = object.clone();
        if let Some(status) = status {
            live["status"] = status;
        }
        objects.insert(live).unwrap();
    }
    objects
}
