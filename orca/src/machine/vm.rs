//! The real machine: QEMU with an agent inside, ready for a test.

use super::diagnose::{Diagnosis, diagnose};
use super::drive::{self, ExternalEvents, Fault, GuestTimeouts, Left, NodeEvent};
use super::fork::{ForkPoint, FrozenMachine, Paused};
use super::freezer::Freezer;
use super::interface::{Forked, Machine, Order, Phase, Ran, SetUp, Sink, Warn};
use super::launch::{Instance, boot_failure};
use crate::cancel::Cancel;
use crate::error::plain;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::{Guest, Writer};
use crate::host::clock;
use crate::qemu::console::{self, Console};
use agent::wire::{Command, Frame};
use crossbeam::channel::Receiver;
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an orderly stop may take before it becomes a kill.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A booted machine.
pub struct Vm {
    /// Before `instance`: the connection closes before QEMU is killed.
    guest: Guest,
    instance: Instance,
    timeouts: GuestTimeouts,
    /// What freezes it; `None` if it cannot be frozen.
    freezer: Option<Freezer>,
    /// The test that goes on in it.
    paused: Option<Paused>,
}

impl Vm {
    pub(super) fn new(
        instance: Instance,
        guest: Guest,
        timeouts: GuestTimeouts,
        freezer: Option<Freezer>,
    ) -> Self {
        Self { guest, instance, timeouts, freezer, paused: None }
    }

    /// Lets the test `paused` go on in it.
    pub(super) fn pause(&mut self, paused: Paused) {
        self.paused = Some(paused);
    }

    /// The connection to its agent, for a shell or a command.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// Runs a test and handles the events of other nodes meanwhile.
    pub(super) fn run_with_nodes(
        &mut self,
        node_events: Receiver<NodeEvent>,
        order: &Order,
        cancel: &Cancel,
        sink: &mut dyn Sink,
    ) -> Result<Left, Fault> {
        let events = ExternalEvents { panicked: self.panicked(), node_events };
        let order = (order, self.paused.take());
        drive::drive(&mut self.guest, order, self.timeouts, cancel, events, sink)
    }

    /// Makes sure that its agent has heard all that was said to it.
    ///
    /// # Errors
    /// The agent does not answer.
    pub(super) fn hush(&mut self) -> io::Result<()> {
        self.guest.hush(clock::now() + self.timeouts.ping)
    }

