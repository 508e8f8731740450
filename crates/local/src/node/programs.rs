//! Which program runs a container on a machine without images. Goes in: the container's command and
//! image, its variables, which engine the user chose, what is on the PATH. Comes out: a [`Program`].
//! Pure; nothing is started and nothing is looked up here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::script;

/// Which engine answers for vLLM containers (`--engine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The real `vllm` where it is on the PATH, else the simulated one.
    #[default]
    Auto,
    /// The real `vllm` or nothing.
    Vllm,
    /// The simulated engine, one process per container.
    Sim,
    /// The simulated engine inside this process, for hundreds of services.
    InlineSim,
}

/// How a container is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    /// A program of this machine.
    Process {
        /// Program and arguments.
        argv: Vec<String>,
        /// Variables that the machine adds to the container's own.
        extra_env: Vec<(String, String)>,
    },
    /// The simulated engine; what follows `vllm serve`.
    Simulated {
        /// Arguments, with `--host` set to the pod's address.
        argv: Vec<String>,
        /// Run it inside this process.
        inline: bool,
    },
    /// The sidecar of a decoding engine; what follows `pd-sidecar`.
    Sidecar {
        /// Arguments, with `--host` set to the pod's address.
        argv: Vec<String>,
        /// Run it inside this process.
        inline: bool,
    },
    /// This process does the container's work itself; the words go to its log.
    BuiltIn(String),
    /// An init container that provides model directories: what to show where, and words for its log.
    Model {
        /// Directories of this machine to show inside the pod.
        links: Vec<Link>,
        /// Lines for the log.
        notes: Vec<String>,
    },
    /// An init container that cannot do its work.
    Refused(String),
    /// Nothing on this machine can run it.
    NotFound {
        /// What is missing.
        message: String,
        /// What to do.
        hint: String,
    },
}

/// A place of this machine that a pod sees at another path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where the model comes from, as the service says it.
    pub uri: String,
    /// The path inside the pod.
    pub target: String,
    /// The directory of this machine.
    pub source: Source,
}

/// Where a linked directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A path of this machine.
    Path(String),
    /// A path in a volume claim of the pod's namespace.
    Claim {
        /// Name of the claim.
        name: String,
        /// Path inside it; empty is its root.
        path: String,
    },
}

/// What the decision needs beside the container.
pub(crate) struct Question<'a> {
    /// The pod, for its other containers.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Its variables, resolved.
    pub env: &'a BTreeMap<String, String>,
    /// Its command, `$(VAR)` expanded.
    pub command: Vec<String>,
    /// Its arguments, `$(VAR)` expanded.
    pub args: Vec<String>,
    /// The user's choice.
    pub engine: Engine,
    /// The pod's address.
    pub pod_ip: &'a str,
    /// Path of this program.
    pub exe: &'a str,
    /// Whether a name or path can be executed here.
    pub have: &'a dyn Fn(&str) -> bool,
}

/// Decides.
pub(crate) fn choose(question: &Question<'_>) -> Program {
    let Question { container, command, args, .. } = question;
    let image = container.image.as_deref().unwrap_or("");
    let argv: Vec<String> = command.iter().chain(args).cloned().collect();
    let name = argv.first().map_or("", |word| base_name(word));
    let own = if name == "llmisvc" { argv.get(1).map_or("", String::as_str) } else { "" };

    if is_storage_initializer(container) || own == "fetch" {
        let pairs: Vec<String> = if own == "fetch" { argv[2..].to_vec() } else { args.clone() };
        return model(question, &pairs);
    }
    if is_picker(name, own, command, image) {
        return Program::BuiltIn(
            "the gateway of this process picks the endpoints; no picker runs on its own".into(),
        );
    }
    if name == "vllm" && argv[1..].starts_with(&["launch".to_owned(), "render".to_owned()]) {
        return Program::BuiltIn(
            "the gateway of this process picks the endpoints and reads prompts itself; no tokenizer runs on its own".into(),
        );
    }
    if let Some(argv) = sidecar_call(name, own, &argv, image) {
        return Program::Sidecar {
            argv: at_pod_address(question, argv.to_vec()),
            inline: question.engine == Engine::InlineSim,
        };
    }
    if own == "sim" {
        return simulated(question, argv[2..].to_vec());
    }
    // Another simulator is simulated by this one, which takes the flags that matter.
    if name == "llm-d-inference-sim" {
        return simulated(question, argv[1..].to_vec());
    }
    if command.is_empty() && image.contains("inference-sim") {
        return simulated(question, args.clone());
    }
    if let Some(call) = engine_call(question) {
        return match question.engine {
            Engine::Sim | Engine::InlineSim => simulated(question, call.serve_args),
            Engine::Auto if !(question.have)(&call.program) => simulated(question, call.serve_args),
            Engine::Vllm if !(question.have)(&call.program) => Program::NotFound {
                message: format!("no program {:?} on this machine", call.program),
                hint: "install vLLM and put it on the PATH, or use --engine sim".into(),
            },
            Engine::Auto | Engine::Vllm => real_engine(question, call),
        };
    }
    match argv.first() {
        Some(_) if !own.is_empty() => {
            let mut argv = argv;
            question.exe.clone_into(&mut argv[0]);
            Program::Process { argv, extra_env: Vec::new() }
        }
        Some(program) if (question.have)(program) => Program::Process { argv, extra_env: Vec::new() },
        Some(program) => Program::NotFound {
            message: format!("no program {program:?} on this machine for container {:?}", container.name),
            hint: "images are not pulled here: install the program and put it on the PATH".into(),
        },
        None => Program::NotFound {
            message: format!(
                "container {:?} has no command, and its image {image:?} is not one known here",
                container.name
            ),
            hint: "images are not pulled here: give the container a command that exists on this machine"
                .into(),
        },
    }
}

