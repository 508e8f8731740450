//! Where a config is: in the service's namespace, in the system namespace, or compiled in.

use std::sync::{Arc, LazyLock, OnceLock};

use api::v1alpha2::{API_VERSION, CONFIG_KIND};
use api::{admission, shape};
use serde_json::Value;

use crate::presets::Preset;
use crate::{Error, Facts, layer, presets, shared};

/// A config that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// `false` if the embedded preset stands in for an object.
    pub(crate) stored: bool,
    /// Its spec as Go writes it.
    pub(crate) spec: Arc<Value>,
    /// The shapes of services it says it is for; empty if it does not say.
    pub(crate) topologies: Vec<String>,
}

/// Where accelerator configs say which shapes of services they are for, as a JSON list.
const TOPOLOGIES: &str = "opendatahub.io/supported-topologies";

fn topologies(config: &Value) -> Vec<String> {
    let text = config["metadata"]["annotations"].get(TOPOLOGIES).and_then(Value::as_str);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The embedded presets' specs as an API server would have stored them, in the order of [`presets::all`]. Each is made
/// when it is first needed: most services need a few of them.
static EMBEDDED: LazyLock<Vec<OnceLock<Option<Arc<Value>>>>> =
    LazyLock::new(|| presets::all().iter().map(|_| OnceLock::new()).collect());

/// The embedded preset of that name, and its spec.
fn embedded(name: &str) -> Option<(&'static Preset, Arc<Value>)> {
    let index = presets::all().iter().position(|preset| preset.name == name)?;
    let preset = &presets::all()[index];
    let spec = EMBEDDED.get(index)?.get_or_init(|| {
        let stored = admission::admit(&preset.document, admission::Request::default()).ok()?;
        layer::normal(&stored.object["spec"], preset.name).ok().map(Arc::new)
    });
    Some((preset, spec.clone()?))
}

/// How many similar names an error offers.
const OFFERED: usize = 3;

/// The config of that name. `preset` is its name without prefix if it is one; `field` is what asks for it.
pub(crate) fn find(
    facts: &Facts,
    name: &str,
    preset: Option<&str>,
    field: Option<String>,
) -> Result<Found, Error> {
    let namespaces = [facts.namespace(), facts.system_namespace.as_str()];
    for namespace in namespaces {
        if let Some(config) = facts.objects.get(API_VERSION, CONFIG_KIND, Some(namespace), name) {
            return Ok(Found {
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                stored: true,
                spec: shared::normal(config, || format!("{CONFIG_KIND} {namespace}/{name}"))?,
                topologies: topologies(config),
            });
        }
    }
    let suffix = preset.or_else(|| name.strip_prefix(facts.config_prefix.as_str()));
    if let Some((preset, spec)) = suffix.and_then(embedded) {
        return Ok(Found {
            name: name.to_owned(),
            namespace: facts.system_namespace.clone(),
            stored: false,
            spec,
            topologies: topologies(&preset.document),
        });
    }
    Err(Error::ConfigNotFound {
        name: name.to_owned(),
        namespaces: namespaces.iter().map(|namespace| (*namespace).to_owned()).collect(),
        nearest: nearest(facts, name, &namespaces),
        field,
    })
}

fn nearest(facts: &Facts, name: &str, namespaces: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = facts
        .objects
        .of_kind(API_VERSION, CONFIG_KIND)
        .filter(|(key, _)| key.namespace.as_deref().is_some_and(|namespace| namespaces.contains(&namespace)))
        .map(|(key, _)| key.name.clone())
        .chain(presets::all().iter().map(|preset| format!("{}{}", facts.config_prefix, preset.name)))
        .collect();
    names.sort();
    names.dedup();
    let mut offered = Vec::new();
    while offered.len() < OFFERED {
        let Some(near) = shape::nearest(name, names.iter().map(String::as_str)).map(str::to_owned) else {
            break;
        };
        names.retain(|known| *known != near);
        offered.push(near);
    }
    offered
}
