//! Which CEL rule applies to which value, and what is said when it does not hold.

use serde_json::Value;

use super::cel::{Rule, Values, Verdict};
use super::path::Path;
use super::{Schema, Violation, ViolationType, printed};

/// A value with rules, and where it stands.
#[derive(Debug)]
pub struct RuledValue<'s, 'v> {
    /// The schema with the rules.
    pub schema: &'s Schema,
    /// `self`.
    pub value: &'v Value,
    /// `oldSelf`: the value of before, if the document is an update and the value can be told apart.
    pub old: Option<&'v Value>,
    path: Path<'v>,
}

impl RuledValue<'_, '_> {
    /// `spec.scaling`; empty for the document itself.
    pub fn path(&self) -> String {
        self.path.text()
    }
}

/// Evaluates all rules of `schema` on `document`, outer values first. `old` is the document before an update.
///
/// `known` may answer in place of the expression: whether the rule holds for the value, `None` to have the expression
/// evaluated. It is for rules that a program knows in its own language, where milliseconds count.
pub fn check_rules<'a>(
    schema: &'a Schema,
    document: &Value,
    old: Option<&Value>,
    known: impl Fn(&Rule, &Value) -> Option<bool>,
) -> Vec<(Violation, &'a Rule)> {
    let mut found = Vec::new();
    for ruled in ruled_values(schema, document, old) {
        let values = Values::new(ruled.schema, ruled.value, ruled.old);
        for rule in &ruled.schema.validations {
            if rule.is_transition() && ruled.old.is_none() && !rule.optional_old_self {
                continue;
            }
            // A rule that broke before does not stand in the way of other changes.
            if ruled.old == Some(ruled.value) && !rule.is_transition() {
                continue;
            }
            let words = match known(rule, ruled.value) {
                Some(true) => continue,
                Some(false) => values.words(rule),
                None => match values.evaluate(rule) {
                    Verdict::Holds => continue,
                    Verdict::Broken => values.words(rule),
                    Verdict::NoBoolean => format!("rule {} does not say true or false", rule.rule),
                    Verdict::Failed(error) => format!(
                        "{}: {error} evaluating rule: {}",
                        ruled.path(),
                        rule.message.as_deref().unwrap_or(&rule.rule)
                    ),
                },
            };
            found.push((violation(rule, &ruled, &words), rule));
        }
    }
    found
}

fn violation(rule: &Rule, ruled: &RuledValue<'_, '_>, words: &str) -> Violation {
    let field = match &rule.field_path {
        Some(below) => format!("{}{below}", ruled.path()).trim_start_matches('.').to_owned(),
        None => ruled.path(),
    };
    match rule.reason.as_deref() {
        Some("FieldValueForbidden") => {
            Violation::new(ViolationType::Forbidden, &field, format!("Forbidden: {words}"))
        }
        Some("FieldValueRequired") => {
            Violation::new(ViolationType::Required, &field, format!("Required value: {words}"))
        }
        Some("FieldValueDuplicate") => {
            let detail = format!("Duplicate value: {}", printed(ruled.value));
            Violation::new(ViolationType::Duplicate, &field, detail)
        }
        _ if ruled.value.is_object() || ruled.value.is_array() => {
            Violation::new(ViolationType::Invalid, &field, format!("Invalid value: {words}"))
        }
        _ => Violation::invalid(&field, ruled.value, words),
    }
}

/// All values of `document` that have rules, outer values first.
pub fn ruled_values<'s, 'v>(
    schema: &'s Schema,
    document: &'v Value,
    old: Option<&'v Value>,
) -> Vec<RuledValue<'s, 'v>> {
    let mut ruled = Vec::new();
    collect(schema, document, old, &mut Path::default(), &mut ruled);
    ruled
}

fn collect<'s, 'v>(
    schema: &'s Schema,
    value: &'v Value,
    old: Option<&'v Value>,
    path: &mut Path<'v>,
    ruled: &mut Vec<RuledValue<'s, 'v>>,
) {
    if !schema.has_rules || value.is_null() {
        return;
    }
    if !schema.validations.is_empty() {
        ruled.push(RuledValue { schema, value, old, path: path.clone() });
    }
    match value {
        Value::Object(fields) => {
            for (name, child) in fields {
                let property = schema.properties.get(name);
                let Some(known) = property.or(schema.additional.as_ref()).filter(|known| known.has_rules)
                else {
                    continue;
                };
                match property {
                    Some(_) => path.push_field(name),
                    // In what rules say, a kube-apiserver writes keys of maps as `[key]`.
                    None => path.push_key(name),
                }
                collect(known, child, old.and_then(|old| old.get(name)), path, ruled);
                path.pop();
            }
        }
        Value::Array(items) => {
            let Some(known) = schema.items.as_ref().filter(|known| known.has_rules) else { return };
            for (index, item) in items.iter().enumerate() {
                path.push_item(index);
                collect(known, item, schema.same_item(old, item), path, ruled);
                path.pop();
            }
        }
        _ => {}
    }
}
