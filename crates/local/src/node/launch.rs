//! Starts one run of one container: reads what it refers to, decides its program, makes its mounts, and
//! begins its log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::Client;
use kube::api::Api;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::env::{self, Sources};
use super::logs::LogWriter;
use super::mounts::{self, Mount};
use super::pod::Cell;
use super::process::{self, Control, Exit};
use super::programs::{self, Engine, Link, Program, Question, Source};
use super::shim::{Spec, View};
use super::{EngineCall, EngineLauncher, InlineProgram, Shared, processes, volumes};

/// Variables of this machine that a container gets unless it sets them: what a program needs to be found,
/// to find its libraries and the network, and to be allowed to download. Nothing else leaks in.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// One run of a container.
pub(crate) struct Run {
    pub(crate) handle: Handle,
    pub(crate) exit: BoxFuture<'static, Exit>,
    pub(crate) log: Arc<LogWriter>,
    pub(crate) pid: Option<i32>,
}

/// How to reach a run.
pub(crate) enum Handle {
    /// A process: probed over the network.
    Process(Control),
    /// A task of this process, which says itself when it is ready.
    Task {
        stop: watch::Sender<bool>,
        ready: watch::Receiver<bool>,
        /// Ends a task that does not end when asked.
        abort: Option<AbortHandle>,
    },
}

/// Why a run could not start, as a container status says it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Starts run number `run` of `container`.
pub(crate) async fn launch(
    shared: &Arc<Shared>,
    cell: &Arc<Cell>,
    container: &Container,
    run: i32,
) -> Result<Run, Failure> {
    let pod = cell.pod();
    let refused = |reason| move |message: String| Failure { reason, message };
    let sources =
        load(&shared.client, &pod).await.map_err(|error| refused("ContainerCreating")(error.to_string()))?;
    let place = cell.place(shared);
    let paths = volumes::prepare(&pod, &sources, &place, &cell.directories)
        .map_err(|error| Failure { reason: "ContainerCreating", message: error.to_string() })?;
    let mut vars = env::environment(&pod, container, &sources, &place)
        .map_err(|error| refused("CreateContainerConfigError")(error.to_string()))?;
    let exe = shared.options.exe.display().to_string();
    let path = search_path(&vars);
    let (program, lenient) = decide(shared, &pod, container, &vars, &place.pod_ip, &exe, &path);
    let mounts = volumes::mounts(container, &paths, &pod, &vars, lenient)
        .map_err(|error| refused("CreateContainerConfigError")(error.to_string()))?;

    let (namespace, name) = (cell.namespace(), cell.name());
    let log = shared
        .logs
        .begin(&namespace, &name, &container.name, run)
        .map_err(|error| refused("CreateContainerError")(format!("log: {error}")))?;
    match program {
        Program::NotFound { message, hint } => {
            log.line("stderr", &format!("{message}; {hint}"));
            log.close();
            Err(Failure { reason: "ProgramNotFound", message: format!("{message}; {hint}") })
        }
        Program::Refused(message) => {
            log.line("stderr", &message);
            Ok(ended(log, 1))
        }
        Program::BuiltIn(note) => {
            log.line("stdout", &note);
            Ok(built_in(log))
        }
        Program::Model { links, notes } => {
            notes.iter().for_each(|note| log.line("stdout", note));
            let mut code = 0;
            for link in links {
                match resolve(&link, &cell.directories.claims, lenient) {
                    Ok(source) => {
                        log.line(
                            "stdout",
                            &format!("{}: {} is shown at {}", link.uri, source.display(), link.target),
                        );
                        let target = PathBuf::from(&link.target);
                        cell.show(Mount { source, target, read_only: true });
                    }
                    Err(message) => {
                        log.line("stderr", &message);
                        code = 1;
                    }
                }
            }
            Ok(ended(log, code))
        }
        Program::Simulated { mut argv, inline } => {
            argv.extend(["--speed".to_owned(), shared.options.speed.to_string()]);
            if let Some(launcher) = shared.options.launcher.as_ref().filter(|_| inline) {
                return Ok(inside(launcher, InlineProgram::Engine, argv, vars, mounts, log));
            }
            let mut words = vec![exe.clone(), "sim".to_owned()];
            words.append(&mut argv);
            inherit(&mut vars, path);
            // It reads no model and writes no file: no volume has to be shown to it, but certificates may be.
            process(shared, cell, container, log, words, vars, mounts).await
        }
        Program::Sidecar { mut argv, inline } => {
            if let Some(launcher) = shared.options.launcher.as_ref().filter(|_| inline) {
                return Ok(inside(launcher, InlineProgram::Sidecar, argv, vars, mounts, log));
            }
            let mut words = vec![exe.clone(), "sidecar".to_owned()];
            words.append(&mut argv);
            inherit(&mut vars, path);
            process(shared, cell, container, log, words, vars, mounts).await
        }
        Program::Process { argv, extra_env } => {
            vars.extend(extra_env);
            inherit(&mut vars, path);
            process(shared, cell, container, log, argv, vars, mounts).await
        }
    }
}

