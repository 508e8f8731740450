//! Processes of this machine: what is below us, who a process is, what to end. Reads `/proc`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Process id; also the session id, where the process leads one.
    pub pid: i32,
    /// Clock ticks from the start of the machine to the start of the process.
    pub start_ticks: u64,
    /// The machine's start.
    pub boot_id: String,
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    pid: i32,
    parent: i32,
    session: i32,
    start_ticks: u64,
    zombie: bool,
}

/// Who `pid` is now; `None` if there is no such process.
pub(crate) fn identify(pid: i32) -> Option<Identity> {
    Some(Identity { pid, start_ticks: stat(pid)?.start_ticks, boot_id: boot_id()? })
}

/// Ends the session that `leader` led: every process of it, whether the leader still lives or not.
/// A session number cannot be given out again while one of its processes lives, so this hits no stranger.
/// Returns how many processes were ended.
pub(crate) fn kill_session(leader: &Identity) -> usize {
    if boot_id().as_ref() != Some(&leader.boot_id) {
        return 0;
    }
    if stat(leader.pid).is_some_and(|stat| stat.start_ticks != leader.start_ticks) {
        return 0;
    }
    let members: Vec<i32> = all()
        .filter(|stat| stat.session == leader.pid && stat.start_ticks >= leader.start_ticks && !stat.zombie)
        .map(|stat| stat.pid)
        .collect();
    members.iter().for_each(|pid| kill(*pid));
    members.len()
}

/// Ends every process below this one; those that they leave behind come to us, a subreaper, and are found next time.
pub(crate) fn kill_descendants() {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for stat in all().filter(|stat| !stat.zombie) {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let mut next = vec![own];
    while let Some(parent) = next.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            kill(pid);
            next.push(pid);
        }
    }
}

/// Where a program is: a path as it is, a name along `path` (the caller's own PATH if absent).
pub(crate) fn find(program: &str, path: Option<&str>) -> Option<PathBuf> {
    if program.is_empty() {
        return None;
    }
    if program.contains('/') {
        return is_executable(Path::new(program)).then(|| program.into());
    }
    let own = std::env::var("PATH").unwrap_or_default();
    let path = path.unwrap_or(&own);
    std::env::split_paths(path).map(|directory| directory.join(program)).find(|file| is_executable(file))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn all() -> impl Iterator<Item = Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold blanks and parentheses itself.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    Some(Stat {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}
