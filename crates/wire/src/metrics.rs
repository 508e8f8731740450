//! The few series of an engine's Prometheus text that scheduling needs, found without copying the text.
//!
//! In: the text of `/metrics`. Out: [`Load`], with `None` for a series that is not there. Names are compared whole:
//! `vllm:num_requests_waiting_by_reason` begins like `vllm:num_requests_waiting` and is another series. A line that is
//! not understood is skipped, as a newer engine may print what we do not know.
//!
//! One engine process with several data-parallel ranks prints one series for each `engine`. Requests are then summed
//! and the cache's use is averaged, since the endpoint that is chosen is the process.

use std::borrow::Cow;

/// Query string for `/metrics` that asks for the series of [`load`] alone, a tenth or less of the text. vLLM's Python
/// client understands it; an engine that serves its API from several processes then answers with no series at all, and
/// must be asked without it.
pub const QUERY: &str = "name[]=vllm:num_requests_waiting&name[]=vllm:num_requests_running\
                         &name[]=vllm:kv_cache_usage_perc&name[]=vllm:gpu_cache_usage_perc\
                         &name[]=vllm:cache_config_info&name[]=vllm:lora_requests_info";

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load<'a> {
    /// Requests that wait for the engine (`vllm:num_requests_waiting`).
    pub waiting: Option<f64>,
    /// Requests in the engine's batch (`vllm:num_requests_running`).
    pub running: Option<f64>,
    /// Used part of the KV cache, 0 to 1 (`vllm:kv_cache_usage_perc`; before 0.10 `vllm:gpu_cache_usage_perc`).
    pub kv_used_ratio: Option<f64>,
    /// Tokens in a block of the KV cache (`block_size` of `vllm:cache_config_info`).
    pub cache_block_tokens: Option<u32>,
    /// Blocks in the KV cache, over all ranks (`num_gpu_blocks` of `vllm:cache_config_info`).
    pub cache_blocks: Option<u64>,
    /// The adapters (`vllm:lora_requests_info`); `None` for an engine without LoRA.
    pub adapters: Option<Adapters<'a>>,
}

/// The newest series of `vllm:lora_requests_info`.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters<'a> {
    /// How many adapters may be in one batch.
    pub max: Option<u32>,
    /// Names of the adapters that run, separated by commas.
    pub running: Cow<'a, str>,
    /// Names of the adapters that wait, separated by commas.
    pub waiting: Cow<'a, str>,
    /// When the engine wrote this series, in seconds since the epoch: its value.
    pub written_s: f64,
}

impl Adapters<'_> {
    /// Names in a comma list, without blanks and empty names.
    pub fn names(list: &str) -> impl Iterator<Item = &str> {
        list.split(',').map(str::trim).filter(|name| !name.is_empty())
    }
}

/// One line of Prometheus text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Series<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// What stands between the braces; empty without braces.
    pub labels: &'a str,
    /// The value; may be NaN or infinite.
    pub value: f64,
}

impl<'a> Series<'a> {
    /// The value of a label, with escapes undone; `None` if there is no such label or the labels are malformed before it.
    pub fn label(&self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.labels;
        loop {
            rest = rest.trim_start_matches([' ', ',', '\t']);
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start().strip_prefix('"')?;
            let end = closing_quote(after)?;
            if name.trim_end() == wanted {
                return Some(unescape(&after[..end]));
            }
            rest = &after[end + 1..];
        }
    }
}

/// The load of an engine, from the text of its `/metrics`.
pub fn load(text: &[u8]) -> Load<'_> {
    let mut load = Load::default();
    let mut kv = Mean::default();
    let mut kv_old = Mean::default();
    for line in lines(text) {
        // A cheap look before a line is taken apart: all names begin so.
        if !line.starts_with(b"vllm:") {
            continue;
        }
        let Some(name) = name_of(line) else { continue };
        let wanted = matches!(
            name,
            b"vllm:num_requests_waiting"
                | b"vllm:num_requests_running"
                | b"vllm:kv_cache_usage_perc"
                | b"vllm:gpu_cache_usage_perc"
                | b"vllm:cache_config_info"
                | b"vllm:lora_requests_info"
        );
        if !wanted {
            continue;
        }
        let Some(series) = parse(line) else { continue };
        match series.name {
            "vllm:num_requests_waiting" => add(&mut load.waiting, series.value),
            "vllm:num_requests_running" => add(&mut load.running, series.value),
            "vllm:kv_cache_usage_perc" => kv.add(series.value),
            "vllm:gpu_cache_usage_perc" => kv_old.add(series.value),
            "vllm:cache_config_info" => {
                load.cache_block_tokens =
                    load.cache_block_tokens.or_else(|| series.label("block_size")?.parse().ok());
                if let Some(blocks) =
                    series.label("num_gpu_blocks").and_then(|blocks| blocks.parse::<u64>().ok())
                {
                    load.cache_blocks = Some(load.cache_blocks.unwrap_or(0).saturating_add(blocks));
                }
            }
            _ => {
                let newer = load.adapters.as_ref().is_none_or(|known| series.value > known.written_s);
                if newer && series.value.is_finite() {
                    load.adapters = Some(Adapters {
                        max: series.label("max_lora").and_then(|max| max.parse().ok()),
                        running: series.label("running_lora_adapters").unwrap_or_default(),
                        waiting: series.label("waiting_lora_adapters").unwrap_or_default(),
                        written_s: series.value,
                    });
                }
            }
        }
    }
    load.kv_used_ratio = kv.value().or_else(|| kv_old.value());
    load
}

/// All series of a text in order, comments left out. For readers that want other names than [`load`] knows.
pub fn series(text: &[u8]) -> impl Iterator<Item = Series<'_>> {
    lines(text).filter_map(parse)
}

fn add(sum: &mut Option<f64>, value: f64) {
    if value.is_finite() {
        *sum = Some(sum.unwrap_or(0.0) + value);
    }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.count += 1.0;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (line, rest) = match memchr::memchr(b'\n', text) {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (text, &text[text.len()..]),
        };
        text = rest;
        Some(line)
    })
}

fn name_of(line: &[u8]) -> Option<&[u8]> {
    line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t')).map(|end| &line[..end])
}

/// `name{labels} value [timestamp]`; `None` for a comment, an empty line or what is malformed.
fn parse(line: &[u8]) -> Option<Series<'_>> {
    let line = std::str::from_utf8(line).ok()?.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(inside) => {
            let end = closing_brace(inside)?;
            (&inside[..end], &inside[end + 1..])
        }
        None => ("", rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?;
    if words.nth(1).is_some() || name.is_empty() {
        return None;
    }
    Some(Series { name, labels, value: value.parse().ok()? })
}

/// Where the brace closes that is not inside a quoted value.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + inside.get(at..)?.find(['"', '}'])?;
        if inside.as_bytes()[found] == b'}' {
            return Some(found);
        }
        at = found + 1 + closing_quote(&inside[found + 1..])? + 1;
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
