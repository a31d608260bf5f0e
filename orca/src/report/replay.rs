//! A JSON report read back: from the lines that `report/json.rs` writes to the events behind them.
//!
//! A report may be cut off anywhere, may come from a later orca and may have been edited. A line
//! that cannot be read is left out with a warning; only a file that is not a report at all is an
//! error.

use super::json::VERSION;
use crate::error::{Error, Result};
use crate::events::attempt::{Attempt, Complaints, Kernel, Outcome, Role, TestId, Timing};
use crate::events::event::Start;
use crate::events::points::{self, Point, Points};
use crate::events::trouble::{ConsoleTail, Kind, Trouble};
use crate::text::quote;
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

/// Subtests deeper than this are left out.
const DEPTH_MAX: u32 = 64;
/// The most rounds that are accepted, because each that is missing becomes a result.
const ROUNDS_MAX: u64 = 10_000;
/// The longest time that is accepted, in seconds: a hundred years.
const SECONDS_MAX: f64 = 3.2e9;

/// One report.
#[derive(Debug)]
pub struct Report {
    /// The name of its file.
    pub name: String,
    /// The beginning of the run.
    pub start: Start,
    /// The tests that forked.
    pub forks: Vec<Fork>,
    /// Every attempt in it, in order; their `test` is an index into `start.tests`.
    pub attempts: Vec<Attempt>,
    /// Its own warnings, and those about its faults.
    pub warnings: Vec<String>,
    /// How long the run took; `None` if the report does not reach its end.
    pub took: Option<Duration>,
}

/// A test that forked in a round.
#[derive(Debug)]
pub struct Fork {
    /// Which test: an index into `start.tests`.
    pub test: TestId,
    /// From 1: the round.
    pub round: u32,
    /// Its cases; they are in `start.tests` as well.
    pub cases: Vec<TestId>,
}

/// Reads the report in `bytes`, which came from the file called `name`.
///
/// # Errors
/// The file is not a report, or one of another version.
pub fn read(name: &str, bytes: &[u8]) -> Result<Report> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut report: Option<Report> = None;
    let mut warnings = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value: Value = match serde_json::from_slice(line) {
            Ok(value) => value,
            // The last line of a file that was cut off. The missing end is reported below.
            Err(_) if at + 1 == lines.len() && report.is_some() => break,
            Err(_) if report.is_some() => {
                warnings.push(format!("`{name}` line {}: cannot be read, left out", at + 1));
                continue;
            }
            Err(_) => return Err(no_report(name)),
        };
        match (&mut report, text(&value, "event").as_deref()) {
            (None, Some("warning")) => warnings.extend(text(&value, "text")),
            (None, Some("started")) => report = Some(begin(name, &value)?),
            (None, _) => return Err(no_report(name)),
            (Some(report), event) => {
                if !take(report, event.unwrap_or_default(), &value) {
                    warnings.push(format!("`{name}` line {}: names no test of the run", at + 1));
                }
            }
        }
    }
    let mut report = report.ok_or_else(|| no_report(name))?;
    if report.took.is_none() {
        warnings.push(format!("`{name}` is cut off: tests without a result count as not run"));
    }
    warnings.append(&mut report.warnings);
    report.warnings = warnings;
    Ok(report)
}

fn no_report(name: &str) -> Error {
    Error::new(format!(
        "`{name}` is not a report of orca: it does not begin with a `started` event"
    ))
    .hint("make one with `orca test --json FILE`")
}

fn begin(name: &str, value: &Value) -> Result<Report> {
    match value["version"].as_u64() {
        Some(VERSION) => {}
        other => {
            let found = other.map_or("none".to_owned(), |version| version.to_string());
            let error = format!("`{name}` has version {found} of the report, not {VERSION}");
            return Err(Error::new(error).hint("merge it with the orca that made it"));
        }
    }
    let tests = texts(value, "tests");
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut expected: Vec<Option<Duration>> = list("expected").iter().map(time).collect();
    expected.resize(tests.len(), None);
    let start = Start {
        expected,
        seed: value["seed"].as_u64(),
        rounds: rounds(value.get("rounds")),
        workers: value["workers"].as_u64().map_or(1, |n| n.clamp(1, 1 << 16) as usize),
        machine: text(value, "machine").unwrap_or_default(),
        log_dir: path_of(value, "log_dir").unwrap_or_default(),
        again: texts(value, "again"),
        merged: value["merged"].as_u64().unwrap_or(0) as usize,
        setups: value["setups"].as_u64().map_or(0, |n| (n as usize).min(tests.len())),
        tests,
        ..Start::default()
    };
    let name = name.to_owned();
    let (forks, attempts, warnings) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Report { name, start, forks, attempts, warnings, took: None })
}

