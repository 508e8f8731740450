//! Which CEL rule applies to which value.

use std::fmt::Write;

use serde_json::Value;

use super::{Rule, Schema, Violation, ViolationType};

/// A rule, the value it is about, and where that value stands.
#[derive(Debug)]
pub struct AppliedRule<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The schema of the value: an evaluator needs it for numbers and escaped names.
    pub schema: &'a Schema,
    /// `self`.
    pub value: &'a Value,
    /// `oldSelf`: the value of before, if the document is an update and the value can be told apart.
    pub old: Option<&'a Value>,
    /// `spec.scaling`; empty for the document itself.
    pub path: String,
}

/// Whether these violations keep an API server from looking at CEL rules at all. It then reports
/// [`Violation::rules_not_checked`] beside them.
pub fn blocks_rules(violations: &[Violation]) -> bool {
    violations.iter().any(|violation| {
        matches!(
            violation.type_,
            ViolationType::Required
                | ViolationType::NotSupported
                | ViolationType::TypeInvalid
                | ViolationType::TooLong
                | ViolationType::TooMany
        )
    })
}

impl Schema {
    /// All rules that apply to `document`, outer values first. `old` is the document before an update.
    pub fn rules<'a>(&'a self, document: &'a Value, old: Option<&'a Value>) -> Vec<AppliedRule<'a>> {
        let mut applied = Vec::new();
        self.collect(document, old, &mut String::new(), &mut applied);
        applied
    }

    fn collect<'a>(
        &'a self,
        value: &'a Value,
        old: Option<&'a Value>,
        path: &mut String,
        applied: &mut Vec<AppliedRule<'a>>,
    ) {
        if value.is_null() || !self.has_rules {
            return;
        }
        for rule in &self.validations {
            applied.push(AppliedRule { rule, schema: self, value, old, path: path.clone() });
        }
        match value {
            Value::Object(fields) => {
                for (name, child) in fields {
                    let is_known = self.properties.contains_key(name);
                    let Some(known) = self.child(name) else { continue };
                    let length = path.len();
                    if is_known {
                        if !path.is_empty() {
                            path.push('.');
                        }
                        path.push_str(name);
                    } else {
                        path.extend(["[", name, "]"]);
                    }
                    known.collect(child, old.and_then(|old| old.get(name)), path, applied);
                    path.truncate(length);
                }
            }
            Value::Array(items) => {
                let Some(known) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    let length = path.len();
                    let _ = write!(path, "[{index}]");
                    known.collect(item, old.and_then(|old| self.same_item(old, item)), path, applied);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// The item of `old` with the keys of `item`; items of other lists cannot be told apart.
    fn same_item<'a>(&self, old: &'a Value, item: &Value) -> Option<&'a Value> {
        let super::ListType::Map(keys) = &self.list else { return None };
        old.as_array()?.iter().find(|candidate| keys.iter().all(|key| candidate.get(key) == item.get(key)))
    }
}
