//! The agent's end of a shim: starts it, reads its notices and the container's output, gives it orders.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::logs::LogWriter;
use super::processes::{self, Identity};
use super::shim::{Notice, Order, Spec, View};

/// How long the end of a container waits for the end of its output.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a run of a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code; 128 + signal if a signal ended it.
    pub code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
}

/// A running container.
#[derive(Debug)]
pub(crate) struct Process {
    /// Gives it orders.
    pub control: Control,
    /// Comes when it has ended and its output is read.
    pub exit: oneshot::Receiver<Exit>,
    /// Its first process.
    pub pid: i32,
    /// How it sees its volumes.
    pub view: View,
}

/// Orders to a running container; to one that has ended they do nothing.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    orders: mpsc::UnboundedSender<Order>,
    commands: Arc<Mutex<Commands>>,
}

#[derive(Debug, Default)]
struct Commands {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<(i32, String)>>,
}

impl Control {
    /// Sends a signal to the container's first process.
    pub(crate) fn signal(&self, number: i32) {
        let _ = self.orders.send(Order::Signal(number));
    }

    /// Ends all of its processes now.
    pub(crate) fn kill(&self) {
        let _ = self.orders.send(Order::Kill);
    }

    /// Runs a command beside it, in its view of the file system: exit code and output. `None` if it ended meanwhile.
    pub(crate) async fn exec(&self, argv: Vec<String>) -> Option<(i32, String)> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            commands.last += 1;
            let id = commands.last;
            commands.waiting.insert(id, sender);
            id
        };
        self.orders.send(Order::Exec { id, argv }).ok()?;
        receiver.await.ok()
    }
}

/// Starts `spec` under a shim of program `exe`. The record at `record` names the shim as long as it may live.
pub(crate) async fn start(
    exe: &Path,
    spec: &Spec,
    record: &Path,
    log: Arc<LogWriter>,
) -> io::Result<Process> {
    let file = record.with_extension("spec");
    fs::create_dir_all(record.parent().unwrap_or(Path::new("/")))?;
    let _ = fs::remove_file(&file);
    File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&file)?
        .write_all(&serde_json::to_vec(spec)?)?;

    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut child = Command::new(exe)
        .arg("pod-shim")
        .arg(&file)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let identity = child.id().and_then(|pid| processes::identify(i32::try_from(pid).ok()?));
    fs::write(record, serde_json::to_vec(&identity)?)?;

    let output = [
        child.stdout.take().map(|pipe| tokio::spawn(copy(pipe, "stdout", Arc::clone(&log)))),
        child.stderr.take().map(|pipe| tokio::spawn(copy(pipe, "stderr", Arc::clone(&log)))),
    ];
    let (reader, mut writer) = UnixStream::from_std(ours)?.into_split();
    let (orders, mut queue) = mpsc::unbounded_channel::<Order>();
    tokio::spawn(async move {
        while let Some(order) = queue.recv().await {
            let mut line = serde_json::to_vec(&order).unwrap_or_default();
            line.push(b'\n');
            if writer.write_all(&line).await.is_err() {
                break;
            }
        }
    });
    let mut notices = BufReader::new(reader).lines();
    let first = notices.next_line().await?;
    let started = first.as_deref().map(serde_json::from_str::<Notice>).transpose()?;
    let (pid, view) = match started {
        Some(Notice::Started { pid, view }) => (pid, view),
        other => {
            let _ = child.wait().await;
            let _ = fs::remove_file(record);
            let message = match other {
                Some(Notice::Failed(message)) => message,
                _ => log.last_line().unwrap_or_else(|| "the pod shim ended".to_owned()),
            };
            return Err(io::Error::other(message));
        }
    };

    let commands: Arc<Mutex<Commands>> = Arc::default();
    let control = Control { orders, commands: Arc::clone(&commands) };
    let (ended, exit) = oneshot::channel();
    let record = record.to_owned();
    let keep_open = control.orders.clone();
    tokio::spawn(async move {
        let mut outcome = None;
        while let Ok(Some(line)) = notices.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Notice::Exited { code, signal }) => {
                    outcome = Some(Exit { code, signal });
                    break;
                }
                Ok(Notice::Exec { id, code, output }) => {
                    let waiting = commands.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&id);
                    if let Some(waiting) = waiting {
                        let _ = waiting.send((code, output));
                    }
                }
                Ok(Notice::Started { .. } | Notice::Failed(_)) | Err(_) => {}
            }
        }
        commands.lock().unwrap_or_else(PoisonError::into_inner).waiting.clear();
        if outcome.is_none() {
            // The shim itself was killed: what it held is ended here.
            identity.as_ref().map(processes::kill_session);
        }
        // What it wrote last is part of how it ended. A process that got away may keep the output open: not for long.
        let reading = async {
            for task in output.into_iter().flatten() {
                let _ = task.await;
            }
        };
        let mut reading = pin!(reading);
        let read = timeout(LAST_WORDS, &mut reading).await.is_ok();
        let _ = ended.send(outcome.unwrap_or(Exit { code: 137, signal: Some(9) }));
        // Closing its socket tells the shim to end everything: only now.
        let _ = child.wait().await;
        if !read {
            reading.await;
        }
        drop(keep_open);
        log.close();
        let _ = fs::remove_file(&record);
    });
    Ok(Process { control, exit, pid, view })
}

async fn copy(pipe: impl AsyncRead + Unpin, stream: &'static str, log: Arc<LogWriter>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        log.line(stream, text.trim_end_matches(['\n', '\r']));
        line.clear();
    }
}

/// Ends what an earlier run of this program left behind below `pods`, by its records. Returns how many processes.
pub(crate) fn end_leftovers(pods: &Path) -> usize {
    let mut ended = 0;
    let mut next = vec![pods.to_owned()];
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir && entry.file_name() != ".volumes" && entry.file_name() != ".root" {
                next.push(path);
            } else if path.extension().is_some_and(|extension| extension == "shim") {
                let identity =
                    fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Identity>(&text).ok());
                ended += identity.as_ref().map_or(0, processes::kill_session);
                let _ = fs::remove_file(&path);
            }
        }
    }
    ended
}
