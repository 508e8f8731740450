//! Measures the built binary as a user meets it: how soon it serves, and what a machine full of services costs.
//!
//! Figures of one run on a shared machine are noisy: each is printed with its spread, and none is asserted on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::up::Up;
use crate::workspace;

/// From when on a fleet counts as idle.
const SETTLED_AFTER: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// From the start of the binary to Ready, and from there to the first streamed token
    Start {
        /// How often
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Many services at once: time until all are Ready, CPU when idle, memory
    Fleet {
        /// How many services, with two engines each
        #[arg(long, default_value_t = 200)]
        services: usize,
        /// How long the idle CPU is measured
        #[arg(long, default_value_t = 20)]
        idle_s: u64,
    },
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    match args.what {
        What::Start { runs } => start(runs)?,
        What::Fleet { services, idle_s } => fleet(services, idle_s)?,
    }
    Ok(true)
}

fn start(runs: usize) -> Result<()> {
    let example = workspace::root().join("examples/qwen2-7b.yaml");
    let (mut ready, mut token, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let dir = tempfile::tempdir()?;
        let up = Up::start(dir.path(), &[&example], &["--engine", "sim"], None, Duration::from_secs(60))?;
        ready.push(up.ready_ms);
        token.push(first_token(&up.endpoint)?.as_secs_f64() * 1000.0);
        drop(up);
        // The second start of a folder finds its state there.
        let up = Up::start(dir.path(), &[&example], &["--engine", "sim"], None, Duration::from_secs(60))?;
        again.push(up.ready_ms);
    }
    println!("{:<44} {:>8} {:>8} {:>8}", "ms", "min", "median", "max");
    for (name, figures) in [
        ("start to Ready, empty folder", &mut ready),
        ("start to Ready, folder with state", &mut again),
        ("Ready to first streamed token", &mut token),
    ] {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        println!("{name:<44} {:>8.0} {:>8.0} {:>8.0}", at(0), at(runs / 2), at(runs.saturating_sub(1)));
    }
    Ok(())
}

fn first_token(endpoint: &str) -> Result<Duration> {
    let address = endpoint.strip_prefix("http://").context("endpoint")?;
    let body = r#"{"model":"Qwen/Qwen2-7B-Instruct","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"Hi"}]}"#;
    let started = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut seen = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "the stream ended without a token: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..count]);
        if String::from_utf8_lossy(&seen).contains("\"content\":\"") {
            return Ok(started.elapsed());
        }
    }
}

fn fleet(services: usize, idle_s: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("services.yaml");
    let documents: Vec<String> = (0..services)
        .map(|number| {
            format!(
                "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: s{number}\n  namespace: default\n\
                 spec:\n  replicas: 2\n  model:\n    uri: hf://acme/s{number}\n    name: acme/s{number}\n  router:\n    route: {{}}\n    \
                 gateway: {{}}\n    scheduler: {{}}\n"
            )
        })
        .collect();
    std::fs::write(&file, documents.join("---\n"))?;
    let data = dir.path().join("data");
    let up = Up::start(&data, &[&file], &["--engine", "inline-sim"], None, Duration::from_secs(600))?;
    println!(
        "{services} services with 2 simulated engines each: all Ready after {:.1} s",
        up.ready_ms / 1000.0
    );
    println!("CPU until then {:.1} s", Usage::of(up.id())?.cpu_s);
    // The last statuses and events are still being written when the last service is Ready.
    std::thread::sleep(SETTLED_AFTER);
    let before = Usage::of(up.id())?;
    println!("CPU until {} s later {:.1} s", SETTLED_AFTER.as_secs(), before.cpu_s);
    std::thread::sleep(Duration::from_secs(idle_s));
    let after = Usage::of(up.id())?;
    let share = (after.cpu_s - before.cpu_s) / idle_s.max(1) as f64;
    println!("idle CPU over {idle_s} s: {:.1} % of one core", share * 100.0);
    println!("RSS {:.0} MiB, peak {:.0} MiB", after.rss_mib, after.peak_mib);
    println!("state on disk {:.1} MiB", folder_bytes(&data.join("state"))? as f64 / 1_048_576.0);
    Ok(())
}

struct Usage {
    cpu_s: f64,
    rss_mib: f64,
    peak_mib: f64,
}

impl Usage {
    fn of(process: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib =
                line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
            kib.unwrap_or(f64::NAN) / 1024.0
        };
        // Linux counts in ticks of 10 ms on every machine that this runs on.
        Ok(Self { cpu_s: (ticks(11) + ticks(12)) / 100.0, rss_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:") })
    }
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        sum +=
            if entry.file_type()?.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}
