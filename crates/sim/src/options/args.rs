//! The command line of `vllm serve`, as far as it matters to a simulation.

use std::path::PathBuf;

use serde::Deserialize;

use super::{LoraModule, Options};

/// Why the arguments cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A flag that needs a value has none.
    #[error("argument {flag}: expected a value")]
    NoValue {
        /// The flag.
        flag: String,
    },
    /// A value that cannot be read.
    #[error("argument {flag}: invalid value '{value}': {reason}")]
    WrongValue {
        /// The flag.
        flag: String,
        /// The value as written.
        value: String,
        /// What was expected.
        reason: &'static str,
    },
    /// Neither the positional argument nor `--model`.
    #[error("no model is named: give it as the first argument, as in 'vllm serve MODEL'")]
    NoModel,
}

pub(super) fn read(args: Vec<String>) -> Result<(Options, Vec<String>), ArgsError> {
    let mut options = Options::default();
    let mut model = None;
    let mut ignored = Vec::new();
    let mut args = args.into_iter().peekable();
    args.next_if(|first| first == "serve");
    while let Some(arg) = args.next() {
        // vLLM takes `--max_model_len` and `--max-model-len` alike.
        let Some(body) =
            arg.strip_prefix('-').map(|rest| rest.trim_start_matches('-')).filter(|body| !body.is_empty())
        else {
            if model.is_none() && !arg.is_empty() {
                model = Some(arg);
            }
            continue;
        };
        let (name, mut values) = match body.split_once('=') {
            Some((name, value)) => (name.replace('_', "-"), vec![value.to_owned()]),
            None => (body.replace('_', "-"), Vec::new()),
        };
        if values.is_empty() && !is_switch(&name) {
            while let Some(value) = args.next_if(|next| is_value(next)) {
                values.push(value);
                if !takes_many(&name) {
                    break;
                }
            }
        }
        if !apply(&name, &values, &mut options, &mut model)? {
            ignored.push(if values.is_empty() {
                format!("--{name}")
            } else {
                format!("--{name} {}", values.join(" "))
            });
        }
    }
    options.model = model.ok_or(ArgsError::NoModel)?;
    if !options.lora_modules.is_empty() {
        options.enable_lora = true;
    }
    Ok((options, ignored))
}

/// Whether an argument can be a flag's value: not another flag; `-1` is a value, `-tp` is none.
fn is_value(argument: &str) -> bool {
    match argument.strip_prefix('-') {
        Some(rest) => rest.starts_with(|char: char| char.is_ascii_digit()),
        None => !argument.is_empty(),
    }
}

fn is_switch(name: &str) -> bool {
    const SWITCHES: [&str; 20] = [
        "enable-lora",
        "enable-prefix-caching",
        "no-enable-prefix-caching",
        "enable-prompt-tokens-details",
        "enforce-eager",
        "trust-remote-code",
        "enable-auto-tool-choice",
        "enable-chunked-prefill",
        "no-enable-chunked-prefill",
        "disable-log-requests",
        "enable-log-requests",
        "disable-log-stats",
        "enable-sleep-mode",
        "enable-expert-parallel",
        "enable-reasoning",
        "enable-request-id-headers",
        "disable-uvicorn-access-log",
        "enable-server-load-tracking",
        "async-scheduling",
        "headless",
    ];
    SWITCHES.contains(&name) || name.starts_with("no-")
}

fn takes_many(name: &str) -> bool {
    matches!(
        name,
        "served-model-name"
            | "lora-modules"
            | "api-key"
            | "allowed-origins"
            | "middleware"
            | "cudagraph-capture-sizes"
    )
}

