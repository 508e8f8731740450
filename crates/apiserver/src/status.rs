//! What the server refuses with: the `Status` object of `meta.k8s.io`, with the words of kube-apiserver.

use std::borrow::Cow;

use serde_json::{Value, json};

pub(crate) use ::kinds::schema::{printed, quoted};

/// The names of a kind as error messages need them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) group: &'a str,
    /// `widgets`
    pub(crate) plural: &'a str,
    /// `Widget`
    pub(crate) kind: &'a str,
}

impl Names<'_> {
    /// `widgets.golden.example.com`, or `configmaps` in the core group.
    pub(crate) fn resource(&self) -> String {
        qualified(self.plural, self.group)
    }

    /// `Widget.golden.example.com`, or `ConfigMap` in the core group.
    pub(crate) fn kind(&self) -> String {
        qualified(self.kind, self.group)
    }
}

/// A refusal. It becomes the body of the answer and, in a watch, an ERROR event.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    /// Absent where the original gives none (plain 500s).
    pub(crate) reason: Option<Cow<'static, str>>,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    /// Only in an expired list: the token to go on with, inconsistently.
    pub(crate) continue_token: Option<Box<str>>,
    /// Oddities of the request that are told although it is refused.
    pub(crate) warnings: Box<[String]>,
}

/// One cause of an invalid object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cause {
    pub(crate) field: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn new(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), reason, message: message.into() }
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message =
            if detail.is_empty() { "Required value".into() } else { format!("Required value: {detail}") };
        Self::new(field, "FieldValueRequired", message)
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(field, "FieldValueForbidden", format!("Forbidden: {detail}"))
    }

    /// `value` is printed as Go prints it: strings quoted, composites as JSON.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new(field, "FieldValueInvalid", format!("Invalid value: {}: {detail}", printed(value)))
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new(field, "FieldValueDuplicate", format!("Duplicate value: {}", printed(value)))
    }

    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new(field, "FieldValueNotFound", format!("Not found: {}", printed(value)))
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list = supported.iter().map(|s| quoted(s)).collect::<Vec<_>>().join(", ");
        Self::new(
            field,
            "FieldValueNotSupported",
            format!("Unsupported value: {}: supported values: {list}", printed(value)),
        )
    }

    pub(crate) fn text(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

fn details(names: Names<'_>, kind: &str, name: &str) -> Value {
    let mut details = json!({"kind": kind});
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    if !names.group.is_empty() {
        details["group"] = json!(names.group);
    }
    details
}

impl Failure {
    pub(crate) fn new<R: Into<Cow<'static, str>>>(
        code: u16,
        reason: Option<R>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            reason: reason.map(Into::into),
            message: message.into(),
            details: None,
            continue_token: None,
            warnings: Box::default(),
        }
    }

    pub(crate) fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings.into();
        self
    }

    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Some("BadRequest"), message)
    }

    /// A path that leads nowhere.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, Some("NotFound"), "the server could not find the requested resource").with(json!({}))
    }

    pub(crate) fn not_found(names: Names<'_>, name: &str) -> Self {
        Self::new(404, Some("NotFound"), format!("{} {} not found", names.resource(), quoted(name)))
            .with(details(names, names.plural, name))
    }

    pub(crate) fn already_exists(names: Names<'_>, name: &str, deleting: bool) -> Self {
        let prefix = if deleting { "object is being deleted: " } else { "" };
        Self::new(
            409,
            Some("AlreadyExists"),
            format!("{prefix}{} {} already exists", names.resource(), quoted(name)),
        )
        .with(details(names, names.plural, name))
    }

    pub(crate) fn conflict(names: Names<'_>, name: &str, why: &str) -> Self {
        Self::new(
            409,
            Some("Conflict"),
            format!("Operation cannot be fulfilled on {} {}: {why}", names.resource(), quoted(name)),
        )
        .with(details(names, names.plural, name))
    }

    /// The object has been modified since the caller read it.
    pub(crate) fn modified(names: Names<'_>, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(names, name, why)
    }

    /// A precondition of a deletion does not hold; the original names the kind here, not the resource.
    pub(crate) fn precondition(names: Names<'_>, name: &str, why: &str) -> Self {
        Self::new(
            409,
            Some("Conflict"),
            format!("Operation cannot be fulfilled on {} {}: {why}", names.kind(), quoted(name)),
        )
        .with(details(names, names.kind, name))
    }

    pub(crate) fn forbidden(names: Names<'_>, name: &str, why: &str) -> Self {
        Self::new(
            403,
            Some("Forbidden"),
            format!("{} {} is forbidden: {why}", names.resource(), quoted(name)),
        )
        .with(details(names, names.plural, name))
    }

    pub(crate) fn invalid(names: Names<'_>, name: &str, causes: Vec<Cause>) -> Self {
        let text = match causes.as_slice() {
            [one] => one.text(),
            many => {
                // The original prints each distinct error once.
                let mut seen = Vec::new();
                for cause in many {
                    let text = cause.text();
                    if !seen.contains(&text) {
                        seen.push(text);
                    }
                }
                if seen.len() == 1 { seen.swap_remove(0) } else { format!("[{}]", seen.join(", ")) }
            }
        };
        let mut details = details(names, names.kind, name);
        details["causes"] = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        Self::new(422, Some("Invalid"), format!("{} {} is invalid: {text}", names.kind(), quoted(name)))
            .with(details)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            405,
            Some("MethodNotAllowed"),
            "the server does not allow this method on the requested resource",
        )
        .with(json!({}))
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, Some("Unauthorized"), "Unauthorized")
    }

    /// A plain 500 without a reason.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, None::<&str>, message)
    }

    /// A 500 for what no request should meet, in a kube-apiserver's form.
    pub(crate) fn internal_error(message: &str) -> Self {
        Self::new(500, Some("InternalError"), format!("Internal error occurred: {message}"))
            .with(json!({"causes": [{"message": message}]}))
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, Some("Expired"), message)
    }

    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        if let Some(token) = &self.continue_token {
            body["metadata"]["continue"] = json!(token);
        }
        body
    }
}
