//! What can be typed. Parsing only; nothing here acts.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Serve large language models from one YAML file.
#[derive(Debug, Parser)]
#[command(
    name = "llmisvc",
    version,
    about = "Serves large language models from one YAML file, an LLMInferenceService",
    after_help = "Exit codes: 0 done, 1 it ran and failed, 2 the input is at fault, 130 interrupted"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run services on this machine: API server, operator, node agent and gateway in one process
    Up(Up),
    /// Print what a cluster would be asked to run, without one
    Render(Render),
    /// Print the CustomResourceDefinitions of both kinds
    Crds(Crds),
    /// Run the simulated engine; takes the arguments of `vllm serve`
    #[command(disable_help_flag = true)]
    Sim(Passed),
    /// Run the sidecar of a decoding engine, which has prompts computed elsewhere; takes the arguments of `pd-sidecar`
    #[command(disable_help_flag = true)]
    Sidecar(Passed),
    /// Run one container of a pod (used by `up`)
    #[command(hide = true, disable_help_flag = true)]
    PodShim(Passed),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Services to serve: files, folders of files, or a model such as hf://Qwen/Qwen2-7B-Instruct
    #[arg(value_name = "FILE|DIR|MODEL_URI")]
    pub(crate) inputs: Vec<String>,
    /// Where the gateway listens; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: std::net::SocketAddr,
    /// Where state, volumes, logs and the kubeconfig are kept [default: $XDG_STATE_HOME/llmisvc]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// What runs a model: the `vllm` on the PATH, or the simulated engine
    #[arg(long, value_enum, default_value_t = Engine::Auto)]
    pub(crate) engine: Engine,
    /// How many times faster than a real engine the simulated one works
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) speed: f64,
    /// How the gateway picks an engine, instead of what each service says (default, random, round-robin, least-queue)
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// Objects to put into the local cluster first: presets, configs, Secrets, ConfigMaps
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) cluster: Vec<PathBuf>,
    /// Rewrite paths of volumes in arguments and variables, as where the system allows no mount namespace
    #[arg(long, hide = true)]
    pub(crate) rewrite_paths: bool,
    /// How progress and result are printed
    #[arg(short, long, value_enum, default_value_t = Report::Text)]
    pub(crate) output: Report,
}

/// How `up` says what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// Lines for people: steps to stderr, the result to stdout
    Text,
    /// One JSON document a line, all to stdout
    Json,
}

/// Which program runs a container that asks for vLLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// `vllm` if it is on the PATH, else the simulated engine
    Auto,
    /// Only `vllm`
    Vllm,
    /// The simulated engine, one process per container
    Sim,
    /// The simulated engine inside this process, for hundreds of services
    InlineSim,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Render {
    /// Services to render
    #[arg(value_name = "FILE|DIR", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Objects to take as present: presets, configs, Gateways, Secrets, ConfigMaps, children, Lists as kubectl prints
    /// them. An object with only a status adds it to the one of its name
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) cluster: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Show::Children)]
    pub(crate) show: Show,
    /// The time to take as now, RFC 3339 [default: the clock]
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<jiff::Timestamp>,
    /// Output format [default: yaml; for changes one line for each write]
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Format>,
}

/// What `render` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// The objects that the operator would apply
    Children,
    /// The spec after presets, baseRefs and templates
    Merged,
    /// The service as an API server stores it: converted, defaulted
    Stored,
    /// The service's status, judged from what --cluster shows
    Status,
    /// The events that the operator would write
    Events,
    /// Which preset, baseRef or line of the file each field came from
    Origins,
    /// The writes that the operator would make to what --cluster holds; with -o their fields, restarts and devices
    Changes,
}

/// How objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// YAML documents
    Yaml,
    /// One JSON document; several objects become a List
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Crds {
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    pub(crate) output: Format,
}

/// Arguments that another parser reads.
#[derive(Debug, clap::Args)]
pub(crate) struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}
