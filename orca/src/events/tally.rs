//! Counts of final results: the numbers in the summary and behind the exit status.

use super::attempt::{Attempt, Outcome, Role};
use super::event::Event;

/// Tests by outcome, the points in them, and set-ups. A test is a file, or a case of one that
/// forked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed, flaky ones included.
    pub passed: usize,
    /// Tests that passed only when tried again.
    pub flaky: usize,
    /// Tests whose bad result does not count, because they are in quarantine.
    pub quarantined: usize,
    /// Tests that skipped themselves.
    pub skipped: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that were cut for time or silence.
    pub timed_out: usize,
    /// Tests without a verdict because of machine trouble.
    pub errored: usize,
    /// Tests that never ran, or were cut by a cancelled run.
    pub not_run: usize,
    /// Points in all of them.
    pub points: u64,
    /// How many of them are cases.
    pub cases: usize,
    /// Set-ups with a final result, whatever it is.
    pub setups: usize,
    /// Set-ups that failed or were cut for time or silence.
    pub setups_failed: usize,
    /// Set-ups without a verdict because of machine trouble.
    pub setups_errored: usize,
}

impl Tally {
    /// Counts the result if the event is the final one of a test.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::TestFinished(attempt) if !attempt.retried => self.count(attempt),
            _ => {}
        }
    }

    /// Tests that have a final result.
    pub fn tests(&self) -> usize {
        self.passed
            + self.skipped
            + self.failed
            + self.timed_out
            + self.errored
            + self.not_run
            + self.quarantined
    }

    /// Tests whose result is not good.
    pub fn bad(&self) -> usize {
        self.failed + self.timed_out + self.errored
    }

    /// Whether every test and every set-up has a good result.
    pub fn is_good(&self) -> bool {
        self.bad() + self.not_run + self.setups_failed + self.setups_errored == 0
    }

    fn count(&mut self, attempt: &Attempt) {
        if attempt.is_setup() {
            return self.count_setup(&attempt.outcome);
        }
        self.points += attempt.suite.run;
        self.cases += usize::from(matches!(attempt.role, Role::Case(_)));
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

    fn count_setup(&mut self, outcome: &Outcome) {
        self.setups += 1;
        match outcome {
            Outcome::Failed | Outcome::TimedOut { .. } => self.setups_failed += 1,
            Outcome::Errored(_) => self.setups_errored += 1,
            Outcome::Passed | Outcome::Skipped(_) | Outcome::NotRun => {}
        }
    }
}
