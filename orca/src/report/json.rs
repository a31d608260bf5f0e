//! The report for programs: JSON lines, one object per event, written as things happen.
//! docs/json-report.md has all fields.
//!
//! `version` in the first line changes when a field changes its meaning or goes away; new fields
//! and new events may come at any time. Times are in seconds. `replay.rs` reads the report back, so
//! everything that a report for people says is here too.

use super::Reporter;
use crate::events::attempt::{Attempt, Outcome, Role};
use crate::events::event::{Event, ForkedCase, Start};
use crate::events::points::{self, Point};
use crate::events::tally::Tally;
use crate::text::quote;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// The format's version, in the first line.
pub const VERSION: u64 = 1;
/// The most failing points that are listed per test, and per subtest; the log has all.
const FAILURES_MAX: usize = 100;

/// The reporter that writes JSON lines.
pub struct Json<W: Write> {
    out: W,
    /// Set after a failed write: the reader is gone, and nothing more is written.
    broken: bool,
}

impl<W: Write> Json<W> {
    /// A reporter that writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, broken: false }
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
        Event::Started(start) => started(start),
        Event::Warning(text) => json!({ "event": "warning", "text": text }),
        Event::MachineStarting { worker } => {
            json!({ "event": "machine_starting", "worker": worker })
        }
        Event::MachineReady { worker, machine, took, phases } => json!({
            "event": "machine_ready",
            "worker": worker,
            "machine": machine,
            "seconds": took.as_secs_f64(),
            "phases": seconds_by_name(phases),
        }),
        Event::TestStarted { test, path, round, attempt, timeout, worker, machine } => json!({
            "event": "test_started",
            "index": test,
            "test": path,
            "round": round,
            "attempt": attempt,
            "timeout": timeout.as_secs_f64(),
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
        Event::TestForked { test, path, round, attempt, cases } => json!({
            "event": "test_forked",
            "index": test,
            "test": path,
            "round": round,
            "attempt": attempt,
            "cases": cases.iter().map(case).collect::<Vec<_>>(),
        }),
        Event::Cancelled { why, running, .. } => {
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
            "cases": tally.cases,
            "setups": tally.setups,
        }),
    }
}