/// Runs a program as a task of this process.
fn inside(
    launcher: &EngineLauncher,
    program: InlineProgram,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    mounts: Vec<Mount>,
    log: Arc<LogWriter>,
) -> Run {
    let (ready, readiness) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    // There is no view of its own inside this process: paths in volumes become those of the machine.
    let mut spec = Spec { argv, env, mounts, ..Spec::default() };
    mounts::rewrite(&mut spec);
    let running = launcher(EngineCall {
        program,
        argv: spec.argv,
        env: spec.env,
        log: Arc::clone(&log),
        ready,
        stop: stopping,
    });
    let task = tokio::spawn(running);
    let abort = Some(task.abort_handle());
    let exit = task.map(|code| Exit { code: code.unwrap_or(255), signal: None }).boxed();
    Run { handle: Handle::Task { stop, ready: readiness, abort }, exit, log, pid: None }
}

/// The program, and whether the pod's models need not exist because no real engine reads them.
fn decide(
    shared: &Shared,
    pod: &Pod,
    container: &Container,
    vars: &BTreeMap<String, String>,
    pod_ip: &str,
    exe: &str,
    path: &str,
) -> (Program, bool) {
    let expand = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| env::expand(word, vars)).collect()
    };
    let have = |program: &str| processes::find(program, Some(path)).is_some();
    let question = Question {
        pod,
        container,
        env: vars,
        command: expand(&container.command),
        args: expand(&container.args),
        engine: shared.options.engine,
        pod_ip,
        exe,
        have: &have,
    };
    (programs::choose(&question), !programs::runs_real_engine(&question))
}

async fn process(
    shared: &Arc<Shared>,
    cell: &Arc<Cell>,
    container: &Container,
    log: Arc<LogWriter>,
    argv: Vec<String>,
    vars: BTreeMap<String, String>,
    mut mounts: Vec<Mount>,
) -> Result<Run, Failure> {
    for link in cell.shown() {
        let within = mounts.iter().any(|mount| link.target.starts_with(&mount.target));
        if within {
            mounts.retain(|mount| mount.target != link.target);
            mounts.push(link);
        }
    }
    if shared.options.engine != Engine::Sim
        && let Some(cache) = vars.get("HF_HUB_CACHE")
        && let Some(mount) =
            mounts.iter_mut().find(|mount| mount.target == Path::new(cache) && !mount.read_only)
    {
        // What one replica has downloaded, the next one and the next start find.
        let shared_cache = shared.options.data_dir.join("cache/huggingface");
        if mount.source.starts_with(&cell.directories.pod) && fs::create_dir_all(&shared_cache).is_ok() {
            mount.source = shared_cache;
        }
    }
    let keep = installation(argv.first().map_or("", String::as_str), vars.get("PATH").map(String::as_str));
    let spec = Spec {
        argv,
        env: vars,
        cwd: container.working_dir.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from),
        mounts,
        private_view: shared.options.private_view,
        keep,
        scratch: cell.data.join(".root"),
    };
    let record = cell.data.join(format!("{}.shim", container.name));
    let started = process::start(&shared.options.exe, &spec, &record, Arc::clone(&log)).await;
    let process = started.map_err(|error| {
        log.line("stderr", &error.to_string());
        log.close();
        Failure { reason: "RunContainerError", message: error.to_string() }
    })?;
    if process.view != View::Plain {
        shared.view.send_if_modified(|view| view.replace(process.view) != Some(process.view));
    }
    let exit = process.exit.map(|exit| exit.unwrap_or(Exit { code: 255, signal: None })).boxed();
    Ok(Run { handle: Handle::Process(process.control), exit, log, pid: Some(process.pid) })
}

/// The ConfigMaps and Secrets that the pod refers to, as far as they exist.
async fn load(client: &Client, pod: &Pod) -> kube::Result<Sources> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let (maps, secrets) = env::references(pod);
    let mut sources = Sources::default();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for name in maps {
        if let Some(map) = api.get_opt(&name).await? {
            let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
            let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
            sources.config_maps.insert(name, text.chain(binary).collect());
        }
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in secrets {
        if let Some(secret) = api.get_opt(&name).await? {
            let data = secret.data.into_iter().flatten().map(|(key, value)| (key, value.0));
            sources.secrets.insert(name, data.collect());
        }
    }
    Ok(sources)
}

