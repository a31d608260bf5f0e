//! Several reports joined into one, as if one run had made them.
//!
//! For each test and round one result counts. If several reports have one, a result with a verdict
//! outranks one without, so that a shard that was cut off can be run again and both reports be
//! merged. Among verdicts the worst counts, so that nothing is hidden. A test that forked has no
//! result of its own: its cases are tests of the one run. Set-ups come first, as in any run.

use super::replay::Report;
use crate::events::attempt::{Attempt, Outcome, Role};
use crate::events::event::Start;
use crate::text::case;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// The most tests in several reports that are named; further ones are only counted.
const NAMED_MAX: usize = 10;

/// The rank of a result without a verdict. No result at all is below it.
const NO_VERDICT: u8 = 1;

/// The one run that several reports were joined into.
#[derive(Debug)]
pub struct Joined {
    /// The beginning of the one run.
    pub start: Start,
    /// The warnings of the reports, and those about joining them.
    pub warnings: Vec<String>,
    /// Every attempt; the final one of each test comes last.
    pub attempts: Vec<Attempt>,
    /// How long the longest run took: shards run at the same time.
    pub took: Duration,
}

/// The result of one test and round in one report.
struct TestResult {
    /// Index of the report.
    report: usize,
    /// Every attempt; the final one is the last.
    attempts: Vec<Attempt>,
    expected: Option<Duration>,
    again: Option<String>,
}

impl TestResult {
    fn is_setup(&self) -> bool {
        self.attempts.last().is_some_and(Attempt::is_setup)
    }
}

/// Joins `reports`.
pub fn join(reports: Vec<Report>) -> Joined {
    let took = reports.iter().filter_map(|report| report.took).max().unwrap_or_default();
    let mut warnings: Vec<String> =
        reports.iter().flat_map(|report| report.warnings.iter().cloned()).collect();
    let mut start = first(&reports);
    let names: Vec<String> = reports.iter().map(|report| report.name.clone()).collect();
    let mut found: Vec<TestResult> = Vec::new();
    let mut places: BTreeMap<(String, u32), usize> = BTreeMap::new();
    let mut twice: Vec<String> = Vec::new();
    let forked: BTreeSet<(String, u32)> = reports.iter().flat_map(forked).collect();
    for result in
        reports.into_iter().enumerate().flat_map(|(number, report)| results(number, report))
    {
        let key = key(&result);
        let Some(&at) = places.get(&key) else {
            places.insert(key, found.len());
            found.push(result);
            continue;
        };
        let (here, there) = (&names[found[at].report], &names[result.report]);
        if !result.is_setup() {
            twice.push(format!("`{}` is in `{here}` and `{there}`", key.0));
        }
        if rank(&result) > rank(&found[at]) {
            found[at] = result;
        }
    }
    // A fork says more than no verdict.
    found.retain(|result| rank(result) > NO_VERDICT || !forked.contains(&key(result)));
    found.sort_by_key(|result| !result.is_setup());
    start.setups = found.iter().filter(|result| result.is_setup()).count();
    warn_of_repeated(twice, &mut warnings);
    let mut said = BTreeSet::new();
    warnings.retain(|warning| said.insert(warning.clone()));
    let mut attempts = Vec::new();
    for (test, mut result) in found.into_iter().enumerate() {
        result.attempts.iter_mut().for_each(|attempt| attempt.test = test);
        start.tests.push(key(&result).0);
        start.expected.push(result.expected);
        start.again.extend(result.again);
        attempts.append(&mut result.attempts);
    }
    if start.again.len() < start.tests.len() {
        // Some report has no commands, so those of the others would belong to the wrong tests.
        start.again.clear();
    }
    Joined { start, warnings, attempts, took }
}

/// The tests and rounds of `report` in which they forked.
fn forked(report: &Report) -> impl Iterator<Item = (String, u32)> {
    let tests = &report.start.tests;
    report.forks.iter().filter_map(|fork| Some((tests.get(fork.test)?.clone(), fork.round)))
}

