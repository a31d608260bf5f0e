//! The agent as a child process of this host: no VM, no isolation, and ready in a millisecond.
//!
//! It runs the same agent behind the same protocol, so that everything from the command line to the
//! exit status can be tested where no VM matters. The help of `--machine local` says what that
//! means: a test can do anything to this host.

use super::drive::{self, ExternalEvents, Fault, GuestTimeouts, Left};
use super::interface::{Forked, Machine, Maker, Order, Phase, Ran, Sink, Warn};
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::events::trouble::{ConsoleTail, Kind, Trouble};
use crate::guest::client::{Guest, Writer};
use crate::host::clock;
use crate::shape::Shape;
use agent::wire::{Command as Ask, Frame};
use crossbeam::channel::Receiver;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the agent may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long the agent may take to leave, with everything that its tests started. This is longer
/// than the agent itself waits for processes that it has killed.
const LEAVE_LIMIT: Duration = Duration::from_secs(8);
/// How often orca checks meanwhile whether the agent has ended.
const LEAVE_TICK: Duration = Duration::from_millis(1);

/// Starts agents that run tests in `project`.
pub struct LocalMaker {
    /// The multi-call binary.
    pub program: PathBuf,
    /// The project's folder, which has the tests.
    pub project: PathBuf,
    /// How long an agent that runs a test may take to answer.
    pub timeouts: GuestTimeouts,
    /// How many agents have been started.
    pub made: AtomicU32,
}

impl Maker for LocalMaker {
    fn make(&self, _: Shape, cancel: &Cancel, _: Warn<'_>) -> Result<Box<dyn Machine>, Trouble> {
        let name = format!("local{}", self.made.fetch_add(1, Ordering::Relaxed) + 1);
        let boot = |e: io::Error| Trouble {
            kind: if e.kind() == io::ErrorKind::Interrupted { Kind::Killed } else { Kind::Boot },
            detail: format!("cannot start the agent: {}", plain(&e)),
            console: ConsoleTail::default(),
        };
        let (child, stream) = self.spawn().map_err(boot)?;
        let agent = Leaving(child);
        let guest = Guest::connect(stream, clock::now() + START_LIMIT, cancel.on(Level::Cut))
            .map_err(boot)?;
        Ok(Box::new(Local { guest, _agent: agent, name, timeouts: self.timeouts }))
    }
}

impl LocalMaker {
    fn spawn(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.program);
        command
            .args(["agent", "--stdio", "--project"])
            .arg(&self.project)
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::null())
            .process_group(0); // a Ctrl-C in the terminal is for orca alone
        Ok((command.spawn()?, ours))
    }
}

/// An agent whose connection is closed when this is dropped: it then ends all that its tests
/// started, and itself. Killing it at once would leave their processes and folders behind.
struct Leaving(Child);

impl Drop for Leaving {
    fn drop(&mut self) {
        let give_up = Instant::now() + LEAVE_LIMIT;
        while matches!(self.0.try_wait(), Ok(None)) {
            if give_up <= Instant::now() {
                // It may be dead already.
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            std::thread::sleep(LEAVE_TICK); // std has no wait with a timeout
        }
    }
}

/// A local machine. `guest` comes first: its connection closes before the agent's end is waited
/// for.
struct Local {
    guest: Guest,
    _agent: Leaving,
    name: String,
    timeouts: GuestTimeouts,
}

impl Machine for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble> {
        let events = ExternalEvents::of_one(crossbeam::channel::never());
        let order = (order, None);
        match drive::drive(&mut self.guest, order, self.timeouts, cancel, events, sink) {
            Ok(Left::Ended(ran)) => Ok(ran),
            Ok(Left::Forking(_, names)) => {
                Ok(Ran { forked: Some(Forked { names, point: None }), ..Ran::default() })
            }
            Err(Fault { kind, detail }) => {
                Err(Trouble { kind, detail, console: ConsoleTail::default() })
            }
        }
    }

    fn phases(&self) -> &[Phase] {
        &[]
    }

    fn connection(&self) -> Option<(Receiver<Frame>, Writer)> {
        Some((self.guest.inbox().clone(), self.guest.writer()))
    }

    fn stop(mut self: Box<Self>) {
        // The agent leaves in any case.
        let _ = self.guest.ask(Ask::Exit, clock::now() + Duration::from_secs(2));
    }
}
