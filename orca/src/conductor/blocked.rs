//! What becomes of tests whose set-up did not pass: each has one result, and is never started.

use super::entry::not_run;
use crate::events::attempt::{Attempt, Outcome};
use crate::events::trouble::{ConsoleTail, Trouble};
use crate::pod::Job;

/// The result of `job`, which needs the set-up that ended as `setup` did; `None` if that says
/// nothing of it. The set-up's own result shows its output, so this has none.
pub(super) fn result(job: &Job, setup: &Attempt) -> Option<Attempt> {
    let path = &setup.path;
    let mut reasons = Vec::new();
    let outcome = match &setup.outcome {
        Outcome::Passed | Outcome::NotRun => return None,
        Outcome::Skipped(why) => Outcome::Skipped(format!("set-up skipped: {why}")),
        Outcome::Failed => {
            reasons.push(format!("set-up failed: {path}"));
            Outcome::Failed
        }
        Outcome::TimedOut { .. } => {
            reasons.push(format!("set-up timed out: {path}"));
            Outcome::Failed
        }
        Outcome::Errored(trouble) => {
            let detail = format!("in its set-up, {path}");
            Outcome::Errored(Trouble {
                kind: trouble.kind,
                detail,
                console: ConsoleTail::default(),
            })
        }
    };
    let blocked_by = Some(path.clone());
    Some(Attempt { outcome, reasons, blocked_by, ..not_run(job) })
}
