//! Whether an API server would take the merged spec.
//!
//! KServe asks it with a dry-run request on every pass; the same rules are applied here.

use api::admission;
use api::names;
use api::v1alpha2::{API_VERSION, SERVICE_KIND};
use kinds::pointer::at_mut;
use serde_json::{Map, Value, json};

use crate::{Cause, Error, Facts, Merged};

/// Five letters, as an API server puts after `generateName`.
const SUFFIX: &str = "xxxxx";

/// Refuses layers that are each fine and merge into something that is not.
pub(crate) fn check(merged: &mut Merged, facts: &Facts) -> Result<(), Error> {
    let name = names::child_name(facts.name(), "-validation-");
    let mut service = json!({
        "apiVersion": API_VERSION,
        "kind": SERVICE_KIND,
        "metadata": {"name": format!("{name}{SUFFIX}"), "namespace": facts.namespace()},
    });
    // Lent, since a copy takes as long as the look at it.
    service["spec"] = merged.document["spec"].take();
    // A config that is no JSON object is the picker's to refuse.
    let odd = inline_config(&mut service["spec"])
        .filter(|config| config.get("inline").is_some_and(|inline| !inline.is_object()))
        .and_then(|config| config.remove("inline"));
    let refusal = admission::refusal_of_written(&service);
    let mut spec = service["spec"].take();
    if let (Some(odd), Some(config)) = (odd, inline_config(&mut spec)) {
        config.insert("inline".to_owned(), odd);
    }
    merged.document["spec"] = spec;
    let Some(refusal) = refusal else { return Ok(()) };
    let causes = refusal.causes.into_iter().map(|finding| Cause {
        field: finding.violation.field.unwrap_or_else(|| "<nil>".to_owned()),
        message: finding.violation.detail,
    });
    Err(Error::FixCombination { applied_configs: merged.applied_configs.clone(), causes: causes.collect() })
}

fn inline_config(spec: &mut Value) -> Option<&mut Map<String, Value>> {
    at_mut(spec, "/router/scheduler/config")?.as_object_mut()
}
