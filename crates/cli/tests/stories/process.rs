//! `llmisvc up` as a child process, and a client small enough to see through.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn llmisvc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llmisvc"));
    // No real engine, whatever this machine has, and no state of the user who runs the tests.
    command.env("XDG_STATE_HOME", "/nonexistent").env_remove("LLMISVC_LOG").stdin(Stdio::null());
    command
}

/// A running `up`, killed with everything below it when dropped.
pub(crate) struct Up {
    pub(crate) process: Child,
    events: Receiver<Value>,
}

impl Up {
    pub(crate) fn start(data_dir: &Path, args: &[&str]) -> Self {
        let mut process = llmisvc()
            .args(["up", "--listen", "127.0.0.1:0", "--output", "json", "--engine", "sim", "--speed", "50"])
            .arg("--data-dir")
            .arg(data_dir)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { process, events }
    }

    /// The next event that satisfies `wanted`.
    pub(crate) fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) if wanted(&event) => return event,
                Ok(event) => seen.push(event.to_string()),
                Err(error) => panic!("waiting for {what}: {error}; seen:\n{}", seen.join("\n")),
            }
        }
    }

    /// Waits until all services are Ready; gives `host:port` of the gateway.
    pub(crate) fn serving(&mut self) -> String {
        let event = self.wait_for("serving", |event| event["step"] == "serving");
        event["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
    }

    /// Ctrl-C; gives the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        signal(self.process.id(), "INT");
        self.process.wait().unwrap().code()
    }

    /// Ids of all processes below `up` whose command line contains `word`.
    pub(crate) fn children(&self, word: &str) -> Vec<u32> {
        below(self.process.id())
            .into_iter()
            .filter(|(_, command)| command.contains(word))
            .map(|(id, _)| id)
            .collect()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            signal(self.process.id(), "INT");
            let _ = self.process.wait();
        }
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {process}");
}

/// Id and command line of every process below `root`.
pub(crate) fn below(root: u32) -> Vec<(u32, String)> {
    let all = processes();
    let mut found = Vec::new();
    let mut roots = vec![root];
    while let Some(parent) = roots.pop() {
        for (id, _, command) in all.iter().filter(|(_, p, _)| *p == parent) {
            roots.push(*id);
            found.push((*id, command.clone()));
        }
    }
    found
}

/// Id, parent and command line of every process of the machine that can be read.
pub(crate) fn processes() -> Vec<(u32, u32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            let command = std::fs::read_to_string(entry.path().join("cmdline")).ok()?.replace('\0', " ");
            Some((id, parent, command))
        })
        .collect()
}

/// Status and body of an HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub(crate) fn get(address: &str, path: &str) -> Answer {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).unwrap()
}

pub(crate) fn post(address: &str, path: &str, body: &Value) -> std::io::Result<Answer> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    request(address, &(head + &body))
}

fn request(address: &str, text: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok(Answer { status, body: if chunked { dechunk(body) } else { body.to_owned() } })
}

fn dechunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || tail.len() < size {
            break;
        }
        body.push_str(&tail[..size]);
        rest = tail[size..].trim_start_matches("\r\n");
    }
    body
}

/// A service in a file of its own.
pub(crate) fn service_file(dir: &Path, name: &str, replicas: u32) -> PathBuf {
    let file = dir.join(format!("{name}.yaml"));
    let text = format!(
        "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n  \
         replicas: {replicas}\n  model:\n    uri: hf://acme/{name}\n    name: acme/{name}\n  router:\n    route: {{}}\n    \
         gateway: {{}}\n    scheduler: {{}}\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

pub(crate) fn chat(model: &str) -> Value {
    serde_json::json!({"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]})
}
