//! How a model and its adapters get into a pod.
//!
//! Goes in: a pod as merged, the model's address, the adapters, the installation's settings and the live object. Comes
//! out: the pod with init containers, volumes and mounts. Nothing is downloaded here; the pod says who does it.

mod credentials;
mod download;
mod lora;
mod oci;

use api::uri::{ModelUri, Scheme};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PersistentVolumeClaimVolumeSource, PodSpec, Volume, VolumeMount,
};
use serde_json::Value;

use crate::subject::Subject;

pub(crate) use lora::{adapters, published_name};

/// Where the engine finds the model.
pub(crate) const MODEL_PATH: &str = "/mnt/models";
/// Where the tokenizer finds it.
pub(crate) const TOKENIZER_MODEL_PATH: &str = "/mnt/models/base";
/// Name of the container that reads the model.
pub(crate) const MAIN: &str = "main";
/// Name of the container that downloads it.
pub(crate) const INITIALIZER: &str = "storage-initializer";
/// Volume that downloads go to.
const PROVISION_VOLUME: &str = "kserve-provision-location";
/// Volume of a model on a claim.
const PVC_VOLUME: &str = "kserve-pvc-source";

/// Why a model cannot be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid model URI: {0}")]
    AddScheme(String),
    #[error("unsupported schema in model URI: {0}")]
    UseOtherScheme(String),
    #[error(
        "model URI {0} is a folder of one machine; a cluster's pods cannot read it: use pvc://, hf://, s3:// or oci://, \
         or serve it on that machine with `llmisvc up`"
    )]
    ServeLocally(String),
    #[error("OCI modelcars is not enabled")]
    EnableOci,
    #[error("no container found with name {0}")]
    NameContainer(String),
    #[error("mountPath {path:?} already used by volume {volume:?}")]
    FreeMountPath { path: String, volume: String },
    #[error("missing annotation {annotation} on a service with a cached model")]
    AddLocalModelAnnotation { annotation: &'static str },
    #[error("failed to read Secret {namespace}/{name}: secrets \"{name}\" not found")]
    CreateSecret { namespace: String, name: String },
    #[error("no container \"main\" in pod spec for LoRA injection")]
    AddMainContainer,
}

/// What a pod is to serve, and for whom.
pub(crate) struct Attachment<'a> {
    /// Where the container `main` finds the model.
    pub(crate) path: &'a str,
    /// Whether the adapters come along.
    pub(crate) with_adapters: bool,
    /// The ServiceAccount whose credentials the download uses; `None` for none.
    pub(crate) account: Option<&'a Value>,
    /// The pod spec of the live object, for what must not change under running pods.
    pub(crate) live_pod: Option<&'a Value>,
}

/// Attaches the model, and the adapters with it.
pub(crate) fn attach(pod: &mut PodSpec, subject: &Subject, attachment: &Attachment) -> Result<(), Error> {
    let text = &subject.spec.model.uri;
    if !text.contains("://") {
        return Err(Error::AddScheme(text.clone()));
    }
    let adapters = if attachment.with_adapters { adapters(subject.spec) } else { Vec::new() };
    let downloads_enabled =
        subject.spec.storage_initializer.as_ref().and_then(|initializer| initializer.enabled).unwrap_or(true);
    let uri = local_model(subject, text)?.unwrap_or_else(|| text.clone());
    let parsed = ModelUri::parse(&uri).map_err(|_| Error::AddScheme(uri.clone()))?;
    let path = attachment.path;
    let mut pairs = Vec::new();
    match parsed.scheme {
        Scheme::Pvc => {
            remove_initializer(pod);
            mount_claim(pod, PVC_VOLUME, &parsed.rest, path);
        }
        Scheme::Oci => oci::attach(pod, &parsed.rest, path, &subject.facts.settings.storage_initializer)?,
        Scheme::OciNative => oci::attach_native(pod, &parsed.rest, path)?,
        // With the initializer off, the engine fetches for itself or the image holds the model.
        _ if !downloads_enabled => return Ok(()),
        Scheme::HuggingFace | Scheme::S3 | Scheme::Gcs | Scheme::Azure | Scheme::Http | Scheme::Https => {
            pairs.push((uri.clone(), path.to_owned()));
        }
        Scheme::File if subject.facts.one_machine => {
            pairs.push((uri.clone(), path.to_owned()));
        }
        Scheme::File => return Err(Error::ServeLocally(uri)),
        Scheme::Other(_) => return Err(Error::UseOtherScheme(uri)),
    }
    let has_base_download = !pairs.is_empty();
    for adapter in &adapters {
        if adapter.is_downloaded() {
            pairs.push((adapter.uri.clone(), adapter.path()));
        }
    }
    if !pairs.is_empty() {
        download::attach(pod, subject, attachment, &pairs, has_base_download)?;
    }
    for adapter in &adapters {
        if let Some(rest) = adapter.uri.strip_prefix("pvc://") {
            mount_claim(pod, &adapter.volume(), rest, &adapter.path());
        }
    }
    if !adapters.is_empty() {
        lora::inject_arguments(pod, subject, &adapters)?;
    }
    Ok(())
}

