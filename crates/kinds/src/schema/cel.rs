//! `x-kubernetes-validations`: rules in CEL, compiled when they are first needed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::Value;

use super::{Kind, Schema};

/// A rule of a schema.
#[derive(Clone)]
pub struct Rule {
    /// The expression.
    pub rule: String,
    /// What is said when it does not hold; `None` leaves it to [`Rule::message_expression`] or the expression itself.
    pub message: Option<String>,
    /// An expression that makes the message.
    pub message_expression: Option<String>,
    /// `FieldValueInvalid` (when absent), `FieldValueForbidden`, `FieldValueRequired`, `FieldValueDuplicate`.
    pub reason: Option<String>,
    /// Field, relative to the value, that is to be blamed.
    pub field_path: Option<String>,
    /// Whether the rule also runs when there is no old value.
    pub optional_old_self: bool,
    is_transition: bool,
    number: OnceLock<Option<usize>>,
    compiled: OnceLock<Arc<Compiled>>,
}

struct Compiled {
    rule: Result<Program, String>,
    message: Option<Program>,
}

impl Rule {
    pub(super) fn read(rule: &Value) -> Self {
        let text = |name: &str| rule[name].as_str().map(str::to_owned);
        let expression = text("rule").unwrap_or_default();
        Rule {
            is_transition: expression.contains("oldSelf"),
            rule: expression,
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old_self: rule["optionalOldSelf"] == true,
            number: OnceLock::new(),
            compiled: OnceLock::new(),
        }
    }

    /// The number by which the program knows this rule. `find` is asked for it once, with the expression.
    pub fn number(&self, find: impl FnOnce(&str) -> Option<usize>) -> Option<usize> {
        *self.number.get_or_init(|| find(&self.rule))
    }

    /// Whether it compares with the value of before, so that it needs one.
    pub fn is_transition(&self) -> bool {
        self.is_transition
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let message = self.message_expression.as_deref().and_then(|text| Program::compile(text).ok());
            Arc::new(Compiled {
                rule: Program::compile(&self.rule).map_err(|error| error.to_string()),
                message,
            })
        })
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("rule", &self.rule).finish_non_exhaustive()
    }
}

/// What a rule says.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It holds.
    Holds,
    /// It does not hold.
    Broken,
    /// It gives something that is neither true nor false.
    NoBoolean,
    /// It cannot be compiled or evaluated, and why.
    Failed(String),
}

/// What the expressions of one value see, made when the first of them is evaluated.
pub(super) struct Values<'a> {
    schema: &'a Schema,
    value: &'a Value,
    old: Option<&'a Value>,
    context: OnceLock<Context<'a>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(schema: &'a Schema, value: &'a Value, old: Option<&'a Value>) -> Self {
        Values { schema, value, old, context: OnceLock::new() }
    }

    pub(super) fn evaluate(&self, rule: &Rule) -> Verdict {
        let outcome = match &rule.compiled().rule {
            Ok(program) => program.execute(self.context()).map_err(|error| error.to_string()),
            Err(error) => Err(format!("rule compile error: {error}")),
        };
        match outcome {
            Ok(Cel::Bool(true)) => Verdict::Holds,
            Ok(Cel::Bool(false)) => Verdict::Broken,
            Ok(_) => Verdict::NoBoolean,
            Err(error) => Verdict::Failed(error),
        }
    }

    /// What is said when the rule does not hold.
    pub(super) fn words(&self, rule: &Rule) -> String {
        if rule.message_expression.is_some()
            && let Some(program) = &rule.compiled().message
            && let Ok(Cel::String(text)) = program.execute(self.context())
            && !text.trim().is_empty()
        {
            return text.trim().to_owned();
        }
        rule.message.clone().unwrap_or_else(|| format!("failed rule: {}", rule.rule))
    }

    fn context(&self) -> &Context<'a> {
        self.context.get_or_init(|| {
            let mut context = Context::default().with_all();
            context.add_variable_from_value("self", convert(Some(self.schema), self.value));
            if let Some(old) = self.old {
                context.add_variable_from_value("oldSelf", convert(Some(self.schema), old));
            }
            context
        })
    }
}

fn convert(schema: Option<&Schema>, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(number) => {
            let is_float = schema.is_some_and(|schema| schema.kind == Some(Kind::Number));
            match number.as_i64().filter(|_| !is_float) {
                Some(int) => Cel::Int(int),
                None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => {
            let of = schema.and_then(|schema| schema.items.as_deref());
            Cel::List(Arc::new(items.iter().map(|item| convert(of, item)).collect()))
        }
        Value::Object(fields) => {
            let members: HashMap<Key, Cel> = fields
                .iter()
                .map(|(name, member)| {
                    let is_property = schema.is_some_and(|schema| schema.properties.contains_key(name));
                    let key = if is_property { escaped(name) } else { name.clone() };
                    let of = schema.and_then(|schema| schema.child(name));
                    (Key::String(Arc::new(key)), convert(of, member))
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
