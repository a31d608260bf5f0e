//! JUnit XML for continuous integration: a suite and a case per test file, complete after every one of them.

use super::Reporter;
use crate::event::{Attempt, Event, Outcome};
use crate::tally::Tally;
use std::fs;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::SystemTime;
use tap::junit::{Case, MAX_OUTPUT_BYTES, Outcome as CaseOutcome, Report, Suite};

/// See the module.
pub struct Junit<W: Write + Seek> {
    /// `None` once it could not be written.
    report: Option<Report<W>>,
}

impl<W: Write + Seek> Junit<W> {
    /// A reporter that writes to `out`.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn new(out: W) -> std::io::Result<Junit<W>> {
        Ok(Junit { report: Some(Report::new(out)?) })
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
    let case = Case { name: attempt.path.clone(), time, outcome: outcome(attempt) };
    Suite {
        name: attempt.path.clone(),
        started: SystemTime::now() - time,
        time,
        cases: vec![case],
        stdout: attempt.dir.as_ref().map(|dir| tail(&dir.join("stdout.tap"))).unwrap_or_default(),
        stderr: attempt.stderr_tail.clone().into_bytes(),
    }
}

fn outcome(attempt: &Attempt) -> CaseOutcome {
    match &attempt.outcome {
        Outcome::Passed => CaseOutcome::Passed,
        Outcome::Skipped(reason) => CaseOutcome::Skipped(reason.clone()),
        Outcome::NotRun => CaseOutcome::Skipped("not run".to_owned()),
        Outcome::Failed => {
            let details: Vec<String> =
                attempt.suite.failures.iter().map(tap::junit::details).collect();
            let message = attempt.reasons().join("; ");
            let text = [details, attempt.complaints.lines.clone()].concat().join("\n");
            CaseOutcome::Failed { message, text }
        }
        Outcome::TimedOut { silence } => {
            let message = if *silence { "printed nothing for too long" } else { "timed out" };
            CaseOutcome::Failed { message: message.to_owned(), text: String::new() }
        }
        Outcome::Errored(trouble) => {
            CaseOutcome::Errored { message: trouble.to_string(), text: trouble.console.clone() }
        }
    }
}

/// The end of a log; nothing where there is none.
fn tail(path: &Path) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let read = || {
        let file = fs::File::open(path)?;
        let len = file.metadata()?.len();
        let want = len.min(MAX_OUTPUT_BYTES as u64);
        let mut bytes = vec![0; want as usize];
        file.read_exact_at(&mut bytes, len - want)?;
        std::io::Result::Ok(bytes)
    };
    read().unwrap_or_default()
}
