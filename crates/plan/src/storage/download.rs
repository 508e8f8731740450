//! The init container that downloads the model and its adapters before the engine starts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EmptyDirVolumeSource, PodSpec, ResourceRequirements, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::{
    Attachment, Error, INITIALIZER, MAIN, MODEL_PATH, PROVISION_VOLUME, add_env, add_mount, add_volume,
    credentials, env, mount_in, remove_initializer,
};
use crate::subject::Subject;

/// The image when neither the installation nor a running pod names one.
const DEFAULT_IMAGE: &str = "kserve/storage-initializer:latest";
/// ConfigMap in the service's namespace that holds the copy of the installation's certificate authorities.
pub(crate) const GLOBAL_CA_BUNDLE: &str = "global-ca-bundle";
/// Volume of adapters whose model comes in a modelcar.
const ADAPTER_VOLUME: &str = "kserve-lora-location";
const DEFAULT_CA_PATH: &str = "/etc/ssl/custom-certs";
/// What the Hugging Face client is told unless the user says otherwise.
const HF_DEFAULTS: [(&str, &str); 3] = [
    ("HF_HUB_ENABLE_HF_TRANSFER", "1"),
    ("HF_XET_HIGH_PERFORMANCE", "1"),
    ("HF_XET_NUM_CONCURRENT_RANGE_GETS", "8"),
];

/// Adds the init container that fetches each address of `pairs` to its path, and mounts the result in `main`.
pub(super) fn attach(
    pod: &mut PodSpec,
    subject: &Subject,
    attachment: &Attachment,
    pairs: &[(String, String)],
    has_base: bool,
) -> Result<(), Error> {
    let settings = &subject.facts.settings.storage_initializer;
    let live = attachment.live_pod.and_then(live_initializer);
    let live_image = live.and_then(|container| container["image"].as_str());
    // A newer image in the settings must not restart pods that have their model already.
    let image = live_image
        .or(Some(settings.image.as_str()).filter(|image| !image.is_empty()))
        .unwrap_or(DEFAULT_IMAGE);
    // The download has a folder of its own; where the model is read from may lie deeper.
    let download_path =
        if pairs.len() == 1 && has_base { MODEL_PATH.to_owned() } else { common_parent(pairs) };
    let read_path =
        if pairs.len() == 1 && has_base { attachment.path.to_owned() } else { download_path.clone() };
    let volume = volume_for(pod, &read_path);
    let mount = |path: &str, read_only| VolumeMount {
        mount_path: path.to_owned(),
        name: volume.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let args: Vec<String> = match pairs {
        [(uri, _)] if has_base => vec![uri.clone(), MODEL_PATH.to_owned()],
        pairs => pairs.iter().flat_map(|(uri, path)| [uri.clone(), path.clone()]).collect(),
    };
    let mut container = Container {
        name: INITIALIZER.to_owned(),
        image: Some(image.to_owned()),
        resources: Some(ResourceRequirements {
            limits: Some(quantities(&settings.cpu_limit, &settings.memory_limit)),
            requests: Some(quantities(&settings.cpu_request, &settings.memory_request)),
            claims: None,
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    if has_base
        && let Some(confidential) = &subject.spec.model.confidential
        && confidential.enabled
    {
        add_env(&mut container, env("CONFIDENTIAL_ENABLED", "true"));
        if let Some(id) = &confidential.resource_id {
            add_env(&mut container, env("CONFIDENTIAL_RESOURCE_ID", id));
        }
    }
    if let Some(user) = remove_initializer(pod) {
        overlay(&mut container, user);
    }
    container.args = Some(args);
    container.command = None;
    let mut mounts = vec![mount(&download_path, None)];
    mounts.extend(
        container.volume_mounts.take().into_iter().flatten().filter(|present| present.name != volume),
    );
    container.volume_mounts = Some(mounts);
    mount_in(pod, MAIN, mount(&read_path, Some(true)));
    let source = EmptyDirVolumeSource::default();
    add_volume(pod, Volume { name: volume.to_owned(), empty_dir: Some(source), ..Volume::default() });
    credentials::attach(pod, &mut container, subject, attachment.account)?;
    let has_hugging_face = pairs.iter().any(|(uri, _)| uri.starts_with("hf://"));
    // Pods that were made before these variables existed are not restarted for them.
    let live_has_defaults = live.is_none_or(|container| {
        container["env"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|variable| variable["name"].as_str().is_some_and(|name| name.starts_with("HF_")))
    });
    if has_hugging_face && live_has_defaults {
        for (name, value) in HF_DEFAULTS {
            add_env(&mut container, env(name, value));
        }
    }
    let is_s3_alone = pairs.len() == 1 && pairs[0].0.starts_with("s3://");
    if is_s3_alone || pairs.len() > 1 || !has_base {
        attach_ca_bundle(pod, &mut container, subject);
    }
    pod.init_containers.get_or_insert_default().push(container);
    Ok(())
}

/// The volume that downloads go to. A modelcar has the usual one at another place, where the engine would look in vain.
fn volume_for(pod: &PodSpec, read_path: &str) -> &'static str {
    let main = pod.containers.iter().find(|container| container.name == MAIN);
    let taken = main
        .into_iter()
        .flat_map(|main| main.volume_mounts.iter().flatten())
        .any(|mount| mount.name == PROVISION_VOLUME && mount.mount_path != read_path);
    let has_car = pod.containers.iter().any(|container| container.name == "modelcar");
    if taken && has_car { ADAPTER_VOLUME } else { PROVISION_VOLUME }
}

/// The init container of a live pod spec.
fn live_initializer(pod: &Value) -> Option<&Value> {
    pod["initContainers"].as_array()?.iter().find(|container| container["name"] == INITIALIZER)
}

fn quantities(cpu: &str, memory: &str) -> BTreeMap<String, Quantity> {
    [("cpu", cpu), ("memory", memory)]
        .into_iter()
        .filter(|(_, quantity)| !quantity.is_empty())
        .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())))
        .collect()
}

