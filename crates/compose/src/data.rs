//! What templates see: the service with its merged spec, the installation's settings, and functions.
//!
//! Documents are JSON; their Go types come from `api::shape`, so a template reaches `.Spec.Parallelism.Tensor` by its Go
//! names and fails in Go's words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use api::names;
use api::shape::{self, Field, GoField, Struct as Shape, Type};
use gotmpl::{Function, Functions, List, Map, Param, Struct, Value as GoValue};
use kinds::pointer::at;
use kinds::quantity::Quantity;
use serde_json::{Value, json};

use crate::{Facts, template};

/// The names of all functions that a template may use besides the built-in ones.
pub(crate) const FUNCTIONS: &[&str] =
    &["ChildName", "shutdownTimeout", "kvTransferConfig", "kvTransfer", "omitEmpty"];

/// What a rendering can see.
pub(crate) struct Scope<'a> {
    facts: &'a Facts,
    /// Namespace and name of the InferencePool.
    pool: String,
}

const SERVICE_TYPE: &str = "v1alpha2.LLMInferenceService";

impl<'a> Scope<'a> {
    /// `spec` decides which pool it is.
    pub(crate) fn new(facts: &'a Facts, spec: &Value) -> Scope<'a> {
        let pool = pool_name(at(spec, "/router/scheduler").unwrap_or(&Value::Null), facts.name());
        Scope { facts, pool: format!("{}/{pool}", facts.namespace()) }
    }

    /// The data of a template. `document` has the spec that templates see.
    pub(crate) fn root<'d>(&'d self, document: &'d Value) -> GoValue<'d> {
        GoValue::of_struct(Root { scope: self, document })
    }
}

/// The InferencePool of a scheduler.
pub(crate) fn pool_name(scheduler: &Value, service: &str) -> String {
    match at(scheduler, "/pool/ref/name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => names::inference_pool(service),
    }
}

/// `struct { *LLMInferenceService; GlobalConfig }`.
struct Root<'d> {
    scope: &'d Scope<'d>,
    document: &'d Value,
}

impl<'d> Struct<'d> for Root<'d> {
    fn type_name(&self) -> Cow<'d, str> {
        Cow::Borrowed("struct { *v1alpha2.LLMInferenceService; GlobalConfig llmisvc.templateGlobalConfig }")
    }

    fn field(&self, name: &str) -> Option<GoValue<'d>> {
        let service = || Service { facts: self.scope.facts, document: self.document };
        match name {
            "GlobalConfig" => Some(GoValue::of_struct(GlobalConfig { scope: self.scope })),
            "LLMInferenceService" => {
                Some(GoValue::pointer(format!("*{SERVICE_TYPE}"), GoValue::of_struct(service())))
            }
            name => service().field(name),
        }
    }

    fn field_names(&self) -> Vec<String> {
        let mut names = vec!["GlobalConfig".to_owned()];
        names.extend(Service { facts: self.scope.facts, document: self.document }.field_names());
        names
    }

    fn method(&self, name: &str, is_nil: bool) -> Option<Function<'d>> {
        Service { facts: self.scope.facts, document: self.document }.method(name, is_nil)
    }

    fn is_addressable(&self) -> bool {
        false
    }
}

static METADATA: LazyLock<Option<&'static Shape>> = LazyLock::new(|| shape::find("meta.ObjectMeta"));
static SPEC: LazyLock<Option<&'static Shape>> = LazyLock::new(|| shape::find("api.LLMInferenceServiceSpec"));
static STATUS: LazyLock<Option<&'static Shape>> =
    LazyLock::new(|| shape::find("api.LLMInferenceServiceStatus"));

/// The service: metadata and spec of the document under construction, status of the service itself.
struct Service<'d> {
    facts: &'d Facts,
    document: &'d Value,
}

