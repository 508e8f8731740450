//! `x-kubernetes-validations`: the CEL rules of a schema.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::Value;

use super::schema::Node;
use crate::status::{Cause, printed};

/// One rule, compiled.
pub(crate) struct Rule {
    text: String,
    program: Result<Program, String>,
    message: Option<String>,
    message_program: Option<Program>,
    reason: Option<String>,
    field_path: Option<String>,
    /// Compares with the value before, so that it needs one.
    transition: bool,
    optional_old: bool,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("text", &self.text).finish_non_exhaustive()
    }
}

/// The rules of a schema node.
pub(crate) fn rules(raw: Option<&Value>) -> Vec<Rule> {
    raw.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|rule| {
            let text = rule["rule"].as_str().unwrap_or_default().to_owned();
            let text_of = |field: &str| rule[field].as_str().map(str::to_owned);
            Rule {
                program: Program::compile(&text).map_err(|e| e.to_string()),
                message: text_of("message"),
                message_program: rule["messageExpression"].as_str().and_then(|m| Program::compile(m).ok()),
                reason: text_of("reason"),
                field_path: text_of("fieldPath"),
                transition: text.contains("oldSelf"),
                optional_old: rule["optionalOldSelf"] == true,
                text,
            }
        })
        .collect()
}

/// Evaluates the rules of `node` and of everything below. `old` is the value before, where there is one to compare with.
pub(crate) fn check(node: &Node, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if !node.has_rules() {
        return;
    }
    let unchanged = old == Some(value);
    if !node.rules().is_empty() && !value.is_null() {
        let mut context = None;
        for rule in node.rules() {
            if rule.transition && old.is_none() && !rule.optional_old {
                continue;
            }
            // A rule that broke before does not stand in the way of other changes.
            if unchanged && !rule.transition {
                continue;
            }
            let context = context.get_or_insert_with(|| {
                let mut context = Context::default().with_all();
                context.add_variable_from_value("self", convert(Some(node), value));
                if let Some(old) = old {
                    context.add_variable_from_value("oldSelf", convert(Some(node), old));
                }
                context
            });
            if let Some(cause) = evaluate(rule, context, value, path) {
                causes.push(cause);
            }
        }
    }
    match value {
        Value::Object(map) => {
            for (key, member) in map {
                let before = old.and_then(|o| o.get(key));
                if let Some(child) = node.properties.get(key) {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    check(child, member, before, &path, causes);
                } else if let Some(child) = &node.additional {
                    check(child, member, before, &format!("{path}[{key}]"), causes);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter().enumerate() {
                let before = super::validate::counterpart(node, item, old);
                check(items, item, before, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}

fn evaluate(rule: &Rule, context: &Context<'_>, value: &Value, path: &str) -> Option<Cause> {
    let outcome = match &rule.program {
        Ok(program) => program.execute(context).map_err(|e| e.to_string()),
        Err(error) => Err(format!("rule compile error: {error}")),
    };
    let message = match outcome {
        Ok(Cel::Bool(true)) => return None,
        Ok(Cel::Bool(false)) => message(rule, context),
        Ok(_) => format!("rule {} does not say true or false", rule.text),
        Err(error) => {
            format!("{}: {error} evaluating rule: {}", path, rule.message.as_deref().unwrap_or(&rule.text))
        }
    };
    let field = match &rule.field_path {
        Some(below) => format!("{path}{below}").trim_start_matches('.').to_owned(),
        None if path.is_empty() => "<nil>".into(),
        None => path.to_owned(),
    };
    Some(match rule.reason.as_deref() {
        Some("FieldValueForbidden") => Cause::forbidden(field, &message),
        Some("FieldValueRequired") => Cause::required(field, &message),
        Some("FieldValueDuplicate") => {
            Cause::new(field, "FieldValueDuplicate", format!("Duplicate value: {}", printed(value)))
        }
        _ if value.is_object() || value.is_array() => {
            Cause::new(field, "FieldValueInvalid", format!("Invalid value: {message}"))
        }
        _ => Cause::invalid(field, value, &message),
    })
}

fn message(rule: &Rule, context: &Context<'_>) -> String {
    if let Some(program) = &rule.message_program
        && let Ok(Cel::String(text)) = program.execute(context)
        && !text.trim().is_empty()
    {
        return text.trim().to_owned();
    }
    match &rule.message {
        Some(message) => message.clone(),
        None => format!("failed rule: {}", rule.text),
    }
}

fn convert(node: Option<&Node>, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => {
            let wants_float = node.is_some_and(|n| n.kind.as_deref() == Some("number"));
            match n.as_i64().filter(|_| !wants_float) {
                Some(int) => Cel::Int(int),
                None => Cel::Float(n.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(list) => {
            let items = node.and_then(|n| n.items.as_deref());
            Cel::List(Arc::new(list.iter().map(|item| convert(items, item)).collect()))
        }
        Value::Object(map) => {
            let members: HashMap<Key, Cel> = map
                .iter()
                .map(|(key, member)| {
                    let property = node.and_then(|n| n.properties.get(key));
                    let child = property.or(node.and_then(|n| n.additional.as_ref()));
                    let name = if property.is_some() { escaped(key) } else { key.clone() };
                    (Key::String(Arc::new(name)), convert(child.map(Arc::as_ref), member))
                })
                .collect();
            Cel::Map(Map { map: Arc::new(members) })
        }
    }
}

/// The name of a field inside CEL.
fn escaped(name: &str) -> String {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