/// The address of the copy that a LocalModelCache keeps, if the service has been given one.
fn local_model(subject: &Subject, uri: &str) -> Result<Option<String>, Error> {
    use api::keys::{LOCAL_MODEL, LOCAL_MODEL_PVC, LOCAL_MODEL_SOURCE_URI};
    if !subject.labels().contains_key(LOCAL_MODEL) {
        return Ok(None);
    }
    let annotations = subject.annotations();
    let annotation = |annotation: &'static str| {
        annotations.get(annotation).ok_or(Error::AddLocalModelAnnotation { annotation })
    };
    let (claim, source) = (annotation(LOCAL_MODEL_PVC)?, annotation(LOCAL_MODEL_SOURCE_URI)?);
    let rest = uri.strip_prefix(source.as_str()).unwrap_or_default();
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    Ok(Some(format!("pvc://{claim}/models/{}/{rest}", local_model_key(source))))
}

/// Folder of a cached model: the first 16 hex digits of the SHA-256 of its address.
fn local_model_key(source: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(source.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Mounts `CLAIM[/SUB/PATH]` read-only.
fn mount_claim(pod: &mut PodSpec, volume: &str, rest: &str, path: &str) {
    let (claim, sub_path) = rest.split_once('/').unwrap_or((rest, ""));
    let mount = VolumeMount {
        mount_path: path.to_owned(),
        name: volume.to_owned(),
        read_only: Some(true),
        sub_path: Some(sub_path.to_owned()).filter(|path| !path.is_empty()),
        ..VolumeMount::default()
    };
    let source = Volume {
        name: volume.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    };
    if mount_in(pod, MAIN, mount) {
        add_volume(pod, source);
    }
}

/// Adds a mount to a container. `false` if there is no such container, or it mounts that volume already.
fn mount_in(pod: &mut PodSpec, container: &str, mount: VolumeMount) -> bool {
    let Some(container) = container_mut(pod, container) else { return false };
    add_mount(container, mount)
}

fn add_mount(container: &mut Container, mount: VolumeMount) -> bool {
    let mounts = container.volume_mounts.get_or_insert_default();
    if mounts.iter().any(|present| present.name == mount.name) {
        return false;
    }
    mounts.push(mount);
    true
}

/// Adds a volume unless the pod has one of that name, which then stands in for it.
pub(crate) fn add_volume(pod: &mut PodSpec, volume: Volume) {
    let volumes = pod.volumes.get_or_insert_default();
    if volumes.iter().all(|present| present.name != volume.name) {
        volumes.push(volume);
    }
}

/// The container of that name.
pub(crate) fn container_mut<'p>(pod: &'p mut PodSpec, name: &str) -> Option<&'p mut Container> {
    pod.containers.iter_mut().find(|container| container.name == name)
}

/// A variable with a value.
pub(crate) fn env(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()).filter(|value| !value.is_empty()),
        value_from: None,
    }
}

/// Adds a variable unless there is one of that name.
pub(crate) fn add_env(container: &mut Container, variable: EnvVar) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().all(|present| present.name != variable.name) {
        variables.push(variable);
    }
}

/// Takes the user's own initializer out and gives it back.
fn remove_initializer(pod: &mut PodSpec) -> Option<Container> {
    let containers = pod.init_containers.as_mut()?;
    let at = containers.iter().position(|container| container.name == INITIALIZER)?;
    let removed = containers.remove(at);
    if containers.is_empty() {
        pod.init_containers = None;
    }
    Some(removed)
}