impl<'d> Struct<'d> for Service<'d> {
    fn type_name(&self) -> Cow<'d, str> {
        Cow::Borrowed(SERVICE_TYPE)
    }

    fn field(&self, name: &str) -> Option<GoValue<'d>> {
        let part = |shape: Option<&'static Shape>, value| Some(of_struct(shape?, value));
        let metadata = self.document.get("metadata");
        match name {
            "ObjectMeta" => part(*METADATA, metadata),
            "Spec" => part(*SPEC, self.document.get("spec")),
            "Status" => part(*STATUS, self.facts.service.get("status")),
            "Kind" => Some(GoValue::string("LLMInferenceService")),
            "APIVersion" => Some(GoValue::string("serving.kserve.io/v1alpha2")),
            name => match METADATA.as_ref()?.go_field(name)? {
                GoField::Field(field) => Some(of_field(field, metadata)),
                GoField::Embedded(_) => None,
            },
        }
    }

    fn field_names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["ObjectMeta", "Spec", "Status"].map(str::to_owned).to_vec();
        names.extend(METADATA.into_iter().flat_map(go_names));
        names
    }

    fn method(&self, name: &str, _is_nil: bool) -> Option<Function<'d>> {
        let field = match name {
            "GetName" => "Name",
            "GetNamespace" => "Namespace",
            "GetLabels" => "Labels",
            "GetAnnotations" => "Annotations",
            _ => return None,
        };
        let value = self.field(field)?;
        Some(Function::new([], move |_| Ok(value.clone())))
    }
}

struct GlobalConfig<'d> {
    scope: &'d Scope<'d>,
}

impl<'d> Struct<'d> for GlobalConfig<'d> {
    fn type_name(&self) -> Cow<'d, str> {
        Cow::Borrowed("llmisvc.templateGlobalConfig")
    }

    fn field(&self, name: &str) -> Option<GoValue<'d>> {
        let facts = self.scope.facts;
        let ingress = &facts.settings.ingress;
        Some(match name {
            "SystemNamespace" => GoValue::string(facts.system_namespace.as_str()),
            "IngressGatewayName" => GoValue::string(ingress.gateway_name.as_str()),
            "IngressGatewayNamespace" => GoValue::string(ingress.gateway_namespace.as_str()),
            "EnableTLS" => GoValue::Bool(ingress.tls_enabled),
            "ModelBasedRoutingHeaderName" => GoValue::string(ingress.model_routing_header.as_str()),
            "InferencePoolNamespacedName" => GoValue::string(self.scope.pool.as_str()),
            _ => return None,
        })
    }

    fn field_names(&self) -> Vec<String> {
        [
            "SystemNamespace",
            "IngressGatewayName",
            "IngressGatewayNamespace",
            "EnableTLS",
            "ModelBasedRoutingHeaderName",
            "InferencePoolNamespacedName",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// A JSON object seen as a Go struct.
struct Object<'d> {
    shape: &'static Shape,
    value: Option<&'d Value>,
}

fn of_struct<'d>(shape: &'static Shape, value: Option<&'d Value>) -> GoValue<'d> {
    GoValue::of_struct(Object { shape, value })
}

fn go_names(shape: &'static Shape) -> impl Iterator<Item = String> {
    shape.fields.values().map(|field| field.go.clone())
}

impl<'d> Struct<'d> for Object<'d> {
    fn type_name(&self) -> Cow<'d, str> {
        Cow::Owned(self.shape.go_name())
    }

    fn field(&self, name: &str) -> Option<GoValue<'d>> {
        Some(match self.shape.go_field(name)? {
            GoField::Field(field) => of_field(field, self.value),
            GoField::Embedded(shape) => of_struct(shape, self.value),
        })
    }

    fn field_names(&self) -> Vec<String> {
        go_names(self.shape).collect()
    }

    fn method(&self, name: &str, is_nil: bool) -> Option<Function<'d>> {
        let empty = &Value::Null;
        let value = self.value.filter(|_| !is_nil).unwrap_or(empty);
        let truth = |truth: bool| Some(Function::new([], move |_| Ok(GoValue::Bool(truth))));
        let non_empty = |list: &Value| list.as_array().is_some_and(|items| !items.is_empty());
        let named = |reference: &Value| reference["name"].as_str().is_some_and(|name| !name.is_empty());
        match (self.shape.name, name) {
            ("api.ParallelismSpec", "IsDataParallel") => truth(is_data_parallel(value)),
            ("api.ParallelismSpec", "IsPipelineParallel") => truth(degree(value, "pipeline") > 0),
            ("api.ParallelismSpec", "GetSize") => {
                let size = group_size(value);
                Some(Function::new([], move |_| {
                    Ok(match size {
                        Some(size) => GoValue::pointer("*int32", GoValue::Int(size)),
                        None => GoValue::nil_pointer("*int32", None),
                    })
                }))
            }
            ("api.HTTPRouteSpec" | "api.GatewaySpec" | "api.IngressSpec", "HasRefs") => {
                truth(non_empty(&value["refs"]))
            }
            ("api.HTTPRouteSpec", "HasSpec") => truth(value["spec"].is_object()),
            ("api.InferencePoolSpec", "HasRef") => truth(named(&value["ref"])),
            ("api.SchedulerSpec", "InferencePoolName") => {
                let scheduler = value.clone();
                let service = Param::Named(Cow::Borrowed("*v1alpha2.LLMInferenceService"));
                Some(Function::new([service], move |args| {
                    let name = match &args[0] {
                        GoValue::Pointer(pointer) => match &pointer.target {
                            Some(GoValue::Struct(service)) => service.field("Name"),
                            _ => None,
                        },
                        _ => None,
                    };
                    let name = name.as_ref().and_then(GoValue::as_str).unwrap_or_default();
                    Ok(GoValue::string(pool_name(&scheduler, name)))
                }))
            }
            _ => None,
        }
    }
}

