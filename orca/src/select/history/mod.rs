//! What is known of tests from earlier runs: how they ended and how long they took.
//!
//! It is a file of JSON lines that only grows during a run: the plan at the start, then each result
//! as it comes, each with a single append. So an end of any kind, `kill -9` included, loses at most
//! the running tests, and planned tests without a result are known. The next run rewrites the file
//! with a line per test, unless another run is writing to it. Only a damaged line itself is lost.

use super::discover::Test;
use crate::error::Error;
use crate::text::case;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Durations kept per test; their median is its expected time.
const TIMES_KEPT: usize = 5;
/// The most that is read of a history, in bytes: some 100,000 tests.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Tests kept, those of the latest runs.
const TESTS_MAX: usize = 50_000;
/// How many lines a file may have beyond one per test before it is rewritten.
const SLACK_LINES: usize = 1000;

/// What is known of one test.
#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    /// The last run that planned it.
    run: String,
    /// Whether it has had a final result in that run.
    seen: bool,
    /// Whether any such result was bad.
    bad: bool,
    /// How long it took in the latest runs, the newest last, in seconds.
    times: Vec<f64>,
    /// The last line of the file about it.
    line: usize,
    /// The test that it is a case of.
    of: Option<String>,
}

impl Record {
    fn is_outstanding(&self) -> bool {
        self.bad || !self.seen
    }
}

/// What is known of a project's tests.
#[derive(Clone, Debug, Default)]
pub struct History {
    tests: HashMap<String, Record>,
    /// The cases of each test that forked, by their paths.
    cases: HashMap<String, BTreeSet<String>>,
    lines: usize,
    damaged: usize,
    too_long: bool,
}

impl History {
    /// Reads the history in `path`. A missing file is an empty history. What cannot be read is left
    /// out; the warning says so.
    pub fn load(path: &Path) -> (Self, Option<String>) {
        let mut history = Self::default();
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => history.read(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return (history, None),
            Err(e) => return (history, Some(Error::io("read", path, &e).to_string())),
        }
        history.too_long = bytes.len() as u64 == FILE_BYTES_MAX;
        let shown = path.display();
        let warning = match history.damaged {
            0 => None,
            1 => Some(format!("the history `{shown}` has a damaged line, which is left out")),
            n => Some(format!("the history `{shown}` has {n} damaged lines, which are left out")),
        };
        (history, warning)
    }

    /// Whether nothing is known at all.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether the time of any test is known.
    pub fn has_times(&self) -> bool {
        self.tests.values().any(|record| !record.times.is_empty())
    }

