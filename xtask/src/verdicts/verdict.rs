//! What is said about an object, in a form that can be compared and written down.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use api::crd::{Edition, Kind, Version, crd};
#[cfg(test)]
use kinds::schema::ruled_values;
use kinds::schema::{Schema, apply_defaults, drop_nulls, prune};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Case;
use super::judge::{Answer, Judge};

/// What differs from one write to the next.
const INVENTED: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"];

/// The outcome of a create.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Verdict {
    pub(crate) case: String,
    /// The HTTP status.
    pub(crate) code: u16,
    /// Of 422: `REASON FIELD`, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    /// Of 400, which has no causes: the message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// Values that the stored object has and the sent one has not, by JSON pointer.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) filled: Map<String, Value>,
    /// JSON pointers of what was sent and is not stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Judge {
    /// Creates the object of the case.
    pub(crate) async fn judge(&mut self, case: &Case) -> Result<Verdict> {
        self.create(case, "").await
    }

    /// The same without storing it.
    pub(crate) async fn would_say(&mut self, case: &Case) -> Result<Verdict> {
        self.create(case, "&dryRun=All").await
    }

    async fn create(&mut self, case: &Case, options: &str) -> Result<Verdict> {
        let path = self.collection(&case.object).await?;
        let path = format!("{path}?fieldValidation={}{options}", case.strictness);
        let answer = self.ask("POST", &path, "application/json", &case.object).await?;
        Ok(Verdict::of(case, &answer))
    }
}

impl Verdict {
    fn of(case: &Case, answer: &Answer) -> Self {
        let mut verdict = Self { case: case.id.clone(), code: answer.code, ..Self::default() };
        verdict.warnings.clone_from(&answer.warnings);
        match answer.code {
            200..300 => verdict.compare(&case.object, &answer.body),
            422 => {
                let causes = answer.body["details"]["causes"].as_array();
                verdict.causes = causes
                    .into_iter()
                    .flatten()
                    .map(|cause| {
                        let word = |field: &str| cause[field].as_str().unwrap_or_default();
                        format!("{} {}", word("reason"), word("field"))
                    })
                    .collect();
                verdict.settle();
            }
            _ => verdict.message = answer.body["message"].as_str().unwrap_or_default().to_owned(),
        }
        verdict
    }

    /// The verdict of schema and rules alone, as `render` and the webhooks use them.
    pub(crate) fn of_schema(case: &Case) -> Result<Self> {
        let word = |field: &str| case.object[field].as_str().unwrap_or_default();
        let kind = Kind::of(word("kind")).context("not one of our kinds")?;
        let version = Version::of(word("apiVersion")).context("not one of our versions")?;
        let schema = schema(kind, version)?;
        let mut verdict = Self { case: case.id.clone(), code: 201, ..Self::default() };
        let mut object = case.object.clone();
        let unknown = prune(schema, &mut object, None);
        let mut unknown: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        match case.strictness.as_str() {
            "Strict" if !unknown.is_empty() => {
                verdict.code = 400;
                verdict.message = format!(
                    "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                    kind.as_str(),
                    version.as_str(),
                    kind.as_str(),
                    unknown.join(", ")
                );
                return Ok(verdict);
            }
            "Warn" => verdict.warnings.append(&mut unknown),
            _ => {}
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        drop_nulls(schema, &mut object);
        apply_defaults(schema, &mut object);
        let findings = api::admission::check(kind, version, &object);
        if findings.is_empty() {
            if version != Version::V1alpha2 {
                // It is kept in the other version, and comes back as that version can say it.
                let kept = self::schema(kind, Version::V1alpha2)?;
                for schema in [kept, schema] {
                    prune(schema, &mut object, None);
                    apply_defaults(schema, &mut object);
                }
            }
            verdict.compare(&case.object, &object);
        } else {
            verdict.code = 422;
            verdict.causes = findings
                .iter()
                .map(|finding| {
                    let violation = &finding.violation;
                    format!("{} {}", violation.type_.reason(), violation.field.as_deref().unwrap_or("<nil>"))
                })
                .collect();
            verdict.settle();
        }
        Ok(verdict)
    }

    fn settle(&mut self) {
        self.causes.sort();
        self.causes.dedup();
    }

    fn compare(&mut self, sent: &Value, stored: &Value) {
        let mut stored = stored.clone();
        if let Some(metadata) = stored["metadata"].as_object_mut() {
            metadata.retain(|name, _| !INVENTED.contains(&name.as_str()));
        }
        let mut filled = BTreeMap::new();
        differ(sent, &stored, "", &mut filled, &mut self.gone);
        self.filled = filled.into_iter().collect();
    }

    /// What differs from another verdict about the same object; nothing if they agree.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        (self != other).then(|| format!("{} <> {}", self.said(), other.said()))
    }

