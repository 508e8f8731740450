//! Models in OCI images: as an image volume, or in a container that shares its root (a modelcar).

use std::collections::BTreeMap;

use compose::{OciModelMode, StorageInitializer};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, ImageVolumeSource, PodSpec, ResourceRequirements, SecurityContext,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Error, MAIN, PROVISION_VOLUME, add_env, add_mount, add_volume, container_mut, env};

/// Attaches an image in the way that the installation says.
pub(super) fn attach(
    pod: &mut PodSpec,
    image: &str,
    path: &str,
    settings: &StorageInitializer,
) -> Result<(), Error> {
    match settings.oci_model_mode {
        Some(OciModelMode::Native) => attach_native(pod, image, path),
        // KServe's controller takes `fetch` for `modelcar`.
        Some(OciModelMode::Modelcar | OciModelMode::Fetch) => attach_modelcar(pod, image, path, settings),
        None if settings.enable_modelcar || settings.enable_oci_model_support => {
            attach_modelcar(pod, image, path, settings)
        }
        None => Err(Error::EnableOci),
    }
}

/// Attaches an image as a volume.
pub(super) fn attach_native(pod: &mut PodSpec, image: &str, path: &str) -> Result<(), Error> {
    let volume = path.trim_matches('/').replace('/', "-");
    let main = container_mut(pod, MAIN).ok_or_else(|| Error::NameContainer(MAIN.to_owned()))?;
    let mounts = main.volume_mounts.get_or_insert_default();
    if let Some(taken) = mounts.iter().find(|mount| mount.mount_path == path && mount.name != volume) {
        return Err(Error::FreeMountPath { path: path.to_owned(), volume: taken.name.clone() });
    }
    add_mount(
        main,
        VolumeMount {
            mount_path: path.to_owned(),
            name: volume.clone(),
            read_only: Some(true),
            sub_path: Some("models".to_owned()),
            ..VolumeMount::default()
        },
    );
    add_volume(
        pod,
        Volume {
            name: volume,
            image: Some(ImageVolumeSource {
                pull_policy: Some("IfNotPresent".to_owned()),
                reference: Some(image.to_owned()),
            }),
            ..Volume::default()
        },
    );
    Ok(())
}

/// Attaches an image as a container that links its own root to the model's path.
fn attach_modelcar(
    pod: &mut PodSpec,
    image: &str,
    path: &str,
    settings: &StorageInitializer,
) -> Result<(), Error> {
    let (parent, _) = path.rsplit_once('/').unwrap_or(("", path));
    let mount = VolumeMount {
        mount_path: parent.to_owned(),
        name: PROVISION_VOLUME.to_owned(),
        ..VolumeMount::default()
    };
    let user = settings
        .modelcar_uid
        .map(|uid| SecurityContext { run_as_user: Some(uid), ..SecurityContext::default() });
    let main = container_mut(pod, MAIN).ok_or_else(|| Error::NameContainer(MAIN.to_owned()))?;
    add_mount(main, mount.clone());
    add_env(main, env("MODEL_INIT_MODE", "async"));
    if let Some(uid) = settings.modelcar_uid {
        main.security_context.get_or_insert_default().run_as_user = Some(uid);
    }
    add_volume(
        pod,
        Volume {
            name: PROVISION_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    );
    pod.share_process_namespace = Some(true);
    let make = if parent == "/mnt" { String::new() } else { format!("mkdir -p {} && ", quoted(parent)) };
    let resources: BTreeMap<String, Quantity> = BTreeMap::from([
        ("cpu".to_owned(), Quantity(settings.modelcar_cpu.clone())),
        ("memory".to_owned(), Quantity(settings.modelcar_memory.clone())),
    ]);
    let shell = |script: String| Container {
        args: Some(vec!["sh".to_owned(), "-c".to_owned(), script]),
        image: Some(image.to_owned()),
        resources: Some(ResourceRequirements {
            limits: Some(resources.clone()),
            requests: Some(resources.clone()),
            claims: None,
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    // Kubernetes halves `$$$$` to `$$`, the shell's own process.
    let mut car = shell(format!("{make}ln -sf /proc/$$$$/root/models {} && sleep infinity", quoted(path)));
    car.name = "modelcar".to_owned();
    car.security_context = user;
    car.volume_mounts = Some(vec![mount]);
    if pod.containers.iter().all(|container| container.name != car.name) {
        pod.containers.push(car);
    }
    let mut prefetch = shell(format!(
        "echo 'Pre-fetching modelcar {image}: ' && [ -d /models ] && [ \"$$(ls -A /models)\" ] && echo 'OK ... \
         Prefetched and valid (/models exists)' || (echo 'NOK ... Prefetched but modelcar is invalid (/models does not \
         exist or is empty)' && exit 1)"
    ));
    prefetch.name = "modelcar-init".to_owned();
    let init_containers = pod.init_containers.get_or_insert_default();
    if init_containers.iter().all(|container| container.name != prefetch.name) {
        init_containers.push(prefetch);
    }
    Ok(())
}

/// A path as one word of a shell.
fn quoted(path: &str) -> String {
    if path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_')) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
