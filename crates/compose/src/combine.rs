//! The whole composition, in KServe's order.

use std::sync::Arc;

use api::v1alpha2::LLMInferenceServiceSpec;
use kinds::pointer::at;
use serde_json::{Value, json};

use crate::lookup::{self, Found};
use crate::merge::Layered;
use crate::merged::Layers;
use crate::node::{LayerId, Node};
use crate::{
    AppliedConfig, Error, Facts, Merged, Origin, Origins, Source, Warning, data, engine, finish, layer,
    select, shared, template,
};

/// Presets, baseRefs and service into one document, without validation of the outcome.
pub fn combine(facts: &Facts) -> Result<Merged, Error> {
    let pins = select::pins(facts);
    let mut service = layer::normal(&facts.service["spec"], "LLMInferenceService")?;
    let refs = base_refs(facts, &service)?;
    let resolved = resolve(&service, &refs)?;
    let misfits = misfits(&resolved, &refs);
    // What a base says about the model's name wins even over the service: the defaulter has filled in the service's.
    if let Some(name) = at(&resolved, "/model/name") {
        service["model"]["name"] = name.clone();
    }
    let mut configs = Vec::new();
    for (name, suffix) in select::presets(facts, &pins, &resolved) {
        configs.push((lookup::find(facts, &name, Some(suffix), None)?, Source::Preset));
    }
    configs.extend(refs.into_iter().map(|found| (found, Source::UserRef)));

    let specs: Vec<Arc<Value>> = configs.iter().map(|(found, _)| Arc::clone(&found.spec)).collect();
    let mut merged = shared::merged(&specs)?;
    let mut layers = Layers::default();
    let mut applied_configs = Vec::with_capacity(configs.len());
    for (found, source) in configs {
        layers.add(match source {
            Source::Preset => Origin::Preset(found.name.clone()),
            Source::UserRef => Origin::BaseRef(found.name.clone()),
        });
        applied_configs.push(AppliedConfig {
            name: found.name,
            namespace: found.namespace,
            source,
            stored: found.stored,
        });
    }
    let service_layer = layers.add(Origin::Service);
    put_over(&mut merged, &service, service_layer)?;
    let spec = merged.unwrap_or_else(|| Layered::new(json!({}), service_layer));
    let mut merged = finished(facts, spec, layers, service_layer, applied_configs, pins)?;
    merged.warnings.extend(misfits);
    Ok(merged)
}

/// The specs of `configs` merged, later ones over earlier ones; nothing else is done.
pub fn merge(configs: &[Value]) -> Result<Value, Error> {
    let mut merged = None;
    for config in configs {
        let name = at(config, "/metadata/name").and_then(Value::as_str).unwrap_or("config");
        put_over(&mut merged, &layer::normal(&config["spec"], name)?, 0)?;
    }
    layer::normal(&merged.map_or(Value::Null, |layered| layered.value), "merged")
}

/// `config` with its templates rendered for the service of `facts`, of which they see the spec as it is.
pub fn render(config: &Value, facts: &Facts) -> Result<Value, Error> {
    const CONFIG: LayerId = 0;
    const NOBODY: LayerId = 1;
    let scope = data::Scope::new(facts, &config["spec"]);
    let spec = layer::normal(&config["spec"], "config")?;
    let parts = Value::from_iter([("metadata", config["metadata"].clone()), ("spec", spec)]);
    let mut document = Layered::new(parts, CONFIG);
    template::render(&mut document, Some(&facts.service), &scope, NOBODY)?;
    let mut rendered = config.clone();
    rendered["metadata"] = document.value["metadata"].take();
    rendered["spec"] = layer::normal(&document.value["spec"], "failed to unmarshal config from template")?;
    Ok(rendered)
}

/// The configs that `baseRefs` name, in order.
fn base_refs(facts: &Facts, service: &Value) -> Result<Vec<Found>, Error> {
    let refs = service["baseRefs"].as_array();
    refs.into_iter()
        .flatten()
        .enumerate()
        .map(|(index, reference)| {
            let name = reference["name"].as_str().unwrap_or_default();
            lookup::find(facts, name, None, Some(format!("/spec/baseRefs/{index}/name")))
        })
        .collect()
}

/// What decides which presets are needed: the service with its baseRefs over it, as far as [`select`] looks at them.
fn resolve(service: &Value, refs: &[Found]) -> Result<Value, Error> {
    let mut resolved = Layered::new(layer::decisive(service), 0);
    for found in refs {
        resolved
            .merge(layer::spec_type(), &layer::overlay(&layer::decisive(&found.spec)), 0)
            .map_err(merge_failed)?;
    }
    Ok(resolved.value)
}

