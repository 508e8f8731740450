//! Bodies of writes: decoded, held against the fields that the kind has, with the strictness that the caller asked for.

use serde_json::Value;

use super::Scope;
use crate::catalog::Resource;
use crate::core::Core;
use crate::http::Call;
use crate::status::{Failure, quoted};

/// What happens to fields that a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// The options that every write has.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) strictness: Strictness,
    pub(crate) manager: String,
    pub(crate) force: bool,
}

/// Reads the options; `what` is the name of the options object in refusals.
pub(crate) fn options(call: &Call, what: &str) -> Result<WriteOptions, Failure> {
    use crate::status::{Cause, Names};
    let mut causes = Vec::new();
    for value in call.query.all("dryRun") {
        if value != "All" {
            let list = serde_json::json!([value]);
            causes.push(Cause::unsupported("dryRun", &list, &["All"]));
        }
    }
    let strictness = match call.query.get("fieldValidation") {
        None | Some("Warn") => Strictness::Warn,
        Some("Strict") => Strictness::Strict,
        Some("Ignore") => Strictness::Ignore,
        Some(other) => {
            causes.push(Cause::unsupported(
                "fieldValidation",
                &serde_json::json!(other),
                &["", "Ignore", "Strict", "Warn"],
            ));
            Strictness::Warn
        }
    };
    if !causes.is_empty() {
        let names = Names { group: "meta.k8s.io", plural: "", kind: what };
        return Err(Failure::invalid(names, "", causes));
    }
    Ok(WriteOptions {
        dry_run: call.query.get("dryRun").is_some(),
        strictness,
        manager: manager(call),
        force: call.query.flag("force"),
    })
}

fn manager(call: &Call) -> String {
    match call.query.get("fieldManager") {
        Some(name) => name.to_owned(),
        // Go's default: the user agent up to the first slash.
        None => match call.header("user-agent").and_then(|a| a.split('/').next()).filter(|a| !a.is_empty()) {
            Some(agent) => agent.to_owned(),
            None => "unknown".to_owned(),
        },
    }
}

/// A decoded body and what was odd about it.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) oddities: Vec<String>,
}

impl Core {
    /// Decodes the body of a create or an update: JSON or YAML.
    pub(crate) fn decode(&self, call: &Call, scope: &Scope) -> Result<Decoded, Failure> {
        let resource = &scope.resource;
        let media = call
            .header("content-type")
            .unwrap_or("application/json")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let decoded = match media {
            "application/json" | "" => from_json(&call.body),
            "application/yaml" => from_yaml(&call.body),
            crate::protobuf::MEDIA_TYPE if resource.built_in().is_some() => {
                match crate::protobuf::read(&call.body) {
                    Some(value) => Ok(Decoded { value, oddities: Vec::new() }),
                    None => {
                        return Err(Failure::new(
                            415,
                            Some("UnsupportedMediaType"),
                            format!(
                                "{} is not read as protobuf here: send JSON or YAML, for example with kubectl apply",
                                resource.kind
                            ),
                        ));
                    }
                }
            }
            _ => {
                return Err(Failure::new(
                    415,
                    Some("UnsupportedMediaType"),
                    "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
                ));
            }
        };
        let decoded = decoded.map_err(|why| unreadable(resource, &why))?;
        check_kind(&decoded.value, &resource.api_version(), &resource.kind)?;
        Ok(decoded)
    }
}

fn unreadable(resource: &Resource, why: &str) -> Failure {
    let what = format!("{} in version {}", resource.kind, quoted(&resource.version));
    Failure::bad_request(format!("{what} cannot be handled as a {}: {why}", resource.kind))
}

pub(crate) fn from_json(bytes: &[u8]) -> Result<Decoded, String> {
    let read = crate::json::read(bytes)?;
    let oddities =
        read.duplicates.into_iter().map(|path| format!("duplicate field {}", quoted(&path))).collect();
    Ok(Decoded { value: read.value, oddities })
}