    /// Stops its CPUs.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub(super) fn stop_running(&mut self) -> io::Result<()> {
        self.instance.qmp.execute("stop", Value::Null, Instant::now() + STOP_LIMIT).map(drop)
    }

    /// Freezes it as it runs, when its agent is hushed. It has ended afterwards.
    ///
    /// # Errors
    /// Why it cannot be frozen.
    pub(super) fn freeze(&mut self) -> io::Result<FrozenMachine> {
        let freezer = self.freezer.take().ok_or_else(|| io::Error::other("no template"))?;
        let source = freezer.freeze(&mut self.instance, true)?;
        let conversation = self.guest.conclude();
        Ok(FrozenMachine { source, conversation, shape: freezer.shape })
    }

    /// Reads what tests read first, and freezes the machine: from now on machines of its shape are
    /// copies of it. `warming` is what is done, with the project it is done in.
    ///
    /// # Errors
    /// Why it cannot be frozen.
    pub(super) fn become_base(mut self, warming: (&Path, &'static str)) -> Result<(), Trouble> {
        let limit = self.timeouts.ping;
        let deadline = clock::now() + limit;
        let failed = |e: io::Error| boot_failure(format!("cannot be frozen: {}", plain(&e)));
        let freezer = self.freezer.take().ok_or_else(|| failed(io::Error::other("no template")))?;
        self.guest.exec(warming.1, deadline).map_err(failed)?;
        freezer.become_base(&mut self.guest, &mut self.instance, warming, limit).map_err(failed)
    }

    /// The cases that a test forked into. If the machine cannot be frozen, they will be run from
    /// the beginning.
    fn forked(&mut self, paused: Paused, names: Vec<String>, sink: &mut dyn Sink) -> Ran {
        let point = match self.hush().and_then(|()| self.freeze()) {
            Ok(machine) => Some(Arc::new(ForkPoint::of_one(paused, machine))),
            Err(error) => {
                sink.note(&format!("the machine cannot be frozen: {}", plain(&error)));
                None
            }
        };
        Ran { forked: Some(Forked { names, point }), ..Ran::default() }
    }

    /// Closes when there is reason to think that its kernel is dead.
    pub(super) fn panicked(&self) -> Receiver<Infallible> {
        self.instance.resources.console.panicked().clone()
    }

    /// How long its guest may take to answer.
    pub(super) fn timeouts(&self) -> GuestTimeouts {
        self.timeouts
    }

    /// Turns a fault of the connection into trouble. QEMU is ended first, so that the console is
    /// complete, unless the agent only refused the test.
    pub fn trouble(&mut self, mut fault: Fault) -> Trouble {
        if fault.kind == Kind::Hung {
            fault.detail = self.instance.paused_by_host().unwrap_or(fault.detail);
        }
        let found = (fault.kind == Kind::Hung).then(|| diagnose(&mut self.instance));
        if fault.kind != Kind::Refused {
            self.instance.resources.end();
        }
        let Diagnosis { before, console } = found.unwrap_or_else(|| {
            let console = self.instance.resources.console.tail();
            Diagnosis { before: console.clone(), console }
        });
        match console::death(&before) {
            Some(death) if matches!(fault.kind, Kind::Lost | Kind::Hung) => Trouble {
                kind: Kind::Panicked,
                detail: death.to_owned(),
                console: console::last_words(&before).into(),
            },
            _ => Trouble { kind: fault.kind, detail: fault.detail, console: console.into() },
        }
    }
}

impl Machine for Vm {
    fn name(&self) -> &str {
        &self.instance.name
    }

    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble> {
        let node_events = crossbeam::channel::never();
        match self.run_with_nodes(node_events, order, cancel, sink) {
            Ok(Left::Ended(ran)) => Ok(ran),
            Ok(Left::Forking(paused, names)) => Ok(self.forked(paused, names, sink)),
            Err(fault) => Err(self.trouble(fault)),
        }
    }

    fn become_setup(mut self: Box<Self>, setup: &SetUp, warn: Warn<'_>) -> Result<(), Trouble> {
        let limit = self.timeouts.ping;
        let boot = |e: io::Error| boot_failure(format!("cannot be frozen: {}", plain(&e)));
        let freezer = self.freezer.take().ok_or_else(|| boot(io::Error::other("no template")))?;
        freezer.become_setup(&mut self.guest, &mut self.instance, setup, limit, warn).map_err(boot)
    }

    fn phases(&self) -> &[Phase] {
        &self.instance.phases
    }

    fn connection(&self) -> Option<(Receiver<Frame>, Writer)> {
        Some((self.guest.inbox().clone(), self.guest.writer()))
    }

    fn console(&self) -> String {
        self.instance.resources.console.tail()
    }

    fn stop(mut self: Box<Self>) {
        if self.guest.ask(Command::Exit, clock::now() + STOP_LIMIT).is_ok() {
            // Whether or not it ended: dropping the process kills what is left.
            let _ = self.instance.qmp.execute("quit", Value::Null, Instant::now() + STOP_LIMIT);
        }
    }
}

/// A machine whose serial console is a person's.
pub struct ConsoleVm {
    instance: Instance,
}

impl ConsoleVm {
    pub(super) fn new(instance: Instance) -> Self {
        Self { instance }
    }

    /// The console.
    pub fn console(&self) -> &Console {
        &self.instance.resources.console
    }
}
