//! The interface between the pod and whatever runs a test.
//!
//! The pod knows these traits and nothing of QEMU. They are implemented by [`super::vm`] (the real
//! machine), [`super::local`] (the agent as a child process) and, in tests, by a scripted fake.

use super::fork::ForkPoint;
use crate::cancel::Cancel;
use crate::events::trouble::{ConsoleTail, Kind, Trouble};
use crate::guest::client::Writer;
use crate::shape::{Node, Shape};
use agent::wire::{Ended, Frame, SETUP};
use crossbeam::channel::Receiver;
use std::sync::Arc;
use std::time::Duration;

/// One test to run, as a machine sees it.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The machine that it runs on.
    pub shape: Shape,
    /// The test's path, relative to the project.
    pub path: Vec<u8>,
    /// Variables on top of the agent's own environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// How long the test may run.
    pub timeout: Duration,
    /// How long it may print nothing; `None`: without a limit.
    pub silence: Option<Duration>,
    /// Whether a complaint of the guest's kernel fails the test.
    pub fail_on_warn: bool,
    /// The test's nodes, if it needs several machines: each has `shape`, and a card for each of its
    /// wires.
    pub nodes: Vec<Node>,
    /// If this is a set-up: which one. A machine in which it passes is frozen, and tests with that
    /// number in their shape start there.
    pub setup: Option<SetUp>,
    /// The set-ups that have to run in a new machine before the test, outermost first, where
    /// machines cannot be frozen: their paths, relative to the project.
    pub setups_before: Vec<Vec<u8>>,
    /// The case of a fork that this is; `None`: the test from its beginning.
    pub case: Option<Case>,
    /// The cases that were asked for, each as the names of its forks, outermost first; all of them
    /// if this is empty.
    pub only: Vec<Vec<String>>,
}

impl Order {
    /// Whether it is a set-up, whose processes are to live on.
    pub fn is_setup(&self) -> bool {
        self.env.iter().any(|(name, value)| name == SETUP.as_bytes() && value == b"1")
    }
}

/// A set-up: a script that is run once, whose machine is then frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetUp {
    /// Its number in the run, from 0.
    pub number: usize,
    /// Its path, for people.
    pub path: String,
    /// A digest of what its template depends on, if the template is kept between runs.
    pub kept: Option<u64>,
}

/// One case of a test that forked.
#[derive(Clone, Debug)]
pub struct Case {
    /// The names of the cases of its forks, outermost first.
    pub names: Vec<String>,
    /// Where it goes on; `None`: the test is run from its beginning, and its forks are answered
    /// with `names`.
    pub point: Option<Arc<ForkPoint>>,
}

/// Where a running test's output goes. All methods are called on the worker's thread, in the order
/// of arrival.
pub trait Sink {
    /// Bytes from its standard output.
    fn stdout(&mut self, bytes: &[u8]);
    /// Bytes from its standard error.
    fn stderr(&mut self, bytes: &[u8]);
    /// A remark of the agent's about the test: processes left behind, artifacts cut off.
    fn note(&mut self, line: &str);
    /// A line of the guest's kernel log. With `begins` it is the first line of a complaint, else
    /// the next line of one.
    fn kernel(&mut self, line: &str, begins: bool);
    /// The start of an artifact, with its path relative to the artifacts folder.
    fn file(&mut self, path: &[u8]);
    /// The next bytes of the artifact that was started last; no bytes at its end.
    fn data(&mut self, bytes: &[u8]);
    /// A command that was run on another node of the test, or what it printed there.
    fn node(&mut self, _name: &str, _bytes: &[u8]) {}
    /// A frame of kind `Ask`: the test asks for something on another node. Returns false if there
    /// is no other node.
    fn ask(&mut self, _frame: &Frame) -> bool {
        false
    }
}

/// How a test ended, as seen from outside: there was an end marker, or it forked.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// How its main process ended.
    pub ended: Ended,
    /// Why the test was cut, if it did not end by itself.
    pub cut: Option<Cut>,
    /// The case that was wanted and that the test did not have.
    pub missing: Option<String>,
    /// The test did not end: it goes on in these cases.
    pub forked: Option<Forked>,
}

