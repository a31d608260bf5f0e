//! A test that has ended, as the printer and the summary show it.

use super::event::Finished;
use super::settings::{FailOn, Settings};
use crate::suite::{ExitStatus, Suite};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// A test that has ended.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) test: OsString,
    pub(super) name: String,
    pub(super) suite: Suite,
    pub(super) elapsed: Duration,
    /// Lines about failures that Perl's `prove` does not know, such as a timeout.
    pub(super) extra: Vec<String>,
    ignore_exit: bool,
}

impl Row {
    pub(super) fn new(test: OsString, finished: &Finished, settings: &Settings) -> Self {
        let suite = finished.suite.clone();
        let mut extra = Vec::new();
        if finished.timed_out {
            let limit = settings.launch.timeout.unwrap_or_default();
            extra.push(format!("Timed out: killed after {} s", limit.as_secs_f64()));
        }
        if let Some(error) = &finished.error {
            extra.push(format!("Cannot be run: {error}"));
        }
        extra.extend(forbidden(&suite, settings.fail_on));
        Self {
            name: shown(&test),
            test,
            suite,
            elapsed: finished.elapsed,
            extra,
            ignore_exit: settings.ignore_exit,
        }
    }

    /// Points that count as failed, including `ok` points beyond the plan.
    pub(super) const fn failed(&self) -> u64 {
        self.suite.failed + self.suite.unplanned
    }

    /// Points that count as passed, excluding those beyond the plan.
    pub(super) const fn passed(&self) -> u64 {
        self.suite.passed - self.suite.unplanned
    }

    /// The status as `wait` gives it.
    pub(super) const fn wait_status(&self) -> i32 {
        match self.suite.exit {
            ExitStatus::Code(code) => code << 8,
            ExitStatus::Signal { signal, core } => signal | if core { 0x80 } else { 0 },
        }
    }

    /// Whether a point, a fault, the exit status or a line of `extra` fails the file.
    pub(super) fn errors(&self) -> bool {
        self.failed() > 0
            || self.suite.faults_total > 0
            || (!self.ignore_exit && !self.suite.exit.success())
            || !self.extra.is_empty()
    }
}

/// Why `--fail-on` fails a suite, if it does.
fn forbidden(suite: &Suite, fail_on: FailOn) -> Option<String> {
    if fail_on.skip && (suite.skipped > 0 || suite.skip_all.is_some()) {
        let what = if suite.skip_all.is_some() { "all".into() } else { suite.skipped.to_string() };
        return Some(format!("Forbidden by --fail-on skip: {what} skipped"));
    }
    let passed = suite.todo_passed;
    (fail_on.todo_passed && passed > 0)
        .then(|| format!("Forbidden by --fail-on todo-passed: {passed} passed"))
}

/// The name of a test as it is shown.
pub(super) fn shown(test: &OsStr) -> String {
    test.to_string_lossy().into_owned()
}
