//! The retry policy: which attempts are followed by another one, on a new machine.

use crate::events::attempt::{Attempt, Outcome};

/// How often a test whose machine was in trouble is tried again, whatever `--retries` says.
const TROUBLE_RETRIES: u32 = 1;

/// Whether `attempt` is followed by another one. `retries` is how often its test may be tried again
/// after a failure. A run that is told to stop, or has no machines, tries nothing again.
pub(super) fn is_due(attempt: &Attempt, retries: u32) -> bool {
    let allowed = match &attempt.outcome {
        Outcome::Passed | Outcome::Skipped(_) | Outcome::NotRun => 0,
        Outcome::Failed | Outcome::TimedOut { .. } => retries,
        Outcome::Errored(_) => retries.max(TROUBLE_RETRIES),
    };
    attempt.attempt <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::trouble::{Kind, Trouble};

    #[test]
    fn failures_are_tried_as_often_as_asked_and_trouble_once_at_least() {
        let trouble =
            Trouble { kind: Kind::Lost, detail: String::new(), console: Default::default() };
        let errored = || Outcome::Errored(trouble.clone());
        let silent = || Outcome::TimedOut { silence: true };
        for (outcome, retries, attempt, expected) in [
            (Outcome::Failed, 0, 1, false),
            (Outcome::Failed, 2, 2, true),
            (Outcome::Failed, 2, 3, false),
            (silent(), 1, 1, true),
            (errored(), 0, 1, true),
            (errored(), 0, 2, false),
            (errored(), 3, 3, true),
            (Outcome::Passed, 5, 1, false),
            (Outcome::Skipped(String::new()), 5, 1, false),
            (Outcome::NotRun, 5, 1, false),
        ] {
            let none = Attempt::not_run(0, "t".to_owned(), 1);
            let tried = Attempt { attempt, outcome: outcome.clone(), ..none };
            assert_eq!(is_due(&tried, retries), expected, "{outcome:?} {retries} {attempt}");
        }
    }
}
