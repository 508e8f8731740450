//! The objects on disk: one table in an embedded database, written by one thread that commits everything pending in
//! a single transaction, so that many writers share one flush.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use super::Object;

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FILE: &str = "objects.redb";
/// Everything is in memory already and is read from the disk once; the default keeps up to a gigabyte.
const CACHE_BYTES: usize = 1024 * 1024;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made.
    #[error("{path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database cannot be opened or read; another process may have it open.
    #[error("{path}: {source} (is another process using this folder?)")]
    Database {
        /// The database file.
        path: PathBuf,
        /// What the database says.
        source: Box<redb::Error>,
    },
    /// A stored object is not JSON.
    #[error("{path}: object {key} is damaged: {source}")]
    Object {
        /// The database file.
        path: PathBuf,
        /// Key of the object.
        key: String,
        /// What the parser says.
        source: serde_json::Error,
    },
}

pub(super) struct Saved {
    pub(super) objects: Vec<Object>,
    pub(super) revision: u64,
}

struct Write {
    object: Arc<Object>,
    deleted: bool,
    done: oneshot::Sender<Result<(), String>>,
}

/// The queue of the writing thread; the thread ends when the last sender is dropped.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn write(&self, object: Arc<Object>, deleted: bool) -> oneshot::Receiver<Result<(), String>> {
        let (done, receiver) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // A closed queue drops `done`, which the waiting side reports.
            let _ = queue.send(Write { object, deleted, done });
        }
        receiver
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn open(dir: &Path) -> Result<(Saved, Writer), Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Folder { path: dir.to_owned(), source })?;
    let path = dir.join(FILE);
    let failed = |source: redb::Error| Error::Database { path: path.clone(), source: Box::new(source) };
    let database =
        Database::builder().set_cache_size(CACHE_BYTES).create(&path).map_err(|e| failed(e.into()))?;
    let raw = load(&database).map_err(failed)?;
    let mut objects = Vec::with_capacity(raw.0.len());
    for (key, text) in raw.0 {
        match Object::read(key.clone(), text, raw.1) {
            Ok(object) => objects.push(object),
            Err(source) => return Err(Error::Object { path, key, source }),
        }
    }
    let (queue, pending) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("apiserver-store".into())
        .spawn(move || run(&database, &pending))
        .map_err(|source| Error::Folder { path: dir.to_owned(), source })?;
    Ok((Saved { objects, revision: raw.1 }, Writer { queue: Some(queue), thread: Some(thread) }))
}

type Raw = (Vec<(String, String)>, u64);

fn load(database: &Database) -> Result<Raw, redb::Error> {
    let transaction = database.begin_write()?;
    {
        transaction.open_table(OBJECTS)?;
        transaction.open_table(META)?;
    }
    transaction.commit()?;
    let transaction = database.begin_read()?;
    let table = transaction.open_table(OBJECTS)?;
    let mut objects = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        // Bytes that are no text are no JSON either, which whoever reads them will say.
        objects.push((key.value().to_owned(), String::from_utf8_lossy(value.value()).into_owned()));
    }
    let revision = transaction.open_table(META)?.get("revision")?.map_or(0, |v| v.value());
    Ok((objects, revision))
}

fn run(database: &Database, pending: &mpsc::Receiver<Write>) {
    while let Ok(first) = pending.recv() {
        let mut batch = vec![first];
        while let Ok(next) = pending.try_recv() {
            batch.push(next);
        }
        let result = commit(database, &batch).map_err(|error| error.to_string());
        if let Err(error) = &result {
            tracing::error!(%error, "the object store cannot write");
        }
        for write in batch {
            let _ = write.done.send(result.clone());
        }
    }
}

fn commit(database: &Database, batch: &[Write]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(OBJECTS)?;
        let mut meta = transaction.open_table(META)?;
        for write in batch {
            if write.deleted {
                table.remove(&*write.object.key)?;
            } else {
                table.insert(&*write.object.key, write.object.text().as_bytes())?;
            }
            meta.insert("revision", write.object.revision)?;
        }
    }
    transaction.commit()?;
    Ok(())
}