/// False if the flag means nothing here.
fn apply(
    name: &str,
    values: &[String],
    options: &mut Options,
    model: &mut Option<String>,
) -> Result<bool, ArgsError> {
    let flag = || format!("--{name}");
    let first = || values.first().map(String::as_str).ok_or_else(|| ArgsError::NoValue { flag: flag() });
    let wrong = |value: &str, reason| ArgsError::WrongValue { flag: flag(), value: value.to_owned(), reason };
    let positive = |value: &str| {
        readable_integer(value)
            .filter(|number| *number > 0)
            .ok_or_else(|| wrong(value, "expected a positive integer"))
    };
    match name {
        "model" => *model = Some(first()?.to_owned()),
        "served-model-name" => {
            first()?;
            options.served_model_names = values.to_vec();
        }
        "host" => options.host = Some(first()?.to_owned()),
        "port" => options.port = first()?.parse().map_err(|_| wrong(&values[0], "expected a port"))?,
        "max-model-len" => match first()? {
            "auto" | "-1" => {}
            value => options.max_model_len = positive(value)?,
        },
        "block-size" => options.engine.block_tokens = u32::try_from(positive(first()?)?).unwrap_or(u32::MAX),
        "max-num-seqs" => {
            options.engine.max_num_seqs = usize::try_from(positive(first()?)?).unwrap_or(usize::MAX)
        }
        "max-num-batched-tokens" => options.engine.max_num_batched_tokens = positive(first()?)?,
        "num-gpu-blocks-override" => {
            options.engine.cache_blocks = u32::try_from(positive(first()?)?).unwrap_or(u32::MAX);
        }
        "max-loras" => options.engine.max_loras = usize::try_from(positive(first()?)?).unwrap_or(usize::MAX),
        "enable-lora" => options.enable_lora = true,
        "headless" => options.headless = true,
        "data-parallel-address" | "master-addr" => {
            options.leader = values.first().filter(|value| !value.is_empty()).cloned();
        }
        "lora-modules" => {
            first()?;
            for value in values {
                options.lora_modules.push(
                    lora_module(value)
                        .ok_or_else(|| wrong(value, "expected NAME=PATH or {\"name\": …, \"path\": …}"))?,
                );
            }
        }
        "enable-prefix-caching" => options.engine.prefix_caching = true,
        "no-enable-prefix-caching" => options.engine.prefix_caching = false,
        "enable-prompt-tokens-details" => options.prompt_tokens_details = true,
        "enable-auto-tool-choice" => options.tool_calls = true,
        "api-key" => options.api_keys = values.to_vec(),
        "ssl-certfile" => options.ssl_certfile = Some(PathBuf::from(first()?)),
        "ssl-keyfile" => options.ssl_keyfile = Some(PathBuf::from(first()?)),
        "shutdown-timeout" => {
            options.shutdown_timeout_s = first()?
                .parse()
                .ok()
                .filter(|seconds: &f64| *seconds >= 0.0 && seconds.is_finite())
                .ok_or_else(|| wrong(&values[0], "expected seconds"))?;
        }
        "speed" => {
            options.speed = first()?
                .trim_end_matches('x')
                .parse()
                .ok()
                .filter(|speed: &f64| *speed > 0.0 && speed.is_finite())
                .ok_or_else(|| wrong(&values[0], "expected a positive number"))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// vLLM reads `32k` as 32,000 and `32K` as 32,768, `1.5k` as 1,500.
fn readable_integer(value: &str) -> Option<u64> {
    let (number, factor) = match value.char_indices().last()? {
        (at, 'k') => (&value[..at], 1e3),
        (at, 'K') => (&value[..at], 1024.0),
        (at, 'm') => (&value[..at], 1e6),
        (at, 'M') => (&value[..at], 1_048_576.0),
        _ => return value.parse().ok(),
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    Some((number * factor) as u64)
}

fn lora_module(value: &str) -> Option<LoraModule> {
    #[derive(Deserialize)]
    struct Json {
        name: String,
        path: String,
    }
    if value.starts_with('{') {
        let Json { name, path } = serde_json::from_str(value).ok()?;
        return Some(LoraModule { name, path });
    }
    let (name, path) = value.split_once('=')?;
    (!name.is_empty()).then(|| LoraModule { name: name.to_owned(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<(Options, Vec<String>), ArgsError> {
        read(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn the_flags_of_a_preset_are_understood() {
        let (options, ignored) = read_line(
            "serve /mnt/models --served-model-name qwen publishers/ns/models/qwen --port 8000 --max_model_len=8k \
             --block-size 32 --enable-lora --lora-modules sql=/mnt/lora/sql --num-gpu-blocks-override 512 \
             --ssl-certfile /c --ssl-keyfile /k --disable-log-requests --kv-transfer-config {} --speed 10 --enforce-eager",
        )
        .unwrap();
        assert_eq!(options.model, "/mnt/models");
        assert_eq!(options.names(), ["qwen", "publishers/ns/models/qwen"]);
        assert_eq!(options.max_model_len, 8000);
        assert_eq!((options.engine.block_tokens, options.engine.cache_blocks), (32, 512));
        assert_eq!(options.lora_modules, [LoraModule { name: "sql".into(), path: "/mnt/lora/sql".into() }]);
        assert_eq!(options.speed, 10.0);
        assert_eq!(ignored, ["--disable-log-requests", "--kv-transfer-config {}", "--enforce-eager"]);
    }

    #[test]
    fn a_worker_serves_nothing_and_knows_its_leader() {
        let line = "serve m --headless --data-parallel-size=4 --data-parallel-address=127.1.2.3 --port 8000";
        let (options, _) = read_line(line).unwrap();
        assert_eq!((options.headless, options.leader.as_deref()), (true, Some("127.1.2.3")));
        // A script that has not found the address leaves the flag without one.
        let (options, _) =
            read_line("serve m --data-parallel-address --data-parallel-start-rank --headless").unwrap();
        assert_eq!((options.headless, options.leader), (true, None));
    }

    #[test]
    fn an_unknown_flag_does_not_swallow_the_model() {
        let (options, ignored) = read_line("--tensor-parallel-size 2 qwen --trust-remote-code").unwrap();
        assert_eq!(options.model, "qwen");
        assert_eq!(ignored, ["--tensor-parallel-size 2", "--trust-remote-code"]);
    }

    #[test]
    fn short_flags_and_negative_numbers_are_told_apart() {
        let (options, ignored) = read_line("qwen --unknown -tp 2 --max-model-len -1 --seed -5").unwrap();
        assert_eq!(options.max_model_len, Options::default().max_model_len);
        assert_eq!(ignored, ["--unknown", "--tp 2", "--seed -5"]);
    }

    #[test]
    fn wrong_values_are_named() {
        let message = |line: &str| read_line(line).unwrap_err().to_string();
        assert_eq!(message("m --port many"), "argument --port: invalid value 'many': expected a port");
        assert_eq!(
            message("m --max-num-seqs 0"),
            "argument --max-num-seqs: invalid value '0': expected a positive integer"
        );
        assert_eq!(message("m --speed"), "argument --speed: expected a value");
        assert!(message("--port 1").contains("no model is named"));
    }

    #[test]
    fn empty_arguments_of_templates_are_skipped() {
        let (options, _) = read(vec!["serve".into(), String::new(), "m".into(), String::new()]).unwrap();
        assert_eq!(options.model, "m");
    }
}
