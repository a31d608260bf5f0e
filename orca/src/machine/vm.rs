//! The real machine: QEMU with an agent inside, ready for a test.

use super::diagnose::{Diagnosis, diagnose};
use super::drive::{self, ExternalEvents, Fault, GuestTimeouts, NodeEvent};
use super::interface::{Machine, Order, Phase, Ran, Sink};
use super::launch::Instance;
use crate::cancel::Cancel;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::{Guest, Writer};
use crate::host::clock;
use crate::qemu::console::{self, Console};
use agent::wire::{Command, Frame};
use crossbeam::channel::Receiver;
use serde_json::Value;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// How long an orderly stop may take before it becomes a kill.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A booted machine.
pub struct Vm {
    /// Before `instance`: the connection closes before QEMU is killed.
    guest: Guest,
    instance: Instance,
    timeouts: GuestTimeouts,
}

impl Vm {
    pub(super) fn new(instance: Instance, guest: Guest, timeouts: GuestTimeouts) -> Self {
        Self { guest, instance, timeouts }
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
    ) -> Result<Ran, Fault> {
        let events = ExternalEvents { panicked: self.panicked(), node_events };
        drive::drive(&mut self.guest, order, self.timeouts, cancel, events, sink)
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
        self.run_with_nodes(node_events, order, cancel, sink).map_err(|fault| self.trouble(fault))
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