/// Takes one line; false if it names a test that the run does not have.
fn take(report: &mut Report, event: &str, value: &Value) -> bool {
    match event {
        "warning" => report.warnings.extend(text(value, "text")),
        "cancelled" => {
            let why = text(value, "why").unwrap_or_default();
            report.warnings.push(format!("`{}`: the run was cancelled: {why}", report.name));
        }
        "finished" => report.took = time(&value["seconds"]).or(Some(Duration::ZERO)),
        "test_finished" => {
            let Some((index, path)) = named(&report.start, value) else { return false };
            report.attempts.push(attempt(index, path, value));
        }
        "test_forked" => {
            let Some((test, _)) = named(&report.start, value) else { return false };
            let add = |case| add_case(&mut report.start, case);
            let cases = items(value, "cases").map(add).collect();
            report.forks.push(Fork { test, round: number(value, "round"), cases });
        }
        _ => {} // new events may come at any time
    }
    true
}

/// The test that a line is about, by its index and path.
fn named(start: &Start, value: &Value) -> Option<(TestId, String)> {
    let path = text(value, "test").unwrap_or_default();
    let said = value["index"].as_u64().map(|index| index as TestId);
    let fits = |index: &TestId| start.tests.get(*index) == Some(&path);
    let found = || start.tests.iter().position(|test| *test == path);
    said.filter(fits).or_else(found).map(|index| (index, path))
}

/// Adds a case to the tests of the run, unless it is there from an earlier round.
fn add_case(start: &mut Start, value: &Value) -> TestId {
    let is_next = value["index"].as_u64() == Some(start.tests.len() as u64);
    let known = if is_next { None } else { named(start, value) };
    if let Some((index, _)) = known {
        return index;
    }
    let index = start.tests.len();
    start.tests.push(text(value, "test").unwrap_or_default());
    start.expected.push(time(&value["expected"]));
    start.again.resize(index, String::new());
    start.again.push(text(value, "again").unwrap_or_default());
    index
}

/// A number from 1.
fn number(value: &Value, key: &str) -> u32 {
    value[key].as_u64().unwrap_or(1).clamp(1, u32::MAX.into()) as u32
}

fn role(value: &Value) -> Role {
    let names = texts(value, "case");
    match value["setup"] == true {
        true => Role::SetUp,
        false if names.is_empty() => Role::Test,
        false => Role::Case(names),
    }
}

fn attempt(test: TestId, path: String, value: &Value) -> Attempt {
    let seconds = |key: &str| time(&value["seconds"][key]).unwrap_or_default();
    let list: Vec<Point> = items(value, "points").map(point).collect();
    let outcome = outcome(value);
    let lost = matches!(outcome, Outcome::Errored(_));
    Attempt {
        role: role(value),
        blocked_by: text(value, "blocked_by"),
        attempt: number(value, "attempt"),
        quarantined: text(value, "quarantined"),
        retried: value["final"] == false,
        worker: value["worker"].as_u64().unwrap_or(0) as usize,
        machine: text(value, "machine").filter(|name| !name.is_empty()),
        kernel: text(value, "kernel").map(|release| Kernel { release, path: PathBuf::new() }),
        outcome,
        suite: suite(value),
        reasons: texts(value, "reasons"),
        points: Points::from_parts(list, value["points_left_out"].as_u64().unwrap_or(0)),
        timing: Timing {
            ready: seconds("ready"),
            test: seconds("test"),
            first: time(&value["seconds"]["first"]),
            teardown: seconds("teardown"),
        },
        dir: path_of(value, "dir"),
        stderr_tail: text(value, "stderr").unwrap_or_default(),
        // The titles, and whether they are fatal, are in the reasons and the notes.
        complaints: Complaints { lines: texts(value, "complaints"), ..Complaints::default() },
        console: text(value, "console").filter(|_| !lost).unwrap_or_default(),
        notes: texts(value, "notes"),
        ..Attempt::not_run(test, path, number(value, "round"))
    }
}

/// The outcome; an unknown one becomes an error, without a verdict.
fn outcome(value: &Value) -> Outcome {
    let why = text(value, "why").unwrap_or_default();
    let trouble = |kind, detail, console| Outcome::Errored(Trouble { kind, detail, console });
    match text(value, "outcome").unwrap_or_default().as_str() {
        "pass" => Outcome::Passed,
        "skip" => Outcome::Skipped(why),
        "fail" => Outcome::Failed,
        "timeout" => Outcome::TimedOut { silence: why == "silence" },
        "not run" => Outcome::NotRun,
        "error" => {
            let fields = &value["trouble"];
            let kind = text(fields, "kind").and_then(|kind| Kind::from_words(&kind));
            let detail = text(fields, "detail").unwrap_or(why);
            let console = text(value, "console").map(ConsoleTail::from_shown).unwrap_or_default();
            trouble(kind.unwrap_or(Kind::Lost), detail, console)
        }
        other => {
            let detail = format!("the report has an unknown outcome: `{other}`");
            trouble(Kind::Refused, detail, ConsoleTail::default())
        }
    }
}

