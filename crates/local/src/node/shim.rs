//! `llmisvc pod-shim SPECFILE`: the process between the node agent and one container. It makes the
//! container's view of the file system, starts it in a process group of its own, passes signals on,
//! runs probe and hook commands beside it, and ends everything below it when the container or the
//! agent ends. Its standard input is a socket to the agent; end of file there means the agent is dead.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

use super::mounts::{self, Mount};
use super::processes;

/// What the agent writes to the file that the shim is started with.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub(crate) struct Spec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// All variables: nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Working directory; absent is `/`.
    pub cwd: Option<PathBuf>,
    /// What the container sees where.
    pub mounts: Vec<Mount>,
    /// Try a private mount namespace.
    pub private_view: bool,
    /// Paths of this machine that stay visible even below a mount: the program's own installation.
    pub keep: Vec<PathBuf>,
    /// An empty directory for the new root.
    pub scratch: PathBuf,
}

/// How volumes come to be at their mountPath.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// A private mount namespace.
    Private,
    /// Paths rewritten in arguments and variables.
    Rewritten,
    /// The container mounts nothing.
    Plain,
}

/// From the agent to the shim, one JSON object a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Send this signal to the container's first process.
    Signal(i32),
    /// Kill everything now.
    Kill,
    /// Run a command beside the container.
    Exec {
        /// Number to answer with.
        id: u64,
        /// Program and arguments.
        argv: Vec<String>,
    },
}

/// From the shim to the agent, one JSON object a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Notice {
    /// The container runs.
    Started {
        /// Process id of its first process.
        pid: i32,
        /// How it sees its volumes.
        view: View,
    },
    /// It could not be started.
    Failed(String),
    /// It ended.
    Exited {
        /// Exit code; 128 + signal if a signal ended it.
        code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// A command that ran beside it ended.
    Exec {
        /// Number of the order.
        id: u64,
        /// Exit code.
        code: i32,
        /// What it printed, the first 4 kB.
        output: String,
    },
}

/// The entry point. Call it before any thread is started: a user namespace needs a single-threaded process.
pub fn main(args: &[String]) -> ExitCode {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let Ok(writer) = socket.try_clone() else { return ExitCode::FAILURE };
    let shim = Arc::new(Shim { agent: Mutex::new(writer), state: Mutex::new(State::default()) });
    match run(args, &shim, socket) {
        Ok(code) => code,
        Err(message) => {
            shim.tell(&Notice::Failed(message));
            ExitCode::FAILURE
        }
    }
}

struct Shim {
    agent: Mutex<UnixStream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    main: Option<Pid>,
    /// Commands beside the container, by process: number of the order, and their output.
    commands: HashMap<i32, (u64, Option<std::thread::JoinHandle<String>>)>,
    env: BTreeMap<String, String>,
    cwd: PathBuf,
}