/// Brings files of ConfigMaps, Secrets and the downward API up to date, as the kubelet does about every minute.
pub(crate) async fn refresh(shared: &Arc<Shared>, cell: &Arc<Cell>) {
    let pod = cell.pod();
    if let Ok(sources) = load(&shared.client, &pod).await
        && let Err(error) = volumes::prepare(&pod, &sources, &cell.place(shared), &cell.directories)
    {
        tracing::debug!(pod = cell.name(), %error, "volumes keep their content");
    }
}

fn resolve(link: &Link, claims: &Path, lenient: bool) -> Result<PathBuf, String> {
    let uri = &link.uri;
    let missing = |path: &Path| format!("{uri}: {}: no such directory; put the model there", path.display());
    match &link.source {
        Source::Path(path) => {
            let path = PathBuf::from(path);
            if path.exists() { Ok(path) } else { Err(missing(&path)) }
        }
        Source::Claim { name, path } => {
            let inner = volumes::inside(name, path).map_err(|error| format!("{uri}: {error}"))?;
            let path = claims.join(name).join(inner);
            if lenient {
                fs::create_dir_all(&path).map_err(|error| format!("{uri}: {error}"))?;
            }
            if path.exists() { Ok(path) } else { Err(missing(&path)) }
        }
    }
}

/// A run that is over already.
fn ended(log: Arc<LogWriter>, code: i32) -> Run {
    log.close();
    let (stop, _) = watch::channel(false);
    let (_, ready) = watch::channel(false);
    let exit = std::future::ready(Exit { code, signal: None }).boxed();
    Run { handle: Handle::Task { stop, ready, abort: None }, exit, log, pid: None }
}

/// A run that is this process itself: ready until it is asked to end.
fn built_in(log: Arc<LogWriter>) -> Run {
    let (stop, mut stopping) = watch::channel(false);
    let (ready, readiness) = watch::channel(true);
    let exit = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
        drop(ready);
        Exit { code: 0, signal: None }
    };
    Run { handle: Handle::Task { stop, ready: readiness, abort: None }, exit: exit.boxed(), log, pid: None }
}

/// The container's own PATH first, then the machine's.
fn search_path(vars: &BTreeMap<String, String>) -> String {
    let own = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    match vars.get("PATH") {
        Some(path) => format!("{path}:{own}"),
        None => own,
    }
}

fn inherit(vars: &mut BTreeMap<String, String>, path: String) {
    vars.insert("PATH".to_owned(), path);
    for name in INHERITED {
        if let (false, Ok(value)) = (vars.contains_key(*name), std::env::var(name)) {
            vars.insert((*name).to_owned(), value);
        }
    }
}

/// Directories that a program needs to run, which a volume over `/tmp` or `/home` must not hide: its own, its
/// interpreter's, and those of a Python environment with the Python that it was made from.
fn installation(program: &str, path: Option<&str>) -> Vec<PathBuf> {
    let Some(found) = processes::find(program, path) else { return Vec::new() };
    let mut files = vec![found.clone()];
    if let Ok(text) = fs::read(&found)
        && let Some(line) = text.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next())
        && let Some(interpreter) = String::from_utf8_lossy(line).split_whitespace().next()
    {
        files.push(PathBuf::from(interpreter));
    }
    let mut keep = Vec::new();
    for file in files {
        let real = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
        for file in [&file, &real] {
            let Some(directory) = file.parent() else { continue };
            if is_of_the_system(directory) {
                keep.push(file.clone());
                continue;
            }
            keep.push(directory.to_owned());
            if let Some(root) = directory.parent().filter(|_| directory.ends_with("bin")) {
                keep.push(root.to_owned());
                let settings = fs::read_to_string(root.join("pyvenv.cfg")).unwrap_or_default();
                let home = settings
                    .lines()
                    .find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"));
                keep.extend(home.and_then(|(_, home)| Some(Path::new(home.trim()).parent()?.to_owned())));
            }
        }
    }
    keep.retain(|path| !is_of_the_system(path) || path.is_file());
    keep.sort();
    keep.dedup();
    keep
}

/// The root and what is directly below it, as `/tmp`: shown as a whole it would undo the volume over it.
fn is_of_the_system(directory: &Path) -> bool {
    directory.components().count() <= 2
}
