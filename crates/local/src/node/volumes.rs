//! A pod's volumes as directories of this machine, and a container's mounts into them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume};

use super::env::{self, Place, Sources};
use super::mounts::Mount;

/// Why a volume is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An object or field that the volume shows is absent.
    #[error("volume \"{volume}\": {source}")]
    Source {
        /// Name of the volume.
        volume: String,
        /// What is absent.
        source: env::Error,
    },
    /// A kind of volume that this machine cannot provide.
    #[error(
        "volume \"{0}\": this kind of volume is not available on this machine; use emptyDir, configMap, secret, \
         projected, downwardAPI, hostPath or persistentVolumeClaim"
    )]
    Unsupported(String),
    /// A mount names a volume that the pod does not have.
    #[error("container \"{container}\" mounts volume \"{volume}\", which the pod does not have")]
    NoVolume {
        /// The container.
        container: String,
        /// The missing volume.
        volume: String,
    },
    /// A path that must exist does not.
    #[error("{}: no such directory; put the model there", .0.display())]
    Missing(PathBuf),
    /// A path in a volume leaves it.
    #[error("volume \"{0}\": path \"{1}\" must not leave the volume")]
    Outside(String, String),
    /// The disk refused.
    #[error("volume \"{volume}\": {source}")]
    Disk {
        /// Name of the volume.
        volume: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Where volumes live.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    /// The pod's own volumes; gone with the pod.
    pub pod: PathBuf,
    /// Claims of the pod's namespace, by name; they stay.
    pub claims: PathBuf,
}

/// Makes every volume of the pod, or brings it up to date: directory of this machine by volume name.
pub(crate) fn prepare(
    pod: &Pod,
    sources: &Sources,
    place: &Place,
    directories: &Directories,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut paths = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let path = one(pod, volume, sources, place, directories)?;
        paths.insert(volume.name.clone(), path);
    }
    Ok(paths)
}

fn one(
    pod: &Pod,
    volume: &Volume,
    sources: &Sources,
    place: &Place,
    directories: &Directories,
) -> Result<PathBuf, Error> {
    let name = &volume.name;
    let disk = |source| Error::Disk { volume: name.clone(), source };
    let own = directories.pod.join(name);
    if let Some(host) = &volume.host_path {
        let path = PathBuf::from(&host.path);
        if host.type_.as_deref() == Some("DirectoryOrCreate") {
            fs::create_dir_all(&path).map_err(disk)?;
        }
        return if path.exists() { Ok(path) } else { Err(Error::Missing(path)) };
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let path = directories.claims.join(&claim.claim_name);
        fs::create_dir_all(&path).map_err(disk)?;
        return Ok(path);
    }
    if volume.empty_dir.is_some() || volume.ephemeral.is_some() {
        fs::create_dir_all(&own).map_err(disk)?;
        return Ok(own);
    }
    let failed = |source| Error::Source { volume: name.clone(), source };
    let mut files = Files::default();
    if let Some(source) = &volume.config_map {
        let data = find(&sources.config_maps, &source.name, source.optional);
        let data = data.ok_or_else(|| failed(env::Error::ConfigMapNotFound(source.name.clone())))?;
        files
            .keys(
                data,
                source.items.as_deref(),
                source.default_mode,
                ("ConfigMap", &source.name),
                source.optional,
            )
            .map_err(failed)?;
    } else if let Some(source) = &volume.secret {
        let secret = source.secret_name.clone().unwrap_or_default();
        let data = find(&sources.secrets, &secret, source.optional);
        let data = data.ok_or_else(|| failed(env::Error::SecretNotFound(secret.clone())))?;
        files
            .keys(data, source.items.as_deref(), source.default_mode, ("Secret", &secret), source.optional)
            .map_err(failed)?;
    } else if let Some(source) = &volume.downward_api {
        files.fields(pod, source.items.as_deref(), source.default_mode, place).map_err(failed)?;
    } else if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            if let Some(source) = &source.config_map {
                let data = find(&sources.config_maps, &source.name, source.optional);
                let data = data.ok_or_else(|| failed(env::Error::ConfigMapNotFound(source.name.clone())))?;
                let from = ("ConfigMap", source.name.as_str());
                files
                    .keys(data, source.items.as_deref(), projected.default_mode, from, source.optional)
                    .map_err(failed)?;
            } else if let Some(source) = &source.secret {
                let data = find(&sources.secrets, &source.name, source.optional);
                let data = data.ok_or_else(|| failed(env::Error::SecretNotFound(source.name.clone())))?;
                let from = ("Secret", source.name.as_str());
                files
                    .keys(data, source.items.as_deref(), projected.default_mode, from, source.optional)
                    .map_err(failed)?;
            } else if let Some(source) = &source.downward_api {
                files.fields(pod, source.items.as_deref(), projected.default_mode, place).map_err(failed)?;
            }
            // A service account token would open nothing: programs here are not given the API server's address.
        }
    } else {
        return Err(Error::Unsupported(name.clone()));
    }
    files.write(name, &own)?;
    Ok(own)
}

