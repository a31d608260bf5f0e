//! The agent as a child process of this host: no VM, no isolation, and ready in a millisecond.
//!
//! It runs the same agent behind the same protocol, so that everything from the command line to the exit status can be tested where
//! no VM matters. `--machine local` says so in its help: whatever a test does, it does to this host.

use super::drive::{self, Alarms, Bounds};
use super::{Machine, Maker, Order, Phase, Ran, Sink, Tell};
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::events::trouble::{Kind, Trouble};
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
/// How long it may take to leave, with all that its tests started: longer than it waits itself for what it has killed.
const LEAVE_LIMIT: Duration = Duration::from_secs(8);
/// How often it is looked at meanwhile.
const LEAVE_TICK: Duration = Duration::from_millis(1);

/// Starts agents that run tests in `project`.
pub struct LocalMaker {
    /// The multi-call binary.
    pub program: PathBuf,
    /// Where the tests are.
    pub project: PathBuf,
    /// Bounds on an agent that runs a test.
    pub bounds: Bounds,
    /// How many have been made.
    pub made: AtomicU32,
}

impl Maker for LocalMaker {
    fn make(&self, _: Shape, cancel: &Cancel, _: Tell<'_>) -> Result<Box<dyn Machine>, Trouble> {
        let name = format!("local{}", self.made.fetch_add(1, Ordering::Relaxed) + 1);
        let boot = |e: io::Error| Trouble {
            kind: if e.kind() == io::ErrorKind::Interrupted { Kind::Killed } else { Kind::Boot },
            detail: format!("cannot start the agent: {}", plain(&e)),
            console: "<empty>".to_owned(),
        };
        let (child, stream) = self.spawn().map_err(boot)?;
        let agent = Leaving(child);
        let guest = Guest::connect(stream, clock::now() + START_LIMIT, cancel.on(Level::Cut))
            .map_err(boot)?;
        Ok(Box::new(Local { guest, _agent: agent, name, bounds: self.bounds }))
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
            .process_group(0); // a Ctrl-C in the terminal is orca's to handle
        Ok((command.spawn()?, ours))
    }
}

/// An agent whose host has left when this is dropped, whatever ended that: it ends all that its tests started and then itself. To kill it
/// would be to leave their processes and folders behind.
struct Leaving(Child);

impl Drop for Leaving {
    fn drop(&mut self) {
        let give_up = Instant::now() + LEAVE_LIMIT;
        while matches!(self.0.try_wait(), Ok(None)) {
            if give_up <= Instant::now() {
                // Dead already is as good.
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            std::thread::sleep(LEAVE_TICK); // std knows no event for the end of a child
        }
    }
}

/// `guest` comes first, so that it is closed before the agent's end is waited for.
struct Local {
    guest: Guest,
    _agent: Leaving,
    name: String,
    bounds: Bounds,
}

impl Machine for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble> {
        let alarms = Alarms::of_one(crossbeam::channel::never());
        drive::drive(&mut self.guest, order, self.bounds, cancel, alarms, sink).map_err(|fault| {
            Trouble { kind: fault.kind, detail: fault.detail, console: "<empty>".to_owned() }
        })
    }

    fn phases(&self) -> &[Phase] {
        &[]
    }

    fn ends(&self) -> Option<(Receiver<Frame>, Writer)> {
        Some((self.guest.inbox().clone(), self.guest.writer()))
    }

    fn stop(mut self: Box<Self>) {
        // It leaves in any case.
        let _ = self.guest.ask(Ask::Exit, clock::now() + Duration::from_secs(2));
    }
}