fn degree(parallelism: &Value, name: &str) -> i64 {
    parallelism[name].as_i64().unwrap_or(0)
}

fn is_data_parallel(parallelism: &Value) -> bool {
    degree(parallelism, "data") > 0 || degree(parallelism, "dataLocal") > 0
}

/// Pods of a group: data-parallel ranks over those of one pod, else pipeline stages.
fn group_size(parallelism: &Value) -> Option<i64> {
    if is_data_parallel(parallelism) {
        return Some((degree(parallelism, "data").max(1) / degree(parallelism, "dataLocal").max(1)).max(1));
    }
    Some(degree(parallelism, "pipeline")).filter(|pipeline| *pipeline > 0)
}

/// The field of an object.
fn of_field<'d>(field: &'static Field, object: Option<&'d Value>) -> GoValue<'d> {
    of_type(&field.type_, field.go_type(), object.and_then(|object| object.get(field.json)))
}

/// A JSON value seen as a Go value of that type, which Go calls `name`.
fn of_type<'d>(type_: &'static Type, name: &'static str, value: Option<&'d Value>) -> GoValue<'d> {
    let of = |before: &str| name.strip_prefix(before).unwrap_or(name);
    let value = value.filter(|value| !value.is_null());
    match type_ {
        Type::Pointer(inner) => match value {
            Some(value) => GoValue::pointer(name, of_type(inner, of("*"), Some(value))),
            None => {
                let element =
                    inner.as_struct().map(|shape| Rc::new(Object { shape, value: None }) as Rc<dyn Struct>);
                GoValue::nil_pointer(name, element)
            }
        },
        Type::Struct(_) => match type_.as_struct() {
            Some(shape) => of_struct(shape, value),
            None => GoValue::Nothing,
        },
        Type::String | Type::Url | Type::Bytes | Type::Time => {
            GoValue::string(value.and_then(Value::as_str).unwrap_or_default())
        }
        Type::Quantity | Type::IntOrString => match value {
            Some(Value::String(text)) => GoValue::string(text.as_str()),
            Some(other) => GoValue::string(other.to_string()),
            None => GoValue::string("0"),
        },
        Type::Bool => GoValue::Bool(value.and_then(Value::as_bool).unwrap_or_default()),
        Type::Int32 | Type::Int64 => GoValue::Int(value.and_then(Value::as_i64).unwrap_or_default()),
        Type::Any => value.map_or(GoValue::Nothing, GoValue::from_json),
        Type::List(element) => {
            let items = value.and_then(Value::as_array);
            GoValue::List(Rc::new(List {
                type_name: Cow::Borrowed(name),
                is_nil: items.is_none(),
                items: items
                    .into_iter()
                    .flatten()
                    .map(|item| of_type(element, of("[]"), Some(item)))
                    .collect(),
            }))
        }
        Type::Map(element) => {
            let entries = value.and_then(Value::as_object);
            let typed: BTreeMap<Cow<'d, str>, GoValue<'d>> = entries
                .into_iter()
                .flatten()
                .map(|(key, value)| {
                    (Cow::Borrowed(key.as_str()), of_type(element, of("map[string]"), Some(value)))
                })
                .collect();
            GoValue::Map(Rc::new(Map {
                type_name: Cow::Borrowed(name),
                entries: typed,
                zero: of_type(element, of("map[string]"), None),
                is_nil: entries.is_none(),
            }))
        }
    }
}

