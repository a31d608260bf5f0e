//! An entry of the run: a set-up, a test or a case, and how it is scheduled. Data only.

use crate::events::attempt::{Attempt, Role, TestId};
use crate::pod::Job;
use crate::text::{case, quote};
use std::time::Duration;

/// An entry of the run.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The first attempt in its first round.
    pub job: Job,
    /// Whether nothing else may run at the same time.
    pub exclusive: bool,
    /// Why it is not run at all.
    pub skipped: Option<String>,
    /// The set-up without which it cannot start.
    pub after: Option<TestId>,
    /// How long it is expected to take, from history.
    pub expected: Option<Duration>,
    /// The shell command that runs a test as this run does, without the test.
    pub command: String,
    /// The shell command that runs just this again.
    pub again: String,
    /// Whether it is a set-up that has passed.
    pub(super) stands: bool,
    /// Whether its set-up did not pass, so that it is never started.
    pub(super) dropped: bool,
}

impl Entry {
    /// An entry that may run beside others, and of which nothing is known.
    pub fn new(job: Job) -> Self {
        Self {
            job,
            exclusive: false,
            skipped: None,
            after: None,
            expected: None,
            command: String::new(),
            again: String::new(),
            stands: false,
            dropped: false,
        }
    }

    /// Whether it is a set-up.
    pub fn is_setup(&self) -> bool {
        self.job.order.setup.is_some()
    }

    /// The path of the case with these names.
    pub fn path_of_case(&self, names: &[String]) -> String {
        let path = case::path(&self.file(), names);
        self.job.kernel.as_ref().map_or(path.clone(), |kernel| kernel.name(&path))
    }

    /// The path of its file, for people.
    pub(super) fn file(&self) -> String {
        quote::text(&self.job.order.path)
    }

    /// Whether it is never started.
    pub(super) fn is_over(&self) -> bool {
        self.dropped || self.skipped.is_some()
    }
}

/// What a job is an attempt at.
pub(super) fn role(job: &Job) -> Role {
    match (&job.order.setup, &job.order.case) {
        (Some(_), _) => Role::SetUp,
        (None, Some(case)) => Role::Case(case.names.clone()),
        (None, None) => Role::Test,
    }
}

/// The result of a job that was never started.
pub(super) fn not_run(job: &Job) -> Attempt {
    Attempt {
        role: role(job),
        kernel: job.kernel.clone(),
        attempt: job.attempt,
        quarantined: job.quarantined.clone(),
        ..Attempt::not_run(job.test, job.path.clone(), job.round)
    }
}
