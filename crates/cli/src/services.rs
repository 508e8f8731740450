//! Documents to services: what is a service, what is another object, and what is at fault, with its line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::admission::{Admitted, Request, admit};
use api::crd::{Kind, Version};
use api::shape::{self, nearest};
use api::validate::main_container;
use kinds::{ObjectKey, Objects};
use local::up::StartError;
use serde_json::{Value, json};
use yaml::Marks;

use crate::args::Up;
use crate::inputs::{self, Input, field_path};
use crate::problem::{Failure, Problem};

/// Where objects without a namespace go, as with kubectl.
const DEFAULT_NAMESPACE: &str = "default";
/// Kinds that are not in a namespace, among those that a file for us may hold.
const CLUSTER_SCOPED: [&str; 6] =
    ["Namespace", "GatewayClass", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Node"];

/// A service as the user wrote it.
#[derive(Debug)]
pub(crate) struct Service {
    /// The document, with its namespace.
    pub(crate) object: Value,
    /// The same as an API server would store it.
    pub(crate) stored: Value,
    /// The file, or the model that was named instead.
    pub(crate) file: PathBuf,
    /// Where its fields stand.
    pub(crate) marks: Marks,
}

/// What files hold: services, and objects that are to be taken as present.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) services: Vec<Service>,
    pub(crate) others: Vec<Value>,
}

impl Service {
    /// `NAMESPACE/NAME`.
    pub(crate) fn full_name(&self) -> String {
        let word = |field: &str| self.object["metadata"][field].as_str().unwrap_or_default();
        format!("{}/{}", word("namespace"), word("name"))
    }

    /// `FILE:LINE` of the document.
    pub(crate) fn source(&self) -> String {
        match self.marks.position("/kind") {
            Some(position) => format!("{}:{}", self.file.display(), position.line),
            None => self.file.display().to_string(),
        }
    }

    /// A fault of this service. `pointer` is the JSON pointer of the field, if it is one field.
    pub(crate) fn problem(&self, pointer: Option<&str>, reason: impl Into<String>) -> Problem {
        problem_at(&self.file, &self.marks, pointer, reason)
    }

    /// The API server's refusal of this service.
    pub(crate) fn refused(&self, error: StartError) -> Failure {
        match error {
            StartError::CorrectObject { message, .. } => self.problem(None, message).into(),
            other => Failure::Run(anyhow::Error::new(other)),
        }
    }
}

/// Services and other objects of files and folders.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Documents, Vec<Problem>> {
    sort(inputs::read(paths)?)
}

/// What `up` was asked to serve: files, folders and models.
pub(crate) fn for_up(args: &Up) -> Result<Documents, Failure> {
    let is_model = |input: &&String| input.contains("://") && !Path::new(input).exists();
    let models: Vec<&String> = args.inputs.iter().filter(is_model).collect();
    let paths: Vec<PathBuf> =
        args.inputs.iter().filter(|input| !is_model(input)).map(PathBuf::from).collect();
    let mut documents = read(&paths)?;
    for model in models {
        documents.services.push(service_of_model(model)?);
    }
    Ok(documents)
}

/// Objects of `--cluster`, services among them: all are taken as present.
pub(crate) fn for_cluster(paths: &[PathBuf]) -> Result<Vec<Value>, Vec<Problem>> {
    let mut objects = Vec::new();
    for Input { file, document } in inputs::read(paths)? {
        for object in items(document.value) {
            let object = with_namespace(object);
            ObjectKey::of(&object).map_err(|error| vec![Problem::new(error.to_string()).in_file(&file)])?;
            // What is present is present: an object that no API server would take is not refused here. A status alone
            // is a report, not an object.
            let stored = if object["spec"].is_null() {
                object
            } else {
                admit(&object, Request::default()).map_or(object, |admitted| admitted.object)
            };
            objects.push(stored);
        }
    }
    Ok(objects)
}

/// The namespaces that the objects are in. A cluster has an administrator who makes them; here nobody else would.
pub(crate) fn namespaces(services: &[Service], others: &[Value]) -> Vec<Value> {
    let objects = services.iter().map(|service| &service.object).chain(others);
    let names: BTreeSet<&str> =
        objects.filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    names.into_iter().map(namespace).collect()
}