/// The cases that a test forked into.
#[derive(Clone, Debug)]
pub struct Forked {
    /// Their names, each different, at least one.
    pub names: Vec<String>,
    /// Where they go on; `None` if the machine cannot be frozen.
    pub point: Option<Arc<ForkPoint>>,
}

/// Why a running test was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It ran over its timeout.
    Timeout,
    /// It printed nothing for too long.
    Silence,
    /// The run was cancelled.
    Cancelled,
}

/// A phase of a machine's start, and when it was done, counted from the beginning of the start.
pub type Phase = (&'static str, Duration);

/// Something that runs one test at a time.
pub trait Machine: Send {
    /// The name in reports, such as `vm3`.
    fn name(&self) -> &str;

    /// Runs one test until it ends or is cut.
    ///
    /// # Errors
    /// The machine's trouble. The machine must not be used afterwards.
    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble>;

    /// Runs a set-up in it, which is driven as a test is.
    ///
    /// # Errors
    /// As [`Machine::run`].
    fn set_up(
        &mut self,
        order: &Order,
        cancel: &Cancel,
        sink: &mut dyn Sink,
    ) -> Result<Ran, Trouble> {
        self.run(order, cancel, sink)
    }

    /// The phases of its start.
    fn phases(&self) -> &[Phase];

    /// Freezes it after its set-up, whose number is `setup`, so that machines of its shape with
    /// that set-up start as it is now.
    ///
    /// # Errors
    /// The machine's trouble: why it could not be frozen.
    fn become_setup(self: Box<Self>, _setup: &SetUp, _warn: Warn<'_>) -> Result<(), Trouble> {
        let detail = "this machine cannot be frozen".to_owned();
        Err(Trouble { kind: Kind::Boot, detail, console: ConsoleTail::default() })
    }

    /// Both directions of the connection to its agent, for a person, while no test runs; `None` if
    /// nobody could talk to the agent.
    fn connection(&self) -> Option<(Receiver<Frame>, Writer)> {
        None
    }

    /// The end of what its kernel has said so far, bounded; empty if there is no console or nothing
    /// on it.
    fn console(&self) -> String {
        String::new()
    }

    /// Ends it in good order: sends `EXIT` and waits for `BYE`. A machine that is dropped ends
    /// without that exchange.
    fn stop(self: Box<Self>);
}

/// Takes a warning about a machine that still works.
pub type Warn<'a> = &'a dyn Fn(String);

/// Makes machines for the pod's workers.
pub trait Maker: Send + Sync {
    /// A machine of `shape` that is ready to run a test.
    ///
    /// # Errors
    /// `Boot`, or `Killed` when `cancel` reached `Cut` first.
    fn make(
        &self,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble>;

    /// Whether a machine of `shape` can be made now: not before its set-up has passed.
    fn can_make(&self, _shape: Shape) -> bool {
        true
    }

    /// Makes several machines of `shape`, connected by wires of their own, and returns them as one;
    /// the test runs on the first.
    ///
    /// # Errors
    /// As [`Maker::make`]; always, if these machines cannot be connected.
    fn group(
        &self,
        _shape: Shape,
        _nodes: &[Node],
        _cancel: &Cancel,
        _warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        let detail = "these machines cannot be connected to each other".to_owned();
        Err(Trouble { kind: Kind::Boot, detail, console: ConsoleTail::default() })
    }

    /// A machine, or several as one, in which the test goes on that was frozen at `point`.
    ///
    /// # Errors
    /// As [`Maker::make`].
    fn thaw(&self, _: &Arc<ForkPoint>, _: &Cancel) -> Result<Box<dyn Machine>, Trouble> {
        let detail = "these machines cannot be frozen".to_owned();
        Err(Trouble { kind: Kind::Boot, detail, console: ConsoleTail::default() })
    }

    /// Makes the machines of `shape` that are made later start faster, if it can.
    ///
    /// # Errors
    /// As [`Maker::make`]. Machines are made as before.
    fn warm(&self, _shape: Shape, _cancel: &Cancel, _warn: Warn<'_>) -> Result<(), Trouble> {
        Ok(())
    }

    /// Whether the template of `setup` is there from an earlier run, for machines of `shape`. If
    /// so, they start there. `warn` is told of one that is damaged.
    fn recall(&self, _shape: Shape, _setup: &SetUp, _warn: Warn<'_>) -> bool {
        false
    }
}
