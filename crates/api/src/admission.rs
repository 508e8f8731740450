//! What an API server with KServe's webhooks makes of an object: the object as it is stored, or why it is refused.
//!
//! `render`, the local machine and the cluster's webhooks all go through here, so a file means the same to each. The order
//! is the server's: null values and unknown fields go, defaults come, the mutating webhook runs (services only), the
//! schema and its rules are checked, then the validating webhook. What a config's templates render to is not looked at.

use std::fmt;
use std::sync::OnceLock;

use kinds::Objects;
use kinds::schema::{self, Schema, Violation, ViolationType};
use serde_json::Value;

use crate::crd::{Kind, Version, root_schema};
use crate::validate::{self, Finding, Verdict};
use crate::{convert, defaults, rules, shape, uri};

/// The rule of findings that the schema alone makes.
const SCHEMA_RULE: &str = "schema";

/// Each schema is made when it is first needed: a service alone needs only one of the four.
static SCHEMAS: [OnceLock<Option<Schema>>; 4] = [const { OnceLock::new() }; 4];

fn schema(kind: Kind, version: Version) -> Option<&'static Schema> {
    let made = &SCHEMAS[2 * kind as usize + version as usize];
    made.get_or_init(|| Schema::parse(&root_schema(kind, version)).ok()).as_ref()
}

/// What a request knows beside the object.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The object before, in v1alpha2; `None` for a new one.
    pub old: Option<&'a Value>,
    /// Caches of models; `None` if the cluster does not use them.
    pub caches: Option<&'a Objects>,
}

/// An object that is accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// The object as stored: v1alpha2, with all defaults.
    pub object: Value,
    /// Fields that nobody knows, and that are gone.
    pub pruned: Vec<String>,
    /// Said to the user.
    pub warnings: Vec<String>,
}

/// An object that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status: 422 for an object that breaks rules, 400 for one that cannot be read.
    pub code: u16,
    /// What is wrong, in the server's order. For 400 the field alone tells.
    pub causes: Vec<Finding>,
}

/// What becomes of `object`. Anything but our two kinds comes back as it is.
pub fn admit(object: &Value, request: Request<'_>) -> Result<Admitted, Refusal> {
    let mut object = object.clone();
    let version = object["apiVersion"].as_str().and_then(Version::of);
    let kind = object["kind"].as_str().and_then(Kind::of);
    let (Some(version), Some(kind)) = (version, kind) else {
        return Ok(Admitted { object, pruned: Vec::new(), warnings: Vec::new() });
    };
    if let Some(schema) = schema(kind, version) {
        schema::drop_nulls(schema, &mut object);
    }
    let pruned = fill(kind, version, &mut object);
    if kind == Kind::Service {
        object = mutate(object, version, request)?;
        fill(kind, version, &mut object);
    }
    let causes = check(kind, version, &object);
    if !causes.is_empty() {
        return Err(Refusal { code: 422, causes });
    }
    let mut stored = object;
    if version != Version::V1alpha2 {
        stored = convert::convert(&stored, Version::V1alpha2);
        fill(kind, Version::V1alpha2, &mut stored);
    }
    let verdict = validate_stored(kind, version, &stored, request.old)?;
    if verdict.findings.is_empty() {
        Ok(Admitted { object: stored, pruned, warnings: verdict.warnings })
    } else {
        Err(Refusal { code: 422, causes: verdict.findings })
    }
}

/// Why `object` would be refused; `None` if [`admit`] takes it. One that would be stored as it is is only looked at.
pub fn refusal(object: &Value) -> Option<Refusal> {
    let version = object["apiVersion"].as_str().and_then(Version::of)?;
    if is_as_go_writes(object, version) {
        return refusal_of_written(object);
    }
    admit(object, Request::default()).err()
}

/// [`refusal`] of an object that is as Go writes it, which the caller knows: a composed service is.
pub fn refusal_of_written(object: &Value) -> Option<Refusal> {
    let version = object["apiVersion"].as_str().and_then(Version::of)?;
    let kind = object["kind"].as_str().and_then(Kind::of)?;
    let is_complete = || kind == Kind::Config || defaults::are_applied(object);
    if let Some(schema) = schema(kind, version).filter(|_| version == Version::V1alpha2 && is_complete()) {
        let examined = schema::examine(schema, object);
        if examined.is_settled
            && findings(Some(schema), object, examined.violations).is_empty()
            && validate_read(kind, version, object, None).is_ok_and(|verdict| verdict.findings.is_empty())
        {
            return None;
        }
    }
    // Whatever is wrong with it, an API server may say something else first.
    admit(object, Request::default()).err()
}

