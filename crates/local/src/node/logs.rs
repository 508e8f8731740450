//! Container logs: written line by line in the CRI format (`TIME STREAM F TEXT`) with one rotation,
//! read back with the options of `kubectl logs`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use tokio::sync::watch;

/// A file is moved aside when it is longer; with the one that was moved aside, twice this is kept.
const FILE_LIMIT_BYTES: u64 = 10 * 1024 * 1024;

/// What to read, in the words of the API's `pods/NAME/log`.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// Go on with lines as they are written, until the container ends.
    pub follow: bool,
    /// The run before the current one.
    pub previous: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only that many last lines; absent is all.
    pub tail_lines: Option<usize>,
    /// Only lines written at or after this time; absent is all.
    pub since: Option<Timestamp>,
    /// Stop after that many bytes; absent is no limit.
    pub limit_bytes: Option<usize>,
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container has not started yet, or has no earlier run.
    #[error("container \"{0}\" in pod \"{1}\" has no log yet")]
    NoLog(String, String),
    /// The file could not be read.
    #[error("log of container \"{container}\": {source}")]
    Unreadable {
        /// Name of the container.
        container: String,
        /// What the system said.
        source: io::Error,
    },
}

/// All logs below a data directory.
#[derive(Debug, Clone)]
pub struct Logs {
    pods: PathBuf,
    live: Arc<Mutex<HashMap<PathBuf, Arc<LogWriter>>>>,
}

impl Logs {
    /// Logs are below `pods`, as `NAMESPACE/POD/CONTAINER/RUN.log`.
    pub fn new(pods: PathBuf) -> Self {
        Self { pods, live: Arc::default() }
    }

    /// Begins the log of run number `run` of a container; of the earlier runs the last one stays.
    pub fn begin(&self, namespace: &str, pod: &str, container: &str, run: i32) -> io::Result<Arc<LogWriter>> {
        let directory = self.pods.join(namespace).join(pod).join(container);
        fs::create_dir_all(&directory)?;
        for (number, path) in runs(&directory) {
            if number < run - 1 {
                let _ = fs::remove_file(path.with_extension("log.1"));
                let _ = fs::remove_file(path);
            }
        }
        let path = directory.join(format!("{run}.log"));
        let writer = Arc::new(LogWriter::create(path)?);
        lock(&self.live).insert(directory, Arc::clone(&writer));
        Ok(writer)
    }

    /// Forgets the containers of a pod that is gone.
    pub fn forget(&self, namespace: &str, pod: &str) {
        let directory = self.pods.join(namespace).join(pod);
        lock(&self.live).retain(|path, writer| {
            let gone = path.starts_with(&directory);
            if gone {
                writer.close();
            }
            !gone
        });
    }

    /// The last line that the container wrote, in its current run.
    pub fn last_line(&self, namespace: &str, pod: &str, container: &str) -> Option<String> {
        let directory = self.pods.join(namespace).join(pod).join(container);
        lock(&self.live).get(&directory).and_then(|writer| writer.last_line())
    }

    /// The lines asked for, each with its line end; with `follow` the stream ends when the container does.
    pub fn read(&self, query: LogQuery) -> Result<impl Stream<Item = Bytes> + Send + 'static, Error> {
        let directory = self.pods.join(&query.namespace).join(&query.pod).join(&query.container);
        let no_log = || Error::NoLog(query.container.clone(), query.pod.clone());
        let mut found = runs(&directory);
        if query.previous {
            found.pop();
        }
        let (_, path) = found.pop().ok_or_else(no_log)?;
        let live = lock(&self.live).get(&directory).filter(|writer| writer.path == path).cloned();
        let unreadable = |source| Error::Unreadable { container: query.container.clone(), source };
        // Subscribe before the first read: a line written in between is then seen twice by nobody and missed by nobody.
        let changes = live.filter(|_| query.follow).map(|writer| writer.changes.subscribe());
        let mut reader = Reader::open(&path).map_err(unreadable)?;
        let mut lines = Vec::new();
        if let Ok(file) = File::open(path.with_extension("log.1")) {
            lines.extend(BufReader::new(file).lines().map_while(Result::ok));
        }
        lines.extend(reader.more());
        lines.retain(|line| query.since.is_none_or(|since| time_of(line).is_none_or(|time| time >= since)));
        if let Some(tail) = query.tail_lines {
            lines.drain(..lines.len().saturating_sub(tail));
        }
        let budget = query.limit_bytes.unwrap_or(usize::MAX);
        let state = Follow { reader, changes, pending: lines, timestamps: query.timestamps, budget };
        Ok(futures_util::stream::unfold(state, |mut state| async move {
            let bytes = state.next().await?;
            Some((bytes, state))
        }))
    }
}

