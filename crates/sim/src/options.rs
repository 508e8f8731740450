//! How a simulated engine is set up: the flags of `vllm serve`, and its own `--speed`.

mod args;

use std::path::PathBuf;

use crate::engine::{Pace, Settings};

pub use args::ArgsError;

/// Settings of one simulated engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model's name or path, the positional argument of `vllm serve`.
    pub model: String,
    /// Names under which it is served (`--served-model-name`); empty: under `model`.
    pub served_model_names: Vec<String>,
    /// Address to listen on (`--host`); only the command line's entry point looks at it. `None`: all.
    pub host: Option<String>,
    /// Port to listen on (`--port`); only the command line's entry point looks at it.
    pub port: u16,
    /// Longest prompt with answer in tokens (`--max-model-len`).
    pub max_model_len: u64,
    /// How the engine is sized; its pace is that of speed 1.
    pub engine: Settings,
    /// How many times faster than the modelled engine it runs (`--speed`).
    pub speed: f64,
    /// Adapters that are served from the start (`--lora-modules`).
    pub lora_modules: Vec<LoraModule>,
    /// Whether adapters are served at all (`--enable-lora`).
    pub enable_lora: bool,
    /// A worker of an engine over several pods (`--headless`): it serves nothing, its leader answers.
    pub headless: bool,
    /// The leader of an engine over several pods (`--data-parallel-address`, `--master-addr`).
    pub leader: Option<String>,
    /// Whether `usage` says how much of the prompt was cached (`--enable-prompt-tokens-details`).
    pub prompt_tokens_details: bool,
    /// Whether requests may offer tools (`--enable-auto-tool-choice` with `--tool-call-parser`). None is ever called.
    pub tool_calls: bool,
    /// Keys that a client must send as bearer token (`--api-key`); empty: none is needed.
    pub api_keys: Vec<String>,
    /// Certificate chain in PEM (`--ssl-certfile`); with `ssl_keyfile` it serves TLS.
    pub ssl_certfile: Option<PathBuf>,
    /// Private key in PEM (`--ssl-keyfile`).
    pub ssl_keyfile: Option<PathBuf>,
    /// How long running requests may go on after the shutdown signal (`--shutdown-timeout`). 0: they end at once, with
    /// the finish reason `abort`.
    pub shutdown_timeout_s: f64,
}

/// A LoRA adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraModule {
    /// Under which it is asked for.
    pub name: String,
    /// Where it lies.
    pub path: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: "simulated".to_owned(),
            served_model_names: Vec::new(),
            host: None,
            port: 8000,
            max_model_len: 32_768,
            engine: Settings::default(),
            speed: 1.0,
            lora_modules: Vec::new(),
            enable_lora: false,
            headless: false,
            leader: None,
            prompt_tokens_details: false,
            tool_calls: false,
            api_keys: Vec::new(),
            ssl_certfile: None,
            ssl_keyfile: None,
            shutdown_timeout_s: 0.0,
        }
    }
}

impl Options {
    /// An engine that serves one model with the defaults of `vllm serve`.
    pub fn for_model(model: impl Into<String>) -> Self {
        Self { model: model.into(), ..Self::default() }
    }

    /// Reads the arguments of `vllm serve` (with or without the word `serve` first). Flags that mean nothing to a
    /// simulation are accepted, as a real engine has hundreds; they are returned for the log.
    ///
    /// # Errors
    /// If a flag that is understood has no value or a wrong one, or if there is no model.
    pub fn from_args<I, S>(args: I) -> Result<(Self, Vec<String>), ArgsError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        args::read(args.into_iter().map(Into::into).collect())
    }

    /// The names under which the model is served, the first one is in answers to requests without model.
    pub fn names(&self) -> Vec<String> {
        if self.served_model_names.is_empty() {
            vec![self.model.clone()]
        } else {
            self.served_model_names.clone()
        }
    }

    /// What a worker without an API of its own says when it starts.
    pub fn worker_words(&self) -> String {
        let leader = self.leader.as_deref().unwrap_or("another pod");
        format!("simulated worker for {}: its leader, {leader}, answers", self.names().join(", "))
    }

    /// Longest prompt with answer that both the model and the cache can hold, in tokens.
    pub(crate) fn context_tokens(&self) -> u64 {
        let blocks = u64::from(self.engine.cache_blocks.saturating_sub(1).max(1));
        self.max_model_len.min(blocks * u64::from(self.engine.block_tokens))
    }

    pub(crate) fn engine_settings(&self) -> Settings {
        let pace: Pace = self.engine.pace.at_speed(self.speed);
        Settings { pace, ..self.engine.clone() }
    }
}
