//! The processes of this system, as `/proc` has them: one of them, and a walk that finds those of
//! one command.

use std::fs;

/// The environment variable by which the walk recognises daemons.
pub(crate) const MARK: &str = "ORCA_SCOPE";
/// `PF_KTHREAD`, the flag of the kernel's own processes.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A process that is alive, as `/proc/PID/stat` has it.
pub(crate) struct Process {
    pub(crate) parent: i32,
    session: i32,
    /// Whether it is one of the kernel's threads.
    pub(crate) is_kernels: bool,
}

/// A process that the walk comes by.
struct Walked {
    pid: i32,
    parent: i32,
    found: bool,
}

/// The processes that have this mark in their environment, are in this session, or descend from one
/// that does.
pub(crate) fn walk(mark: &str, session: i32) -> Vec<i32> {
    let entry = format!("{MARK}={mark}");
    let mut all: Vec<Walked> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|dir| dir.file_name().to_str()?.parse().ok())
        .filter_map(|pid| look_at(pid, entry.as_bytes(), session))
        .collect();
    let mut grew = true;
    while grew {
        grew = false;
        for at in 0..all.len() {
            let parent = all[at].parent;
            if !all[at].found && all.iter().any(|p| p.found && p.pid == parent) {
                all[at].found = true;
                grew = true;
            }
        }
    }
    all.into_iter().filter(|process| process.found).map(|process| process.pid).collect()
}

/// Process `pid`, unless it is dead already.
fn look_at(pid: i32, entry: &[u8], session: i32) -> Option<Walked> {
    let process = Process::read(pid)?;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let marked = || environment.split(|&b| b == 0).any(|variable| variable == entry);
    let found = process.session == session || marked();
    Some(Walked { pid, parent: process.parent, found })
}

impl Process {
    /// Process `pid`, unless it is dead already.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses, and may contain some.
        let close = stat.iter().rposition(|&b| b == b')')?;
        let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let parent = fields.next()?.parse().ok()?;
        // Skips the process group.
        let session = fields.nth(1)?.parse().ok()?;
        // Skips the terminal and its foreground group.
        let flags: u32 = fields.nth(2)?.parse().ok()?;
        Some(Self { parent, session, is_kernels: flags & KERNEL_THREAD != 0 })
    }
}
