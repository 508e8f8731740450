//! The rules that KServe's validating webhooks hold services and configs to.
//!
//! They work on the JSON of v1alpha2 in the form that Go writes ([`crate::shape::marshal`]), after the schema has been
//! checked. Every rule has an entry in [`catalogue::RULES`], from which `docs/validation.md` is made: what it says, an
//! example, and what to do.

mod cache;
pub mod catalogue;
mod container;
mod devices;
mod names;
mod routing;
mod sample;
mod scaling;
mod workload;

use kinds::schema::{Violation, ViolationType};
use serde_json::Value;

pub use catalogue::{RULES, Rule};
pub use container::{MAIN, main_container};
pub use names::name_violation;
pub use sample::sample_service;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id in the catalogue.
    pub rule: &'static str,
    /// Field, kind and words.
    pub violation: Violation,
}

impl Finding {
    /// What to do about it; empty where there is nothing to say.
    pub fn hint(&self) -> &'static str {
        if let Some(rule) = catalogue::find(self.rule) {
            return rule.hint;
        }
        if self.violation.field.is_none() {
            return "";
        }
        match self.violation.type_ {
            ViolationType::Required => "add the field",
            ViolationType::NotSupported => "write one of the supported values",
            ViolationType::TypeInvalid => "write a value of the type that is asked for",
            ViolationType::Duplicate => "remove one of the two",
            ViolationType::TooLong | ViolationType::TooMany => "make it shorter",
            ViolationType::Forbidden => "remove the field",
            ViolationType::Invalid => "write a value that fits",
        }
    }
}

/// What the webhooks say about an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rules that do not hold; none means accepted.
    pub findings: Vec<Finding>,
    /// Said to the user, and accepted all the same.
    pub warnings: Vec<String>,
}

/// The rules for a service. `old` is the service before an update. `is_v1alpha1` says that the user wrote that version,
/// whose webhook knows fewer rules.
pub fn service(service: &Value, old: Option<&Value>, is_v1alpha1: bool) -> Verdict {
    let mut verdict = Verdict::default();
    if old.is_some() && !service["metadata"]["deletionTimestamp"].is_null() {
        return verdict;
    }
    let spec = &service["spec"];
    routing::routes(spec, is_v1alpha1, &mut verdict);
    routing::traffic(spec, &mut verdict);
    workload::parallelism(spec, &mut verdict);
    routing::scheduler(spec, &mut verdict);
    scaling::all(spec, &mut verdict);
    workload::adapters(service, &mut verdict);
    if !is_v1alpha1 {
        cache::all(spec, &mut verdict);
    }
    workload::rollouts(spec, &mut verdict);
    devices::all(service, &mut verdict);
    if let Some(old) = old {
        workload::size_is_fixed(spec, &old["spec"], &mut verdict);
    }
    if !is_v1alpha1 {
        workload::confidential(spec, &mut verdict);
    }
    verdict
}

/// The rules for a config, apart from those that need its templates rendered.
pub fn config(config: &Value, old: Option<&Value>) -> Verdict {
    let mut verdict = Verdict::default();
    if old.is_some() && !config["metadata"]["deletionTimestamp"].is_null() {
        return verdict;
    }
    if config["spec"]["baseRefs"].as_array().is_some_and(|refs| !refs.is_empty()) {
        let words = "baseRefs is not a permitted field in LLMInferenceServiceConfig, support for recursive refs has been disabled";
        verdict.find(
            "config-base-refs",
            ViolationType::Forbidden,
            "spec.baseRefs",
            format!("Forbidden: {words}"),
        );
    }
    routing::scheduler_replicas(&config["spec"], &mut verdict);
    verdict
}

impl Verdict {
    /// The violations alone.
    pub fn violations(&self) -> Vec<Violation> {
        self.findings.iter().map(|finding| finding.violation.clone()).collect()
    }

    fn find(&mut self, rule: &'static str, type_: ViolationType, field: &str, detail: String) {
        self.findings.push(Finding { rule, violation: Violation::new(type_, field, detail) });
    }

    fn invalid(&mut self, rule: &'static str, field: &str, value: &Value, words: &str) {
        self.find(rule, ViolationType::Invalid, field, format!("Invalid value: {value}: {words}"));
    }

    fn required(&mut self, rule: &'static str, field: &str, words: &str) {
        self.find(rule, ViolationType::Required, field, format!("Required value: {words}"));
    }

    fn forbidden(&mut self, rule: &'static str, field: &str, words: &str) {
        self.find(rule, ViolationType::Forbidden, field, format!("Forbidden: {words}"));
    }
}

/// The decode workload and, if there is one, the prefill workload, with their paths.
fn workloads(spec: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let prefill = spec.get("prefill").filter(|prefill| !prefill.is_null());
    [("spec", spec)].into_iter().chain(prefill.map(|prefill| ("spec.prefill", prefill)))
}

fn is_set(value: &Value) -> bool {
    !value.is_null()
}

fn is_filled(list: &Value) -> bool {
    list.as_array().is_some_and(|items| !items.is_empty())
}

#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;