/// Configs of an accelerator that leave pods of this service to another one.
fn misfits(resolved: &Value, refs: &[Found]) -> Vec<Warning> {
    let has = |pointer: &str| at(resolved, pointer).is_some_and(|pod| !pod.is_null());
    let shape = (has("/worker") || has("/prefill/worker"), has("/prefill"));
    let of = |topology: &String| (topology.contains("multi-node"), topology.ends_with("-pd"));
    refs.iter()
        .enumerate()
        .filter(|(_, found)| !found.topologies.is_empty() && !found.topologies.iter().any(|t| of(t) == shape))
        .map(|(index, found)| Warning {
            field: format!("/spec/baseRefs/{index}/name"),
            message: format!(
                "{} is for {}, and this service has other pods: what it does not name keeps the image of its preset",
                found.name,
                found.topologies.join(", ")
            ),
        })
        .collect()
}

/// Puts a normal spec over what is merged, as a layer of its own.
pub(crate) fn put_over(merged: &mut Option<Layered>, spec: &Value, id: LayerId) -> Result<(), Error> {
    match merged {
        None => *merged = Some(Layered::new(spec.clone(), id)),
        Some(below) => below.merge(layer::spec_type(), &layer::overlay(spec), id).map_err(merge_failed)?,
    }
    Ok(())
}

fn merge_failed(reason: String) -> Error {
    Error::FixMerge { reason: format!("failed to merge specs: could not apply merge patch: {reason}") }
}

/// What follows the merge: templates and the parts that depend on the whole.
fn finished(
    facts: &Facts,
    spec: Layered,
    mut layers: Layers,
    service_layer: LayerId,
    applied_configs: Vec<AppliedConfig>,
    pins: std::collections::BTreeMap<String, String>,
) -> Result<Merged, Error> {
    let mut warnings = replaced_lists(&spec, &layers, service_layer);
    let metadata = facts.service.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let mut spec_value = spec.value;
    let mut written = finish::Written::new();
    finish::before_templates(&mut spec_value, facts.name(), &mut written);
    let mut document = Layered {
        value: Value::from_iter([("metadata", metadata), ("spec", spec_value)]),
        origin: Node::Map(service_layer, Arc::new([("spec".to_owned(), spec.origin)].into())),
        replaced: Vec::new(),
    };
    let scope = data::Scope::new(facts, &document.value["spec"]);
    let rendered = template::render(&mut document, None, &scope, service_layer)?;
    warnings.extend(rendered.warnings);
    let mut spec = document.value["spec"].take();
    if rendered.left_empty {
        spec = layer::normal(&spec, "failed to unmarshal config from template")?;
    }
    warnings.extend(engine::complete(&mut spec, &mut document.origin, &layers));
    let scheduler_config = finish::after_templates(&mut spec, facts, &mut written)?;
    finish::check_adapters(&spec)?;
    if finish::lacks_latency_predictor(scheduler_config.as_ref()) {
        warnings.push(Warning {
            field: "/spec/router/scheduler/config/ref".to_owned(),
            message: "asks for predicted latencies, but the servers that predict them come only with an inline config"
                .to_owned(),
        });
    }
    let typed = LLMInferenceServiceSpec::read(&spec)
        .map_err(|error| Error::FixMerge { reason: format!("the merged spec cannot be read: {error}") })?;
    let composed = layers.add(Origin::Composed("composition"));
    for pointer in written {
        document.origin.set(&format!("/spec{pointer}"), composed);
    }
    document.value["spec"] = spec;
    Ok(Merged {
        spec: typed,
        document: document.value,
        applied_configs,
        pins,
        scheduler_config,
        origins: Origins::new(document.origin, layers, composed),
        warnings,
    })
}

/// The user's lists that took the place of others and lost items of theirs.
fn replaced_lists(spec: &Layered, layers: &Layers, service_layer: LayerId) -> Vec<Warning> {
    spec.replaced
        .iter()
        .filter(|replaced| replaced.by == service_layer)
        .map(|replaced| {
            let verb = if replaced.dropped == 1 { "is" } else { "are" };
            Warning {
                field: format!("/spec{}", replaced.pointer),
                message: format!(
                    "replaces the list of {}; {} of its items {verb} not in it any more",
                    layers.name(replaced.before),
                    replaced.dropped
                ),
            }
        })
        .collect()
}
