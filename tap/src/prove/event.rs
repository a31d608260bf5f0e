//! What a worker reports to the thread that prints, from a test's start to its end.

use crate::junit::Case;
use crate::suite::Suite;
use crate::tally::Progress;
use std::time::{Duration, SystemTime};

/// What a worker tells. The number is the test's place in the run.
#[derive(Debug)]
pub(super) enum Event {
    /// It has begun.
    Start(usize),
    /// Lines of it to be shown.
    Text(usize, Vec<u8>),
    /// How far it has come.
    Count(usize, Progress),
    /// It asked that all testing stop; why.
    Bail(usize, String),
    /// It has ended.
    Done(usize, Box<Finished>),
}

/// Everything known about a test that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) suite: Suite,
    pub(super) started: SystemTime,
    pub(super) elapsed: Duration,
    pub(super) timed_out: bool,
    /// Why it could not be run.
    pub(super) error: Option<String>,
    pub(super) cases: Vec<Case>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}
