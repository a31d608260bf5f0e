//! What happens in a run, as data. The pod and the conductor make events; reporters and the tally
//! only read them.
//!
//! No event carries a test's output. The output is in files, whose paths are here with bounded
//! tails for the screen.

use super::attempt::{Attempt, TestId};
use crate::cancel::Level;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins. Always the first.
    Started(Start),
    /// A warning that concerns no single test.
    Warning(String),
    /// A worker has begun to make a machine.
    MachineStarting {
        /// The worker's number, from 0.
        worker: usize,
    },
    /// A worker's machine is ready for a test.
    MachineReady {
        /// The worker's number, from 0.
        worker: usize,
        /// The machine's name.
        machine: String,
        /// How long the worker waited for it.
        took: Duration,
        /// The phases of its start, each with the time since the machine's own start, which may be
        /// before the worker began to wait.
        phases: Vec<(&'static str, Duration)>,
    },
    /// A test has begun.
    TestStarted {
        /// Which test.
        test: TestId,
        /// Its path.
        path: String,
        /// From 1: which repetition of the test this is.
        round: u32,
        /// From 1: which attempt of this round it is.
        attempt: u32,
        /// How long it may run.
        timeout: Duration,
        /// The worker's number, from 0.
        worker: usize,
        /// The machine's name.
        machine: String,
    },
    /// A running test has made progress. Sent a few times a second at most.
    TestProgress {
        /// Which test.
        test: TestId,
        /// Points seen.
        points: u64,
        /// Points planned, once that is known.
        planned: Option<u64>,
    },
    /// An attempt at a test has ended. The test has ended too, unless [`Attempt::retried`] is set.
    TestFinished(Box<Attempt>),
    /// A test forked instead of ending. It has no result of its own: its cases have one each.
    TestForked {
        /// Which test.
        test: TestId,
        /// Its path.
        path: String,
        /// From 1: which repetition of the test this is.
        round: u32,
        /// From 1: which attempt of this round it is.
        attempt: u32,
        /// Its cases, at least one. Those that are new in this run have the next free ids.
        cases: Vec<ForkedCase>,
    },
    /// The run was told to stop: no more tests are taken.
    Cancelled {
        /// Why, as a fragment: `interrupted`, `a failure in round 3`.
        why: String,
        /// What happens to the tests that are running.
        level: Level,
        /// How many tests are running.
        running: usize,
    },
    /// The run has ended. Always the last.
    Finished {
        /// How long it took.
        took: Duration,
    },
}

/// A case of a test that forked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkedCase {
    /// Its id. It goes on where those of [`Start::tests`] end.
    pub test: TestId,
    /// Its path: that of the test, with the names of its forks in brackets.
    pub path: String,
    /// How long it is expected to take, from history.
    pub expected: Option<Duration>,
    /// The shell command that runs just this case again.
    pub again: String,
}

/// What is known before the first test.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Paths of the set-ups and the planned tests; a [`TestId`] is an index into this.
    pub tests: Vec<String>,
    /// How many of them are set-ups: those come first.
    pub setups: usize,
    /// The tests of which only some cases are to be run, with the paths of those.
    pub only: BTreeMap<TestId, Vec<String>>,
    /// How long each is expected to take, from history; in the order of `tests`.
    pub expected: Vec<Option<Duration>>,
    /// The seed of the order, if it is shuffled.
    pub seed: Option<u64>,
    /// How many tests run at once.
    pub workers: usize,
    /// The kind of machine, for people: `x86_64, tcg, 512 MiB`.
    pub machine: String,
    /// The log folder.
    pub log_dir: PathBuf,
    /// How often every test is run; `None`: until one fails.
    pub rounds: Option<u32>,
    /// For each of `tests`, in their order, the shell command that runs just that test again.
    pub again: Vec<String>,
    /// How many reports were merged into this one; 0 for a run.
    pub merged: usize,
}
