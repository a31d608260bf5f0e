//! Kills a test and everything it started, however far that went.
//!
//! A process belongs to a test if it descends from the test's first process, is in its process
//! group, or still carries the mark that the test got in its environment: a daemon that forked
//! twice and took a session of its own has lost the first two, rarely the third.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;

/// The variable that marks a test's processes.
pub(super) const MARK: &str = "PROVE_JOB";
/// Rounds of looking and killing; a fork that races with one round is seen in the next.
const MAX_ROUNDS: usize = 50;

/// Kills the tree of `root`; `mark` is the value of [`MARK`] it was started with, `group` tells
/// whether it leads a process group.
pub(super) fn kill_all(root: i32, mark: &str, group: bool) {
    for _ in 0..MAX_ROUNDS {
        let mut killed = false;
        for pid in members(root, mark, group) {
            killed |= kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
        }
        if !killed {
            break;
        }
        std::thread::yield_now();
    }
    let _ = kill(Pid::from_raw(root), Signal::SIGKILL);
}

/// One living process.
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
}

fn members(root: i32, mark: &str, group: bool) -> Vec<i32> {
    let all = processes();
    let mut found = HashSet::from([root]);
    let marked = |pid| has_mark(pid, mark);
    let own = std::process::id().cast_signed();
    for process in &all {
        if (group && process.group == root) || marked(process.pid) {
            found.insert(process.pid);
        }
    }
    loop {
        let before = found.len();
        let children = all.iter().filter(|p| found.contains(&p.parent)).map(|p| p.pid);
        found.extend(children.collect::<Vec<_>>());
        if found.len() == before {
            break;
        }
    }
    found.remove(&own);
    all.into_iter().map(|p| p.pid).filter(|pid| found.contains(pid)).collect()
}

/// The living processes; zombies are not among them.
fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let read = |pid: i32| {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let end = memchr::memrchr(b')', &stat)?;
        let fields = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
        let mut fields = fields.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X");
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (!dead).then_some(Process { pid, parent, group })
    };
    pids.filter_map(read).collect()
}

fn has_mark(pid: i32, mark: &str) -> bool {
    let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = format!("{MARK}={mark}");
    environ.split(|&b| b == 0).any(|variable| variable == wanted.as_bytes())
}
