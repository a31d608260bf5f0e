//! Kills a test and everything it started, daemons included.
//!
//! A process belongs to a test if it descends from the test's first process, is in its process
//! group, or still has the test's mark in its environment. A daemon that forked twice and took its
//! own session has lost the first two, but rarely the third.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The variable that marks a test's processes.
pub(super) const MARK: &str = "PROVE_JOB";
/// How long a killed process may take to end. One that waits for a broken disk never does.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two rounds of killing; a fork that races with one is seen in the next.
const PAUSE: Duration = Duration::from_millis(1);

/// Kills the process tree of `root`. `mark` is the value of [`MARK`] that `root` was started with,
/// and `group` says whether it leads a process group. Afterwards all its processes are gone, except
/// those that outlive their kill by [`PATIENCE`].
pub(super) fn kill_all(root: i32, mark: &str, group: bool) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let mut killed = false;
        for pid in members(root, mark, group) {
            killed |= kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
        }
        if !killed || give_up <= Instant::now() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    // Without /proc, this is all that can be found.
    let _ = kill(Pid::from_raw(if group { -root } else { root }), Signal::SIGKILL);
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

/// The living processes, without zombies.
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