/// The results of all tests and rounds in `report`. A test without a final result was not run,
/// unless it forked.
fn results(number: usize, report: Report) -> Vec<TestResult> {
    let roles = roles(&report);
    let Start { tests, expected, again, setups, rounds: planned, .. } = report.start;
    let planned = if report.took.is_none() { planned.unwrap_or(1) } else { 1 };
    let mut rounds: BTreeMap<(usize, u32), Vec<Attempt>> = BTreeMap::new();
    for attempt in report.attempts {
        rounds.entry((attempt.test, attempt.round)).or_default().push(attempt);
    }
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let forked: BTreeSet<usize> = report.forks.iter().map(|fork| fork.test).collect();
    let is_planned = |test: &usize| !matches!(roles[*test], Role::Case(_));
    for test in (0..tests.len()).filter(is_planned) {
        let repetition = seen.entry(&tests[test]).or_default();
        *repetition += 1;
        let has_none = rounds.range((test, 0)..=(test, u32::MAX)).next().is_none();
        if planned > 1 && test >= setups {
            for round in 1..=planned {
                rounds.entry((test, round)).or_default();
            }
        } else if has_none && !forked.contains(&test) {
            rounds.insert((test, *repetition), Vec::new());
        }
    }
    for fork in &report.forks {
        for case in &fork.cases {
            rounds.entry((*case, fork.round)).or_default();
        }
    }
    for fork in &report.forks {
        rounds.remove(&(fork.test, fork.round));
    }
    let result = |((test, round), mut attempts): ((usize, u32), Vec<Attempt>)| {
        if attempts.last().is_none_or(|last| last.retried) {
            let role = roles[test].clone();
            attempts.push(Attempt { role, ..Attempt::not_run(test, tests[test].clone(), round) });
        }
        let (expected, again) = (expected.get(test).copied().flatten(), again.get(test).cloned());
        TestResult { report: number, attempts, expected, again }
    };
    rounds.into_iter().map(result).collect()
}

/// What each of the report's tests is.
fn roles(report: &Report) -> Vec<Role> {
    let Start { tests, setups, .. } = &report.start;
    let mut roles = vec![Role::SetUp; *setups];
    roles.resize(tests.len(), Role::Test);
    // The path of a case begins with that of its test, which has forked before it.
    let mut files = BTreeMap::new();
    for fork in &report.forks {
        let file = files.get(&fork.test).copied().unwrap_or(fork.test);
        for case in &fork.cases {
            files.insert(*case, file);
            let readings = case::readings(&tests[*case]).into_iter();
            let mut names = readings.filter(|(test, _)| *test == tests[file]);
            let names = names.next().map(|(_, names)| names).unwrap_or_default();
            roles[*case] = Role::Case(names);
        }
    }
    roles
}

fn key(result: &TestResult) -> (String, u32) {
    result.attempts.last().map(|last| (last.path.clone(), last.round)).unwrap_or_default()
}

/// The rank of a result among several of the same test; the highest counts.
fn rank(result: &TestResult) -> u8 {
    match result.attempts.last().map(|last| &last.outcome) {
        None | Some(Outcome::NotRun) => 0,
        Some(Outcome::Errored(_)) => NO_VERDICT,
        Some(Outcome::Skipped(_)) => 2,
        Some(Outcome::Passed) => 3,
        Some(Outcome::TimedOut { .. }) => 4,
        Some(Outcome::Failed) => 5,
    }
}

fn warn_of_repeated(twice: Vec<String>, warnings: &mut Vec<String>) {
    let more = twice.len().saturating_sub(NAMED_MAX);
    let rule = "a verdict outranks none, and the worse one counts";
    warnings.extend(twice.into_iter().take(NAMED_MAX).map(|text| format!("{text}: {rule}")));
    if more > 0 {
        warnings.push(format!("{more} more tests are in several reports"));
    }
}