fn suite(value: &Value) -> tap::Suite {
    let checks = &value["checks"];
    let count = |key: &str| checks[key].as_u64().unwrap_or(0);
    let plan = checks["planned"].as_u64();
    let skip_all = text(value, "why").filter(|_| value["outcome"] == "skip");
    tap::Suite {
        plan: plan.map(|count| tap::Plan { count, text: count.to_string(), line: 0 }),
        run: count("run"),
        passed: count("passed"),
        failed: count("failed"),
        skipped: count("skipped"),
        todo: count("todo"),
        skip_all,
        failures: failures(value, "failures", 0),
        contradictions: failures(value, "contradictions", 0),
        ..tap::Collector::default().finish(tap::ExitStatus::SUCCESS)
    }
}

fn point(value: &Value) -> Point {
    let directive = text(value, "directive").and_then(|word| points::from_word(&word));
    Point {
        number: value["number"].as_u64().unwrap_or(0),
        line: value["line"].as_u64().unwrap_or(0),
        ok: value["ok"] == true,
        passed: value["passed"] == true,
        description: text(value, "description").unwrap_or_default(),
        directive: directive.map(|found| (found, text(value, "why").unwrap_or_default())),
    }
}

fn failures(value: &Value, key: &str, depth: u32) -> Vec<tap::Failure> {
    let one = |value: &Value| tap::Failure {
        number: value["number"].as_u64().unwrap_or(0),
        line: value["line"].as_u64().unwrap_or(0),
        description: text(value, "description").unwrap_or_default(),
        directive: text(value, "directive")
            .and_then(|word| points::from_word(&word))
            .map(|directive| (directive, String::new())),
        reasons: texts(value, "reasons"),
        comments: texts(value, "comments"),
        yaml: text(value, "yaml"),
        subtests: failures(value, "subtests", depth + 1),
        truncated: false,
    };
    if depth > DEPTH_MAX { Vec::new() } else { items(value, key).map(one).collect() }
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    items(value, key).map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
}

fn path_of(value: &Value, key: &str) -> Option<PathBuf> {
    value[key].as_str().map(|shown| OsString::from_vec(quote::bytes(shown.as_bytes())).into())
}

/// How often every test was to be run; older reports do not say.
fn rounds(value: Option<&Value>) -> Option<u32> {
    match value {
        None => Some(1),
        Some(rounds) => rounds.as_u64().map(|n| n.clamp(1, ROUNDS_MAX) as u32),
    }
}

fn time(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| (0.0..SECONDS_MAX).contains(seconds));
    seconds.map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: &str =
        r#"{"event":"started","version":1,"tests":["t/a_test.sh","t/b_test.sh"]}"#;
    const ENDED: &str = r#"{"event":"finished","seconds":2}"#;

    fn lines(lines: &[&str]) -> Result<Report> {
        read("x.json", lines.join("\n").as_bytes())
    }

    #[test]
    fn a_file_that_is_no_report_is_refused() {
        let check = |text: &str, message: &str| {
            let error = read("x.json", text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        };
        check("", "is not a report of orca");
        check("TAP version 14", "is not a report of orca");
        check("{}", "is not a report of orca");
        check("[1]", "is not a report of orca");
        check(r#"{"event":"started","version":2}"#, "has version 2 of the report, not 1");
    }

    #[test]
    fn a_cut_report_is_read_as_far_as_it_goes() {
        let whole = lines(&[STARTED, ENDED]).unwrap();
        assert!(whole.warnings.is_empty() && whole.took == Some(Duration::from_secs(2)));
        let cut = lines(&[STARTED, r#"{"event":"test_fin"#]).unwrap();
        assert_eq!(cut.warnings.len(), 1);
        assert!(cut.warnings[0].contains("`x.json` is cut off"), "{cut:?}");
    }

    #[test]
    fn unreadable_lines_and_unknown_tests_are_warnings() {
        let stranger = r#"{"event":"test_finished","test":"t/z_test.sh","outcome":"pass"}"#;
        let odd = r#"{"event":"test_finished","test":"t/a_test.sh","outcome":"great"}"#;
        let new = r#"{"event":"invented_later"}"#;
        let report = lines(&[STARTED, "nonsense", stranger, odd, new, ENDED]).unwrap();
        assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
        assert!(report.warnings[0].contains("line 2"));
        assert!(report.warnings[1].contains("line 3: names no test"));
        assert!(matches!(report.attempts[0].outcome, Outcome::Errored(_)));
    }
}
