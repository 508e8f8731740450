//! What is wrong with a document, in the words of an API server.

use std::fmt;

use serde_json::Value;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What kind of wrong.
    pub type_: ViolationType,
    /// `spec.router.gateway.refs[0].name`; `None` speaks of no field.
    pub field: Option<String>,
    /// What is said after the field (`Invalid value: "x": …`).
    pub detail: String,
}

/// What kind of wrong, as Kubernetes names causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationType {
    /// `FieldValueRequired`
    Required,
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
}

/// Whether these violations keep an API server from looking at CEL rules at all. It then reports
/// [`Violation::rules_not_checked`] beside them.
pub fn blocks_rules(violations: &[Violation]) -> bool {
    violations.iter().any(|violation| violation.type_.blocks_rules())
}

impl Violation {
    /// A violation at `field`; an empty field is the document itself.
    pub fn new(type_: ViolationType, field: &str, detail: String) -> Self {
        Violation { type_, field: (!field.is_empty()).then(|| field.to_owned()), detail }
    }

    /// `Invalid value: VALUE: why`
    pub(super) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        Violation::new(ViolationType::Invalid, field, format!("Invalid value: {}: {why}", printed(value)))
    }

    /// What an API server adds when [`blocks_rules`].
    pub fn rules_not_checked() -> Self {
        let why = "some validation rules were not checked because the object was invalid; correct the existing \
                   errors to complete validation";
        Violation::invalid("", &Value::Null, why)
    }
}

impl ViolationType {
    /// The name in `status.details.causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            ViolationType::Required => "FieldValueRequired",
            ViolationType::Invalid => "FieldValueInvalid",
            ViolationType::NotSupported => "FieldValueNotSupported",
            ViolationType::Forbidden => "FieldValueForbidden",
            ViolationType::Duplicate => "FieldValueDuplicate",
            ViolationType::TypeInvalid => "FieldValueTypeInvalid",
            ViolationType::TooLong => "FieldValueTooLong",
            ViolationType::TooMany => "FieldValueTooMany",
        }
    }

    /// The type of that reason.
    pub fn of(reason: &str) -> Option<Self> {
        use ViolationType as V;
        [
            V::Required,
            V::Invalid,
            V::NotSupported,
            V::Forbidden,
            V::Duplicate,
            V::TypeInvalid,
            V::TooLong,
            V::TooMany,
        ]
        .into_iter()
        .find(|known| known.reason() == reason)
    }

    /// Whether it keeps an API server from looking at CEL rules.
    pub fn blocks_rules(self) -> bool {
        use ViolationType as V;
        matches!(self, V::Required | V::NotSupported | V::TypeInvalid | V::TooLong | V::TooMany)
    }
}

/// `spec.x: Invalid value: …`, as an API server joins them.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field.as_deref().unwrap_or("<nil>"), self.detail)
    }
}

/// A value inside a message: texts as [`quoted`], everything else as JSON.
pub fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// Go's `%q`.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
