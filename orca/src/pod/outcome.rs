//! How an attempt ended: the one place where the machine's word and the test's output meet.

use super::recorder::Recorded;
use crate::events::attempt::Outcome;
use crate::events::trouble::{Kind, Trouble};
use crate::machine::{Cut, Ran};

/// The outcome of an attempt, and why it failed if it did.
pub(super) fn of(result: Result<Ran, Trouble>, recorded: &Recorded) -> (Outcome, Vec<String>) {
    let complained = recorded.complaints.fatal && !recorded.complaints.titles.is_empty();
    let mut reasons = recorded.suite.reasons();
    let titles = recorded.complaints.titles.iter().filter(|_| recorded.complaints.fatal);
    reasons.extend(titles.map(|title| format!("the kernel complained: {title}")));
    let outcome = match result {
        Ok(Ran { cut: Some(Cut::Timeout), .. }) => Outcome::TimedOut { silence: false },
        Ok(Ran { cut: Some(Cut::Silence), .. }) => Outcome::TimedOut { silence: true },
        Ok(Ran { cut: Some(Cut::Cancelled), .. }) => Outcome::NotRun,
        Ok(Ran { missing: Some(missing), .. }) => {
            reasons.insert(0, missing);
            Outcome::Failed
        }
        Ok(_) if complained => Outcome::Failed,
        Ok(_) => verdict(&recorded.suite),
        Err(trouble) if trouble.kind == Kind::Killed => Outcome::NotRun,
        Err(trouble) => Outcome::Errored(trouble),
    };
    (outcome, reasons)
}

fn verdict(suite: &tap::Suite) -> Outcome {
    match suite.verdict() {
        tap::Verdict::Pass => Outcome::Passed,
        tap::Verdict::Skip => Outcome::Skipped(suite.skip_all.clone().unwrap_or_default()),
        tap::Verdict::Fail | tap::Verdict::Bail => Outcome::Failed,
    }
}