    /// Whether a line of the file cannot be read.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged > 0
    }

    /// Whether no line of the file is a line of a history.
    pub fn is_not_a_history(&self) -> bool {
        self.damaged > 0 && self.tests.is_empty()
    }

    /// How long `test` is expected to take: the median of its last few runs, of good ones if there
    /// are any.
    pub fn expected(&self, test: &str) -> Option<Duration> {
        let mut times = self.tests.get(test)?.times.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).map(|seconds| Duration::from_secs_f64(*seconds))
    }

    /// How long what is wanted of `test` is expected to take: if it forked, all its cases one after
    /// the other.
    pub fn expected_of(&self, test: &Test) -> Option<Duration> {
        let path = test.display();
        let wanted = |case: &&String| {
            let names = names_of(&path, case);
            test.only.is_empty() || test.only.iter().any(|only| names.starts_with(only))
        };
        let cases = self.cases.get(&path).into_iter().flatten().filter(wanted);
        let times: Vec<Duration> = cases.filter_map(|case| self.expected(case)).collect();
        if times.is_empty() { self.expected(&path) } else { Some(times.iter().sum()) }
    }

    /// How long each known case is expected to take, by its path.
    pub fn times_of_cases(&self) -> HashMap<String, Duration> {
        let cases = self.cases.values().flatten();
        cases.filter_map(|case| Some((case.clone(), self.expected(case)?))).collect()
    }

    /// Whether `test` forked when it was last run.
    pub fn forks(&self, test: &str) -> bool {
        self.cases.contains_key(test)
    }

    /// Whether `test`, or a case of it, failed or got no result in the last run that planned it.
    pub fn is_outstanding(&self, test: &str) -> bool {
        let is_outstanding = |path: &str| self.tests.get(path).is_some_and(Record::is_outstanding);
        let mut cases = self.cases.get(test).into_iter().flatten();
        is_outstanding(test) || cases.any(|case| is_outstanding(case))
    }

    /// The cases of `test` that failed or got no result in the last run that planned them, each as
    /// the names of its forks; no case if that is true of the test as a whole. `None` if nothing is
    /// outstanding.
    pub fn outstanding(&self, test: &str) -> Option<Vec<Vec<String>>> {
        let is_outstanding = |path: &str| self.tests.get(path).is_some_and(Record::is_outstanding);
        if is_outstanding(test) {
            return Some(Vec::new());
        }
        let cases = self.cases.get(test)?.iter().filter(|case| is_outstanding(case));
        let mut found: Vec<Vec<String>> = Vec::new();
        for names in cases.map(|case| names_of(test, case)) {
            // In the order of the paths a case comes right before its own cases.
            if found.last().is_none_or(|last| !names.starts_with(last)) {
                found.push(names);
            }
        }
        (!found.is_empty()).then_some(found)
    }

    fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            self.lines += 1;
            let known = serde_json::from_slice(line).ok().and_then(|value| self.take(&value));
            self.damaged += usize::from(known.is_none());
        }
    }

    /// Takes one line; `None` if it is not a line of a history.
    fn take(&mut self, value: &Value) -> Option<()> {
        let line = self.lines;
        let run = value.get("run")?.as_str()?;
        let of = value.get("of").and_then(Value::as_str);
        if let Some(tests) = value.get("planned") {
            for test in tests.as_array()? {
                self.plan(test.as_str()?, run, of);
            }
            let forked = value.get("forked").and_then(Value::as_str);
            if let Some(record) = forked.and_then(|test| self.tests.get_mut(test)) {
                // A run of some of its cases says nothing of the test as a whole.
                record.seen |= record.run == run;
            }
            return Some(());
        }
        let test = value.get("test")?.as_str()?.to_owned();
        match (value.get("times"), of) {
            (Some(_), of) => self.link(&test, of),
            (None, _) => self.ended_as_a_whole(&test, run),
        }
        let record = self.tests.entry(test).or_default();
        record.line = line;
        if let Some(times) = value.get("times") {
            let times = times.as_array()?.iter().filter_map(seconds);
            let bad = value.get("bad")?.as_bool()?;
            let seen = value.get("seen")?.as_bool()?;
            let (run, times, of) = (run.to_owned(), Vec::from_iter(times), record.of.take());
            *record = Record { run, seen, bad, times, line, of };
        } else {
            if record.run != run {
                *record = Record { run: run.to_owned(), bad: false, ..std::mem::take(record) };
            }
            record.seen = true;
            let bad = value.get("bad")?.as_bool()?;
            record.bad |= bad;
            // A failure often ends early, so its time counts only if there is no other.
            let tells = !bad || record.times.is_empty();
            record.times.extend(value.get("seconds").and_then(seconds).filter(|_| tells));
        }
        let excess = record.times.len().saturating_sub(TIMES_KEPT);
        record.times.drain(..excess);
        Some(())
    }

    /// A run has planned `test`, which is a case of the test `of` if that is given. What was known
    /// of the cases below it counts no more.
    fn plan(&mut self, test: &str, run: &str, of: Option<&str>) {
        self.forget_below(of.unwrap_or(test), test, |record| record.run != run);
        self.link(test, of);
        let line = self.lines;
        let record = self.tests.entry(test.to_owned()).or_default();
        if record.run != run {
            let (times, of) = (std::mem::take(&mut record.times), record.of.take());
            *record = Record { run: run.to_owned(), times, of, ..Record::default() };
        }
        record.line = line;
    }

    /// A test, or a case, has ended without a fork in this run, so it has none of the cases that it
    /// had earlier or was to have.
    fn ended_as_a_whole(&mut self, test: &str, run: &str) {
        let of = self.tests.get(test).and_then(|record| record.of.clone());
        let of = of.unwrap_or_else(|| test.to_owned());
        self.forget_below(&of, test, |record| record.run != run || !record.seen);
    }

    /// Makes `test` a case of the test `of`.
    fn link(&mut self, test: &str, of: Option<&str>) {
        if let Some(of) = of {
            self.tests.entry(test.to_owned()).or_default().of = Some(of.to_owned());
            self.cases.entry(of.to_owned()).or_default().insert(test.to_owned());
        }
    }

    /// Forgets the results of the cases below `test` that `old` says so of: they are no cases any
    /// more, but their times may still be of use. `of` is the test that they are cases of.
    fn forget_below(&mut self, of: &str, test: &str, old: impl Fn(&Record) -> bool) {
        let Some(cases) = self.cases.get_mut(of) else { return };
        let begin = format!("{test} [");
        let below = cases.range(begin.clone()..).take_while(|case| case.starts_with(&begin));
        // On a kernel of several, the path of a test ends in brackets as well.
        let below: Vec<String> =
            if of == test { cases.iter().cloned().collect() } else { below.cloned().collect() };
        for case in below {
            let Some(record) = self.tests.get_mut(&case).filter(|record| old(record)) else {
                continue;
            };
            (record.seen, record.bad, record.of) = (true, false, None);
            cases.remove(&case);
        }
        if cases.is_empty() {
            self.cases.remove(of);
        }
    }

    /// A line per test, the latest last.
    pub(super) fn compact(&self) -> Vec<u8> {
        let mut tests: Vec<(&String, &Record)> = self.tests.iter().collect();
        tests.sort_by_key(|(test, record)| (record.line, *test));
        let mut out = String::new();
        for (test, record) in &tests[tests.len().saturating_sub(TESTS_MAX)..] {
            let Record { run, seen, bad, times, of, .. } = record;
            let mut line =
                json!({ "test": test, "run": run, "seen": seen, "bad": bad, "times": times });
            if let Some(of) = of {
                line["of"] = of.as_str().into();
            }
            out.push_str(&format!("{line}\n"));
        }
        out.into_bytes()
    }

    /// Whether the file should be rewritten.
    pub(super) fn needs_compaction(&self) -> bool {
        self.damaged > 0 || self.too_long || self.lines > self.tests.len() + SLACK_LINES
    }
}

/// The names of the forks in the path of a case of `test`.
fn names_of(test: &str, case: &str) -> Vec<String> {
    let mut readings = case::readings(case).into_iter();
    readings.find(|(file, _)| *file == test).map(|(_, names)| names).unwrap_or_default()
}

/// A time that a history may have: finite, not negative, at most a year.
fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().filter(|seconds| (0.0..3.2e7).contains(seconds))
}

#[cfg(test)]
mod tests;
