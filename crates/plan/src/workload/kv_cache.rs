//! Volumes that the KV cache spills to.

use api::v1alpha2::{FileSystemTierSpec, WorkloadSpec};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EphemeralVolumeSource, PersistentVolumeClaimTemplate,
    PersistentVolumeClaimVolumeSource, PodSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity;
use crate::storage::{MAIN, add_volume, container_mut};

/// Adds a volume for each secondary tier. A tier keeps the number of its place in the list.
pub(crate) fn attach(pod: &mut PodSpec, workload: &WorkloadSpec) {
    let Some(cache) = &workload.kv_cache_offloading else { return };
    for (index, tier) in cache.secondary.iter().enumerate() {
        if let Some(file_system) = &tier.file_system {
            attach_tier(pod, index, file_system);
        }
    }
}

fn attach_tier(pod: &mut PodSpec, index: usize, tier: &FileSystemTierSpec) {
    let name = format!("kv-cache-secondary-{index}");
    let mut volume = Volume { name: name.clone(), ..Volume::default() };
    let mut sub_path = None;
    let mut storage = None;
    if let Some(empty_dir) = &tier.empty_dir {
        volume.empty_dir = Some(EmptyDirVolumeSource {
            size_limit: Some(empty_dir.size.clone()),
            ..EmptyDirVolumeSource::default()
        });
        storage = Some(empty_dir.size.clone());
    } else if let Some(claim) = &tier.pvc {
        if let Some(spec) = &claim.spec {
            volume.ephemeral = Some(EphemeralVolumeSource {
                volume_claim_template: Some(PersistentVolumeClaimTemplate {
                    metadata: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta::default()),
                    spec: spec.clone(),
                }),
            });
        } else if let Some(reference) = &claim.ref_ {
            volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
                claim_name: reference.name.clone(),
                ..PersistentVolumeClaimVolumeSource::default()
            });
            sub_path = reference.path.clone().filter(|path| !path.is_empty());
        } else {
            return;
        }
    } else {
        return;
    }
    let Some(main) = container_mut(pod, MAIN) else { return };
    main.volume_mounts.get_or_insert_default().push(VolumeMount {
        mount_path: format!("/mnt/kv-cache-{index}"),
        name,
        sub_path,
        ..VolumeMount::default()
    });
    if let Some(size) = storage {
        request_storage(main, &size);
    }
    add_volume(pod, volume);
}

/// An emptyDir counts against the pod's ephemeral storage, so the pod asks for as much more.
fn request_storage(main: &mut Container, size: &Quantity) {
    let requests = main.resources.get_or_insert_default().requests.get_or_insert_default();
    let sum = match requests.get("ephemeral-storage") {
        Some(present) => quantity::sum(&present.0, &size.0),
        None => size.0.clone(),
    };
    requests.insert("ephemeral-storage".to_owned(), Quantity(sum));
}
