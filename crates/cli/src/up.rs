//! `llmisvc up`: starts the parts and says what happens, a line per step.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use local::node::Engine as NodeEngine;
use local::up::{FolderError, Options, Progress, Running, StartError, Step, reachable};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::Ended;
use crate::args::{Engine, Report, Up};
use crate::check::check;
use crate::problem::{Failure, Problem, say};
use crate::services::{self, Documents, Service};

/// How long engines get to end after Ctrl-C; a second Ctrl-C does not wait.
const GRACE: Duration = Duration::from_secs(10);

/// How many engines are listed by name.
const LISTED: usize = 8;

/// How often a starting engine's last log line is shown.
const ENGINE_LINES_EVERY: Duration = Duration::from_secs(2);

/// Runs until Ctrl-C or SIGTERM.
pub(crate) fn run(args: &Up) -> Result<Ended, Failure> {
    let started = Instant::now();
    // Everything that can be wrong with the files is found before anything starts.
    let talk = Talk { report: args.output };
    let mut documents = services::for_up(args)?;
    documents.others.extend(services::for_cluster(&args.cluster)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(serve(args, talk, started, documents))
}

async fn serve(
    args: &Up,
    talk: Talk,
    started: Instant,
    Documents { services, others }: Documents,
) -> Result<Ended, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let options = options(args)?;
    let data_dir = options.data_dir.clone();
    let prepared = local::up::prepare(options).await.map_err(refusal)?;
    let mut known = prepared.known().await.map_err(refusal)?;
    known.extend(services::object_set(others.clone())?);
    let mut problems = Vec::new();
    for service in &services {
        problems.extend(check(service, &known, true)?.problem(service));
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    for service in &services {
        talk.step(&Step {
            at: started.elapsed(),
            service: Some(service.full_name()),
            step: "read",
            text: service.source(),
        });
    }
    let mut running = prepared.start().await.map_err(refusal)?;
    let namespaces = services::namespaces(&services, &others);
    for object in namespaces.iter().chain(&others) {
        if let Err(error) = running.put(object).await {
            running.shut_down().await;
            return Err(refusal(error));
        }
    }
    for service in &services {
        if let Err(error) = running.put(&service.object).await {
            running.shut_down().await;
            return Err(service.refused(error));
        }
    }
    let names: Vec<String> = if services.is_empty() {
        running.stored_services().await.map_err(refusal)?
    } else {
        services.iter().map(Service::full_name).collect()
    };
    if names.is_empty() {
        talk.nothing_to_serve(&data_dir, &running);
    }
    let mut progress = Progress::default();
    let mut announced = false;
    let mut engine_lines = tokio::time::interval(ENGINE_LINES_EVERY);
    engine_lines.reset();
    loop {
        let sighting = tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            sighting = running.sightings.recv() => sighting,
            // A real engine takes minutes to load a model; what it says last shows that it is at it.
            _ = engine_lines.tick() => {
                for step in progress.complaints(started.elapsed()) {
                    talk.step(&step);
                }
                let starting = if announced { Vec::new() } else { running.engine_lines() };
                for sighting in starting {
                    for step in progress.observe(sighting, started.elapsed()) {
                        talk.step(&step);
                    }
                }
                continue;
            }
        };
        let Some(sighting) = sighting else { break };
        for step in progress.observe(sighting, started.elapsed()) {
            talk.step(&step);
        }
        if !announced && !names.is_empty() && progress.all_ready(&names) {
            announced = true;
            talk.serving(&running, &progress, started.elapsed());
        }
    }
    talk.step(&Step {
        at: started.elapsed(),
        service: None,
        step: "stopping",
        text: "engines, then the rest".to_owned(),
    });
    tokio::select! {
        () = running.shut_down() => {}
        // A second Ctrl-C: the children are killed by the kernel when this process ends.
        _ = interrupt.recv() => {}
    }
    talk.step(&Step { at: started.elapsed(), service: None, step: "stopped", text: String::new() });
    Ok(Ended::Interrupted)
}

fn options(args: &Up) -> Result<Options, Failure> {
    if !(args.speed.is_finite() && args.speed > 0.0) {
        return Err(Problem::new(format!("--speed {}: a number above 0 is needed", args.speed)).into());
    }
    Ok(Options {
        listen: args.listen,
        data_dir: args.data_dir.clone().map_or_else(default_data_dir, Ok)?,
        engine: match args.engine {
            Engine::Auto => NodeEngine::Auto,
            Engine::Vllm => NodeEngine::Vllm,
            Engine::Sim => NodeEngine::Sim,
            Engine::InlineSim => NodeEngine::InlineSim,
        },
        speed: args.speed,
        policy: args.policy.clone(),
        exe: std::env::current_exe().context("the path of this program")?,
        private_view: !args.rewrite_paths,
        grace: GRACE,
    })
}

