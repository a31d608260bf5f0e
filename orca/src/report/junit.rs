//! JUnit XML for continuous integration, complete after every test file.
//!
//! The report has a suite per test file and a case per check: Jenkins and GitLab list cases,
//! compare them between runs and show them on a merge request. Checks have no times of their own,
//! so one more case, `(whole file)`, has the file's time and every fault that belongs to no check:
//! exit status, plan, timeout, machine. It is always there, so that the set of cases is the same in
//! every run.

use super::wording::name;
use super::{Reporter, file};
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::Event;
use crate::events::points::Point;
use crate::events::tally::Tally;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tap::Directive;
use tap::junit::{Case, OUTPUT_BYTES_MAX, Outcome as CaseOutcome, Report, Suite};

/// The name of the case for the whole file.
const WHOLE: &str = "(whole file)";

/// The reporter that writes JUnit XML.
pub struct Junit<W: Write + Seek> {
    /// `None` after a failed write.
    report: Option<Report<W>>,
}

impl<W: Write + Seek> Junit<W> {
    /// A reporter that writes to `out`.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn new(out: W) -> std::io::Result<Self> {
        Ok(Self { report: Some(Report::new(out)?) })
    }
}

impl<W: Write + Seek> Reporter for Junit<W> {
    fn event(&mut self, event: &Event, _: &Tally) {
        let Event::TestFinished(attempt) = event else { return };
        if attempt.retried {
            return;
        }
        if let Some(report) = &mut self.report
            && report.add(&suite(attempt)).is_err()
        {
            self.report = None;
        }
    }
}

fn suite(attempt: &Attempt) -> Suite {
    let time = attempt.timing.test;
    let mut cases = vec![Case { name: WHOLE.to_owned(), time, outcome: whole(attempt) }];
    for (point, failure) in attempt.points.with_failures(&attempt.suite) {
        let text = failure.map(tap::junit::details).unwrap_or_default();
        cases.push(case(&point, text, attempt));
    }
    let unlisted = attempt.points.unlisted(&attempt.suite);
    if unlisted > 0 {
        let name = format!("({unlisted} more checks, not listed)");
        cases.push(Case { name, time: Duration::ZERO, outcome: CaseOutcome::Passed });
    }
    Suite {
        name: name(attempt),
        started: SystemTime::now() - time,
        time,
        cases,
        stdout: attempt.dir.as_ref().map(|dir| tail(&dir.join("stdout.tap"))).unwrap_or_default(),
        stderr: attempt.stderr_tail.clone().into_bytes(),
    }
}

fn case(point: &Point, text: String, attempt: &Attempt) -> Case {
    let name = match point.description.as_str() {
        "" => point.number.to_string(),
        description => format!("{} - {description}", point.number),
    };
    let outcome = match &point.directive {
        _ if !point.passed => fault(attempt, name.clone(), text),
        Some((Directive::Skip, why)) => CaseOutcome::Skipped(why.clone()),
        Some((Directive::Todo | Directive::Xfail, why)) if !point.ok => {
            CaseOutcome::Skipped(format!("TODO {why}").trim_end().to_owned())
        }
        _ => CaseOutcome::Passed,
    };
    Case { name, time: Duration::ZERO, outcome }
}

/// The outcome of the case for the whole file: the faults that belong to no check.
fn whole(attempt: &Attempt) -> CaseOutcome {
    match &attempt.outcome {
        Outcome::Passed => CaseOutcome::Passed,
        Outcome::Skipped(reason) => CaseOutcome::Skipped(reason.clone()),
        Outcome::NotRun => CaseOutcome::Skipped("not run".to_owned()),
        Outcome::Failed => {
            let mut reasons = attempt.reasons.clone();
            let listed = !attempt.points.list.is_empty() || !attempt.suite.failures.is_empty();
            // Checks that failed have cases of their own, if any are listed.
            reasons.retain(|reason| !(listed && reason.starts_with("failed ")));
            if reasons.is_empty() && listed {
                return CaseOutcome::Passed;
            }
            let text = [attempt.reasons.join("\n"), attempt.kernel_said()].join("\n");
            fault(attempt, reasons.join("; "), text)
        }
        Outcome::TimedOut { silence } => {
            let message = if *silence { "printed nothing for too long" } else { "timed out" };
            fault(attempt, message.to_owned(), attempt.kernel_said())
        }
        Outcome::Errored(trouble) if attempt.is_excused() => {
            fault(attempt, trouble.to_string(), String::new())
        }
        Outcome::Errored(trouble) => {
            CaseOutcome::Errored { message: trouble.to_string(), text: attempt.kernel_said() }
        }
    }
}

/// A failure; in quarantine a skipped case, which does not fail a pipeline.
fn fault(attempt: &Attempt, message: String, text: String) -> CaseOutcome {
    match attempt.quarantined.as_ref().filter(|_| attempt.is_excused()) {
        Some(why) => CaseOutcome::Skipped(format!("in quarantine ({why}): {message}")),
        None => CaseOutcome::Failed { message, text },
    }
}

/// The end of a log; empty if there is none.
fn tail(path: &Path) -> Vec<u8> {
    file::tail(path, OUTPUT_BYTES_MAX as u64).map(|(_, bytes)| bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::attempts;
    use super::*;

    fn said(outcome: &CaseOutcome) -> String {
        match outcome {
            CaseOutcome::Passed => "passed".into(),
            CaseOutcome::Skipped(why) => format!("skipped: {why}"),
            CaseOutcome::Failed { message, .. } => format!("failed: {message}"),
            CaseOutcome::Errored { message, .. } => format!("error: {message}"),
        }
    }

    fn check(name: &str, expected: &[&str]) {
        let path = format!("t/{name}_test.sh");
        let attempt = attempts().into_iter().find(|attempt| attempt.path == path).unwrap();
        let cases: Vec<String> = suite(&attempt).cases.iter().map(|c| said(&c.outcome)).collect();
        assert_eq!(cases, expected, "{name}");
    }

    #[test]
    fn a_case_per_check_and_one_for_the_whole() {
        check("good", &["passed", "passed"]);
        check(
            "bad",
            &["failed: exit status 1", "passed", "failed: 2 - it's # broken", "skipped: no tool"],
        );
        check(
            "quarantined",
            &[
                "skipped: in quarantine (slow # disk): exit status 1",
                "skipped: in quarantine (slow # disk): 1 - q",
            ],
        );
        check("none", &["skipped: no # nft"]);
        check("late", &["failed: timed out", "passed"]);
        check("lost", &["error: kernel panicked: Oops: <&>"]);
        check("never", &["skipped: not run"]);
    }
}
