//! The guides say nothing that does not work: their blocks run in order, in one folder, as a reader would paste them, and
//! what a guide shows as output is compared with what comes.
//!
//! The first line of a fenced block says what becomes of it:
//! - `sh run`: run to its end; the exit code is 0, or N after `exit=N`.
//! - `sh run up`: started and left running. A reader ends it with Ctrl-C.
//! - `text` right after one of these: its output. `<time>` and other words in angle brackets stand for anything, a line `…`
//!   for any lines. Of an `up` they are the lines that have to come, in any order, for its parts work at the same time.
//! - `text stop`: Ctrl-C, and what comes then. The exit code is 130.
//! - anything else is not run: it needs programs of others, which `cargo xtask foreign` runs.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than anything in a guide takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn getting_started_works_as_written() {
    follow("docs/getting-started.md");
}

#[test]
fn the_readme_works_as_written() {
    follow("README.md");
}

#[test]
fn composition_works_as_written() {
    follow("docs/composition.md");
}

#[test]
fn errors_are_as_written() {
    follow("docs/errors.md");
}

/// One fenced block.
struct Block {
    /// Words after the fence.
    words: Vec<String>,
    /// Line of the fence, from 1.
    line: usize,
    text: String,
}

/// Runs a guide in a folder that holds `examples/` and nothing else.
fn follow(guide: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("examples"), dir.path().join("examples")).unwrap();
    let blocks = blocks(&std::fs::read_to_string(root.join(guide)).unwrap());
    assert!(blocks.iter().any(|block| block.is(&["sh", "run"])), "{guide} has nothing to run");
    let mut up: Option<Up> = None;
    // What the block before wrote, if it ran to its end.
    let mut output: Option<String> = None;
    let mut just_started = false;
    for block in &blocks {
        let at = format!("{guide}:{}", block.line);
        if block.is(&["sh", "run", "up"]) {
            assert!(up.is_none(), "{at}: another `up` is running");
            up = Some(Up::start(dir.path(), &block.text));
            (output, just_started) = (None, true);
        } else if block.is(&["sh", "run"]) {
            output = Some(run(dir.path(), block, &at));
            just_started = false;
        } else if block.is(&["text", "stop"]) {
            up.take().unwrap_or_else(|| panic!("{at}: no `up` is running")).stop(&block.text, &at);
            (output, just_started) = (None, false);
        } else {
            if block.is(&["text"]) && just_started {
                up.as_mut().unwrap().says(&block.text, &at);
            } else if block.is(&["text"])
                && let Some(output) = &output
            {
                let (wanted, made): (Vec<_>, Vec<_>) =
                    (block.text.lines().collect(), output.lines().collect());
                assert!(same(&wanted, &made), "{at}: wanted\n{}\nbut it is\n{output}", block.text);
            }
            (output, just_started) = (None, false);
        }
    }
    assert!(up.is_none(), "{guide} leaves an `up` running");
}

impl Block {
    fn is(&self, words: &[&str]) -> bool {
        let has = self.words.iter().map(String::as_str);
        if words == ["text"] {
            has.eq(words.iter().copied())
        } else {
            has.take(words.len()).eq(words.iter().copied())
        }
    }
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in markdown.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            if !open {
                let words = info.split_whitespace().map(str::to_owned).collect();
                blocks.push(Block { words, line: index + 1, text: String::new() });
            }
            open = !open;
        } else if open && let Some(block) = blocks.last_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(!open, "a block has no end");
    blocks
}

/// `sh` with the built binary first on the PATH, and no state of the user who runs the tests.
fn shell(dir: &Path, script: &str) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_llmisvc"));
    let first = program.parent().unwrap().to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&rest))).unwrap();
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(dir).stdin(Stdio::null());
    command.env("PATH", path).env("XDG_STATE_HOME", dir.join("state")).env_remove("LLMISVC_LOG");
    command
}

fn run(dir: &Path, block: &Block, at: &str) -> String {
    let wanted = block
        .words
        .iter()
        .find_map(|word| word.strip_prefix("exit="))
        .map_or(0, |code| code.parse().unwrap());
    // Both streams in one, as a terminal shows them.
    let output = shell(dir, &format!("exec 2>&1\n{}", block.text)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(wanted), "{at}:\n{text}");
    text
}

