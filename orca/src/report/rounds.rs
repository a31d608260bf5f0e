//! Repeated tests: how many results each has had, and how many of them were bad.

use crate::events::attempt::{Attempt, Outcome};
use std::collections::BTreeMap;

/// The results of each test over all rounds.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// By path, unescaped: the number of results, and of bad ones among them.
    results: BTreeMap<String, (usize, usize)>,
    /// Whether there was a second round.
    repeated: bool,
}

impl Rounds {
    /// Counts an attempt, unless it is tried again.
    pub(super) fn take(&mut self, attempt: &Attempt) {
        self.repeated |= attempt.round > 1;
        if !attempt.retried && !attempt.is_setup() {
            let (results, bad) = self.results.entry(attempt.path.clone()).or_default();
            *results += usize::from(attempt.outcome != Outcome::NotRun);
            *bad += usize::from(attempt.is_bad());
        }
    }

    /// How many tests there are; `None` if none was repeated.
    pub(super) fn tests(&self) -> Option<usize> {
        self.repeated.then_some(self.results.len())
    }

    /// Tests that were bad at least once: path, results, bad ones.
    pub(super) fn bad(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        let all = self.results.iter().map(|(path, (results, bad))| (path.as_str(), *results, *bad));
        all.filter(|(_, _, bad)| *bad > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_results_count() {
        let mut rounds = Rounds::default();
        let attempt = |round, outcome, retried| Attempt {
            outcome,
            retried,
            ..Attempt::not_run(0, "t/a_test.sh".into(), round)
        };
        rounds.take(&attempt(1, Outcome::Failed, true));
        rounds.take(&attempt(1, Outcome::Passed, false));
        assert_eq!(rounds.tests(), None);
        rounds.take(&attempt(2, Outcome::Failed, false));
        rounds.take(&attempt(3, Outcome::NotRun, false));
        assert_eq!(rounds.tests(), Some(1));
        assert_eq!(rounds.bad().collect::<Vec<_>>(), [("t/a_test.sh", 2, 1)]);
    }
}