struct EngineCall {
    /// `vllm`, or the Python that runs vLLM's module.
    program: String,
    /// The whole call.
    argv: Vec<String>,
    /// What follows `vllm serve`.
    serve_args: Vec<String>,
    /// The call is a shell script that starts `vllm serve` somewhere.
    script: bool,
}

fn engine_call(question: &Question<'_>) -> Option<EngineCall> {
    let Question { container, command, args, env, .. } = question;
    let argv: Vec<String> = command.iter().chain(args).cloned().collect();
    let name = argv.first().map_or("", |word| base_name(word));
    let direct = |program: &str, argv: Vec<String>, skip: usize| {
        let serve_args = argv[skip..].to_vec();
        Some(EngineCall { program: program.to_owned(), argv, serve_args, script: false })
    };
    if name == "vllm" && argv.get(1).is_some_and(|word| word == "serve") {
        let program = argv[0].clone();
        return direct(&program, argv, 2);
    }
    if name.starts_with("python")
        && argv.get(1).is_some_and(|word| word == "-m")
        && argv.get(2).is_some_and(|word| word.starts_with("vllm.entrypoints"))
    {
        // An installation that has the module has the command too; Python alone proves nothing.
        return direct("vllm", argv, 3);
    }
    if matches!(name, "sh" | "bash" | "dash" | "zsh") {
        let at = argv.iter().position(|word| word.contains("vllm serve"))?;
        let serve_args = script::serve_arguments(&argv[at], &argv[at + 1..], env)?;
        return Some(EngineCall { program: "vllm".into(), argv, serve_args, script: true });
    }
    if command.is_empty() && is_engine_image(container.image.as_deref().unwrap_or("")) {
        // The images' entry point is `vllm serve`.
        let mut argv = args.clone();
        if argv.first().is_some_and(|word| word == "vllm") {
            argv.remove(0);
        }
        if argv.first().is_none_or(|word| word != "serve") {
            argv.insert(0, "serve".into());
        }
        argv.insert(0, "vllm".into());
        return direct("vllm", argv, 2);
    }
    None
}

fn real_engine(question: &Question<'_>, call: EngineCall) -> Program {
    let EngineCall { mut argv, script, .. } = call;
    // vLLM downloads what the storage initializer would have: the directory gives way to the repository.
    for (repository, revision, target) in hub_models(question.pod) {
        let mut named = false;
        for word in &mut argv {
            if *word == target {
                word.clone_from(&repository);
                named = true;
            } else if let Some(key) = word.strip_suffix(&format!("={target}")) {
                *word = format!("{key}={repository}");
            } else if script && word.contains(&format!("vllm serve {target} ")) {
                let revision =
                    revision.as_ref().map_or(String::new(), |revision| format!("--revision {revision} "));
                *word = word.replace(
                    &format!("vllm serve {target} "),
                    &format!("vllm serve {repository} {revision}"),
                );
            }
        }
        if let Some(revision) = revision.filter(|_| named && !has_flag(&argv, "--revision")) {
            argv.extend(["--revision".into(), revision]);
        }
    }
    let mut extra_env = Vec::new();
    if !question.env.contains_key("VLLM_HOST_IP") {
        extra_env.push(("VLLM_HOST_IP".to_owned(), "127.0.0.1".to_owned()));
    }
    // Every replica listens at the declared port, on the address of its own pod.
    let host = ["--host".to_owned(), question.pod_ip.to_owned()];
    let text = argv.join(" ");
    let has_host = has_flag(&argv, "--host") || script && text.contains("--host ");
    if !has_host {
        if script && text.contains("VLLM_ADDITIONAL_ARGS") {
            let before = question.env.get("VLLM_ADDITIONAL_ARGS").map_or("", String::as_str);
            extra_env.push((
                "VLLM_ADDITIONAL_ARGS".into(),
                format!("{before} {}", host.join(" ")).trim().to_owned(),
            ));
        } else {
            argv.extend(host);
        }
    }
    Program::Process { argv, extra_env }
}

fn simulated(question: &Question<'_>, argv: Vec<String>) -> Program {
    Program::Simulated { argv: at_pod_address(question, argv), inline: question.engine == Engine::InlineSim }
}