    fn said(&self) -> String {
        let mut said = self.clone();
        said.case.clear();
        serde_json::to_string(&said).unwrap_or_default().replacen("\"case\":\"\",", "", 1)
    }
}

/// The object without what its schema does not know, and with its defaults.
#[cfg(test)]
pub(super) fn completed(case: &Case) -> Result<Value> {
    let schema = schema_of(case)?;
    let mut object = case.object.clone();
    prune(schema, &mut object, None);
    drop_nulls(schema, &mut object);
    apply_defaults(schema, &mut object);
    Ok(object)
}

#[cfg(test)]
fn schema_of(case: &Case) -> Result<&'static Schema> {
    let word = |field: &str| case.object[field].as_str().unwrap_or_default();
    let kind = Kind::of(word("kind")).context("not one of our kinds")?;
    schema(kind, Version::of(word("apiVersion")).context("not one of our versions")?)
}

/// The CEL rules that apply to an object, and whether it keeps them.
#[cfg(test)]
pub(super) fn rules(case: &Case) -> Result<Vec<(String, bool)>> {
    let (schema, object) = (schema_of(case)?, completed(case)?);
    let mut applied = Vec::new();
    for ruled in ruled_values(schema, &object, None) {
        let rules = ruled.schema.validations.iter();
        applied.extend(
            rules.filter_map(|rule| Some((rule.rule.clone(), api::rules::holds(&rule.rule, ruled.value)?))),
        );
    }
    Ok(applied)
}

/// Each is made once: it takes longer than all objects together.
static SCHEMAS: LazyLock<BTreeMap<(Kind, Version), Schema>> = LazyLock::new(|| {
    let mut schemas = BTreeMap::new();
    for kind in [Kind::Service, Kind::Config] {
        let definition = crd(kind, Edition::Full, None);
        for version in [Version::V1alpha1, Version::V1alpha2] {
            let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
            let found = versions.filter(|found| found["name"] == version.as_str());
            let parsed = found.map(|found| Schema::parse(&found["schema"]["openAPIV3Schema"]));
            schemas.extend(parsed.filter_map(Result::ok).map(|schema| ((kind, version), schema)));
        }
    }
    schemas
});

fn schema(kind: Kind, version: Version) -> Result<&'static Schema> {
    SCHEMAS.get(&(kind, version)).context("no such schema")
}

fn differ(
    sent: &Value,
    stored: &Value,
    at: &str,
    filled: &mut BTreeMap<String, Value>,
    gone: &mut Vec<String>,
) {
    match (sent, stored) {
        (Value::Object(sent), Value::Object(stored)) => {
            let below = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            for (name, value) in sent {
                match stored.get(name) {
                    Some(stored) => differ(value, stored, &below(name), filled, gone),
                    None => gone.push(below(name)),
                }
            }
            for (name, value) in stored.iter().filter(|(name, _)| !sent.contains_key(*name)) {
                filled.insert(below(name), value.clone());
            }
        }
        (Value::Array(sent), Value::Array(stored)) if sent.len() == stored.len() => {
            for (index, (sent, stored)) in sent.iter().zip(stored).enumerate() {
                differ(sent, stored, &format!("{at}/{index}"), filled, gone);
            }
        }
        _ if sent == stored => {}
        _ => {
            filled.insert(at.to_owned(), stored.clone());
        }
    }
}
