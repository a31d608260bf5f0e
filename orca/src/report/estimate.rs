//! How much longer a run will take. The remaining tests go to the worker that is free first; each
//! takes as long as the history says, or else as long as other tests take on average.

use crate::events::attempt::{Attempt, TestId};
use crate::events::event::ForkedCase;
use std::iter::repeat_n;
use std::time::Duration;

/// Without a history, an estimate is shown only after this many tests.
const MEASURED_MIN: u32 = 3;

/// The tests that remain of a run, and the times that are known.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    expected: Vec<Option<Duration>>,
    /// How often each test is yet to begin.
    waiting: Vec<u32>,
    /// Whether the run ends only when a test fails.
    endless: bool,
    /// The number of tests that were measured in this run, and their total time.
    measured: (u32, Duration),
    /// The total time on machines before and after those tests.
    around: Duration,
}

impl Estimate {
    /// The estimate before the first test. Each test runs `rounds` times; `None`: without end. The
    /// first `setups` run once.
    pub(super) fn new(expected: &[Option<Duration>], setups: usize, rounds: Option<u32>) -> Self {
        let mut waiting = vec![rounds.unwrap_or(0); expected.len()];
        waiting.iter_mut().take(setups).for_each(|times| *times = 1);
        let endless = rounds.is_none();
        Self { expected: expected.to_vec(), waiting, endless, ..Self::default() }
    }

    /// A test has begun.
    pub(super) fn started(&mut self, test: TestId) {
        if let Some(times) = self.waiting.get_mut(test) {
            *times = times.saturating_sub(1);
        }
    }

    /// A test has forked into these cases, each of which is yet to begin.
    pub(super) fn forked(&mut self, cases: &[ForkedCase]) {
        for case in cases {
            if self.waiting.len() <= case.test {
                self.waiting.resize(case.test + 1, 0);
                self.expected.resize(case.test + 1, None);
            }
            self.waiting[case.test] += 1;
            self.expected[case.test] = case.expected;
        }
    }

    /// A test has ended, perhaps to be tried again.
    pub(super) fn finished(&mut self, attempt: &Attempt) {
        let begun = attempt.machine.is_some();
        // A test that never began no longer counts as waiting; one that is tried again does.
        match self.waiting.get_mut(attempt.test) {
            Some(times) if attempt.blocked_by.is_some() => *times = 0, // in every round
            Some(times) if attempt.retried && begun => *times += 1,
            Some(times) if !attempt.retried && !begun => *times = times.saturating_sub(1),
            _ => {}
        }
        if attempt.dir.is_some() && attempt.machine.is_some() {
            self.measured.0 += 1;
            self.measured.1 += attempt.timing.test;
            self.around += attempt.timing.ready + attempt.timing.teardown;
        }
    }

    /// The time that is left, given how long the `running` tests have run; `None` while it cannot
    /// be known.
    pub(super) fn left(&self, running: &[(TestId, Duration)], workers: usize) -> Option<Duration> {
        let typical = self.typical().filter(|_| !self.endless)?;
        let around = self.around.checked_div(self.measured.0).unwrap_or_default();
        let expect = |test: TestId| self.expected.get(test).copied().flatten().unwrap_or(typical);
        let mut free: Vec<Duration> =
            running.iter().map(|(test, done)| expect(*test).saturating_sub(*done)).collect();
        free.resize(workers.max(1), Duration::ZERO);
        let waiting = self.waiting.iter().enumerate();
        for test in waiting.flat_map(|(test, times)| repeat_n(test, *times as usize)) {
            // There are about as many workers as cores, so a heap would not pay.
            if let Some(first) = free.iter_mut().min() {
                *first += expect(test) + around;
            }
        }
        free.into_iter().max()
    }

    /// The time of a test that the history does not know.
    fn typical(&self) -> Option<Duration> {
        let known: Vec<Duration> = self.expected.iter().copied().flatten().collect();
        let (number, sum) = self.measured;
        if known.is_empty() && number < MEASURED_MIN.min(self.expected.len() as u32) {
            return None;
        }
        let sum = sum + known.iter().sum::<Duration>();
        sum.checked_div(number + known.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(test: TestId, secs: u64) -> Attempt {
        let mut attempt = Attempt::not_run(test, "t/a_test.sh".into(), 1);
        attempt.machine = Some("vm1".into());
        attempt.dir = Some("/logs".into());
        attempt.timing.test = Duration::from_secs(secs);
        attempt
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn history_says_how_long() {
        let mut estimate =
            Estimate::new(&[Some(secs(30)), Some(secs(10)), Some(secs(10)), None], 0, Some(1));
        // 30 | 10 + 10 + the mean of what is known
        let typical = Duration::from_secs(50) / 3;
        assert_eq!(estimate.left(&[], 2), Some(secs(20) + typical));
        estimate.started(0);
        estimate.started(1);
        let left = estimate.left(&[(0, secs(5)), (1, secs(9))], 2);
        assert_eq!(left, Some(secs(11) + typical));
        // longer than expected: nothing is left of it
        assert!(estimate.left(&[(0, secs(99)), (1, secs(99))], 2) < left);
    }

    #[test]
    fn without_history_it_waits_for_measurements() {
        let mut estimate = Estimate::new(&[None; 5], 0, Some(1));
        for test in 0..2 {
            estimate.started(test);
            estimate.finished(&ended(test, 4));
        }
        assert_eq!(estimate.left(&[], 1), None);
        estimate.started(2);
        estimate.finished(&ended(2, 4));
        assert_eq!(estimate.left(&[], 1), Some(secs(8)));
        assert_eq!(estimate.left(&[], 2), Some(secs(4)));
    }

    #[test]
    fn a_test_that_is_tried_again_waits_again() {
        let mut estimate = Estimate::new(&[Some(secs(8))], 0, Some(1));
        estimate.started(0);
        assert_eq!(estimate.left(&[], 1), Some(secs(0)));
        estimate.finished(&Attempt { retried: true, ..ended(0, 8) });
        assert_eq!(estimate.left(&[], 1), Some(secs(8)));
    }

    #[test]
    fn set_ups_run_once_and_cases_as_often_as_their_test_forks() {
        let mut estimate = Estimate::new(&[Some(secs(5)), Some(secs(9))], 1, Some(2));
        assert_eq!(estimate.left(&[], 1), Some(secs(5 + 9 + 9)));
        estimate.started(1);
        let case = |test, seconds| ForkedCase {
            test,
            path: String::new(),
            expected: Some(secs(seconds)),
            again: String::new(),
        };
        estimate.forked(&[case(2, 3), case(3, 4)]);
        assert_eq!(estimate.left(&[], 1), Some(secs(5 + 9 + 3 + 4)));
        let blocked = Attempt { blocked_by: Some("t/setup.sh".into()), ..ended(1, 0) };
        estimate.finished(&Attempt { machine: None, ..blocked });
        assert_eq!(estimate.left(&[], 1), Some(secs(5 + 3 + 4)));
    }
}
