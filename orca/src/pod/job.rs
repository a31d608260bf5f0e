//! The jobs that the pod gets, and the machines that it hands over: data only.

use super::before::Before;
use crate::events::attempt::{Kernel, TestId};
use crate::events::event::Event;
use crate::machine::fork::ForkPoint;
use crate::machine::{Machine, Order};
use crossbeam::channel::Sender;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

/// One attempt to be made at a test.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which test.
    pub test: TestId,
    /// The test's path, for people.
    pub path: String,
    /// The kernel it runs on, if the run has several.
    pub kernel: Option<Kernel>,
    /// From 1: which repetition of the test this is.
    pub round: u32,
    /// From 1: which attempt of this round this is.
    pub attempt: u32,
    /// How often the test may be tried again after a failure.
    pub retries: u32,
    /// Why a bad result does not count, if the test is in quarantine.
    pub quarantined: Option<String>,
    /// The order for the machine.
    pub order: Order,
    /// The folder for its logs and artifacts.
    pub dir: PathBuf,
    /// What was recorded before the fork, if this is a case that goes on at one.
    pub before: Option<Arc<Before>>,
}

/// What a worker says to the conductor.
#[derive(Debug)]
pub enum Message {
    /// Something happened that reporters want to know.
    Event(Event),
    /// A test forked instead of ending. This answers its job.
    Forked(Box<ForkedTest>),
}

/// A test that forked: it goes on as jobs of its cases.
#[derive(Debug)]
pub struct ForkedTest {
    /// Which test.
    pub test: TestId,
    /// The round of its job.
    pub round: u32,
    /// The attempt of its job.
    pub attempt: u32,
    /// Its new cases, each as the names of all its forks, outermost first; at least one.
    pub cases: Vec<Vec<String>>,
    /// Where they go on; `None` if they are run from the beginning.
    pub point: Option<Arc<ForkPoint>>,
    /// What was recorded so far.
    pub before: Arc<Before>,
}

/// What is kept after a test.
#[derive(Clone, Default)]
pub struct After {
    /// Receives the machine of a test that did not pass. Without it the machine is ended.
    pub failed: Option<Sender<Held>>,
    /// Whether the artifacts of tests that passed are kept.
    pub artifacts: bool,
}

/// A machine that is handed over after its test has ended. It is sent before the `TestFinished` of
/// its test.
pub struct Held {
    /// The test's path, for people.
    pub test: String,
    /// The machine, as the test left it.
    pub machine: Box<dyn Machine>,
    /// The worker goes on when this is dropped.
    pub release: Sender<Infallible>,
}
