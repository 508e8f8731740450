//! The CEL rules of the schemas: their text for API servers, and the same rule in Rust for everyone else.
//! `tests/twins.rs` holds one to the other.
//!
//! The texts are KServe's and the Gateway API's, so that an API server says the same about the same mistake. Two are
//! mended: KServe's rules about `advanced` read optional fields without asking for them first, which made every
//! `wva.keda.advanced` and every `horizontalPodAutoscalerConfig.behavior` impossible to submit.

mod route;
mod workload;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// A rule in both languages.
#[derive(Debug, Clone)]
pub struct CelRule {
    /// The name that the table of types uses.
    pub id: &'static str,
    /// The CEL expression.
    pub rule: String,
    /// What is said when it does not hold.
    pub message: String,
    /// The same in Rust. Absent fields count as CEL's `has` sees them.
    pub holds: Check,
}

/// A rule in Rust.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// About the value alone.
    Value(fn(&Value) -> bool),
    /// About a list of filters: at most one of this type.
    Once(&'static str),
    /// About a filter: this field only with this type.
    Only(&'static str, &'static str),
    /// About a filter: this type only with this field.
    Given(&'static str, &'static str),
    /// About a path: its value does not contain this.
    PathWithout(&'static str),
}

static RULES: LazyLock<BTreeMap<&'static str, CelRule>> = LazyLock::new(|| {
    workload::rules().into_iter().chain(route::rules()).map(|rule| (rule.id, rule)).collect()
});

static BY_TEXT: LazyLock<BTreeMap<&'static str, &'static CelRule>> =
    LazyLock::new(|| RULES.values().map(|rule| (rule.rule.as_str(), rule)).collect());

/// The rule of that name.
pub(crate) fn find(id: &str) -> Option<&'static CelRule> {
    RULES.get(id)
}

/// All rules, by name.
pub fn all() -> impl Iterator<Item = &'static CelRule> {
    RULES.values()
}

/// Whether the expression `rule` holds for `value`; `None` if it is none of ours.
pub fn holds(rule: &str, value: &Value) -> Option<bool> {
    BY_TEXT.get(rule).map(|known| known.holds.of(value))
}

/// The rule whose expression that is.
pub(crate) fn by_text(rule: &str) -> Option<&'static CelRule> {
    BY_TEXT.get(rule).copied()
}

impl Check {
    fn of(self, value: &Value) -> bool {
        match self {
            Check::Value(check) => check(value),
            Check::Once(type_) => items(value).filter(|filter| filter["type"] == type_).count() <= 1,
            Check::Only(field, type_) => !has(value, field) || value["type"] == type_,
            Check::Given(field, type_) => has(value, field) || value["type"] != type_,
            Check::PathWithout(part) => route::is_any_path_type(value) || !route::path(value).contains(part),
        }
    }
}

fn rule(
    id: &'static str,
    text: impl Into<String>,
    message: impl Into<String>,
    check: fn(&Value) -> bool,
) -> CelRule {
    CelRule { id, rule: text.into(), message: message.into(), holds: Check::Value(check) }
}

/// CEL's `has(value.field)`.
fn has(value: &Value, field: &str) -> bool {
    value.get(field).is_some_and(|found| !found.is_null())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value, field: &str) -> Option<i64> {
    value.get(field).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests;
