//! A container's environment, arguments and volumes' text, as the kubelet builds them: references
//! resolved against the pod and the objects that it names, `$(VAR)` expanded. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// ConfigMaps and Secrets of the pod's namespace that the pod refers to, by name, as bytes by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// ConfigMaps that exist.
    pub config_maps: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Secrets that exist.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// Facts of this machine that `fieldRef` and `resourceFieldRef` may ask for.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The pod's own loopback address.
    pub pod_ip: String,
    /// The address of the machine, as the pod sees it.
    pub host_ip: String,
    /// Name of the Node object.
    pub node_name: String,
    /// Processors of the machine: the value of a missing CPU limit.
    pub cpus: u64,
    /// Memory of the machine in bytes: the value of a missing memory limit.
    pub memory_bytes: u64,
}

/// Why a container's environment cannot be made; the kubelet calls it `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    /// A ConfigMap that is not optional is absent.
    #[error("configmap \"{0}\" not found")]
    ConfigMapNotFound(String),
    /// A Secret that is not optional is absent.
    #[error("secret \"{0}\" not found")]
    SecretNotFound(String),
    /// The object exists and lacks the key.
    #[error("couldn't find key {key} in {kind} {name}")]
    KeyNotFound {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The object.
        name: String,
        /// The missing key.
        key: String,
    },
    /// A `fieldPath` that pods do not offer.
    #[error("unsupported fieldPath: {0}")]
    FieldPath(String),
    /// A `resource` that containers do not have.
    #[error("unsupported container resource: {0}")]
    Resource(String),
}

/// Names of ConfigMaps and Secrets that any container or volume of the pod refers to.
pub(crate) fn references(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    let Some(spec) = &pod.spec else { return (maps, secrets) };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        for from in container.env_from.iter().flatten() {
            maps.extend(from.config_map_ref.iter().map(|source| source.name.clone()));
            secrets.extend(from.secret_ref.iter().map(|source| source.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
            maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
            secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            secrets.extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
    for names in [&mut maps, &mut secrets] {
        names.sort();
        names.dedup();
    }
    (maps, secrets)
}

/// The container's variables: `envFrom` first, then `env` in order, each seeing those before it.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    place: &Place,
) -> Result<BTreeMap<String, String>, Error> {
    let mut vars = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or("");
        let (data, missing) = if let Some(source) = &from.config_map_ref {
            let missing =
                (source.optional != Some(true)).then(|| Error::ConfigMapNotFound(source.name.clone()));
            (sources.config_maps.get(&source.name), missing)
        } else if let Some(source) = &from.secret_ref {
            let missing = (source.optional != Some(true)).then(|| Error::SecretNotFound(source.name.clone()));
            (sources.secrets.get(&source.name), missing)
        } else {
            continue;
        };
        match (data, missing) {
            (None, Some(error)) => return Err(error),
            (data, _) => {
                vars.extend(data.into_iter().flatten().map(|(key, value)| {
                    (format!("{prefix}{key}"), String::from_utf8_lossy(value).into_owned())
                }))
            }
        }
    }
    for var in container.env.iter().flatten() {
        if let Some(value) = &var.value {
            let value = expand(value, &vars);
            vars.insert(var.name.clone(), value);
            continue;
        }
        let Some(source) = &var.value_from else {
            vars.insert(var.name.clone(), String::new());
            continue;
        };
        let value = if let Some(field) = &source.field_ref {
            Some(pod_field(pod, field, place)?)
        } else if let Some(resource) = &source.resource_field_ref {
            Some(resource_field(pod, container, resource, place)?)
        } else if let Some(key) = &source.config_map_key_ref {
            let found = sources.config_maps.get(&key.name);
            let missing = || Error::ConfigMapNotFound(key.name.clone());
            key_value(found, "ConfigMap", &key.name, &key.key, key.optional, missing)?
        } else if let Some(key) = &source.secret_key_ref {
            let found = sources.secrets.get(&key.name);
            let missing = || Error::SecretNotFound(key.name.clone());
            key_value(found, "Secret", &key.name, &key.key, key.optional, missing)?
        } else {
            None
        };
        if let Some(value) = value {
            vars.insert(var.name.clone(), value);
        }
    }
    Ok(vars)
}

fn key_value(
    object: Option<&BTreeMap<String, Vec<u8>>>,
    kind: &'static str,
    name: &str,
    key: &str,
    optional: Option<bool>,
    missing: impl FnOnce() -> Error,
) -> Result<Option<String>, Error> {
    let value = object.and_then(|data| data.get(key));
    match (object, value) {
        (_, Some(value)) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        _ if optional == Some(true) => Ok(None),
        (None, _) => Err(missing()),
        (Some(_), None) => Err(Error::KeyNotFound { kind, name: name.to_owned(), key: key.to_owned() }),
    }
}

/// `$(NAME)` becomes the variable's value, `$$` a dollar sign; what names nothing stays as written.
pub(crate) fn expand(text: &str, vars: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match vars.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    let _ = write!(out, "$({name})");
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

/// The value of a downward-API field.
pub(crate) fn pod_field(pod: &Pod, selector: &ObjectFieldSelector, place: &Place) -> Result<String, Error> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let path = selector.field_path.as_str();
    let subscript = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
    let lines = |map: &Option<BTreeMap<String, String>>| {
        let quoted: Vec<String> =
            map.iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
        quoted.join("\n")
    };
    let text = match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(&meta.labels),
        "metadata.annotations" => lines(&meta.annotations),
        "spec.nodeName" => place.node_name.clone(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".to_owned())
        }
        "status.podIP" | "status.podIPs" => place.pod_ip.clone(),
        "status.hostIP" | "status.hostIPs" => place.host_ip.clone(),
        _ => {
            let map_value = |map: &Option<BTreeMap<String, String>>, key: &str| {
                map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
            };
            if let Some(key) = subscript("metadata.labels") {
                map_value(&meta.labels, key)
            } else if let Some(key) = subscript("metadata.annotations") {
                map_value(&meta.annotations, key)
            } else {
                return Err(Error::FieldPath(path.to_owned()));
            }
        }
    };
    Ok(text)
}