struct Follow {
    reader: Reader,
    changes: Option<watch::Receiver<bool>>,
    pending: Vec<String>,
    timestamps: bool,
    budget: usize,
}

impl Follow {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.budget == 0 {
                return None;
            }
            if !self.pending.is_empty() {
                let mut out = String::new();
                for line in self.pending.drain(..) {
                    let text = if self.timestamps { with_time(&line) } else { text_of(&line).to_owned() };
                    out.push_str(&text);
                    out.push('\n');
                }
                let mut out = Bytes::from(out);
                out.truncate(self.budget);
                self.budget -= out.len();
                return Some(out);
            }
            let changes = self.changes.as_mut()?;
            let closed = *changes.borrow_and_update();
            self.pending = self.reader.more();
            if self.pending.is_empty() && (closed || changes.changed().await.is_err()) {
                self.pending = self.reader.more();
                if self.pending.is_empty() {
                    return None;
                }
                self.changes = None;
            }
        }
    }
}

/// Reads a growing file, and goes on with its successor after a rotation.
struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    partial: String,
}

impl Reader {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: BufReader::new(File::open(path)?), partial: String::new() })
    }

    fn more(&mut self) -> Vec<String> {
        let mut lines = self.rest();
        let same = {
            use std::os::unix::fs::MetadataExt as _;
            let open = self.file.get_ref().metadata().map(|meta| meta.ino()).ok();
            open == fs::metadata(&self.path).map(|meta| meta.ino()).ok()
        };
        if !same && let Ok(file) = File::open(&self.path) {
            self.file = BufReader::new(file);
            lines.extend(self.rest());
        }
        lines
    }

    fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(1..) = self.file.read_line(&mut self.partial) {
            if self.partial.ends_with('\n') {
                self.partial.pop();
                lines.push(std::mem::take(&mut self.partial));
            }
        }
        lines
    }
}

/// The log of one run of one container.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    state: Mutex<WriterState>,
    /// Wakes readers; `true` once the run has ended.
    changes: watch::Sender<bool>,
}

#[derive(Debug)]
struct WriterState {
    file: File,
    size_bytes: u64,
    last_line: Option<String>,
}

impl LogWriter {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let size_bytes = file.metadata()?.len();
        let state = Mutex::new(WriterState { file, size_bytes, last_line: None });
        Ok(Self { path, state, changes: watch::Sender::new(false) })
    }

    /// Appends one line; `stream` is `stdout` or `stderr`. A full disk loses lines, never the container.
    pub fn line(&self, stream: &str, text: &str) {
        let mut state = lock(&self.state);
        let entry = format!("{:.9} {stream} F {text}\n", Timestamp::now());
        if state.size_bytes > FILE_LIMIT_BYTES
            && fs::rename(&self.path, self.path.with_extension("log.1")).is_ok()
            && let Ok(file) = File::options().create(true).append(true).open(&self.path)
        {
            state.file = file;
            state.size_bytes = 0;
        }
        if let Err(error) = state.file.write_all(entry.as_bytes()) {
            tracing::warn!(path = %self.path.display(), %error, "a log line is lost");
        }
        state.size_bytes += entry.len() as u64;
        if !text.trim().is_empty() {
            state.last_line = Some(text.to_owned());
        }
        drop(state);
        self.changes.send_modify(|_| ());
    }

    /// The last line that was not blank.
    pub fn last_line(&self) -> Option<String> {
        lock(&self.state).last_line.clone()
    }

    /// The run has ended: whoever follows is done.
    pub fn close(&self) {
        self.changes.send_replace(true);
    }
}

fn runs(directory: &Path) -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut runs: Vec<(i32, PathBuf)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    runs.sort();
    runs
}

fn time_of(line: &str) -> Option<Timestamp> {
    line.split(' ').next()?.parse().ok()
}

fn text_of(line: &str) -> &str {
    line.splitn(4, ' ').nth(3).unwrap_or("")
}

fn with_time(line: &str) -> String {
    format!("{} {}", line.split(' ').next().unwrap_or(""), text_of(line))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