/// The beginning of the one run, without its tests.
fn first(reports: &[Report]) -> Start {
    let mut machines: Vec<&str> = Vec::new();
    for report in reports {
        if !machines.contains(&report.start.machine.as_str()) {
            machines.push(&report.start.machine);
        }
    }
    let same = |get: fn(&Start) -> Option<String>| {
        let mut found = reports.iter().map(|report| get(&report.start));
        let one = found.next().flatten()?;
        found.all(|other| other.as_ref() == Some(&one)).then_some(one)
    };
    let seed = same(|start| start.seed.map(|seed| seed.to_string()));
    let log_dir = same(|start| Some(start.log_dir.to_string_lossy().into_owned()));
    Start {
        rounds: Some(1), // every round is a test of its own here
        seed: seed.and_then(|seed| seed.parse().ok()),
        workers: reports.iter().map(|report| report.start.workers).sum(),
        machine: machines.join("; "),
        log_dir: log_dir.map(PathBuf::from).unwrap_or_default(),
        merged: reports.iter().map(|report| report.start.merged.max(1)).sum(),
        ..Start::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::replay::read;

    /// A report of tests called by letters, each with its outcome; `-` for none.
    fn report(name: &str, tests: &[(&str, &str)], whole: bool) -> Report {
        let path = |letter: &str| format!("t/{letter}_test.sh");
        let paths: Vec<String> =
            tests.iter().map(|(letter, _)| format!("\"{}\"", path(letter))).collect();
        let mut text = format!(
            r#"{{"event":"started","version":1,"machine":"m","workers":2,"tests":[{}]}}{}"#,
            paths.join(","),
            "\n"
        );
        for (letter, outcome) in tests.iter().filter(|(_, outcome)| *outcome != "-") {
            text.push_str(&format!(
                r#"{{"event":"test_finished","test":"{}","outcome":"{outcome}","final":true}}{}"#,
                path(letter),
                "\n"
            ));
        }
        if whole {
            text.push_str("{\"event\":\"finished\",\"seconds\":3}\n");
        }
        read(name, text.as_bytes()).unwrap()
    }

    fn outcomes(joined: &Joined) -> String {
        let word = |attempt: &Attempt| format!("{} {}", attempt.path, attempt.outcome.word());
        joined.attempts.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn shards_become_one_run() {
        let joined = join(vec![
            report("1", &[("a", "pass"), ("b", "fail")], true),
            report("2", &[("c", "skip")], true),
        ]);
        assert_eq!(outcomes(&joined), "t/a_test.sh pass, t/b_test.sh fail, t/c_test.sh skip");
        assert_eq!((joined.start.workers, joined.start.merged), (4, 2));
        assert_eq!((joined.start.machine.as_str(), joined.took), ("m", Duration::from_secs(3)));
        let tests: Vec<usize> = joined.attempts.iter().map(|attempt| attempt.test).collect();
        assert!(tests == [0, 1, 2] && joined.warnings.is_empty(), "{joined:?}");
    }

    #[test]
    fn a_warning_of_several_reports_is_told_once() {
        let mut reports = [report("1", &[("a", "pass")], true), report("2", &[], true)];
        reports.iter_mut().for_each(|report| report.warnings.push("no template".into()));
        assert_eq!(join(reports.into()).warnings, ["no template"]);
    }

    #[test]
    fn tests_that_a_cut_report_lacks_were_not_run() {
        let joined = join(vec![report("1", &[("a", "pass"), ("b", "-")], false)]);
        assert_eq!(outcomes(&joined), "t/a_test.sh pass, t/b_test.sh not run");
        assert!(joined.warnings[0].contains("`1` is cut off"), "{:?}", joined.warnings);
    }

    #[test]
    fn a_verdict_outranks_none_and_the_worse_verdict_counts() {
        let check = |one: &str, other: &str, counts: &str| {
            let reports =
                vec![report("1", &[("a", one)], true), report("2", &[("a", other)], true)];
            let joined = join(reports);
            assert_eq!(outcomes(&joined), format!("t/a_test.sh {counts}"), "{one} and {other}");
            assert!(joined.warnings[0].contains("is in `1` and `2`"), "{:?}", joined.warnings);
        };
        check("pass", "fail", "fail");
        check("fail", "pass", "fail");
        check("-", "pass", "pass");
        check("error", "pass", "pass");
        check("pass", "skip", "pass");
        check("timeout", "pass", "timeout");
    }

    #[test]
    fn rounds_that_a_cut_report_lacks_were_not_run() {
        let text = r#"{"event":"started","version":1,"rounds":3,"tests":["t/a_test.sh"]}
        {"event":"test_finished","test":"t/a_test.sh","round":1,"outcome":"pass","final":true}"#;
        let joined = join(vec![read("1", text.as_bytes()).unwrap()]);
        let result: Vec<(u32, &str)> =
            joined.attempts.iter().map(|a| (a.round, a.outcome.word())).collect();
        assert_eq!(result, [(1, "pass"), (2, "not run"), (3, "not run")]);
    }

    #[test]
    fn every_repetition_has_its_own_result() {
        let joined = join(vec![report("1", &[("a", "-"), ("a", "-")], false)]);
        let rounds: Vec<u32> = joined.attempts.iter().map(|attempt| attempt.round).collect();
        assert_eq!(rounds, [1, 2]);
    }

    const FORKED: &str = r#"{"event":"test_forked","index":1,"test":"t/a_test.sh","round":1,
        "cases":[{"index":2,"test":"t/a_test.sh [x]"},{"index":3,"test":"t/a_test.sh [y]"}]}"#;

    /// A report with a set-up and a test that forks, and then these results by path.
    fn forking(name: &str, forks: bool, results: &[(&str, &str)], whole: bool) -> Report {
        let mut lines = vec![
            r#"{"event":"started","version":1,"setups":1,"tests":["t/setup.sh","t/a_test.sh"]}"#
                .to_owned(),
        ];
        lines.extend(forks.then(|| FORKED.replace('\n', "")));
        lines.extend(results.iter().map(|(path, outcome)| {
            let (setup, case) = (*path == "t/setup.sh", path.ends_with(']'));
            let case = if case { r#"["z"]"# } else { "[]" };
            format!(
                r#"{{"event":"test_finished","test":"{path}","outcome":"{outcome}","final":true,
                "setup":{setup},"case":{case}}}"#
            )
            .replace('\n', "")
        }));
        lines.extend(whole.then(|| r#"{"event":"finished","seconds":3}"#.to_owned()));
        read(name, lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn cases_are_tests_and_set_ups_are_none() {
        let all =
            [("t/setup.sh", "pass"), ("t/a_test.sh [x]", "pass"), ("t/a_test.sh [y]", "fail")];
        let one = forking("1", true, &all, true);
        assert_eq!((one.attempts.len(), one.warnings.len()), (3, 0));
        let joined = join(vec![one, forking("2", true, &all[..1], false)]);
        let expected = "t/setup.sh pass, t/a_test.sh [x] pass, t/a_test.sh [y] fail";
        assert_eq!(outcomes(&joined), expected);
        assert_eq!((joined.start.setups, joined.start.tests.len()), (1, 3));
        let about: Vec<&String> =
            joined.warnings.iter().filter(|text| text.contains("is in")).collect();
        assert!(about.len() == 2 && about.iter().all(|text| text.contains(" [")), "{about:?}");
        assert!(matches!(joined.attempts[2].role, Role::Case(_)));
    }

    #[test]
    fn a_cut_fork_is_made_up_for_by_a_later_run() {
        let before = forking("1", false, &[("t/setup.sh", "pass")], false);
        assert_eq!(outcomes(&join(vec![before])), "t/setup.sh pass, t/a_test.sh not run");
        let cut = || forking("1", true, &[("t/a_test.sh [x]", "pass")], false);
        let expected = "t/setup.sh not run, t/a_test.sh [x] pass, t/a_test.sh [y] not run";
        assert_eq!(outcomes(&join(vec![cut()])), expected);
        let before = forking("0", false, &[], false);
        let later = [("t/setup.sh", "pass"), ("t/a_test.sh [y]", "pass")];
        let joined = join(vec![before, cut(), forking("2", true, &later, true)]);
        let expected = "t/setup.sh pass, t/a_test.sh [x] pass, t/a_test.sh [y] pass";
        assert_eq!(outcomes(&joined), expected);
    }
}