/// The container's mounts. `lenient` makes missing directories of claims: the simulated engine reads no model.
pub(crate) fn mounts(
    container: &Container,
    volumes: &BTreeMap<String, PathBuf>,
    pod: &Pod,
    vars: &BTreeMap<String, String>,
    lenient: bool,
) -> Result<Vec<Mount>, Error> {
    let claims: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter(|volume| volume.persistent_volume_claim.is_some())
        .map(|volume| volume.name.as_str())
        .collect();
    let memory: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter(|volume| {
            volume.empty_dir.as_ref().is_some_and(|empty| empty.medium.as_deref() == Some("Memory"))
        })
        .map(|volume| volume.name.as_str())
        .collect();
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let root = volumes.get(&mount.name).ok_or_else(|| Error::NoVolume {
            container: container.name.clone(),
            volume: mount.name.clone(),
        })?;
        let inner = mount
            .sub_path_expr
            .as_ref()
            .map(|text| env::expand(text, vars))
            .or_else(|| mount.sub_path.clone());
        let source = match inner.filter(|path| !path.is_empty()) {
            None => root.clone(),
            Some(path) => {
                let source = root.join(inside(&mount.name, &path)?);
                if !source.exists() {
                    if claims.contains(&mount.name.as_str()) && !lenient {
                        return Err(Error::Missing(source));
                    }
                    fs::create_dir_all(&source)
                        .map_err(|error| Error::Disk { volume: mount.name.clone(), source: error })?;
                }
                source
            }
        };
        let target = PathBuf::from(&mount.mount_path);
        if target == Path::new("/dev/shm") && memory.contains(&mount.name.as_str()) {
            // The machine's own is memory already; a directory in its place would put it on the disk.
            continue;
        }
        mounts.push(Mount { source, target, read_only: mount.read_only == Some(true) });
    }
    Ok(mounts)
}

/// `path` without a leading slash, refused where it climbs out.
pub(crate) fn inside(volume: &str, path: &str) -> Result<PathBuf, Error> {
    let path_in = Path::new(path.trim_start_matches('/'));
    if path_in.components().any(|component| !matches!(component, Component::Normal(_) | Component::CurDir)) {
        return Err(Error::Outside(volume.to_owned(), path.to_owned()));
    }
    Ok(path_in.to_owned())
}

type Data = BTreeMap<String, Vec<u8>>;

fn find(objects: &BTreeMap<String, Data>, name: &str, optional: Option<bool>) -> Option<Data> {
    objects.get(name).cloned().or_else(|| (optional == Some(true)).then(BTreeMap::new))
}

/// Files of a volume: content and mode by relative path.
#[derive(Default)]
struct Files(BTreeMap<String, (Vec<u8>, u32)>);

impl Files {
    fn keys(
        &mut self,
        data: Data,
        items: Option<&[KeyToPath]>,
        mode: Option<i32>,
        (kind, name): (&'static str, &str),
        optional: Option<bool>,
    ) -> Result<(), env::Error> {
        match items {
            None => self.0.extend(data.into_iter().map(|(key, value)| (key, (value, bits(mode))))),
            Some(items) => {
                for item in items {
                    match data.get(&item.key) {
                        Some(value) => {
                            self.0.insert(item.path.clone(), (value.clone(), bits(item.mode.or(mode))));
                        }
                        None if optional == Some(true) => {}
                        None => {
                            let (name, key) = (name.to_owned(), item.key.clone());
                            return Err(env::Error::KeyNotFound { kind, name, key });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn fields(
        &mut self,
        pod: &Pod,
        items: Option<&[DownwardAPIVolumeFile]>,
        mode: Option<i32>,
        place: &Place,
    ) -> Result<(), env::Error> {
        for item in items.unwrap_or_default() {
            let text = if let Some(field) = &item.field_ref {
                env::pod_field(pod, field, place)?
            } else if let Some(resource) = &item.resource_field_ref {
                env::resource_field(pod, &Container::default(), resource, place)?
            } else {
                continue;
            };
            self.0.insert(item.path.clone(), (text.into_bytes(), bits(item.mode.or(mode))));
        }
        Ok(())
    }

    /// Each file is replaced in one step, so that a program that reads a certificate again sees the old or the new one.
    fn write(&self, volume: &str, directory: &Path) -> Result<(), Error> {
        let disk = |source| Error::Disk { volume: volume.to_owned(), source };
        fs::create_dir_all(directory).map_err(disk)?;
        for (path, (content, mode)) in &self.0 {
            let target = directory.join(inside(volume, path)?);
            if fs::read(&target).is_ok_and(|now| now == *content) {
                continue;
            }
            let parent = target.parent().unwrap_or(directory);
            fs::create_dir_all(parent).map_err(disk)?;
            let fresh = parent.join(".fresh");
            let _ = fs::remove_file(&fresh);
            let mut file =
                fs::File::options().create_new(true).write(true).mode(*mode).open(&fresh).map_err(disk)?;
            file.write_all(content).map_err(disk)?;
            fs::set_permissions(&fresh, fs::Permissions::from_mode(*mode)).map_err(disk)?;
            fs::rename(&fresh, &target).map_err(disk)?;
        }
        for entry in fs::read_dir(directory).map_err(disk)?.filter_map(Result::ok) {
            let kept = entry
                .file_name()
                .to_str()
                .is_some_and(|name| self.0.keys().any(|path| path.split('/').next() == Some(name)));
            if !kept && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn bits(mode: Option<i32>) -> u32 {
    mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644)
}

#[cfg(test)]
#[path = "volumes_tests.rs"]
mod tests;
