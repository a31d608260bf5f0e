//! The report for programs: JSON lines, one object per event, written as things happen. ARCHITECTURE.md has the table.
//!
//! `version` in the first line changes whenever a field changes its meaning or goes away; new fields and new events may come at any
//! time. Times are in seconds.

use super::Reporter;
use crate::event::{Attempt, Event, Outcome};
use crate::quote;
use crate::tally::Tally;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// Of the format, see the module.
const VERSION: u32 = 1;
/// Failing points per test; the log has all.
const FAILURES_MAX: usize = 100;

/// See the module.
pub struct Json<W: Write> {
    out: W,
    /// A reader that is gone is not written to again.
    broken: bool,
}

impl<W: Write> Json<W> {
    /// A reporter that writes to `out`.
    pub fn new(out: W) -> Json<W> {
        Json { out, broken: false }
    }
}

impl<W: Write> Reporter for Json<W> {
    fn event(&mut self, event: &Event, tally: &Tally) {
        if self.broken {
            return;
        }
        let line = format!("{}\n", object(event, tally));
        self.broken = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()).is_err();
    }
}

fn object(event: &Event, tally: &Tally) -> Value {
    match event {
        Event::Started(start) => json!({
            "event": "started",
            "version": VERSION,
            "tests": start.tests,
            "expected": start.expected.iter().map(|time| time.map(|t| t.as_secs_f64())).collect::<Vec<_>>(),
            "seed": start.seed,
            "workers": start.workers,
            "machine": start.machine,
            "log_dir": start.log_dir.to_string_lossy(),
        }),
        Event::Warning(text) => json!({ "event": "warning", "text": text }),
        Event::MachineStarting { worker } => {
            json!({ "event": "machine_starting", "worker": worker })
        }
        Event::MachineReady { worker, machine, took, phases } => json!({
            "event": "machine_ready",
            "worker": worker,
            "machine": machine,
            "seconds": took.as_secs_f64(),
            "phases": phases.iter().map(|(name, at)| (*name, at.as_secs_f64())).collect::<BTreeMap<_, _>>(),
        }),
        Event::TestStarted { path, attempt, worker, machine, .. } => json!({
            "event": "test_started",
            "test": path,
            "attempt": attempt,
            "worker": worker,
            "machine": machine,
        }),
        Event::TestProgress { test, points, planned } => json!({
            "event": "test_progress",
            "index": test,
            "points": points,
            "planned": planned,
        }),
        Event::TestFinished(attempt) => finished(attempt),
        Event::Cancelled { why, running } => {
            json!({ "event": "cancelled", "why": why, "running": running })
        }
        Event::Finished { took } => json!({
            "event": "finished",
            "seconds": took.as_secs_f64(),
            "passed": tally.passed,
            "flaky": tally.flaky,
            "failed": tally.failed,
            "timed_out": tally.timed_out,
            "errored": tally.errored,
            "quarantined": tally.quarantined,
            "skipped": tally.skipped,
            "not_run": tally.not_run,
            "checks": tally.points,
        }),
    }
}

fn finished(attempt: &Attempt) -> Value {
    let suite = &attempt.suite;
    let timing = &attempt.timing;
    let failures: Vec<Value> = suite
        .failures
        .iter()
        .take(FAILURES_MAX)
        .map(|point| json!({ "number": point.number, "description": point.description }))
        .collect();
    let why = match &attempt.outcome {
        Outcome::Skipped(reason) => Value::from(reason.as_str()),
        Outcome::Errored(trouble) => Value::from(trouble.to_string()),
        Outcome::Failed => Value::from(attempt.reasons().join("; ")),
        Outcome::TimedOut { silence } => Value::from(if *silence { "silence" } else { "timeout" }),
        Outcome::Passed | Outcome::NotRun => Value::Null,
    };
    let console = match &attempt.outcome {
        Outcome::Errored(trouble) => Value::from(trouble.console.as_str()),
        _ => Value::Null,
    };
    json!({
        "event": "test_finished",
        "test": attempt.path,
        "kernel": attempt.kernel.as_ref().map(|kernel| kernel.release.as_str()),
        "round": attempt.round,
        "attempt": attempt.attempt,
        "quarantined": attempt.quarantined,
        "final": !attempt.retried,
        "outcome": attempt.outcome.word(),
        "why": why,
        "flaky": attempt.is_flaky(),
        "worker": attempt.worker,
        "machine": attempt.machine,
        "seconds": {
            "ready": timing.ready.as_secs_f64(),
            "test": timing.test.as_secs_f64(),
            "first": timing.first.map(|first| first.as_secs_f64()),
            "teardown": timing.teardown.as_secs_f64(),
        },
        "checks": {
            "planned": suite.plan.as_ref().map(|plan| plan.count),
            "run": suite.run,
            "passed": suite.passed,
            "failed": suite.failed,
            "skipped": suite.skipped,
            "todo": suite.todo,
        },
        "failures": failures,
        "notes": attempt.notes,
        "complaints": attempt.complaints.lines,
        "console": console,
        "dir": attempt.dir.as_ref().map(|dir| quote::text(dir.as_os_str().as_bytes())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_line_is_an_object_with_its_event() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        for event in [
            Event::Warning("a \"quoted\"\nline".into()),
            Event::MachineStarting { worker: 1 },
            Event::MachineReady {
                worker: 1,
                machine: "vm1".into(),
                took: Duration::from_millis(1500),
                phases: vec![("hello", Duration::from_millis(250))],
            },
            Event::Finished { took: Duration::from_secs(2) },
        ] {
            json.event(&event, &Tally { passed: 3, ..Tally::default() });
        }
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["warning", "machine_starting", "machine_ready", "finished"]);
        assert_eq!(lines[2]["seconds"], 1.5);
        assert_eq!(lines[2]["phases"]["hello"], 0.25);
        assert_eq!(lines[3]["passed"], 3);
    }
}
