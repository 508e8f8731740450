//! The data folder: one `up` at a time, the token of its API server, the kubeconfig.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another `up` has it.
    #[error("{} is in use by another `up` (process {owner})", folder.display())]
    ChooseAnother {
        /// The folder.
        folder: PathBuf,
        /// Process id of the other, as it wrote it.
        owner: String,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    MakeWritable {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The folder, ours until this is dropped (or the process ends, however it ends).
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    // The lock goes with the open file.
    _lock: File,
}

impl Folder {
    /// Makes the folder if needed and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, FolderError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::MakeWritable { path, source }
        };
        std::fs::create_dir_all(path).map_err(fault(path))?;
        let path = path.canonicalize().map_err(fault(path))?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(fault(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = lock.read_to_string(&mut owner);
                return Err(FolderError::ChooseAnother { folder: path, owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(fault(&lock_path)(source)),
        }
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(fault(&lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder's absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bearer token of the administrator, the same at every start; made of the system's randomness at the first.
    pub(super) fn token(&self) -> Result<String, FolderError> {
        let path = self.path.join("token");
        let fault = |source| FolderError::MakeWritable { path: path.clone(), source };
        match std::fs::read_to_string(&path) {
            Ok(token) if token.len() >= 32 => return Ok(token),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
        let mut bytes = [0u8; 24];
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(fault)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(&path, token.as_bytes()).map_err(fault)?;
        Ok(token)
    }

    /// Writes the kubeconfig.
    pub(super) fn write_kubeconfig(&self, text: &str) -> Result<PathBuf, FolderError> {
        let path = self.path.join("kubeconfig");
        // Written beside and renamed, so that a kubectl that reads now sees the old file or the new one.
        let beside = self.path.join("kubeconfig.new");
        write_private(&beside, text.as_bytes())
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|source| FolderError::MakeWritable { path: path.clone(), source })?;
        Ok(path)
    }
}

/// A file that only its owner reads: it holds a token.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_up_on_the_same_folder_is_refused_by_name_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path()).unwrap();
        let error = Folder::take(dir.path()).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Folder::take(dir.path()).unwrap();
    }

    #[test]
    fn the_token_stays_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path()).unwrap();
        let token = folder.token().unwrap();
        assert_eq!(folder.token().unwrap(), token);
        let path = folder.write_kubeconfig("kind: Config\n").unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
