//! The vocabulary that all reports for people share: one word for each thing, numbers and times in
//! one form.

use super::paint::safe;
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::Start;
use crate::events::tally::Tally;
use crate::text::count::count;
use std::collections::BTreeSet;
use std::time::Duration;

/// Columns of the word and the time that begin a test's line.
const FRONT: usize = 15;

/// `1.2s`, `75.0s`: a time that was measured.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

/// `42s`, `3m05s`, `1h02m`: a time that still runs.
pub(super) fn clock(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// `FAIL       0.2s`: the beginning of a test's line, without colours. Word and time are apart, so
/// that the word alone can be painted.
pub(super) fn front(word: &str, time: Duration) -> (String, String) {
    let time = format!(" {}", seconds(time));
    let room = FRONT.saturating_sub(word.chars().count());
    (word.to_owned(), format!("{time:>room$}"))
}

/// The beginning of `text`, whole characters in at most `bytes` bytes.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The test's path and, from the second round on, the round.
pub(super) fn name(attempt: &Attempt) -> String {
    match attempt.round {
        0 | 1 => attempt.path.clone(),
        round => format!("{} (round {round})", attempt.path),
    }
}

/// Adds to `out` the checks that failed, each with its diagnostics indented below it.
pub(super) fn failures(out: &mut Vec<String>, suite: &tap::Suite) {
    for failure in &suite.failures {
        out.push(format!("not ok {} - {}", failure.number, failure.description));
        out.extend(tap::junit::details(failure).lines().map(|line| format!("    {line}")));
    }
}

/// Why a test that timed out was cut: for its silence, or for its whole time.
pub(super) fn timeout(silence: bool) -> &'static str {
    if silence { "it printed nothing for too long" } else { "it ran into its timeout" }
}

/// The line that begins a report.
pub(super) fn opening(start: &Start) -> String {
    let different: BTreeSet<&String> = start.tests.iter().skip(start.setups).collect();
    let files = count(different.len(), "test file");
    if start.workers == 0 && start.merged == 0 {
        let are = if different.len() == 1 { "is" } else { "are" };
        return format!("nothing to run here: {files} {are} skipped\n");
    }
    let files = match start.rounds {
        Some(1) => files,
        Some(rounds) => format!("{files} {rounds} times"),
        None => format!("{files} until one fails"),
    };
    let files = match start.setups {
        0 => files,
        setups => format!("{files} and {}", count(setups, "set-up")),
    };
    let machines = count(start.workers, "machine");
    let machine = safe(&start.machine);
    let mut out = match start.merged {
        reports if start.workers == 0 => format!("{}: {files}\n", count(reports, "report")),
        0 => format!("running {files} on {machines} ({machine})\n"),
        reports => {
            format!("{}: {files} on {machines} ({machine})\n", count(reports, "report"))
        }
    };
    if let Some(seed) = start.seed {
        out.push_str(&format!("shuffled; --shuffle={seed} gives this order again\n"));
    }
    out
}

/// The text after a test's path: round and attempt, how many checks it had, or why it did not pass.
pub(super) fn detail(attempt: &Attempt) -> String {
    let mut parts = Vec::new();
    if let Some(why) = attempt.quarantined.as_ref().filter(|_| attempt.is_excused()) {
        let word = attempt.outcome.word();
        parts.push(if why.is_empty() { word.to_owned() } else { format!("{word}, {}", safe(why)) });
    }
    if attempt.round > 1 {
        parts.push(format!("round {}", attempt.round));
    }
    if attempt.attempt > 1 {
        parts.push(format!("attempt {}", attempt.attempt));
    }
    parts.extend(attempt.is_setup().then(|| "set-up".to_owned()));
    parts.extend(outcome(attempt));
    if attempt.retried {
        parts.push("trying again".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join("; ")) }
}

fn outcome(attempt: &Attempt) -> Option<String> {
    let suite = &attempt.suite;
    let (_, failed, skipped) = suite.summary();
    match &attempt.outcome {
        Outcome::Passed if attempt.is_setup() && attempt.machine.is_none() => {
            Some("kept".to_owned())
        }
        Outcome::Passed if attempt.is_setup() && suite.run == 0 => None,
        Outcome::Passed => {
            let mut out = count(suite.run, "check");
            for (number, word) in [(skipped, "skipped"), (suite.todo, "to do")] {
                if number > 0 {
                    out.push_str(&format!(", {number} {word}"));
                }
            }
            Some(out)
        }
        Outcome::Skipped(reason) => Some(safe(reason)).filter(|reason| !reason.is_empty()),
        Outcome::Failed if failed > 0 => Some(format!("{failed} of {} checks failed", suite.run)),
        Outcome::Failed => attempt.reasons.first().map(|why| safe(why)),
        Outcome::Errored(trouble) => Some(safe(&trouble.to_string())),
        Outcome::TimedOut { .. } | Outcome::NotRun => None,
    }
}

