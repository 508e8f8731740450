//! A container's view of the file system: this machine's, with volumes at their mountPath. In a
//! private mount namespace no path of the machine itself is made or changed: a directory that lacks a
//! mount point is shown as a copy of itself, entry by entry, with the mount point added. Where the
//! system allows no namespace, paths in arguments and variables are rewritten instead.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use super::shim::Spec;

/// One volume at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Directory or file of this machine.
    pub source: PathBuf,
    /// Absolute path inside the container.
    pub target: PathBuf,
    /// The container must not write there.
    pub read_only: bool,
}

/// Why there is no private view.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Neither root nor user namespaces: rewrite paths instead.
    #[error("no mount namespace: {0}")]
    NoNamespace(io::Error),
    /// One volume cannot be shown.
    #[error("mount of {path}: {source}")]
    Mount {
        /// Where it should have been.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Moves this process, which must have one thread, into a view with `mounts`.
pub(crate) fn enter(mounts: &[Mount], keep: &[PathBuf], scratch: &Path) -> Result<(), Error> {
    unshare().map_err(Error::NoNamespace)?;
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |source: io::Error| Error::Mount { path, source }
    };
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", propagation).map_err(|error| Error::NoNamespace(error.into()))?;
    fs::create_dir_all(scratch).map_err(at(scratch))?;

    let mut tree = Node::default();
    let mut order: Vec<&Mount> = mounts.iter().collect();
    order.sort_by_key(|mount| mount.target.components().count());
    for mount in &order {
        tree.place(&resolve(&mount.target), mount);
    }
    if tree.fits(Path::new("/")) {
        rustix::mount::mount_bind_recursive("/", scratch).map_err(|error| at(scratch)(error.into()))?;
    } else {
        rustix::mount::mount("tmpfs", scratch, "tmpfs", MountFlags::empty(), c"mode=755")
            .map_err(|error| at(scratch)(error.into()))?;
        shadow(&tree, Path::new("/"), scratch)?;
    }
    cover(&tree, Path::new("/"), scratch)?;
    for path in keep {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let hidden = order.iter().any(|mount| path.starts_with(resolve(&mount.target)));
        if hidden && path.exists() {
            bind(&path, &below(scratch, &path), false)?;
        }
    }
    for mount in order.iter().filter(|mount| mount.read_only) {
        // A user namespace may forbid it; the volume is then writable, which harms nobody else.
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        let _ = rustix::mount::mount_remount(below(scratch, &resolve(&mount.target)), flags, c"");
    }
    std::env::set_current_dir(scratch).map_err(at(scratch))?;
    rustix::process::pivot_root(".", ".")
        .and_then(|()| rustix::mount::unmount(".", UnmountFlags::DETACH))
        .or_else(|_| rustix::process::chroot("."))
        .map_err(|error| at(scratch)(error.into()))?;
    std::env::set_current_dir("/").map_err(at(Path::new("/")))
}

/// Replaces mount points by what is mounted, in arguments, variables and the working directory. A program that is installed
/// on this machine stays where it is, even if a volume would lie over it.
pub(crate) fn rewrite(spec: &mut Spec) {
    let mut mounts = spec.mounts.clone();
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.target.as_os_str().len()));
    let replace = |text: &str| replace_paths(text, &mounts);
    let is_installed = spec
        .argv
        .first()
        .is_some_and(|program| spec.keep.iter().any(|kept| Path::new(program).starts_with(kept)));
    spec.argv.iter_mut().skip(usize::from(is_installed)).for_each(|word| *word = replace(word));
    spec.env.values_mut().for_each(|value| *value = replace(value));
    if let Some(cwd) = &mut spec.cwd {
        *cwd = PathBuf::from(replace(&cwd.to_string_lossy()));
    }
}