pub(crate) fn from_yaml(bytes: &[u8]) -> Result<Decoded, String> {
    // Programs send JSON, which reads many times faster. Duplicate keys are told about as YAML, and 1.0 is 1 there.
    if bytes.first() == Some(&b'{')
        && let Ok(decoded) = from_json(bytes)
        && decoded.oddities.is_empty()
        && !has_fraction(&decoded.value)
    {
        return Ok(decoded);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let mut documents =
        yaml::read_documents(text).map_err(|e| format!("error converting YAML to JSON: {e}"))?;
    if documents.len() > 1 {
        documents.truncate(1);
    }
    let Some(document) = documents.pop() else {
        return Ok(Decoded { value: Value::Null, oddities: Vec::new() });
    };
    let lines: Vec<String> = document
        .duplicates
        .iter()
        .map(|(pointer, at)| {
            let key = pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
            format!("\n  line {}: key {} already set in map", at.line, quoted(&key))
        })
        .collect();
    let oddities = if lines.is_empty() {
        Vec::new()
    } else {
        vec![format!("yaml: unmarshal errors:{}", lines.concat())]
    };
    Ok(Decoded { value: document.value, oddities })
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(has_fraction),
        Value::Object(map) => map.values().any(has_fraction),
        _ => false,
    }
}

fn check_kind(value: &Value, api_version: &str, kind: &str) -> Result<(), Failure> {
    if !value.is_object() {
        return Err(Failure::bad_request("the object provided is unrecognized (must be of type object)"));
    }
    let (got_version, got_kind) =
        (value["apiVersion"].as_str().unwrap_or_default(), value["kind"].as_str().unwrap_or_default());
    if got_kind.is_empty() && got_version.is_empty() || got_kind == kind && got_version == api_version {
        return Ok(());
    }
    if got_kind.is_empty() {
        return Err(Failure::bad_request("Object 'Kind' is missing in the request body"));
    }
    if got_kind != kind {
        return Err(Failure::bad_request(format!(
            "{} in version {} cannot be handled as a {kind}: no kind {} is registered for version {}",
            got_kind,
            quoted(got_version),
            quoted(got_kind),
            quoted(got_version)
        )));
    }
    Err(Failure::bad_request(format!(
        "the API version in the data ({got_version}) does not match the expected API version ({api_version})"
    )))
}

/// Removes what the kind does not have, and says so as the strictness demands.
pub(crate) fn prune(
    resource: &Resource,
    decoded: &mut Decoded,
    strictness: Strictness,
) -> Result<Vec<String>, Failure> {
    let schema = crate::kinds::schema_of(resource);
    let unknown = crate::kinds::prune_unknown(&schema, &mut decoded.value);
    if resource.built_in().is_some() {
        crate::kinds::shape::normalise(&schema, &mut decoded.value, &resource.kind)
            .map_err(|why| unreadable(resource, &why))?;
    } else {
        crate::kinds::shape::normalise_metadata(&mut decoded.value)
            .map_err(|why| unreadable(resource, &why))?;
    }
    let mut oddities = std::mem::take(&mut decoded.oddities);
    oddities.extend(unknown.iter().map(|path| format!("unknown field {}", quoted(path))));
    verdict(oddities, strictness).map_err(|why| unreadable(resource, &why))
}

/// The same for the outcome of a patch, whose refusal shows the whole object.
pub(crate) fn prune_patched(
    resource: &Resource,
    decoded: &mut Decoded,
    strictness: Strictness,
) -> Result<Vec<String>, Failure> {
    let schema = crate::kinds::schema_of(resource);
    // Only a strict refusal shows the object as it was sent.
    let sent = (strictness == Strictness::Strict).then(|| decoded.value.clone());
    let unknown = crate::kinds::prune_unknown(&schema, &mut decoded.value);
    if resource.built_in().is_some() {
        crate::kinds::shape::normalise(&schema, &mut decoded.value, &resource.kind)
            .map_err(Failure::bad_request)?;
    }
    let mut oddities = std::mem::take(&mut decoded.oddities);
    oddities.extend(unknown.iter().map(|path| format!("unknown field {}", quoted(path))));
    verdict(oddities, strictness).map_err(|why| {
        use crate::status::{Cause, Names};
        let shown = super::write::in_field_order(resource, sent.as_ref().unwrap_or(&Value::Null));
        let cause =
            Cause::new("patch", "FieldValueInvalid", format!("Invalid value: {}: {why}", quoted(&shown)));
        let mut failure = Failure::invalid(Names { group: "", plural: "", kind: "" }, "", vec![cause]);
        if let Some(details) = failure.details.as_mut().and_then(Value::as_object_mut) {
            details.remove("kind");
        }
        failure
    })
}

fn verdict(oddities: Vec<String>, strictness: Strictness) -> Result<Vec<String>, String> {
    match strictness {
        Strictness::Ignore => Ok(Vec::new()),
        Strictness::Warn => Ok(oddities),
        Strictness::Strict if oddities.is_empty() => Ok(Vec::new()),
        Strictness::Strict => Err(format!("strict decoding error: {}", oddities.join(", "))),
    }
}