/// An `up` that a guide started.
struct Up {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Up {
    fn start(dir: &Path, script: &str) -> Self {
        // `exec`, so that the process is the program itself and not a shell around it.
        let mut command = shell(dir, &format!("exec 2>&1\nexec {script}"));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { process, lines, seen: Vec::new() }
    }

    /// Waits until every line of `wanted` has come. If the command to try is one of them, it has to work.
    fn says(&mut self, wanted: &str, at: &str) {
        self.wait_for(wanted, at);
        if wanted.lines().any(|line| line.starts_with("try ")) {
            let line = self.seen.iter().find(|line| line.starts_with("try ")).unwrap();
            try_it(line, at);
        }
    }

    /// Ctrl-C.
    fn stop(mut self, wanted: &str, at: &str) {
        self.interrupt();
        self.wait_for(wanted, at);
        assert_eq!(self.process.wait().unwrap().code(), Some(130), "{at}: exit code");
    }

    fn wait_for(&mut self, wanted: &str, at: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut missing: Vec<&str> =
            wanted.lines().filter(|line| !line.trim().is_empty() && *line != "…").collect();
        loop {
            missing.retain(|wanted| !self.seen.iter().any(|line| matches(wanted.trim(), line.trim())));
            if missing.is_empty() {
                return;
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(error) => {
                    let why = if error == RecvTimeoutError::Timeout { "in time" } else { "before it ended" };
                    panic!(
                        "{at}: did not come {why}:\n{}\nbut:\n{}",
                        missing.join("\n"),
                        self.seen.join("\n")
                    );
                }
            }
        }
    }

    fn interrupt(&self) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.process.wait();
        }
    }
}

/// Sends what the `curl` line says, and waits for the first streamed word.
fn try_it(line: &str, at: &str) {
    let url = line.split(' ').find_map(|word| word.strip_prefix("http://")).unwrap();
    let (address, path) = url.split_once('/').unwrap();
    let body = line.split_once("-d '").and_then(|(_, rest)| rest.strip_suffix('\'')).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let (mut answer, mut chunk) = (String::new(), [0; 4096]);
    while !answer.contains("\"delta\":{\"content\":\"") {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "{at}: `{line}` got\n{answer}");
        answer.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{at}: {answer}");
}

/// Whether the lines are those of the pattern, in which a line `…` stands for any number of lines.
fn same(pattern: &[&str], lines: &[&str]) -> bool {
    match pattern.split_first() {
        None => lines.is_empty(),
        Some((&"…", rest)) => (0..=lines.len()).any(|skipped| same(rest, &lines[skipped..])),
        Some((first, rest)) => {
            lines.split_first().is_some_and(|(line, more)| matches(first, line) && same(rest, more))
        }
    }
}

/// Whether the line is the pattern, in which a word in angle brackets stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let placeholder = |rest: &str| {
        let end = rest.find('>')?;
        let is_word = end > 0 && rest[..end].bytes().all(|b| b.is_ascii_lowercase());
        is_word.then_some(end + 1)
    };
    let mut from = 0;
    while let Some(at) = pattern[from..].find('<').map(|at| from + at) {
        let Some(length) = placeholder(&pattern[at + 1..]) else {
            from = at + 1;
            continue;
        };
        let rest = &pattern[at + 1 + length..];
        let Some(tail) = line.strip_prefix(&pattern[..at]) else { return false };
        return tail.char_indices().skip(1).any(|(index, _)| matches(rest, &tail[index..]))
            || !tail.is_empty() && rest.is_empty();
    }
    pattern.trim_end() == line.trim_end()
}

#[test]
fn a_word_in_angle_brackets_stands_for_any_text_and_nothing_else_does() {
    assert!(matches(
        "   <time>s  Ready  http://127.0.0.1:<port>/x",
        "   1.25s  Ready  http://127.0.0.1:8080/x"
    ));
    assert!(matches("took <time>", "took 3"));
    assert!(!matches("took <time>", "took "));
    assert!(!matches("a <b", "a c"));
    assert!(same(&["a", "…", "b <n>"], &["a", "x", "y", "b 1"]));
    assert!(!same(&["a"], &["a", "b"]));
}