/// A mount point counts where a path begins and where its last name ends; the longest one wins.
fn replace_paths(text: &str, mounts: &[Mount]) -> String {
    let begins = |before: Option<char>| before.is_none_or(|c| !(c.is_alphanumeric() || "/._-".contains(c)));
    let ends = |after: Option<char>| after.is_none_or(|c| !(c.is_alphanumeric() || "._-".contains(c)));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hit = (first == '/' && begins(out.chars().last())).then(|| {
            mounts.iter().find(|mount| {
                let target = mount.target.to_string_lossy();
                rest.strip_prefix(target.as_ref()).is_some_and(|after| ends(after.chars().next()))
            })
        });
        if let Some(Some(mount)) = hit {
            out.push_str(&mount.source.to_string_lossy());
            rest = &rest[mount.target.to_string_lossy().len()..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn unshare() -> io::Result<()> {
    if nix::sched::unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        return Ok(());
    }
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Mount points as a tree of names.
#[derive(Default)]
struct Node<'a> {
    mount: Option<&'a Mount>,
    children: BTreeMap<OsString, Node<'a>>,
}

impl<'a> Node<'a> {
    fn place(&mut self, target: &Path, mount: &'a Mount) {
        let mut node = self;
        for name in names(target) {
            node = node.children.entry(name).or_default();
        }
        node.mount = Some(mount);
    }

    /// Whether every mount point is there already, below `host`.
    fn fits(&self, host: &Path) -> bool {
        self.children.iter().all(|(name, child)| {
            let path = host.join(name);
            match child.mount {
                Some(mount) => path.exists() && path.is_dir() == mount.source.is_dir(),
                None => path.is_dir() && child.fits(&path),
            }
        })
    }
}

/// Fills the empty directory `new` with what `host` has, and with the mount points that it lacks.
fn shadow(node: &Node<'_>, host: &Path, new: &Path) -> Result<(), Error> {
    let fail = |source| Error::Mount { path: host.display().to_string(), source };
    let entries = fs::read_dir(host).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let (from, to) = (entry.path(), new.join(entry.file_name()));
        match node.children.get(&entry.file_name()) {
            Some(child) if child.mount.is_none() && !child.fits(&from) => {
                fs::create_dir(&to).map_err(fail)?;
                shadow(child, &from, &to)?;
            }
            Some(child) if child.mount.is_some() => {}
            _ if entry.file_type().is_ok_and(|kind| kind.is_symlink()) => {
                let link = fs::read_link(&from).map_err(fail)?;
                std::os::unix::fs::symlink(link, &to).map_err(fail)?;
            }
            // What this user may not even see cannot be shown; the container could not use it either.
            _ => drop(bind(&from, &to, true)),
        }
    }
    for (name, child) in &node.children {
        let to = new.join(name);
        if child.mount.is_none() && !to.exists() {
            fs::create_dir(&to).map_err(fail)?;
            shadow(child, &host.join(name), &to)?;
        }
    }
    Ok(())
}

/// Puts the volumes over their mount points, outer ones first.
fn cover(node: &Node<'_>, host: &Path, new: &Path) -> Result<(), Error> {
    for (name, child) in &node.children {
        let (host, new) = (host.join(name), new.join(name));
        if let Some(mount) = child.mount {
            bind(&mount.source, &new, true)?;
        }
        cover(child, &host, &new)?;
    }
    Ok(())
}

fn bind(source: &Path, target: &Path, recursive: bool) -> Result<(), Error> {
    let make = || -> io::Result<()> {
        if source.is_dir() {
            fs::create_dir_all(target)?;
        } else if !target.exists() {
            fs::create_dir_all(target.parent().unwrap_or(Path::new("/")))?;
            File::create(target)?;
        }
        if recursive {
            rustix::mount::mount_bind_recursive(source, target)?;
        } else {
            rustix::mount::mount_bind(source, target)?;
        }
        Ok(())
    };
    make().map_err(|error| Error::Mount { path: source.display().to_string(), source: error })
}

/// The target with symbolic links of this machine followed as far as it exists: `/var/run` is `/run` on most.
fn resolve(target: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut path = target.to_owned();
    loop {
        if let Ok(real) = fs::canonicalize(&path) {
            return missing.iter().rev().fold(real, |path: PathBuf, name: &OsString| path.join(name));
        }
        let Some(name) = path.file_name().map(ToOwned::to_owned) else { return target.to_owned() };
        missing.push(name);
        path.pop();
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    names(path).fold(root.to_owned(), |path, name| path.join(name))
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(source: &str, target: &str) -> Mount {
        Mount { source: source.into(), target: target.into(), read_only: false }
    }

    #[test]
    fn without_a_namespace_paths_are_rewritten_where_a_path_stands() {
        let mut spec = Spec {
            argv: vec![
                "vllm".into(),
                "/mnt/models".into(),
                "--x=/mnt/models/a,/mnt/models2".into(),
                "a/mnt/models".into(),
            ],
            env: BTreeMap::from([
                ("HOME".into(), "/home".into()),
                ("P".into(), "/home/x:/mnt/models".into()),
            ]),
            cwd: Some("/mnt/models/sub".into()),
            mounts: vec![mount("/d/m", "/mnt/models"), mount("/d/h", "/home")],
            ..Spec::default()
        };
        rewrite(&mut spec);
        assert_eq!(spec.argv, ["vllm", "/d/m", "--x=/d/m/a,/mnt/models2", "a/mnt/models"]);
        assert_eq!(spec.env["HOME"], "/d/h");
        assert_eq!(spec.env["P"], "/d/h/x:/d/m");
        assert_eq!(spec.cwd, Some("/d/m/sub".into()));
    }

    #[test]
    fn an_installed_program_stays_where_it_is() {
        let mut spec = Spec {
            argv: vec!["/tmp/build/llmisvc".into(), "/tmp/note".into()],
            mounts: vec![mount("/d/t", "/tmp")],
            keep: vec!["/tmp/build".into()],
            ..Spec::default()
        };
        rewrite(&mut spec);
        assert_eq!(spec.argv, ["/tmp/build/llmisvc", "/d/t/note"]);
    }
}