/// Everything that the schema of `version` says against the object, its name and its rules included.
pub fn check(kind: Kind, version: Version, object: &Value) -> Vec<Finding> {
    let schema = schema(kind, version);
    let violations = schema.map(|schema| schema::validate(schema, object, None)).unwrap_or_default();
    findings(schema, object, violations)
}

/// What `violations` say, what is wrong with the name, and which rules are broken.
fn findings(schema: Option<&Schema>, object: &Value, violations: Vec<Violation>) -> Vec<Finding> {
    let mut violations: Vec<Violation> =
        validate::name_violation(object).into_iter().chain(violations).collect();
    let is_blocked = schema::blocks_rules(&violations);
    if is_blocked {
        violations.push(Violation::rules_not_checked());
    }
    let mut causes: Vec<Finding> =
        violations.into_iter().map(|violation| Finding { rule: SCHEMA_RULE, violation }).collect();
    let Some(schema) = schema.filter(|_| !is_blocked) else { return causes };
    causes.extend(schema::check_rules(schema, object, None, rules::rule_holds).into_iter().map(
        |(violation, rule)| {
            let id =
                rules::by_text(&rule.rule).and_then(|known| validate::catalogue::like_schema_rule(known.id));
            Finding { rule: id.unwrap_or(SCHEMA_RULE), violation }
        },
    ));
    causes
}

/// What the mutating webhook answers: the service as Go writes it, with the defaults. Empty values that Go would leave out
/// stay as the user wrote them: the webhook takes nothing away but what its own defaults take away.
pub fn mutate(object: Value, version: Version, request: Request<'_>) -> Result<Value, Refusal> {
    if version == Version::V1alpha2 && is_as_go_writes(&object, version) {
        let mut service = object;
        check_uris(&service)?;
        defaults::apply(&mut service, request.caches);
        return Ok(service);
    }
    let mut service = go(&object, version)?;
    let mut omitted = Vec::new();
    find_omitted(&object, &service, &mut Vec::new(), &mut omitted);
    if version == Version::V1alpha1 {
        service = go(&convert::convert(&service, Version::V1alpha2), Version::V1alpha2)?;
    }
    defaults::apply(&mut service, request.caches);
    if version == Version::V1alpha1 {
        service = go(&convert::convert(&service, Version::V1alpha1), Version::V1alpha1)?;
    }
    for (path, value) in omitted {
        put_back(&mut service, &path, value);
    }
    Ok(service)
}

/// The object as KServe's controller leaves it: it writes the whole object back when it puts its finalizer on, so what Go
/// leaves out is gone then.
pub fn written_back(stored: &Value) -> Value {
    let version = stored["apiVersion"].as_str().and_then(Version::of);
    let kind = stored["kind"].as_str().and_then(Kind::of);
    let (Some(version), Some(kind)) = (version, kind) else { return stored.clone() };
    let mut written = go(stored, version).unwrap_or_else(|_| stored.clone());
    fill(kind, version, &mut written);
    written
}

/// A step into a document: a field, or an item of a list of that length.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item { index: usize, of: usize },
}