/// The folder that holds all targets; the target itself if there is one.
fn common_parent(pairs: &[(String, String)]) -> String {
    let mut paths = pairs.iter().map(|(_, path)| path.as_str());
    let Some(first) = paths.next() else { return "/mnt".to_owned() };
    let mut common: Vec<&str> = first.split('/').collect();
    for path in paths {
        let same = common.iter().zip(path.split('/')).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    common.join("/")
}

/// Lays what the user wrote over the generated container; lists with names merge by name, the user's entries first.
fn overlay(container: &mut Container, user: Container) {
    fn or<T>(target: &mut Option<T>, value: Option<T>) {
        if value.is_some() {
            *target = value;
        }
    }
    let Container { env, volume_mounts, resources, name: _, args: _, command: _, .. } = &user;
    let mut variables = env.clone().unwrap_or_default();
    let generated = container.env.take().unwrap_or_default();
    variables.extend(
        generated.into_iter().filter(|variable| env.iter().flatten().all(|user| user.name != variable.name)),
    );
    let mounts = volume_mounts.clone();
    let mut merged_resources = container.resources.take().unwrap_or_default();
    if let Some(resources) = resources {
        merged_resources.limits.get_or_insert_default().extend(resources.limits.clone().unwrap_or_default());
        merged_resources
            .requests
            .get_or_insert_default()
            .extend(resources.requests.clone().unwrap_or_default());
        or(&mut merged_resources.claims, resources.claims.clone());
    }
    let policy = container.termination_message_policy.take();
    let image = container.image.take();
    *container = user;
    if container.image.is_none() {
        container.image = image;
    }
    if container.termination_message_policy.is_none() {
        container.termination_message_policy = policy;
    }
    container.env = Some(variables).filter(|variables| !variables.is_empty());
    container.volume_mounts = mounts;
    container.resources = Some(merged_resources);
}

/// Gives the download the certificate authorities of the installation, or those that its credentials name.
fn attach_ca_bundle(pod: &mut PodSpec, container: &mut Container, subject: &Subject) {
    let settings = &subject.facts.settings.storage_initializer;
    let value = |name: &str| {
        let variable = container.env.iter().flatten().find(|variable| variable.name == name)?;
        variable.value.clone().filter(|value| !value.is_empty())
    };
    let own_config_map = value("AWS_CA_BUNDLE_CONFIGMAP");
    if settings.ca_bundle_config_map_name.is_empty() && own_config_map.is_none() {
        return;
    }
    let config_map = own_config_map.unwrap_or_else(|| {
        if subject.namespace == subject.facts.system_namespace {
            settings.ca_bundle_config_map_name.clone()
        } else {
            GLOBAL_CA_BUNDLE.to_owned()
        }
    });
    let path = value("AWS_CA_BUNDLE")
        .and_then(|path| Some(path.rsplit_once('/')?.0.to_owned()))
        .or_else(|| Some(settings.ca_bundle_volume_mount_path.clone()).filter(|path| !path.is_empty()))
        .unwrap_or_else(|| DEFAULT_CA_PATH.to_owned());
    add_env(container, env("CA_BUNDLE_CONFIGMAP_NAME", &config_map));
    add_env(container, env("CA_BUNDLE_VOLUME_MOUNT_POINT", &path));
    add_mount(
        container,
        VolumeMount {
            mount_path: path,
            name: "cabundle-cert".to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        },
    );
    add_volume(
        pod,
        Volume {
            name: "cabundle-cert".to_owned(),
            config_map: Some(ConfigMapVolumeSource { name: config_map, ..ConfigMapVolumeSource::default() }),
            ..Volume::default()
        },
    );
}
