//! Processes of others, which tell nobody what they do.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Asks again and again whether something is so, at most for `limit`.
#[track_caller]
pub fn wait_for(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5)); // processes and files of others send no event
    }
}

/// Whether a process is alive; one that only waits to be reaped is not.
pub fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Sends a signal by its name, without `SIG`.
#[track_caller]
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}