fn run(args: &[String], shim: &Arc<Shim>, socket: UnixStream) -> Result<ExitCode, String> {
    let path = args.first().ok_or("pod-shim needs the path of a specification")?;
    let text = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    // It holds the container's variables, secrets among them.
    let _ = std::fs::remove_file(path);
    let mut spec: Spec = serde_json::from_slice(&text).map_err(|error| format!("{path}: {error}"))?;

    // Away from the terminal: Ctrl-C there reaches the agent alone, which then ends containers in order.
    let _ = rustix::process::setsid();
    // Grandchildren whose parents end come to us, so that none can get away.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
        .map_err(|error| format!("child subreaper: {error}"))?;

    let view = if spec.mounts.is_empty() {
        View::Plain
    } else if !spec.private_view {
        mounts::rewrite(&mut spec);
        View::Rewritten
    } else {
        match mounts::enter(&spec.mounts, &spec.keep, &spec.scratch) {
            Ok(()) => View::Private,
            Err(mounts::Error::NoNamespace(_)) => {
                mounts::rewrite(&mut spec);
                View::Rewritten
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let cwd = spec.cwd.clone().unwrap_or_else(|| PathBuf::from("/"));
    {
        let mut state = lock(&shim.state);
        let child = command(&spec.argv, &spec.env, &cwd)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", spec.argv.first().map_or("", String::as_str)))?;
        state.main = pid(child.id());
        state.env = std::mem::take(&mut spec.env);
        state.cwd = cwd;
    }
    // Logs end when the container's processes have closed their ends, not when this process does.
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    let main = lock(&shim.state).main.map_or(0, |pid| pid.as_raw_nonzero().get());
    shim.tell(&Notice::Started { pid: main, view });

    let listener = Arc::clone(shim);
    std::thread::spawn(move || listen(&listener, socket));
    Ok(reap(shim))
}

/// Obeys until the agent is gone, and takes everything along then.
fn listen(shim: &Arc<Shim>, socket: UnixStream) {
    for line in BufReader::new(socket).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(Order::Signal(number)) => {
                let state = lock(&shim.state);
                if let (Some(main), Some(signal)) = (state.main, Signal::from_named_raw(number)) {
                    let _ = rustix::process::kill_process(main, signal);
                }
            }
            Ok(Order::Kill) => processes::kill_descendants(),
            Ok(Order::Exec { id, argv }) => beside(shim, id, &argv),
            Err(_) => {}
        }
    }
    loop {
        processes::kill_descendants();
        // The other thread ends this process once nothing is left to reap.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn beside(shim: &Arc<Shim>, id: u64, argv: &[String]) {
    let mut state = lock(&shim.state);
    let spawned = command(argv, &state.env, &state.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(mut child) => {
            let reader = child.stdout.take().map(|stdout| {
                std::thread::spawn(move || {
                    let mut output = Vec::new();
                    let _ = stdout.take(4096).read_to_end(&mut output);
                    String::from_utf8_lossy(&output).into_owned()
                })
            });
            let number = i32::try_from(child.id()).unwrap_or(0);
            state.commands.insert(number, (id, reader));
        }
        Err(error) => {
            drop(state);
            let program = argv.first().map_or("", String::as_str);
            shim.tell(&Notice::Exec { id, code: 126, output: format!("{program}: {error}") });
        }
    }
}

/// Waits for all processes below; when the container's first one has ended, the others are ended too.
fn reap(shim: &Arc<Shim>) -> ExitCode {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((process, status))) => {
                let mut state = lock(&shim.state);
                if state.main == Some(process) {
                    state.main = None;
                    drop(state);
                    let (code, signal) = outcome(status);
                    processes::kill_descendants();
                    shim.tell(&Notice::Exited { code, signal });
                } else if let Some((id, reader)) = state.commands.remove(&process.as_raw_nonzero().get()) {
                    drop(state);
                    let shim = Arc::clone(shim);
                    let (code, _) = outcome(status);
                    std::thread::spawn(move || {
                        let output = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
                        shim.tell(&Notice::Exec { id, code, output });
                    });
                } else {
                    let ended = state.main.is_none();
                    drop(state);
                    if ended {
                        processes::kill_descendants();
                    }
                }
            }
            Ok(None) => {}
            Err(rustix::io::Errno::INTR) => {}
            // Nobody is left.
            Err(_) => return ExitCode::SUCCESS,
        }
    }
}

fn command(argv: &[String], env: &BTreeMap<String, String>, cwd: &std::path::Path) -> Command {
    let program = argv.first().map_or("", String::as_str);
    let program =
        processes::find(program, env.get("PATH").map(String::as_str)).unwrap_or_else(|| program.into());
    let mut command = Command::new(program);
    if let Some(name) = argv.first() {
        command.arg0(name);
    }
    command.args(argv.iter().skip(1)).env_clear().envs(env).current_dir(cwd).process_group(0);
    command
}

fn outcome(status: WaitStatus) -> (i32, Option<i32>) {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code, None),
        (None, Some(signal)) => (128 + signal, Some(signal)),
        (None, None) => (255, None),
    }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

impl Shim {
    fn tell(&self, notice: &Notice) {
        let mut line = serde_json::to_vec(notice).unwrap_or_default();
        line.push(b'\n');
        // An agent that is gone hears nothing; the listening thread sees that too.
        let _ = lock(&self.agent).write_all(&line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
