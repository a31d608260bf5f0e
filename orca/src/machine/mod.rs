//! The seam between the pod and whatever runs a test.
//!
//! The pod knows this and nothing of QEMU. Behind it stand [`vm`] (the real one), [`local`] (the agent as a child process) and, in
//! tests, a scripted fake.

pub mod diagnose;
pub mod drive;
pub mod group;
pub mod launch;
pub mod local;
pub mod maker;
pub mod prefetch;
mod relay;
pub mod snapshot;
pub mod vm;

use crate::cancel::Cancel;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::Writer;
use crate::shape::{Node, Shape};
use agent::wire::{Ended, Frame};
use crossbeam::channel::Receiver;
use std::time::Duration;

/// One test to run, as a machine sees it.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The machine it wants.
    pub shape: Shape,
    /// Relative to the project.
    pub path: Vec<u8>,
    /// On top of the agent's own environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// How long the test may run.
    pub timeout: Duration,
    /// How long it may print nothing; `None`: as long as it likes.
    pub silence: Option<Duration>,
    /// Whether a complaint of the kernel fails it.
    pub fail_on_warn: bool,
    /// Its machines, where it wants several: each has `shape`, and a card for each of its wires.
    pub nodes: Vec<Node>,
}

/// Where a running test's output goes. All methods are called on the worker's thread, in order of arrival.
pub trait Sink {
    /// Bytes from its standard output.
    fn stdout(&mut self, bytes: &[u8]);
    /// Bytes from its standard error.
    fn stderr(&mut self, bytes: &[u8]);
    /// Something the agent has to say about it: processes left behind, artifacts cut off.
    fn note(&mut self, line: &str);
    /// A line of the guest's kernel log; `begins` a complaint, or goes on with one.
    fn kernel(&mut self, line: &str, begins: bool);
    /// An artifact begins, at this path relative to the artifacts folder.
    fn file(&mut self, path: &[u8]);
    /// The next bytes of the artifact begun last; none at its end.
    fn data(&mut self, bytes: &[u8]);
    /// What was run on another node of the test, and what it printed there.
    fn node(&mut self, _name: &str, _bytes: &[u8]) {}
    /// The test asks something of another node, in a frame of kind `Ask`; false where there is none.
    fn ask(&mut self, _frame: &Frame) -> bool {
        false
    }
}

/// A test's end, seen from outside: there was an end marker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// How its main process ended.
    pub ended: Ended,
    /// Why it was cut, if it did not end by itself.
    pub cut: Option<Cut>,
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

/// A step on the way to a machine that is ready, and when it was done, counted from the machine's start.
pub type Phase = (&'static str, Duration);

/// Something that runs one test at a time.
pub trait Machine: Send {
    /// What reports call it, such as `vm3`.
    fn name(&self) -> &str;

    /// Runs one test to its end or its cut.
    ///
    /// # Errors
    /// The machine's trouble; it must not be used afterwards.
    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble>;

    /// How long after its start it had come how far.
    fn phases(&self) -> &[Phase];

    /// Both ends of the connection to its agent, for a person, when no test runs; `None` where nobody could talk to it.
    fn ends(&self) -> Option<(Receiver<Frame>, Writer)> {
        None
    }

    /// The end of what its kernel has said so far, bounded; empty where there is no console or no word.
    fn console(&self) -> String {
        String::new()
    }

    /// Ends it in good order: `EXIT`, `BYE`, gone. Dropping it instead ends it without ceremony.
    fn stop(self: Box<Self>);
}

/// Told what the user should know about a machine that is none the worse for it.
pub type Tell<'a> = &'a dyn Fn(String);

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
        tell: Tell<'_>,
    ) -> Result<Box<dyn Machine>, Trouble>;

    /// Several machines of `shape` on wires of their own, as one; the test runs on the first.
    ///
    /// # Errors
    /// As [`Maker::make`]; always, where there are no such machines.
    fn group(
        &self,
        _shape: Shape,
        _nodes: &[Node],
        _cancel: &Cancel,
        _tell: Tell<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        let (detail, console) = ("there are no wires here".to_owned(), "<empty>".to_owned());
        Err(Trouble { kind: Kind::Boot, detail, console })
    }
}