/// What stands in `object` and not in `written`: where, and what it is.
fn find_omitted<'a>(
    object: &'a Value,
    written: &Value,
    path: &mut Vec<Step<'a>>,
    omitted: &mut Vec<(Vec<Step<'a>>, &'a Value)>,
) {
    match (object, written) {
        (Value::Object(fields), Value::Object(written)) => {
            for (name, value) in fields {
                path.push(Step::Field(name));
                match written.get(name) {
                    None => omitted.push((path.clone(), value)),
                    Some(written) => find_omitted(value, written, path, omitted),
                }
                path.pop();
            }
        }
        (Value::Array(items), Value::Array(written)) if items.len() == written.len() => {
            for (index, (item, written)) in items.iter().zip(written).enumerate() {
                path.push(Step::Item { index, of: items.len() });
                find_omitted(item, written, path, omitted);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Puts `value` into `out` unless its place is taken, or is not there any more.
fn put_back(out: &mut Value, path: &[Step<'_>], value: &Value) {
    match (path, out) {
        ([Step::Field(name)], Value::Object(fields)) => {
            fields.entry(*name).or_insert_with(|| value.clone());
        }
        ([Step::Field(name), rest @ ..], Value::Object(fields)) => {
            if let Some(child) = fields.get_mut(*name) {
                put_back(child, rest, value);
            }
        }
        ([Step::Item { index, of }, rest @ ..], Value::Array(items)) if items.len() == *of => {
            put_back(&mut items[*index], rest, value);
        }
        _ => {}
    }
}

fn validate_stored(
    kind: Kind,
    version: Version,
    stored: &Value,
    old: Option<&Value>,
) -> Result<Verdict, Refusal> {
    if is_as_go_writes(stored, Version::V1alpha2) {
        return validate_read(kind, version, stored, old);
    }
    validate_read(kind, version, &go(stored, Version::V1alpha2)?, old)
}

/// What the validating webhook says of an object as Go writes it.
fn validate_read(
    kind: Kind,
    version: Version,
    read: &Value,
    old: Option<&Value>,
) -> Result<Verdict, Refusal> {
    check_uris(read)?;
    Ok(match kind {
        Kind::Service => validate::service(read, old, version == Version::V1alpha1),
        Kind::Config => validate::config(read, old),
    })
}

/// Whether [`go`] would give the object back as it is. A composed service mostly is, and to build it anew takes longer
/// than to look.
fn is_as_go_writes(object: &Value, version: Version) -> bool {
    let (Some(fields), Some(kind)) = (object.as_object(), object["kind"].as_str()) else { return false };
    let Some(type_) = shape::root(version.api_version(), kind) else { return false };
    let is_marshalled = |name: &str, value: &Value| {
        let struct_ = type_.field(name).and_then(|field| field.type_.as_struct());
        struct_.is_some_and(|struct_| shape::is_marshalled(struct_, value))
    };
    fields.contains_key("spec")
        && fields.iter().all(|(name, value)| match name.as_str() {
            "apiVersion" | "kind" => true,
            "metadata" | "spec" => is_marshalled(name, value),
            _ => false,
        })
}

/// The object as Go writes it. What it cannot read is a bad request, as the webhook says.
fn go(object: &Value, version: Version) -> Result<Value, Refusal> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some(type_) = shape::root(version.api_version(), kind) else { return Ok(object.clone()) };
    let mut written = shape::marshal(type_, object).map_err(|error| bad(error.path(), error.to_string()))?;
    check_uris(object)?;
    for name in ["apiVersion", "kind", "metadata"] {
        if let Some(value) = object.get(name) {
            written[name] = value.clone();
        }
    }
    // Go writes an empty status; the server drops it from a request anyway.
    if let (Some(fields), true) = (written.as_object_mut(), object["status"].is_null()) {
        fields.remove("status");
    }
    Ok(written)
}

/// Refuses addresses of models that Go cannot read.
fn check_uris(object: &Value) -> Result<(), Refusal> {
    let model = &object["spec"]["model"];
    let adapters = model["lora"]["adapters"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, model) in std::iter::once(model).chain(adapters).enumerate() {
        if let Some(problem) = model["uri"].as_str().and_then(uri::malformed) {
            let field = match index {
                0 => "spec.model.uri".to_owned(),
                index => format!("spec.model.lora.adapters[{}].uri", index - 1),
            };
            return Err(bad(&field, format!("{field} is not a URL: {problem}")));
        }
    }
    Ok(())
}

fn bad(field: &str, detail: String) -> Refusal {
    Refusal {
        code: 400,
        causes: vec![Finding {
            rule: "type",
            violation: Violation::new(ViolationType::TypeInvalid, field, detail),
        }],
    }
}

/// Null values and unknown fields go, defaults come. Gives the unknown fields.
fn fill(kind: Kind, version: Version, object: &mut Value) -> Vec<String> {
    let Some(schema) = schema(kind, version) else { return Vec::new() };
    let pruned = schema::prune(schema, object, None);
    schema::apply_defaults(schema, object);
    pruned
}

/// `a; b; c`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cause) in self.causes.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            match self.code {
                400 => f.write_str(&cause.violation.detail)?,
                _ => write!(f, "{}", cause.violation)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