/// The set that a plan is made from.
pub(crate) fn object_set(objects: Vec<Value>) -> Result<Objects, Problem> {
    Objects::from_documents(objects).map_err(|error| Problem::new(error.to_string()))
}

fn sort(inputs: Vec<Input>) -> Result<Documents, Vec<Problem>> {
    let mut documents = Documents::default();
    let mut problems = Vec::new();
    for Input { file, document } in inputs {
        let (marks, value) = (document.marks, document.value);
        // What kubectl prints of several objects; its items have no lines of their own.
        let is_list =
            value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
        let all = if is_list {
            items(value).into_iter().map(|item| (item, Marks::default())).collect()
        } else {
            vec![(value, marks)]
        };
        for (value, marks) in all {
            match one(value, &file, marks) {
                Ok(Document::Service(service)) => documents.services.push(*service),
                Ok(Document::Other(object)) => documents.others.push(object),
                Err(found) => problems.extend(found),
            }
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

enum Document {
    Service(Box<Service>),
    Other(Value),
}

fn one(value: Value, file: &Path, marks: Marks) -> Result<Document, Vec<Problem>> {
    let fault = |pointer: &str, reason: String| problem_at(file, &marks, Some(pointer), reason);
    if let Err(error) = ObjectKey::of(&value) {
        let pointer = match &error {
            kinds::Error::MissingField(field) => format!("/{}", field.replace('.', "/")),
            kinds::Error::NotAnObject(_) => String::new(),
        };
        return Err(vec![
            fault(&pointer, error.to_string()).hint("see examples/qwen2-7b.yaml for a whole service"),
        ]);
    }
    let kind = value["kind"].as_str().unwrap_or_default();
    let api_version = value["apiVersion"].as_str().unwrap_or_default();
    let is_ours = api_version.split('/').next() == Some(api::GROUP);
    let ours = [Kind::Service.as_str(), Kind::Config.as_str()];
    if is_ours && Kind::of(kind).is_none() || !is_ours && nearest(kind, ours).is_some() {
        let (pointer, word, known): (_, _, Vec<&str>) = if is_ours {
            ("/kind", kind, ours.to_vec())
        } else {
            (
                "/apiVersion",
                api_version,
                vec![Version::V1alpha2.api_version(), Version::V1alpha1.api_version()],
            )
        };
        let meant = nearest(word, known.iter().copied()).map_or_else(|| known.join(" or "), str::to_owned);
        return Err(vec![
            fault(pointer, format!("unknown {} {word:?}", &pointer[1..])).hint(format!("write {meant}")),
        ]);
    }
    if is_ours && Version::of(api_version).is_none() {
        return Err(vec![
            fault("/apiVersion", format!("unknown version {api_version:?}"))
                .hint("write serving.kserve.io/v1alpha2"),
        ]);
    }
    let object = with_namespace(value);
    let Some(kind) = Kind::of(object["kind"].as_str().unwrap_or_default()).filter(|_| is_ours) else {
        return Ok(Document::Other(object));
    };
    let stored = checked(&object, file, &marks)?;
    Ok(match kind {
        Kind::Service => {
            Document::Service(Box::new(Service { object, stored, file: file.to_owned(), marks }))
        }
        Kind::Config => Document::Other(stored),
    })
}

/// The object as stored, or everything that an API server with our webhooks would say against it.
fn checked(object: &Value, file: &Path, marks: &Marks) -> Result<Value, Vec<Problem>> {
    let type_ = shape::root(
        object["apiVersion"].as_str().unwrap_or_default(),
        object["kind"].as_str().unwrap_or_default(),
    );
    let unknown = type_.map(|type_| shape::unknown_fields(type_, object)).unwrap_or_default();
    let mut problems: Vec<Problem> = unknown
        .into_iter()
        // The record of managers has the names of fields as its own.
        .filter(|field| !field.pointer.starts_with("/metadata/managedFields/"))
        .map(|field| {
            let problem = problem_at(file, marks, Some(&field.pointer), "unknown field");
            match field.nearest {
                Some(nearest) => problem.hint(format!("did you mean {nearest}?")),
                None => problem.hint("remove it; an API server would drop it without a word"),
            }
        })
        .collect();
    let is_service = object["kind"] == Kind::Service.as_str();
    // A dump has a status, which a server takes from controllers alone.
    let mut written = object.clone();
    let status = written.as_object_mut().and_then(|fields| fields.remove("status"));
    let mut admitted = admit(&written, Request::default());
    if let (Ok(admitted), Some(status)) = (&mut admitted, status) {
        admitted.object["status"] = status;
    }
    let causes = match &admitted {
        Ok(admitted) if is_service => main_container(&admitted.object),
        Ok(_) => Vec::new(),
        Err(refusal) => refusal.causes.clone(),
    };
    match admitted {
        Ok(Admitted { object, .. }) if problems.is_empty() && causes.is_empty() => Ok(object),
        _ => {
            // That rules were left out says nothing about a field; what kept them from being checked is said.
            for cause in causes.into_iter().filter(|cause| cause.violation.field.is_some()) {
                let pointer = cause.violation.field.as_deref().map(pointer_of);
                let problem = problem_at(file, marks, pointer.as_deref(), cause.violation.detail.clone());
                problems.push(if cause.hint().is_empty() { problem } else { problem.hint(cause.hint()) });
            }
            Err(problems)
        }
    }
}

fn problem_at(file: &Path, marks: &Marks, pointer: Option<&str>, reason: impl Into<String>) -> Problem {
    let mut problem = Problem::new(reason).in_file(file).at(marks.position(pointer.unwrap_or_default()));
    problem.field = pointer.map(field_path).filter(|path| !path.is_empty());
    problem
}

/// `spec.containers[0].name` as a JSON pointer. What stands in brackets is one segment, dots and all.
pub(crate) fn pointer_of(path: &str) -> String {
    let mut pointer = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (segment, after) = if let Some(bracketed) = rest.strip_prefix('[') {
            bracketed.split_once(']').unwrap_or((bracketed, ""))
        } else {
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        if !segment.is_empty() {
            pointer.push('/');
            pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        }
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    pointer
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut fields) if fields.get("items").is_some_and(Value::is_array) => {
            match fields.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        other => vec![other],
    }
}

fn with_namespace(mut object: Value) -> Value {
    let is_scoped = object["kind"].as_str().is_some_and(|kind| !CLUSTER_SCOPED.contains(&kind));
    if is_scoped && object["metadata"].is_object() && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!(DEFAULT_NAMESPACE);
    }
    object
}

/// A service for a model and nothing else said: one engine behind the gateway with the scheduler.
fn service_of_model(uri: &str) -> Result<Service, Failure> {
    let fault = |reason: String| {
        Problem::new(format!("{uri}: {reason}")).hint("a model looks like hf://Qwen/Qwen2-7B-Instruct")
    };
    api::uri::ModelUri::parse(uri).map_err(|error| Failure::from(fault(error.to_string())))?;
    let path = uri.split_once("://").map_or(uri, |(_, path)| path).trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or(path);
    let name: String =
        last.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    if name.is_empty() {
        return Err(fault("no name for the service can be made of it".to_owned()).into());
    }
    let model = if uri.starts_with("hf://") { path.split('@').next().unwrap_or(path) } else { last };
    let object = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
        "metadata": {"name": name.get(..40).unwrap_or(name).trim_end_matches('-'), "namespace": DEFAULT_NAMESPACE},
        "spec": {"model": {"uri": uri, "name": model}, "router": {"route": {}, "gateway": {}, "scheduler": {}}},
    });
    let stored = checked(&object, Path::new(uri), &Marks::default()).map_err(Failure::from)?;
    Ok(Service { object, stored, file: PathBuf::from(uri), marks: Marks::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_pointer_are_two_spellings() {
        for path in
            ["spec.template.containers[0].name", "metadata.labels[a.b/c]", "spec", "spec.list[0][1].x"]
        {
            assert_eq!(field_path(&pointer_of(path)), path);
        }
    }

    #[test]
    fn a_model_becomes_a_service_with_a_valid_name() {
        let service = service_of_model("hf://Qwen/Qwen2-7B-Instruct").unwrap();
        assert_eq!(service.full_name(), "default/qwen2-7b-instruct");
        assert_eq!(service.object["spec"]["model"]["name"], "Qwen/Qwen2-7B-Instruct");
        let service = service_of_model("hf://acme/7b_Model").unwrap();
        assert_eq!(service.full_name(), "default/b-model");
    }
}