/// The phases of a machine's start as an object of seconds.
fn seconds_by_name(phases: &[(&'static str, Duration)]) -> BTreeMap<&'static str, f64> {
    phases.iter().map(|(name, at)| (*name, at.as_secs_f64())).collect()
}

fn started(start: &Start) -> Value {
    let expected: Vec<Option<f64>> =
        start.expected.iter().map(|time| time.as_ref().map(Duration::as_secs_f64)).collect();
    json!({
        "event": "started",
        "version": VERSION,
        "tests": start.tests,
        "setups": start.setups,
        "expected": expected,
        "again": start.again,
        "seed": start.seed,
        "rounds": start.rounds,
        "workers": start.workers,
        "machine": start.machine,
        "log_dir": quote::path(&start.log_dir),
        "merged": start.merged,
    })
}

fn case(case: &ForkedCase) -> Value {
    json!({
        "index": case.test,
        "test": case.path,
        "expected": case.expected.map(|time| time.as_secs_f64()),
        "again": case.again,
    })
}

fn finished(attempt: &Attempt) -> Value {
    let suite = &attempt.suite;
    let timing = &attempt.timing;
    let trouble = match &attempt.outcome {
        Outcome::Errored(trouble) => json!({
            "kind": trouble.kind.to_string(),
            "detail": trouble.detail,
        }),
        _ => Value::Null,
    };
    let console = match &attempt.outcome {
        Outcome::Errored(trouble) => trouble.console.to_string(),
        _ => attempt.console.clone(),
    };
    let names = match &attempt.role {
        Role::Case(names) => names.as_slice(),
        Role::Test | Role::SetUp => &[],
    };
    json!({
        "event": "test_finished",
        "index": attempt.test,
        "test": attempt.path,
        "kernel": attempt.kernel.as_ref().map(|kernel| kernel.release.as_str()),
        "setup": attempt.is_setup(),
        "case": names,
        "blocked_by": attempt.blocked_by,
        "round": attempt.round,
        "attempt": attempt.attempt,
        "quarantined": attempt.quarantined,
        "final": !attempt.retried,
        "outcome": attempt.outcome.word(),
        "why": why(attempt),
        "reasons": attempt.reasons,
        "trouble": trouble,
        "flaky": attempt.is_flaky(),
        "worker": attempt.worker,
        "machine": attempt.machine.as_deref().unwrap_or_default(),
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
        "points": attempt.points.list.iter().map(point).collect::<Vec<_>>(),
        "points_left_out": attempt.points.left_out,
        "failures": failures(&suite.failures),
        "contradictions": failures(&suite.contradictions),
        "stderr": attempt.stderr_tail,
        "complaints": attempt.complaints.lines,
        "console": console,
        "notes": attempt.notes,
        "dir": attempt.dir.as_deref().map(quote::path),
    })
}

/// The reason in one string, for programs that only show it.
fn why(attempt: &Attempt) -> Option<String> {
    match &attempt.outcome {
        Outcome::Skipped(reason) => Some(reason.clone()),
        Outcome::Errored(trouble) => Some(trouble.to_string()),
        Outcome::Failed => Some(attempt.reasons.join("; ")),
        Outcome::TimedOut { silence } => {
            Some(if *silence { "silence" } else { "timeout" }.to_owned())
        }
        Outcome::Passed | Outcome::NotRun => None,
    }
}

/// A point. Most have no directive, and there are many, so only a point with a directive has fields
/// for it.
fn point(point: &Point) -> Value {
    let mut out = json!({
        "number": point.number,
        "line": point.line,
        "ok": point.ok,
        "passed": point.passed,
        "description": point.description,
    });
    if let Some((directive, why)) = &point.directive {
        out["directive"] = points::word(*directive).into();
        out["why"] = why.as_str().into();
    }
    out
}

fn failures(list: &[tap::Failure]) -> Vec<Value> {
    let one = |failure: &tap::Failure| {
        json!({
            "number": failure.number,
            "line": failure.line,
            "description": failure.description,
            "directive": failure.directive.as_ref().map(|(directive, _)| points::word(*directive)),
            "reasons": failure.reasons,
            "comments": failure.comments,
            "yaml": failure.yaml,
            "subtests": failures(&failure.subtests),
        })
    };
    list.iter().take(FAILURES_MAX).map(one).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::events::points::Points;
    use crate::events::trouble::{Kind, Trouble};

    /// A test whose output is `stream`.
    fn printed(test: usize, name: &str, outcome: Outcome, stream: &str) -> Attempt {
        let (mut points, mut collector) = (Points::default(), tap::Collector::default());
        let exit = tap::ExitStatus::Code(i32::from(!outcome.is_good()));
        let mut note = |item: &tap::Item<'_>, done| points.item(item, done);
        collector.feed_with(stream.as_bytes(), &mut note);
        let suite = collector.finish_with(exit, &mut note);
        Attempt {
            outcome,
            reasons: suite.reasons(),
            suite,
            points,
            machine: Some(format!("vm{test}")),
            ..Attempt::not_run(test, format!("t/{name}_test.sh"), 1)
        }
    }

    /// An attempt of every kind.
    pub(in crate::report) fn attempts() -> Vec<Attempt> {
        let trouble = Trouble {
            kind: Kind::Panicked,
            detail: "Oops: <&>".into(),
            console: "[ 1.0] Oops\n\x1b".into(),
        };
        let bad = "1..3\nok 1 - a\nnot ok 2 - it's \\# broken\n# ]]> <b> got: 1\n\
                   \x20 ---\n  a: |\n    x\n  ...\nok 3 # SKIP no tool\n";
        let mut quarantined = printed(2, "quarantined", Outcome::Failed, "1..1\nnot ok 1 - q\n");
        quarantined.quarantined = Some("slow # disk".into());
        let mut flaky = printed(3, "flaky", Outcome::Passed, "1..1\nok 1 # TODO soon\n");
        flaky.attempt = 2;
        vec![
            printed(0, "good", Outcome::Passed, "1..1\nok 1 - fine {\n"),
            printed(1, "bad", Outcome::Failed, bad),
            quarantined,
            flaky,
            printed(4, "none", Outcome::Skipped("no # nft".into()), "1..0 # SKIP no # nft\n"),
            printed(5, "late", Outcome::TimedOut { silence: false }, "1..2\nok 1\n"),
            printed(6, "lost", Outcome::Errored(trouble), ""),
            Attempt::not_run(7, "t/never_test.sh".into(), 1),
        ]
    }

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
