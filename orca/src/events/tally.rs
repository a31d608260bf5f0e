//! Counts of final results: the numbers in the summary and behind the exit status.

use super::attempt::{Attempt, Outcome};
use super::event::Event;

/// Test files by outcome, and the points in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that passed, flaky ones included.
    pub passed: usize,
    /// Files that passed only when tried again.
    pub flaky: usize,
    /// Files whose bad result does not count, because they are in quarantine.
    pub quarantined: usize,
    /// Files that skipped themselves.
    pub skipped: usize,
    /// Files that failed.
    pub failed: usize,
    /// Files that were cut for time or silence.
    pub timed_out: usize,
    /// Files without a verdict because of machine trouble.
    pub errored: usize,
    /// Files that never ran, or were cut by a cancelled run.
    pub not_run: usize,
    /// Points in all files.
    pub points: u64,
}

impl Tally {
    /// Counts the result if the event is the final one of a test.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::TestFinished(attempt) if !attempt.retried => self.count(attempt),
            _ => {}
        }
    }

    /// Files that have a final result.
    pub fn files(&self) -> usize {
        self.passed
            + self.skipped
            + self.failed
            + self.timed_out
            + self.errored
            + self.not_run
            + self.quarantined
    }

    /// Files whose result is not good.
    pub fn bad(&self) -> usize {
        self.failed + self.timed_out + self.errored
    }

    /// Whether every file has a good result.
    pub fn is_good(&self) -> bool {
        self.bad() + self.not_run == 0
    }

    fn count(&mut self, attempt: &Attempt) {
        self.points += attempt.suite.run;
        self.flaky += usize::from(attempt.is_flaky());
        let slot = match attempt.outcome {
            _ if attempt.is_excused() => &mut self.quarantined,
            Outcome::Passed => &mut self.passed,
            Outcome::Skipped(_) => &mut self.skipped,
            Outcome::Failed => &mut self.failed,
            Outcome::TimedOut { .. } => &mut self.timed_out,
            Outcome::Errored(_) => &mut self.errored,
            Outcome::NotRun => &mut self.not_run,
        };
        *slot += 1;
    }
}