/// Every pod listens at its declared ports on an address of its own.
fn at_pod_address(question: &Question<'_>, mut argv: Vec<String>) -> Vec<String> {
    if !has_flag(&argv, "--host") {
        argv.extend(["--host".into(), question.pod_ip.into()]);
    }
    argv
}

/// What follows the sidecar's name: llm-d's program, ours, or the entry point of its image.
fn sidecar_call<'a>(name: &str, own: &str, argv: &'a [String], image: &str) -> Option<&'a [String]> {
    if name == "pd-sidecar" {
        return argv.get(1..);
    }
    if own == "sidecar" {
        return argv.get(2..);
    }
    let is_entry_point = argv.first().is_none_or(|word| word.starts_with('-'));
    let image = image.rsplit('/').next().unwrap_or(image);
    (is_entry_point && (image.contains("routing-sidecar") || image.contains("disagg-sidecar")))
        .then_some(argv)
}

fn model(question: &Question<'_>, pairs: &[String]) -> Program {
    let (mut links, mut notes) = (Vec::new(), Vec::new());
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Program::Refused("the storage initializer needs pairs of source and destination".into());
    }
    let real = runs_real_engine(question);
    for pair in pairs.chunks(2) {
        let (uri, target) = (&pair[0], &pair[1]);
        let link = |source| Link { uri: uri.clone(), target: target.clone(), source };
        if let Some(path) = uri.strip_prefix("file://") {
            links.push(link(Source::Path(path.to_owned())));
        } else if uri.starts_with('/') {
            links.push(link(Source::Path(uri.clone())));
        } else if let Some(rest) = uri.strip_prefix("pvc://") {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            links.push(link(Source::Claim { name: name.to_owned(), path: path.to_owned() }));
        } else if !real {
            notes.push(format!("{uri}: not downloaded, the simulated engine needs no weights"));
        } else if uri.starts_with("hf://") {
            notes.push(format!("{uri}: left to the download of the engine itself"));
        } else {
            let scheme = uri.split("://").next().unwrap_or(uri);
            return Program::Refused(format!(
                "{uri}: models from {scheme} cannot be downloaded on this machine yet; use hf://, pvc:// or file://"
            ));
        }
    }
    Program::Model { links, notes }
}

/// Whether any container of the pod is a vLLM that this machine really runs.
pub(crate) fn runs_real_engine(question: &Question<'_>) -> bool {
    if matches!(question.engine, Engine::Sim | Engine::InlineSim) {
        return false;
    }
    let containers = question.pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.into_iter().any(|container| {
        let question = Question {
            container,
            command: container.command.clone().unwrap_or_default(),
            args: container.args.clone().unwrap_or_default(),
            ..*question
        };
        engine_call(&question)
            .is_some_and(|call| question.engine == Engine::Vllm || (question.have)(&call.program))
    })
}

/// Repository, revision and directory of every `hf://` model that init containers would download.
fn hub_models(pod: &Pod) -> Vec<(String, Option<String>, String)> {
    let inits = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let pairs = inits.filter(|init| is_storage_initializer(init) || is_fetch(init)).flat_map(|init| {
        let skip = if is_fetch(init) { 2 } else { 0 };
        let command: &[String] = if skip == 0 { &[] } else { init.command.as_deref().unwrap_or_default() };
        let words: Vec<String> =
            command.iter().chain(init.args.iter().flatten()).skip(skip).cloned().collect();
        words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>()
    });
    pairs
        .filter_map(|(uri, target)| {
            let repository = uri.strip_prefix("hf://")?;
            let (repository, revision) = match repository.rsplit_once(':') {
                Some((repository, revision)) => (repository, Some(revision.to_owned())),
                None => (repository, None),
            };
            Some((repository.to_owned(), revision, target))
        })
        .collect()
}

fn is_fetch(container: &Container) -> bool {
    let command = container.command.as_deref().unwrap_or_default();
    command.first().is_some_and(|word| base_name(word) == "llmisvc")
        && command.get(1).is_some_and(|word| word == "fetch")
}

fn is_storage_initializer(container: &Container) -> bool {
    let no_command = container.command.as_ref().is_none_or(Vec::is_empty);
    no_command
        && (container.name == "storage-initializer"
            || container.image.as_deref().is_some_and(|image| image.contains("storage-initializer")))
}

fn is_picker(name: &str, own: &str, command: &[String], image: &str) -> bool {
    name == "epp"
        || own == "epp"
        || command.is_empty()
            && (image.contains("endpoint-picker")
                || image.contains("inference-scheduler")
                || image.contains("/epp"))
}

fn is_engine_image(image: &str) -> bool {
    let name = image.split(['@']).next().unwrap_or(image);
    let name = name.rsplit('/').next().unwrap_or(name);
    name.contains("vllm")
        || name.starts_with("llm-d")
            && !["router", "sidecar", "predictor"].iter().any(|other| name.contains(other))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn has_flag(argv: &[String], flag: &str) -> bool {
    argv.iter().any(|word| word == flag || word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')))
}

#[cfg(test)]
#[path = "programs_tests.rs"]
mod tests;
