//! The history with real files, and runs that consist of their events alone.

use super::*;
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::{Event, ForkedCase, Start};
use crate::select::journal::Journal;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// A history file in a folder of its own.
struct Store(PathBuf);

impl Store {
    fn new() -> Self {
        Self(nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-history-XXXXXX")).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.join("history/project.jsonl")
    }

    fn load(&self) -> History {
        let (history, warning) = History::load(&self.path());
        assert_eq!(warning, None);
        history
    }

    /// A run of these tests with these results; a test without one did not run.
    fn run(&self, name: &str, tests: &[(&str, Option<bool>, u64)]) -> Journal {
        let history = History::load(&self.path()).0;
        let mut journal = Journal::open(&self.path(), &history, name, true).unwrap();
        journal.take(&Event::Started(start(tests.iter().map(|test| test.0.to_owned()).collect())));
        for (test, good, seconds) in tests {
            if let Some(good) = good {
                let outcome = if *good { Outcome::Passed } else { Outcome::Failed };
                journal.take(&finished(test, outcome, *seconds));
            }
        }
        journal
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn start(tests: Vec<String>) -> Start {
    let expected = vec![None; tests.len()];
    Start { tests, expected, workers: 1, rounds: Some(1), ..Start::default() }
}

fn finished(test: &str, outcome: Outcome, seconds: u64) -> Event {
    let mut attempt = Attempt {
        machine: Some("vm1".to_owned()),
        outcome,
        ..Attempt::not_run(0, test.to_owned(), 1)
    };
    attempt.timing.test = Duration::from_secs(seconds);
    Event::TestFinished(Box::new(attempt))
}

fn outstanding(history: &History) -> Vec<&str> {
    let mut tests: Vec<&str> =
        history.tests.keys().map(String::as_str).filter(|t| history.is_outstanding(t)).collect();
    tests.sort_unstable();
    tests
}

#[test]
fn what_failed_or_never_ended_is_outstanding() {
    let store = Store::new();
    assert!(store.load().is_empty());
    store.run("1", &[("a", Some(true), 1), ("b", Some(false), 1), ("c", None, 0)]);
    assert_eq!(outstanding(&store.load()), ["b", "c"]);
    store.run("2", &[("b", Some(true), 1)]);
    assert_eq!(outstanding(&store.load()), ["c"], "a run of some leaves the others as they were");
    store.run("3", &[("c", Some(true), 1), ("c", Some(false), 1), ("c", Some(true), 1)]);
    assert_eq!(outstanding(&store.load()), ["c"], "one bad round is enough");
    store.run("4", &[("a", None, 0), ("c", Some(true), 1)]);
    assert_eq!(outstanding(&store.load()), ["a"], "planned, and cut by a crash");
}

#[test]
fn cut_tests_have_no_result_and_quarantine_is_no_failure() {
    let store = Store::new();
    let mut journal = store.run("1", &[("a", None, 0), ("b", None, 0)]);
    journal.take(&finished("a", Outcome::NotRun, 1));
    if let Event::TestFinished(mut attempt) = finished("b", Outcome::Failed, 1) {
        attempt.quarantined = Some("a race".into());
        journal.take(&Event::TestFinished(attempt));
    }
    assert_eq!(outstanding(&store.load()), ["a"]);
}

#[test]
fn a_test_is_expected_to_take_what_it_lately_took() {
    let store = Store::new();
    for (run, seconds) in [100, 2, 9, 3, 4, 5].iter().enumerate() {
        store.run(&run.to_string(), &[("a", Some(true), *seconds)]);
    }
    store.run("9", &[("a", Some(false), 0), ("b", Some(false), 7)]);
    let history = store.load();
    assert_eq!(history.expected("a"), Some(Duration::from_secs(4)), "the median of 2 9 3 4 5");
    assert_eq!(history.expected("b"), Some(Duration::from_secs(7)));
    assert_eq!(history.expected("c"), None);
    let mut journal = Journal::open(&store.path(), &history, "10", false).unwrap();
    journal.take(&finished("a", Outcome::Passed, 1000));
    assert_eq!(store.load().expected("a"), Some(Duration::from_secs(4)), "without times");
}

#[test]
fn damage_costs_its_line_and_is_cleared_away() {
    let store = Store::new();
    drop(store.run("1", &[("a", Some(true), 3), ("b", Some(false), 1)]));
    let mut bytes = fs::read(store.path()).unwrap();
    bytes.extend_from_slice(b"\xff\xfe\0{\n{}\n[1]\n{\"test\":3}\n{\"run\":\"2\",\"test\":\"a");
    fs::write(store.path(), &bytes).unwrap();
    let (history, warning) = History::load(&store.path());
    assert!(warning.unwrap().contains("5 damaged lines"));
    assert_eq!(outstanding(&history), ["b"]);
    store.run("3", &[("b", Some(true), 1)]);
    let history = store.load();
    assert!(outstanding(&history).is_empty());
    assert_eq!(history.expected("a"), Some(Duration::from_secs(3)));
    assert_eq!(fs::read(store.path().with_extension("damaged")).unwrap(), bytes);
}

#[test]
fn a_line_that_was_cut_does_not_swallow_the_next() {
    let store = Store::new();
    let writing = store.run("1", &[("a", Some(true), 3)]);
    let mut file = OpenOptions::new().append(true).open(store.path()).unwrap();
    file.write_all(b"{\"run\":\"1\",\"te").unwrap();
    store.run("2", &[("a", Some(false), 1)]);
    let (history, warning) = History::load(&store.path());
    assert!(warning.is_some(), "while somebody writes, nothing is replaced");
    assert_eq!(outstanding(&history), ["a"]);
    drop(writing);
}

#[test]
fn the_file_stays_small_and_a_writer_is_never_cut_off() {
    let store = Store::new();
    let tests: Vec<(String, u64)> = (0..1100).map(|n| (format!("t{n}"), n)).collect();
    let all: Vec<(&str, Option<bool>, u64)> =
        tests.iter().map(|(test, n)| (test.as_str(), Some(n % 2 == 0), *n)).collect();
    let mut first = store.run("1", &all);
    store.run("2", &all);
    let lines = || fs::read_to_string(store.path()).unwrap().lines().count();
    assert_eq!(lines(), 2 * 1101, "the first run may still write");
    first.take(&finished("t1", Outcome::Passed, 1));
    drop(first);
    let before = store.load();
    drop(Journal::open(&store.path(), &before, "3", true).unwrap());
    assert_eq!(lines(), 1100);
    let after = store.load();
    assert_eq!(outstanding(&before), outstanding(&after));
    assert_eq!(before.expected("t1098"), after.expected("t1098"));
}

#[test]
fn something_else_is_told_from_a_history() {
    let store = Store::new();
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    fs::write(store.path(), "[package]\nname = \"x\"\n").unwrap();
    let (history, _) = History::load(&store.path());
    assert!(history.is_not_a_history());
    assert!(!History::default().is_not_a_history());
}

/// A run of `t`, or of the cases `only` of it. Each step is `NAME: CASES` for a fork, with names
/// between slashes and `t` for the test, or a name with `+` or `-` for its result.
fn forking(store: &Store, run: &str, only: &str, steps: &[&str]) {
    let path = |name: &str| match name {
        "t" => "t".to_owned(),
        name => case::path("t", &name.split('/').map(str::to_owned).collect::<Vec<_>>()),
    };
    let history = store.load();
    let mut journal = Journal::open(&store.path(), &history, run, true).unwrap();
    let mut begin = start(vec!["t".to_owned()]);
    if !only.is_empty() {
        begin.only.insert(0, only.split(' ').map(path).collect());
    }
    journal.take(&Event::Started(begin));
    let mut ids = vec!["t".to_owned()];
    for step in steps {
        let Some((test, cases)) = step.split_once(": ") else {
            let (name, good) = step.split_at(step.len() - 1);
            let outcome = if good == "+" { Outcome::Passed } else { Outcome::Failed };
            journal.take(&finished(&path(name), outcome, 2));
            continue;
        };
        let mut id = |name: &str| {
            ids.iter().position(|known| known == name).unwrap_or_else(|| {
                ids.push(name.to_owned());
                ids.len() - 1
            })
        };
        let case = |name: &str, test| ForkedCase {
            test,
            path: path(name),
            expected: None,
            again: String::new(),
        };
        let cases: Vec<ForkedCase> = cases.split(' ').map(|name| case(name, id(name))).collect();
        let (test, path) = (id(test), path(test));
        journal.take(&Event::TestForked { test, path, round: 1, attempt: 1, cases });
    }
}

/// What `--failed` would choose of `t`: `-` for nothing, `t` for all of it, else cases.
fn failed(history: &History) -> String {
    match history.outstanding("t") {
        None => "-".to_owned(),
        Some(cases) if cases.is_empty() => "t".to_owned(),
        Some(cases) => cases.iter().map(|names| names.join("/")).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn of_a_test_that_forked_only_the_bad_cases_are_outstanding_until_none_is() {
    let store = Store::new();
    let check = |run: &str, only: &str, steps: &[&str], expected: &str| {
        forking(&store, run, only, steps);
        assert_eq!(failed(&store.load()), expected, "run {run}");
    };
    check("1", "", &[], "t");
    check("2", "", &["t: a b c", "a+"], "b c");
    check("3", "b c", &[], "b c");
    check("4", "b c", &["t: b c", "b-", "c+"], "b");
    check("5", "c", &["t: c", "c+"], "b");
    check("6", "b", &["t: b", "b: b/x b/y", "b/x+", "b/y-"], "b/y");
    check("7", "b/y", &["t: b", "b: b/y", "b/y+"], "-");
    check("8", "", &["t: a b", "b: b/x b/y", "a+", "b/x-"], "b/x b/y");
    assert_eq!(failed(&compacted(&store)), "b/x b/y");
    check("9", "b", &["t: b", "b+"], "-");
    let history = store.load();
    assert_eq!(history.expected_of(&Test::new("t")), Some(Duration::from_secs(4)), "a and b");
    let only = Test { path: "t".into(), only: vec![vec!["a".to_owned()]] };
    assert_eq!(history.expected_of(&only), Some(Duration::from_secs(2)));
    assert!(history.forks("t") && history.times_of_cases().len() == 2);
}

#[test]
fn cases_that_are_gone_are_not_outstanding_for_ever() {
    let check = |only: &str, steps: &[&str], expected: &str| {
        let store = Store::new();
        forking(&store, "1", "", &["t: a b", "a-", "b: b/x b/y", "b/x-"]);
        assert_eq!(failed(&store.load()), "a b/x b/y");
        forking(&store, "2", only, steps);
        assert_eq!(failed(&store.load()), expected, "{only} {steps:?}");
        assert_eq!(failed(&compacted(&store)), expected, "{only} {steps:?}");
    };
    check("", &["t+"], "-");
    check("", &["t-"], "t");
    check("", &["t: c d", "c+", "d-"], "d");
    check("a", &["t-"], "t");
    check("a", &["t+"], "-");
    check("b/x b/y", &["t: b", "b-"], "a b");
    check("b", &["t: b", "b+"], "a");
    check("a", &["t: a"], "a b/x b/y");
}

#[test]
fn one_bad_round_of_a_case_is_enough() {
    let store = Store::new();
    forking(&store, "1", "", &["t: a b", "a-", "b+", "t: a b", "a+", "b+"]);
    assert_eq!(failed(&store.load()), "a");
}

#[test]
fn set_ups_are_never_planned_and_their_times_are_kept() {
    let store = Store::new();
    let history = store.load();
    let mut journal = Journal::open(&store.path(), &history, "1", true).unwrap();
    let tests = vec!["t/setup.sh".to_owned(), "t/a_test.sh".to_owned()];
    journal.take(&Event::Started(Start { setups: 1, ..start(tests) }));
    assert_eq!(outstanding(&store.load()), ["t/a_test.sh"]);
    journal.take(&finished("t/setup.sh", Outcome::Passed, 9));
    assert_eq!(store.load().expected("t/setup.sh"), Some(Duration::from_secs(9)));
}

/// The history after its file has been rewritten.
fn compacted(store: &Store) -> History {
    let bytes = store.load().compact();
    let mut history = History::default();
    history.read(&bytes);
    assert_eq!(history.damaged, 0);
    history
}
