//! The one place where this process waits for children: its own and, as PID 1 or subreaper,
//! everybody's orphans.
//!
//! A plain `waitpid(-1)` loop would steal exit statuses: from a test's own waiter, and from the
//! standard library, which waits inside `Command::spawn` when exec fails, and panics if another
//! waiter was quicker. So one thread *peeks* (`WNOWAIT`) at a child that has ended, and reaps it
//! under a lock that is also held during every spawn. A status is consumed only when its owner is
//! known.

use crate::sys;
use crate::wire::Ended;
use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often to look for orphans while this process has no child of its own. Only helpers of the
/// kernel can become its children then.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Spawns children and reaps them. Clones share one reaper thread.
#[derive(Clone)]
pub(crate) struct Reaper(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The pipe that reports the end of each child, by the child's id.
    owned: Mutex<HashMap<i32, PipeWriter>>,
    spawned: Condvar,
}

/// A child whose end can be polled for.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// Readable once the child has been reaped.
    pub(crate) end: Exit,
}

/// The end of a child. It becomes readable when the child has been reaped.
pub(crate) struct Exit(PipeReader);

impl Reaper {
    /// Starts the reaper thread, which lives as long as the process.
    pub(crate) fn start() -> io::Result<Self> {
        let reaper = Self(Arc::default());
        let mine = reaper.clone();
        std::thread::Builder::new().name("reaper".into()).spawn(move || mine.run())?;
        Ok(reaper)
    }

    /// Spawns `command`. Nothing but [`Spawned::end`] may wait for the child.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Spawned> {
        let (reader, writer) = io::pipe()?;
        let mut owned = self.lock();
        let child = command.spawn()?;
        owned.insert(child.id() as i32, writer);
        drop(owned);
        self.0.spawned.notify_one();
        Ok(Spawned { child, end: Exit(reader) })
    }

    fn run(&self) {
        loop {
            match sys::peek_ended_child() {
                Ok(pid) => self.reap(pid),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    let owned = self.lock();
                    if owned.is_empty() {
                        drop(self.0.spawned.wait_timeout(owned, IDLE_TICK));
                    }
                }
            }
        }
    }

    fn reap(&self, pid: i32) {
        let mut owned = self.lock();
        let Some(status) = sys::reap(pid) else { return };
        if let Some(mut waiter) = owned.remove(&pid) {
            // A waiter that is gone has given up on this child.
            _ = waiter.write_all(&status.into_raw().to_ne_bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, PipeWriter>> {
        self.0.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exit {
    /// Blocks until the child has been reaped, and returns how it ended.
    pub(crate) fn wait(mut self) -> Ended {
        let mut raw = [0; 4];
        match io::Read::read_exact(&mut self.0, &mut raw) {
            Ok(()) => ended(std::process::ExitStatus::from_raw(i32::from_ne_bytes(raw))),
            Err(_) => Ended { exit: 255, ..Ended::default() },
        }
    }
}

impl std::os::fd::AsFd for Exit {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn ended(status: std::process::ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(exit), _) => Ended { exit, ..Ended::default() },
        (None, signal) => Ended { exit: 128 + signal.unwrap_or_default(), signal, left: 0 },
    }
}

/// Makes this process the parent of its descendants' orphans, as PID 1 is of all.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// The reaper of a test process. A second one would steal statuses from the first.
#[cfg(test)]
pub(crate) fn for_tests() -> &'static Reaper {
    static REAPER: std::sync::OnceLock<Reaper> = std::sync::OnceLock::new();
    REAPER.get_or_init(|| Reaper::start().unwrap())
}

/// Runs `command` to its end, as `Command::output` does in a process without a reaper. `meet` gets
/// the child, and may write its input.
#[cfg(test)]
pub(crate) fn output_for_tests(
    command: &mut Command,
    meet: impl FnOnce(&mut Child),
) -> (Ended, String, String) {
    use std::process::Stdio;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Spawned { mut child, end } = for_tests().spawn(command).unwrap();
    meet(&mut child);
    drop(child.stdin.take());
    let out = io::read_to_string(child.stdout.take().unwrap()).unwrap();
    // They are short enough to fit into their pipe meanwhile.
    let errors = io::read_to_string(child.stderr.take().unwrap()).unwrap();
    (end.wait(), out, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(reaper: &Reaper, script: &str) -> Ended {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        reaper.spawn(&mut command).unwrap().end.wait()
    }

    #[test]
    fn every_status_reaches_its_waiter() {
        let reaper = for_tests();
        for exit in [0, 1, 7, 255] {
            assert_eq!(run(reaper, &format!("exit {exit}")), Ended { exit, ..Ended::default() });
        }
        for signal in [9, 15, 34] {
            let ended = Ended { exit: 128 + signal, signal: Some(signal), left: 0 };
            assert_eq!(run(reaper, &format!("kill -{signal} $$")), ended);
        }
    }

    #[test]
    fn a_failed_exec_is_an_error_and_steals_nothing() {
        let reaper = for_tests();
        for _ in 0..50 {
            assert!(reaper.spawn(&mut Command::new("/no/such/program")).is_err());
            assert_eq!(run(reaper, "exit 3").exit, 3);
        }
    }
}
