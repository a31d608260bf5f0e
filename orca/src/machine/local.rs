//! The agent as a child process of this host: no VM, no isolation, and ready in a millisecond.
//!
//! It runs the same agent behind the same protocol, so that everything from the command line to the exit status can be tested where
//! no VM matters. `--machine local` says so in its help: whatever a test does, it does to this host.

use super::drive::{self, Alarms, Bounds};
use super::{Machine, Maker, Order, Phase, Ran, Shape, Sink, Tell};
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::guest::{Guest, Writer};
use crate::nursery;
use crate::trouble::{Kind, Trouble};
use agent::wire::{Command as Ask, Frame};
use crossbeam::channel::Receiver;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the agent may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

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
        let agent = Reaped(child);
        let guest = Guest::connect(stream, Instant::now() + START_LIMIT, cancel.on(Level::Cut))
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
            .stderr(Stdio::null());
        Ok((nursery::spawn(command)?, ours))
    }
}

/// Kills and reaps on drop.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Local {
    guest: Guest,
    _agent: Reaped,
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
        // It is killed if it does not go by itself.
        let _ = self.guest.ask(Ask::Exit, Instant::now() + Duration::from_secs(2));
    }
}