/// The value of a container resource, in units of the divisor, rounded up; a missing limit is the machine's.
pub(crate) fn resource_field(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
    place: &Place,
) -> Result<String, Error> {
    let named = selector.container_name.as_ref().and_then(|name| {
        let spec = pod.spec.as_ref()?;
        spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|other| other.name == *name)
    });
    let resources = named.unwrap_or(container).resources.as_ref();
    let unsupported = || Error::Resource(selector.resource.clone());
    let (group, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let quantity = match group {
        "limits" => limits.and_then(|limits| limits.get(name)),
        "requests" => {
            requests.and_then(|requests| requests.get(name)).or(limits.and_then(|limits| limits.get(name)))
        }
        _ => return Err(unsupported()),
    };
    let value = quantity.and_then(quantity_milli).unwrap_or(match (group, name) {
        ("limits", "cpu") => u128::from(place.cpus) * 1000,
        ("limits", "memory") => u128::from(place.memory_bytes) * 1000,
        _ => 0,
    });
    let divisor =
        selector.divisor.as_ref().and_then(quantity_milli).filter(|divisor| *divisor > 0).unwrap_or(1000);
    Ok(value.div_ceil(divisor).to_string())
}

/// A Kubernetes quantity in thousandths of its unit; `None` if it is not one.
pub(crate) fn quantity_milli(quantity: &Quantity) -> Option<u128> {
    let text = quantity.0.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor = match &text[digits..] {
        "" => 1.0,
        "m" => 0.001,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        exponent => 10.0_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let milli = number * factor * 1000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (milli.is_finite() && (0.0..1e30).contains(&milli)).then(|| milli.ceil() as u128)
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
