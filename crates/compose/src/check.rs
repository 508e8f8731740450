//! Whether an API server would take the merged spec.
//!
//! KServe asks it with a dry-run request on every pass; the same rules are applied here.

use api::admission::{self, Request};
use api::names;
use api::v1alpha2::{API_VERSION, SERVICE_KIND};
use serde_json::json;

use crate::{Cause, Error, Facts, Merged};

/// Five letters, as an API server puts after `generateName`.
const SUFFIX: &str = "xxxxx";

/// Refuses layers that are each fine and merge into something that is not.
pub(crate) fn check(merged: &Merged, facts: &Facts) -> Result<(), Error> {
    let mut spec = merged.spec_json().clone();
    // A config that is no JSON object is the picker's to refuse.
    if let Some(config) =
        spec.pointer_mut("/router/scheduler/config").and_then(|config| config.as_object_mut())
        && config.get("inline").is_some_and(|inline| !inline.is_object())
    {
        config.remove("inline");
    }
    let name = names::child_name(facts.name(), "-validation-");
    let mut service = json!({
        "apiVersion": API_VERSION,
        "kind": SERVICE_KIND,
        "metadata": {"name": format!("{name}{SUFFIX}"), "namespace": facts.namespace()},
    });
    service["spec"] = spec;
    let Err(refusal) = admission::admit_owned(service, Request::default()) else { return Ok(()) };
    let causes = refusal.causes.into_iter().map(|finding| Cause {
        field: finding.violation.field.unwrap_or_else(|| "<nil>".to_owned()),
        message: finding.violation.detail,
    });
    Err(Error::FixCombination { applied_configs: merged.applied_configs.clone(), causes: causes.collect() })
}
