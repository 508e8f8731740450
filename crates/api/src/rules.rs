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

/// By name.
static RULES: LazyLock<Vec<CelRule>> = LazyLock::new(|| {
    let mut rules: Vec<CelRule> = workload::rules().into_iter().chain(route::rules()).collect();
    rules.sort_by_key(|rule| rule.id);
    rules
});

/// Where in [`RULES`] the rule of an expression is.
static BY_TEXT: LazyLock<BTreeMap<&'static str, usize>> =
    LazyLock::new(|| RULES.iter().enumerate().map(|(index, rule)| (rule.rule.as_str(), index)).collect());

/// The rule of that name.
pub(crate) fn find(id: &str) -> Option<&'static CelRule> {
    RULES.binary_search_by_key(&id, |rule| rule.id).ok().map(|index| &RULES[index])
}

/// All rules, by name.
pub fn all() -> impl Iterator<Item = &'static CelRule> {
    RULES.iter()
}

/// Whether the expression `rule` holds for `value`; `None` if it is none of ours.
pub fn holds(rule: &str, value: &Value) -> Option<bool> {
    by_text(rule).map(|known| known.holds.of(value))
}

/// [`holds`] for a rule of a schema.
pub(crate) fn rule_holds(rule: &kinds::schema::Rule, value: &Value) -> Option<bool> {
    let number = rule.number(|text| BY_TEXT.get(text).copied())?;
    RULES.get(number).map(|known| known.holds.of(value))
}

/// The rule whose expression that is.
pub(crate) fn by_text(rule: &str) -> Option<&'static CelRule> {
    BY_TEXT.get(rule).and_then(|index| RULES.get(*index))
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