/// The functions of presets: KServe's three, and two for command lines without a shell.
pub(crate) fn functions<'d>() -> Functions<'d> {
    let pod = || Param::Named(Cow::Borrowed("*v1.PodSpec"));
    let offloading = || Param::Named(Cow::Borrowed("*v1alpha2.KVCacheOffloadingSpec"));
    Functions::from([
        (
            "ChildName",
            Function::new([Param::String, Param::String], |args| {
                let text = |value: &GoValue<'_>| value.as_str().unwrap_or_default().to_owned();
                Ok(GoValue::string(names::child_name(&text(&args[0]), &text(&args[1]))))
            }),
        ),
        (
            "shutdownTimeout",
            Function::new([pod(), Param::Int("int64")], |args| {
                let GoValue::Int(pre_stop) = args[1] else { return Ok(GoValue::Int(0)) };
                let grace = int_field(&args[0], "TerminationGracePeriodSeconds").unwrap_or(60);
                Ok(GoValue::Int((grace - pre_stop - grace.min(5)).max(0)))
            }),
        ),
        (
            "kvTransferConfig",
            Function::new([offloading()], |args| {
                Ok(GoValue::string(match kv_transfer(&args[0])? {
                    Some(config) => format!("--kv-transfer-config '{}'", config.replace('"', "\\\\\\\"")),
                    None => String::new(),
                }))
            }),
        ),
        (
            "kvTransfer",
            Function::new([offloading()], |args| {
                Ok(GoValue::string(kv_transfer(&args[0])?.unwrap_or_default().replace('"', "\\\"")))
            }),
        ),
        ("omitEmpty", Function::new([], |_| Ok(GoValue::string(template::OMIT.to_string())))),
    ])
}

fn target<'v, 'd>(value: &'v GoValue<'d>) -> Option<&'v Rc<dyn Struct<'d> + 'd>> {
    match value {
        GoValue::Pointer(pointer) => match &pointer.target {
            Some(GoValue::Struct(data)) => Some(data),
            _ => None,
        },
        _ => None,
    }
}

fn int_field(value: &GoValue<'_>, name: &str) -> Option<i64> {
    match target(value)?.field(name)? {
        GoValue::Pointer(pointer) => match pointer.target {
            Some(GoValue::Int(int)) => Some(int),
            _ => None,
        },
        GoValue::Int(int) => Some(int),
        _ => None,
    }
}

/// vLLM's `--kv-transfer-config` for an offloading spec; `None` if there is none.
fn kv_transfer(spec: &GoValue<'_>) -> Result<Option<String>, String> {
    let Some(spec) = target(spec) else { return Ok(None) };
    let text =
        |name: &str| spec.field(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let bytes = Quantity::parse(&text("CPU")).map_err(|error| error.to_string())?.ceil();
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut extra = json!({"cpu_bytes_to_use": bytes, "spec_name": "TieringOffloadingSpec"});
    let policy = text("EvictionPolicy");
    if !policy.is_empty() {
        extra["eviction_policy"] = policy.into();
    }
    let tiers = match spec.field("Secondary") {
        Some(GoValue::List(list)) => list.items.clone(),
        _ => Vec::new(),
    };
    let tiers: Vec<Value> = tiers
        .iter()
        .enumerate()
        .filter(|(_, tier)| match tier {
            GoValue::Struct(tier) => tier.field("FileSystem").is_some_and(|tier| tier.is_true()),
            _ => false,
        })
        .map(|(index, _)| json!({"root_dir": format!("/mnt/kv-cache-{index}"), "type": "fs"}))
        .collect();
    if !tiers.is_empty() {
        extra["secondary_tiers"] = tiers.into();
    }
    let config = json!({"kv_connector": "OffloadingConnector", "kv_connector_extra_config": extra, "kv_role": "kv_both"});
    Ok(Some(config.to_string()))
}
