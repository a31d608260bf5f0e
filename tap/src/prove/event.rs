//! The events that a worker sends to the thread that prints, from a test's start to its end.

use crate::junit::Case;
use crate::suite::Suite;
use crate::tally::Progress;
use std::time::{Duration, SystemTime};

/// An event that a worker sends. The number is the test's index in the run.
#[derive(Debug)]
pub(super) enum Event {
    /// The test has begun.
    Start(usize),
    /// Lines to show.
    Text(usize, Vec<u8>),
    /// How far the test has come.
    Count(usize, Progress),
    /// The test asked for all testing to stop; the reason.
    Bail(usize, String),
    /// The test has ended.
    Done(usize, Box<Finished>),
}

/// Everything known about a test that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) suite: Suite,
    pub(super) started: SystemTime,
    pub(super) elapsed: Duration,
    pub(super) timed_out: bool,
    /// Why the test could not be run.
    pub(super) error: Option<String>,
    pub(super) cases: Vec<Case>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}