/// `$XDG_STATE_HOME/llmisvc`, by default `~/.local/state/llmisvc`, as the XDG base directory specification says.
fn default_data_dir() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("llmisvc"))
        .ok_or_else(|| {
            Problem::new("neither XDG_STATE_HOME nor HOME is set").hint("give --data-dir DIR").into()
        })
}

fn refusal(error: StartError) -> Failure {
    let problem = Problem::new(error.to_string());
    match error {
        StartError::ChooseAnotherPort { .. } => {
            problem.hint("end what listens there, or give --listen 127.0.0.1:0").into()
        }
        StartError::ChooseAnotherAddress { .. } => problem.hint("give another --listen ADDRESS:PORT").into(),
        StartError::Folder(FolderError::ChooseAnother { .. }) => problem
            .hint("apply the file there with kubectl, end that `up`, or give another --data-dir")
            .into(),
        StartError::Folder(FolderError::MakeWritable { .. }) => {
            problem.hint("give a --data-dir that can be written").into()
        }
        StartError::CorrectObject { .. } | StartError::ChooseAnotherPolicy(_) => problem.into(),
        StartError::Broken(message) => Failure::Run(anyhow::anyhow!(message)),
    }
}

/// Says things: steps to stderr and the result to stdout, or both as JSON lines to stdout.
#[derive(Clone, Copy)]
struct Talk {
    report: Report,
}

impl Talk {
    fn step(self, step: &Step) {
        match self.report {
            Report::Text => {
                let seconds = step.at.as_secs_f64();
                let service = step.service.as_deref().unwrap_or_default();
                let line = format!("{seconds:7.2}s  {:<9}{service}  {}", step.step, step.text);
                say(line.trim_end());
            }
            Report::Json => self.json(&json!({
                "at_ms": u64::try_from(step.at.as_millis()).unwrap_or(u64::MAX),
                "step": step.step, "service": step.service, "text": step.text,
            })),
        }
    }

    fn serving(self, running: &Running, progress: &Progress, at: Duration) {
        let endpoint = format!("http://{}", reachable(running.gateway));
        let is_routed = progress.served().all(|(_, url, _)| url.is_some());
        // The gateway takes the own path of a service that no route leads to, too.
        let served: Vec<(&str, String, &str)> = progress
            .served()
            .map(|(service, url, model)| {
                let url = url.map_or_else(|| format!("{endpoint}/{service}"), str::to_owned);
                (service, url, model)
            })
            .collect();
        let stages = progress.stages();
        match self.report {
            Report::Text => {
                let mut out = std::io::stdout().lock();
                let _ = writeln!(out, "\nendpoint    {endpoint}");
                for (service, url, model) in &served {
                    let _ = writeln!(out, "service     {service}  {model}  {url}");
                }
                for stage in stages.iter().take(LISTED) {
                    let _ = writeln!(out, "{:<12}{}  {}  {}", stage.role, stage.service, stage.pod, stage.address);
                }
                if let Some(more) = stages.len().checked_sub(LISTED).filter(|more| *more > 0) {
                    let _ = writeln!(out, "            and {more} more");
                }
                if let Some((_, url, model)) = served.first() {
                    // A route of its own that leads nowhere may take every other path.
                    let base = if served.len() == 1 && is_routed { &endpoint } else { url };
                    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": true});
                    let _ = writeln!(
                        out,
                        "try         curl -N {base}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
                    );
                }
                let _ = writeln!(out, "kubectl     kubectl --kubeconfig {} get llmisvc", running.kubeconfig.display());
                let _ = writeln!(out, "engine      {}", running.engine());
                if let Some(view) = running.volumes() {
                    let _ = writeln!(out, "volumes     {view}");
                }
                let _ = out.flush();
            }
            Report::Json => self.json(&json!({
                "at_ms": u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
                "step": "serving", "endpoint": endpoint, "kubeconfig": running.kubeconfig,
                "engine": running.engine(), "volumes": running.volumes(),
                "services": served.iter().map(|(service, url, model)| json!({"name": service, "url": url, "model": model}))
                    .collect::<Vec<_>>(),
                "stages": stages.iter().map(|stage| json!({
                    "role": stage.role, "service": stage.service, "pod": stage.pod, "address": stage.address,
                })).collect::<Vec<_>>(),
            })),
        }
    }

    fn nothing_to_serve(self, data_dir: &std::path::Path, running: &Running) {
        if self.report == Report::Json {
            return;
        }
        say(&format!("{} holds no service yet. To begin, in another terminal:", data_dir.display()));
        say(&format!("  kubectl --kubeconfig {} apply -f service.yaml", running.kubeconfig.display()));
        say("or end this with Ctrl-C and name a file or a model:");
        say("  llmisvc up service.yaml");
        say("  llmisvc up hf://Qwen/Qwen2-7B-Instruct");
    }

    fn json(self, line: &Value) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}