/// The number of tests by outcome, and of set-ups that are not good.
pub(super) fn counts(tally: &Tally) -> String {
    let mut parts = vec![format!("{} passed", tally.passed)];
    let others = [
        (tally.failed, "failed"),
        (tally.timed_out, "timed out"),
        (tally.errored, "without a verdict"),
        (tally.quarantined, "quarantined"),
        (tally.skipped, "skipped"),
        (tally.not_run, "not run"),
        (tally.flaky, "flaky"),
    ];
    parts.extend(
        others.iter().filter(|(n, _)| *n > 0).map(|(number, word)| format!("{number} {word}")),
    );
    let setups = [(tally.setups_failed, "failed"), (tally.setups_errored, "without a verdict")];
    let setups = setups.iter().filter(|(n, _)| *n > 0);
    parts.extend(setups.map(|(number, word)| format!("{} {word}", count(*number, "set-up"))));
    parts.join(", ")
}

/// The noun for what `tally` counts: cases of tests that forked are tests, but no files.
pub(super) fn noun(tally: &Tally) -> &'static str {
    if tally.cases > 0 { "test" } else { "test file" }
}

/// The last line: the number of tests and checks, the time, and the tests by outcome. `repeated` is
/// the number of tests if they had several rounds.
pub(super) fn summary(tally: &Tally, took: Duration, repeated: Option<usize>) -> String {
    let mut tests = match repeated {
        Some(tests) => format!("{} runs of {}", tally.tests(), count(tests, noun(tally))),
        None => count(tally.tests(), noun(tally)),
    };
    if tally.setups > 0 {
        tests.push_str(&format!(", {}", count(tally.setups, "set-up")));
    }
    let checks = count(tally.points, "check");
    format!("{tests}, {checks} in {}: {}", seconds(took), counts(tally))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::attempt::Role;

    #[test]
    fn running_times() {
        let check = |secs, text: &str| assert_eq!(clock(Duration::from_secs(secs)), text);
        check(0, "0s");
        check(59, "59s");
        check(65, "1m05s");
        check(3725, "1h02m");
    }

    #[test]
    fn a_run_of_skipped_tests_says_that_nothing_is_to_be_run() {
        let mut start = Start {
            tests: vec!["t/a_test.sh".into()],
            expected: vec![None],
            workers: 0,
            machine: "QEMU".into(),
            log_dir: "/logs".into(),
            rounds: Some(1),
            ..Start::default()
        };
        assert_eq!(opening(&start), "nothing to run here: 1 test file is skipped\n");
        start.tests.push("t/b_test.sh".into());
        assert_eq!(opening(&start), "nothing to run here: 2 test files are skipped\n");
        start.merged = 2;
        assert_eq!(opening(&start), "2 reports: 2 test files\n");
        (start.merged, start.workers) = (0, 1);
        assert_eq!(opening(&start), "running 2 test files on 1 machine (QEMU)\n");
    }

    #[test]
    fn set_ups_are_counted_apart_and_cases_are_tests() {
        let check = |tally: &Tally, repeated, line: &str| {
            assert_eq!(summary(tally, Duration::from_secs(2), repeated), line);
        };
        let mut tally = Tally { passed: 46, points: 707, setups: 2, ..Tally::default() };
        check(&tally, None, "46 test files, 2 set-ups, 707 checks in 2.0s: 46 passed");
        (tally.cases, tally.setups, tally.setups_failed) = (8, 1, 1);
        let line = "46 tests, 1 set-up, 707 checks in 2.0s: 46 passed, 1 set-up failed";
        check(&tally, None, line);
        let line = "46 runs of 23 tests, 1 set-up, 707 checks in 2.0s: 46 passed, 1 set-up failed";
        check(&tally, Some(23), line);
        let tests = ["t/setup.sh", "t/a_test.sh"].map(str::to_owned).to_vec();
        let start = Start { tests, setups: 1, workers: 1, rounds: Some(3), ..Start::default() };
        assert_eq!(opening(&start), "running 1 test file 3 times and 1 set-up on 1 machine ()\n");
        let setup = Attempt {
            role: Role::SetUp,
            outcome: Outcome::Passed,
            machine: Some("vm1".into()),
            ..Attempt::not_run(0, "t/setup.sh".into(), 1)
        };
        assert_eq!(detail(&setup), "  (set-up)");
        assert_eq!(detail(&Attempt { machine: None, ..setup }), "  (set-up; kept)");
    }

    #[test]
    fn the_front_of_a_line_has_one_width() {
        let check = |word: &str, ms, text: &str| {
            let (word, time) = front(word, Duration::from_millis(ms));
            assert_eq!(word + &time, text);
        };
        check("PASS", 200, "PASS       0.2s");
        check("TIMEOUT", 120_000, "TIMEOUT  120.0s");
        check("QUARANTINED", 200, "QUARANTINED 0.2s");
    }

    #[test]
    fn quarantine_rounds_and_attempts_are_named() {
        let attempt = Attempt {
            round: 3,
            attempt: 2,
            quarantined: Some("slow disk".into()),
            outcome: Outcome::TimedOut { silence: false },
            ..Attempt::not_run(0, "t/a_test.sh".into(), 3)
        };
        assert_eq!(attempt.word(), "QUARANTINED");
        assert_eq!(detail(&attempt), "  (timeout, slow disk; round 3; attempt 2)");
        let flaky = Attempt { outcome: Outcome::Passed, quarantined: None, ..attempt };
        assert_eq!((flaky.word(), flaky.is_bad()), ("FLAKY".to_owned(), false));
    }
}
