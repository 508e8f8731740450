//! Composition and plan of a service, with every fault said in the user's terms.

use compose::{Facts, Merged, Settings};
use kinds::Objects;
use plan::{Plan, is_stopped};
use serde_json::Value;

use crate::problem::Problem;
use crate::services::Service;

/// The namespace in which presets and settings are looked up.
pub(crate) const SYSTEM_NAMESPACE: &str = "kserve";

/// What a service comes to.
pub(crate) struct Checked {
    pub(crate) facts: Facts,
    pub(crate) merged: Result<Merged, compose::Error>,
    pub(crate) plan: Plan,
}

/// The facts, the merge and the plan, whatever they say. `objects` is what the cluster holds;
/// `one_machine` says that it is `up`'s.
///
/// # Errors
/// If the cluster's settings cannot be read, without which nothing can be said about any service.
pub(crate) fn check(service: &Service, objects: &Objects, one_machine: bool) -> Result<Checked, Problem> {
    let settings = Settings::from_objects(objects, SYSTEM_NAMESPACE).map_err(|error| {
        Problem::new(format!("ConfigMap {SYSTEM_NAMESPACE}/inferenceservice-config: {error}"))
    })?;
    let facts = Facts {
        service: known(service, objects).into(),
        objects: objects.clone(),
        settings,
        system_namespace: SYSTEM_NAMESPACE.to_owned(),
        one_machine,
        ..Facts::default()
    };
    let merged = compose::compose(&facts);
    let plan = match &merged {
        Ok(merged) => plan::build(merged, &facts),
        Err(_) if is_stopped(&facts) => plan::teardown(&facts),
        Err(_) => Plan::default(),
    };
    let plan =
        if facts.service["metadata"]["deletionTimestamp"].is_null() { plan } else { plan::finalize(&facts) };
    Ok(Checked { facts, merged, plan })
}

impl Checked {
    /// What keeps the service from being served, as far as it can be known without running it.
    pub(crate) fn problem(&self, service: &Service) -> Option<Problem> {
        if let Err(error) = self.merged.as_ref()
            && !is_stopped(&self.facts)
        {
            let problem = service.problem(error.field(), error.to_string());
            return Some(match error.hint() {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
        let failure = self.plan.failure.as_ref()?;
        let problem = service.problem(
            failure.field,
            format!("{}: {}: {}", failure.condition, failure.reason, failure.message),
        );
        Some(match &failure.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    }
}

/// The service as stored, with the identity and status that it has in the cluster if it is there already.
pub(crate) fn known(service: &Service, objects: &Objects) -> Value {
    let mut stored = service.stored.clone();
    let namespace = stored["metadata"]["namespace"].as_str();
    let known = objects.get("serving.kserve.io/v1alpha2", "LLMInferenceService", namespace, name(service));
    if let Some(known) = known {
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"] {
            if let Some(value) = known["metadata"].get(field) {
                stored["metadata"][field] = value.clone();
            }
        }
        if let Some(status) = known.get("status") {
            stored["status"] = status.clone();
        }
    }
    stored
}

fn name(service: &Service) -> &str {
    service.stored["metadata"]["name"].as_str().unwrap_or_default()
}
