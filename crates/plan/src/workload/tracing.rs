//! Traces of engines and picker: arguments and OpenTelemetry variables.

use api::v1alpha2::TracingSpec;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodSpec};

use crate::storage::{MAIN, add_env, container_mut, env};
use crate::subject::Subject;

/// What the engine's traces are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Decode, or both.
    Decode,
    /// Prefill.
    Prefill,
}

/// Traces the engine if the service asks for it and says where traces go.
pub(crate) fn trace_engine(pod: &mut PodSpec, subject: &Subject, role: Role) {
    let Some(tracing) = &subject.spec.tracing else { return };
    let Some(endpoint) = tracing.exporter_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
        return;
    };
    let Some(main) = container_mut(pod, MAIN) else { return };
    let args = main.args.get_or_insert_default();
    for (flag, value) in [("--otlp-traces-endpoint", endpoint), ("--collect-detailed-traces", "all")] {
        if args.iter().all(|arg| !is_flag(arg, flag)) {
            args.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    let name = match role {
        Role::Decode => "inference-server-decode",
        Role::Prefill => "inference-server-prefill",
    };
    add_variables(main, subject, tracing, name);
}

/// Traces the picker if the service asks for it.
pub(crate) fn trace_picker(pod: &mut PodSpec, subject: &Subject) {
    let Some(tracing) = &subject.spec.tracing else { return };
    let Some(main) = container_mut(pod, MAIN) else { return };
    let args = main.args.get_or_insert_default();
    if args.iter().all(|arg| !is_flag(arg, "--tracing") && !is_flag(arg, "-tracing")) {
        args.push("--tracing=true".to_owned());
    }
    add_variables(main, subject, tracing, "inference-scheduler");
}

fn is_flag(arg: &str, flag: &str) -> bool {
    arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

fn add_variables(container: &mut Container, subject: &Subject, tracing: &TracingSpec, service: &str) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    add_env(container, env("OTEL_SERVICE_NAME", service));
    add_env(container, env("OTEL_EXPORTER_OTLP_ENDPOINT", &text(&tracing.exporter_endpoint)));
    add_env(container, env("OTEL_TRACES_EXPORTER", &text(&tracing.exporter)));
    add_env(container, env("OTEL_TRACES_SAMPLER", &text(&tracing.sampler)));
    add_env(container, env("OTEL_TRACES_SAMPLER_ARG", &text(&tracing.sampler_arg)));
    add_env(container, from_field("OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "spec.nodeName"));
    add_env(container, from_field("OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "metadata.name"));
    let attributes = format!(
        "k8s.namespace.name={},k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),\
         k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),llmisvc.name={}",
        subject.namespace, subject.name
    );
    add_env(container, env("OTEL_RESOURCE_ATTRIBUTES", &attributes));
}

fn from_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}
