//! The run's decisions: a function from state and input to actions, without threads, clocks or
//! machines.

use super::entry::{Entry, not_run, role};
use super::fork::Forks;
use super::schedule::{Schedule, next_attempt};
use super::{blocked, retry};
use crate::cancel::Level;
use crate::events::attempt::{Attempt, Outcome, TestId};
use crate::events::event::Event;
use crate::events::trouble::Kind;
use crate::pod::{ForkedTest, Job};
use std::collections::HashMap;
use std::time::Duration;

/// How many boots may fail in a row before the run ends: the fourth machine would fail too.
const BOOT_FAILURES_MAX: u32 = 3;

/// An input to the run.
#[derive(Debug)]
pub(super) enum Input {
    /// An event of the pod.
    Event(Event),
    /// A test forked instead of ending.
    Forked(Box<ForkedTest>),
    /// The process got this signal.
    Signal(i32),
}

/// What the loop must do after an input. Actions are carried out in order.
#[derive(Debug)]
pub(super) enum Action {
    /// Queue an attempt.
    Submit(Box<Job>),
    /// Close the queue: no more attempts will come.
    Close,
    /// Raise the cancellation to this level.
    Raise(Level),
    /// Tell the reporters.
    Report(Event),
}

/// The user's limits on the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many failures end the run.
    pub fail_fast: Option<usize>,
    /// Whether the run only waits for a failure: the first one ends it, unless `fail_fast` allows
    /// more.
    pub until_fail: bool,
    /// Whether a test that bails out ends the run.
    pub bail: bool,
}

/// The state of the run.
#[derive(Debug)]
pub struct RunState {
    schedule: Schedule,
    workers: usize,
    forks: Forks,
    /// The attempts that workers have been given: test, round, attempt.
    assigned: Vec<(TestId, u32, u32)>,
    /// Whether each test has a result.
    has_result: Vec<bool>,
    running: usize,
    /// Bad results that count. The tests that a set-up blocks are one failure, the set-up's.
    failures: usize,
    limits: Limits,
    level: Option<Level>,
    signal: Option<i32>,
    boot_failures: u32,
}

impl RunState {
    /// A run of `entries` by `workers` workers, `rounds` times (`None`: without an end), with no
    /// test begun. Each worker is given a job when it has finished one, so that nothing starts
    /// after a decision to stop.
    pub fn new(
        entries: Vec<Entry>,
        rounds: Option<u32>,
        mut limits: Limits,
        workers: usize,
    ) -> Self {
        if limits.until_fail {
            limits.fail_fast.get_or_insert(1);
        }
        Self {
            has_result: vec![false; entries.len()],
            schedule: Schedule::new(entries, rounds),
            forks: Forks::default(),
            workers,
            assigned: Vec::new(),
            running: 0,
            failures: 0,
            limits,
            level: None,
            signal: None,
            boot_failures: 0,
        }
    }

    /// The same run, with the times that cases are expected to take, by their paths.
    pub fn expecting(mut self, times: HashMap<String, Duration>) -> Self {
        self.forks.times = times;
        self
    }

    /// The signal that interrupted the run.
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// The actions at the beginning of the run.
    pub(super) fn begin(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for entry in self.schedule.entries() {
            if let Some(why) = &entry.skipped {
                let outcome = Outcome::Skipped(why.clone());
                let event =
                    Event::TestFinished(Box::new(Attempt { outcome, ..not_run(&entry.job) }));
                self.has_result[entry.job.test] = true;
                actions.push(Action::Report(event));
            }
        }
        actions.extend(self.assign_jobs());
        actions
    }

    /// The actions after one input.
    pub(super) fn step(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Signal(signal) => self.interrupted(signal),
            Input::Event(Event::TestFinished(attempt)) => self.finished(*attempt),
            Input::Forked(forked) => self.forked(*forked),
            Input::Event(event) => {
                match &event {
                    Event::MachineReady { .. } => self.boot_failures = 0,
                    Event::TestStarted { .. } => self.running += 1,
                    _ => {}
                }
                vec![Action::Report(event)]
            }
        }
    }

    /// The actions once every worker has ended: they report the tests that have no result, and the
    /// attempts that got no answer.
    pub(super) fn end(&mut self) -> Vec<Action> {
        self.forks.forget_all();
        let urgent = self.schedule.take_urgent();
        let mut rest: Vec<Attempt> = urgent.iter().map(not_run).collect();
        let entries = self.schedule.entries();
        for (test, round, attempt) in self.assigned.drain(..) {
            rest.push(Attempt { round, attempt, ..not_run(&entries[test].job) });
        }
        for attempt in &rest {
            self.has_result[attempt.test] = true;
        }
        let without_result = entries.iter().filter(|entry| !self.has_result[entry.job.test]);
        rest.extend(without_result.map(|entry| not_run(&entry.job)));
        rest.into_iter().map(report).collect()
    }

    /// Gives jobs to free workers; closes the queue when there will be no more jobs.
    fn assign_jobs(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while self.level.is_none() && self.assigned.len() < self.workers {
            let Some(job) = self.schedule.take(self.assigned.iter().map(|assigned| assigned.0))
            else {
                break;
            };
            self.assigned.push((job.test, job.round, job.attempt));
            actions.push(Action::Submit(Box::new(job)));
        }
        if self.schedule.is_empty() && self.assigned.is_empty() {
            actions.push(Action::Close);
        }
        actions
    }

    /// Whether everything has been told to end at once.
    pub(super) fn is_killed(&self) -> bool {
        self.level == Some(Level::Kill)
    }

    fn interrupted(&mut self, signal: i32) -> Vec<Action> {
        self.signal.get_or_insert(signal);
        match self.level {
            None | Some(Level::Drain) => self.raise(Level::Cut, "interrupted"),
            Some(Level::Cut | Level::Kill) => self.raise(Level::Kill, "interrupted twice"),
        }
    }

    fn raise(&mut self, level: Level, why: &str) -> Vec<Action> {
        if self.level >= Some(level) {
            return Vec::new();
        }
        self.level = Some(level);
        let cancelled = Event::Cancelled { why: why.to_owned(), level, running: self.running };
        vec![Action::Raise(level), Action::Report(cancelled)]
    }

    fn finished(&mut self, mut attempt: Attempt) -> Vec<Action> {
        if attempt.machine.is_some() {
            self.running = self.running.saturating_sub(1);
        } else {
            self.boot_failures += u32::from(is_boot_failure(&attempt));
        }
        let (test, round) = (attempt.test, attempt.round);
        self.answered((test, round, attempt.attempt));
        attempt.role = role(&self.schedule.entries()[test].job);
        // A test in quarantine fails nothing, so it ends nothing either.
        let bail = attempt.suite.bail.as_ref().filter(|_| self.limits.bail && counts(&attempt));
        let bail = bail.map(|reason| {
            let colon = if reason.is_empty() { "" } else { ": " };
            format!("{} bailed out{colon}{reason}", attempt.path)
        });
        attempt.retried = self.level.is_none()
            && !self.is_hopeless()
            && bail.is_none()
            && retry::is_due(&attempt, self.schedule.entries()[test].job.retries);
        if attempt.retried {
            let first = &self.schedule.entries()[test].job;
            let mut job = next_attempt(first, round, attempt.attempt);
            self.forks.equip(&mut job);
            self.schedule.put_in_front(vec![job]);
        } else {
            self.has_result[test] = true;
            self.forks.forget(test, round);
            self.failures += usize::from(attempt.is_bad() && !attempt.is_excused());
        }
        let blocked = self.set_up(&attempt);
        let mut actions = vec![report(attempt)];
        actions.extend(blocked.into_iter().map(report));
        actions.extend(self.limit(round, bail));
        actions.extend(self.assign_jobs());
        actions
    }

    /// A worker has answered the job of this test, round and attempt.
    fn answered(&mut self, job: (TestId, u32, u32)) {
        if let Some(at) = self.assigned.iter().position(|assigned| *assigned == job) {
            self.assigned.swap_remove(at);
        }
    }

    /// If this is the final result of a set-up: lets run what waits for it, or drops it and returns
    /// its results. Without a result of the set-up it has none either, and is not run.
    fn set_up(&mut self, attempt: &Attempt) -> Vec<Attempt> {
        if attempt.retried || !attempt.is_setup() {
            return Vec::new();
        }
        if attempt.outcome == Outcome::Passed {
            self.schedule.set_up(attempt.test);
            return Vec::new();
        }
        let above = self.schedule.drop_above(attempt.test);
        let jobs = above.into_iter().map(|test| &self.schedule.entries()[test].job);
        let found: Vec<Attempt> = jobs.filter_map(|job| blocked::result(job, attempt)).collect();
        found.iter().for_each(|blocked| self.has_result[blocked.test] = true);
        found
    }

    /// A test goes on as its cases, which have the results that it has not.
    fn forked(&mut self, forked: ForkedTest) -> Vec<Action> {
        let ForkedTest { test, round, attempt, .. } = forked;
        self.running = self.running.saturating_sub(1);
        let entry = &self.schedule.entries()[test];
        if entry.is_setup() || forked.cases.is_empty() {
            let reasons = vec!["a set-up cannot fork".to_owned()];
            let failed = Attempt { round, attempt, reasons, ..not_run(&entry.job) };
            return self.finished(Attempt { outcome: Outcome::Failed, ..failed });
        }
        self.answered((test, round, attempt));
        self.has_result[test] = true;
        self.forks.forget(test, round);
        let events = self.forks.take(forked, &mut self.schedule);
        self.has_result.resize(self.schedule.entries().len(), false);
        let mut actions: Vec<Action> = events.into_iter().map(Action::Report).collect();
        actions.extend(self.assign_jobs());
        actions
    }

    /// Whether so many machines in a row failed to boot that no more are made.
    fn is_hopeless(&self) -> bool {
        self.boot_failures >= BOOT_FAILURES_MAX
    }

    /// Stops the run after a result in `round` if a limit is reached. `bail` is the reason if the
    /// test bailed out and that ends the run.
    fn limit(&mut self, round: u32, bail: Option<String>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(why) = bail {
            actions.extend(self.raise(Level::Cut, &why));
        }
        if self.is_hopeless() {
            let why = format!("{BOOT_FAILURES_MAX} machines in a row failed to boot");
            actions.extend(self.raise(Level::Drain, &why));
        }
        if self.limits.fail_fast.is_some_and(|limit| self.failures >= limit) {
            let why = match self.limits.until_fail {
                true => format!("a failure in round {round}"),
                false => "as many failures as --fail-fast allows".to_owned(),
            };
            actions.extend(self.raise(Level::Drain, &why));
        }
        actions
    }
}

/// Whether this is a bad result that counts.
fn counts(attempt: &Attempt) -> bool {
    let bad = matches!(attempt.outcome, Outcome::Failed | Outcome::TimedOut { .. });
    bad && attempt.quarantined.is_none()
}

fn is_boot_failure(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Errored(trouble) if trouble.kind == Kind::Boot)
}

fn report(attempt: Attempt) -> Action {
    Action::Report(Event::TestFinished(Box::new(attempt)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::trouble::Trouble;
    use crate::machine::fork::ForkPoint;
    use crate::machine::{Order, SetUp};
    use crate::pod::Before;
    use std::path::PathBuf;
    use std::sync::Arc;

    fn job(test: usize) -> Job {
        let path = format!("t/{test}_test.sh");
        let dir = PathBuf::from(format!("/logs/{path}"));
        let order = Order { path: path.clone().into_bytes(), ..Order::default() };
        Job {
            test,
            path,
            kernel: None,
            round: 1,
            attempt: 1,
            retries: 0,
            quarantined: None,
            order,
            dir,
            before: None,
        }
    }

    fn state(tests: usize, limits: Limits) -> RunState {
        rounds(&vec![false; tests], Some(1), limits)
    }

    /// A run of tests of which some are exclusive.
    fn rounds(exclusive: &[bool], rounds: Option<u32>, limits: Limits) -> RunState {
        let entry = |(test, exclusive): (usize, &bool)| Entry {
            exclusive: *exclusive,
            ..Entry::new(job(test))
        };
        RunState::new(exclusive.iter().enumerate().map(entry).collect(), rounds, limits, 2)
    }

    fn finished(test: usize, attempt: u32, outcome: Outcome) -> Input {
        let machine = Some("vm1".to_owned());
        let job = Job { attempt, ..job(test) };
        Input::Event(Event::TestFinished(Box::new(Attempt { outcome, machine, ..not_run(&job) })))
    }

    fn trouble(kind: Kind) -> Outcome {
        Outcome::Errored(Trouble { kind, detail: "x".into(), console: "".into() })
    }

    /// The actions as a line, with the part of each that matters.
    fn line(actions: &[Action]) -> String {
        let word = |action: &Action| match action {
            Action::Submit(job) => format!("submit {}.{}", job.test, job.attempt),
            Action::Close => "close".to_owned(),
            Action::Raise(level) => format!("raise {level:?}"),
            Action::Report(Event::TestFinished(attempt)) if attempt.retried => "retried".to_owned(),
            Action::Report(Event::TestFinished(attempt)) => attempt.outcome.word().to_owned(),
            Action::Report(Event::Cancelled { why, .. }) => format!("cancelled: {why}"),
            Action::Report(Event::TestForked { cases, .. }) => {
                let ids: Vec<String> = cases.iter().map(|case| case.test.to_string()).collect();
                format!("forked {}", ids.join(" "))
            }
            Action::Report(Event::Warning(text)) => format!("warning: {text}"),
            Action::Report(_) => "report".to_owned(),
        };
        actions.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_run_closes_its_queue_after_the_last_result() {
        let mut state = state(3, Limits::default());
        assert_eq!(line(&state.begin()), "submit 0.1, submit 1.1");
        assert_eq!(line(&state.step(finished(1, 1, Outcome::Passed))), "pass, submit 2.1");
        assert_eq!(line(&state.step(finished(0, 1, Outcome::Failed))), "fail");
        assert_eq!(line(&state.step(finished(2, 1, Outcome::Passed))), "pass, close");
        assert_eq!(line(&state.end()), "");
    }

    #[test]
    fn a_failure_is_retried_as_often_as_asked_and_trouble_once() {
        let mut plain = state(1, Limits::default());
        plain.begin();
        let lost = || finished(0, 1, trouble(Kind::Lost));
        assert_eq!(line(&plain.step(lost())), "retried, submit 0.2");
        let again = finished(0, 2, trouble(Kind::Lost));
        assert_eq!(line(&plain.step(again)), "error, close");
        let retries = Job { retries: 1, ..job(0) };
        let entry = Entry::new(retries);
        let mut twice = RunState::new(vec![entry], Some(1), Limits::default(), 2);
        twice.begin();
        let failed = finished(0, 1, Outcome::Failed);
        assert_eq!(line(&twice.step(failed)), "retried, submit 0.2");
        let passed = finished(0, 2, Outcome::Passed);
        assert_eq!(line(&twice.step(passed)), "pass, close");
    }

    #[test]
    fn signals_only_escalate() {
        let mut state = state(2, Limits::default());
        assert_eq!(line(&state.step(Input::Signal(2))), "raise Cut, cancelled: interrupted");
        assert_eq!(
            line(&state.step(Input::Signal(15))),
            "raise Kill, cancelled: interrupted twice"
        );
        assert_eq!(line(&state.step(Input::Signal(2))), "");
        assert_eq!(state.signal(), Some(2));
        assert_eq!(line(&state.step(finished(0, 1, trouble(Kind::Lost)))), "error");
        assert_eq!(line(&state.end()), "not run");
    }

    #[test]
    fn enough_failures_end_the_run_and_a_signal_still_cuts() {
        let mut state = state(3, Limits { fail_fast: Some(1), ..Limits::default() });
        state.begin();
        let cancelled = "cancelled: as many failures as --fail-fast allows";
        assert_eq!(
            line(&state.step(finished(0, 1, Outcome::Failed))),
            format!("fail, raise Drain, {cancelled}")
        );
        assert_eq!(line(&state.step(Input::Signal(1))), "raise Cut, cancelled: interrupted");
        assert_eq!(line(&state.end()), "not run, not run");
    }

    #[test]
    fn machines_that_never_boot_end_the_run() {
        let mut state = state(4, Limits::default());
        state.begin();
        let failed = |test, attempt| match finished(test, attempt, trouble(Kind::Boot)) {
            Input::Event(Event::TestFinished(mut attempt)) => {
                attempt.machine = None;
                Input::Event(Event::TestFinished(attempt))
            }
            other => other,
        };
        assert_eq!(line(&state.step(failed(0, 1))), "retried, submit 0.2");
        let ready = Event::MachineReady {
            worker: 0,
            machine: "vm2".into(),
            took: Default::default(),
            phases: Vec::new(),
        };
        assert_eq!(line(&state.step(Input::Event(ready))), "report");
        assert_eq!(line(&state.step(failed(0, 2))), "error, submit 2.1");
        assert_eq!(line(&state.step(failed(1, 1))), "retried, submit 1.2");
        let last = line(&state.step(failed(2, 1)));
        assert!(
            last.ends_with("raise Drain, cancelled: 3 machines in a row failed to boot"),
            "{last}"
        );
    }

    fn in_round(round: u32, test: usize, outcome: Outcome) -> Input {
        match finished(test, 1, outcome) {
            Input::Event(Event::TestFinished(attempt)) => {
                Input::Event(Event::TestFinished(Box::new(Attempt { round, ..*attempt })))
            }
            other => other,
        }
    }

    #[test]
    fn an_exclusive_test_has_the_run_to_itself() {
        let mut state = rounds(&[true, false, false], Some(1), Limits::default());
        assert_eq!(line(&state.begin()), "submit 1.1, submit 2.1");
        let lost = finished(1, 1, trouble(Kind::Lost));
        assert_eq!(line(&state.step(lost)), "retried, submit 1.2");
        assert_eq!(line(&state.step(finished(2, 1, Outcome::Passed))), "pass");
        assert_eq!(line(&state.step(finished(1, 2, Outcome::Passed))), "pass, submit 0.1");
        assert_eq!(line(&state.step(finished(0, 1, Outcome::Passed))), "pass, close");
        assert_eq!(line(&state.end()), "");
    }

    #[test]
    fn tests_that_cannot_run_here_are_reported_at_once() {
        let entry = |test, skipped| Entry { skipped, ..Entry::new(job(test)) };
        let entries = vec![entry(0, Some("no kvm".to_owned())), entry(1, None)];
        let mut state = RunState::new(entries, Some(2), Limits::default(), 2);
        assert_eq!(line(&state.begin()), "skip, submit 1.1, submit 1.1");
        let entries = vec![entry(0, Some("no kvm".to_owned()))];
        let mut nothing = RunState::new(entries, None, Limits::default(), 0);
        assert_eq!(line(&nothing.begin()), "skip, close");
        assert_eq!(line(&nothing.end()), "");
    }

    #[test]
    fn rounds_go_on_until_a_failure() {
        let limits = Limits { until_fail: true, ..Limits::default() };
        let mut state = rounds(&[false], None, limits);
        assert_eq!(line(&state.begin()), "submit 0.1, submit 0.1");
        let passed = in_round(1, 0, Outcome::Passed);
        assert_eq!(line(&state.step(passed)), "pass, submit 0.1");
        let failed = in_round(3, 0, Outcome::Failed);
        let why = "raise Drain, cancelled: a failure in round 3";
        assert_eq!(line(&state.step(failed)), format!("fail, {why}"));
        assert_eq!(line(&state.step(in_round(2, 0, Outcome::Passed))), "pass");
        assert_eq!(line(&state.end()), "");
    }

    #[test]
    fn an_interrupted_round_leaves_no_test_without_a_result() {
        let mut state = rounds(&[false, false, false], Some(9), Limits::default());
        state.begin();
        state.step(finished(0, 1, Outcome::Passed));
        state.step(Input::Signal(2));
        assert_eq!(line(&state.step(finished(1, 1, Outcome::NotRun))), "not run");
        assert_eq!(line(&state.end()), "not run", "2 was given to a worker and never answered");
        let mut early = rounds(&[false, false, false], Some(9), Limits::default());
        early.step(Input::Signal(2));
        assert_eq!(line(&early.end()), "not run, not run, not run");
    }

    #[test]
    fn a_test_that_bails_out_ends_the_run_if_it_may() {
        let bailed = |quarantined: Option<String>| match finished(0, 1, Outcome::Failed) {
            Input::Event(Event::TestFinished(mut attempt)) => {
                attempt.suite.bail = Some("no disk".into());
                attempt.quarantined = quarantined;
                Input::Event(Event::TestFinished(attempt))
            }
            other => other,
        };
        let check = |bail: bool, quarantined: Option<String>, expected: &str| {
            let mut state = state(4, Limits { bail, ..Limits::default() });
            state.begin();
            assert_eq!(line(&state.step(bailed(quarantined))), expected);
        };
        let cut = "fail, raise Cut, cancelled: t/0_test.sh bailed out: no disk";
        check(true, None, cut);
        check(true, Some("a race".into()), "fail, submit 2.1");
        check(false, None, "fail, submit 2.1");
    }

    /// Two tests on a set-up, which is entry 0, and one without.
    fn with_setup(rounds: Option<u32>, limits: Limits) -> RunState {
        let entry = |test| Entry { after: Some(0), ..Entry::new(job(test)) };
        let mut setup = Entry::new(Job { path: "t/setup.sh".to_owned(), ..job(0) });
        setup.job.order.setup = Some(SetUp::default());
        let entries = vec![setup, entry(1), entry(2), Entry::new(job(3))];
        RunState::new(entries, rounds, limits, 2)
    }

    fn setup_finished(attempt: u32, outcome: Outcome) -> Input {
        match finished(0, attempt, outcome) {
            Input::Event(Event::TestFinished(mut attempt)) => {
                attempt.path = "t/setup.sh".to_owned();
                Input::Event(Event::TestFinished(attempt))
            }
            other => other,
        }
    }

    #[test]
    fn tests_wait_for_their_set_up_and_others_go_on() {
        let mut state = with_setup(Some(2), Limits::default());
        assert_eq!(line(&state.begin()), "submit 0.1, submit 3.1");
        assert_eq!(line(&state.step(in_round(1, 3, Outcome::Passed))), "pass");
        let lost = setup_finished(1, trouble(Kind::Lost));
        assert_eq!(line(&state.step(lost)), "retried, submit 0.2");
        let passed = setup_finished(2, Outcome::Passed);
        assert_eq!(line(&state.step(passed)), "pass, submit 1.1, submit 2.1");
        assert_eq!(line(&state.step(in_round(1, 1, Outcome::Passed))), "pass, submit 1.1");
        assert_eq!(line(&state.step(in_round(1, 2, Outcome::Passed))), "pass, submit 2.1");
        assert_eq!(line(&state.step(in_round(2, 1, Outcome::Passed))), "pass, submit 3.1");
        assert_eq!(line(&state.step(in_round(2, 2, Outcome::Passed))), "pass");
        assert_eq!(line(&state.step(in_round(2, 3, Outcome::Passed))), "pass, close");
        assert_eq!(line(&state.end()), "");
    }

    #[test]
    fn a_set_up_that_does_not_pass_decides_for_its_tests_at_once() {
        let check = |outcome: Outcome, expected: &str, why: &str| {
            let limits = Limits { fail_fast: Some(2), ..Limits::default() };
            let mut state = with_setup(Some(3), limits);
            state.begin();
            let mut actions = state.step(setup_finished(1, outcome.clone()));
            if line(&actions).starts_with("retried") {
                actions = state.step(setup_finished(2, outcome));
            }
            assert_eq!(line(&actions), expected);
            let Action::Report(Event::TestFinished(blocked)) = &actions[1] else { panic!() };
            assert_eq!(blocked.blocked_by.as_deref(), Some("t/setup.sh"));
            let said = match &blocked.outcome {
                Outcome::Skipped(reason) => reason.clone(),
                Outcome::Errored(trouble) => trouble.to_string(),
                _ => blocked.reasons.join(";"),
            };
            assert_eq!(said, why);
            assert_eq!(line(&state.step(in_round(1, 3, Outcome::Passed))), "pass, submit 3.1");
            assert_eq!(line(&state.step(in_round(2, 3, Outcome::Passed))), "pass");
            assert_eq!(line(&state.step(in_round(3, 3, Outcome::Passed))), "pass, close");
            assert_eq!(line(&state.end()), "");
        };
        check(Outcome::Failed, "fail, fail, fail, submit 3.1", "set-up failed: t/setup.sh");
        let late = Outcome::TimedOut { silence: false };
        check(late, "timeout, fail, fail, submit 3.1", "set-up timed out: t/setup.sh");
        let skipped = Outcome::Skipped("no nft".to_owned());
        check(skipped, "skip, skip, skip, submit 3.1", "set-up skipped: no nft");
        let why = "machine lost: in its set-up, t/setup.sh";
        check(trouble(Kind::Lost), "error, error, error, submit 3.1", why);
    }

    #[test]
    fn a_set_up_is_one_failure_and_its_tests_are_none() {
        let mut state = with_setup(Some(1), Limits { fail_fast: Some(1), ..Limits::default() });
        state.begin();
        let actions = line(&state.step(setup_finished(1, Outcome::Failed)));
        assert!(actions.starts_with("fail, fail, fail, raise Drain, cancelled: "), "{actions}");
        let mut cut = with_setup(Some(1), Limits::default());
        cut.begin();
        cut.step(Input::Signal(2));
        assert_eq!(line(&cut.step(setup_finished(1, Outcome::NotRun))), "not run");
        assert_eq!(line(&cut.end()), "not run, not run, not run");
    }

    /// A test forks into cases, each with the names of its forks between slashes.
    fn forked(test: usize, round: u32, cases: &str, point: Option<&Arc<ForkPoint>>) -> Input {
        let names = |case: &str| case.split('/').map(str::to_owned).collect();
        Input::Forked(Box::new(ForkedTest {
            test,
            round,
            attempt: 1,
            cases: cases.split(' ').map(names).collect(),
            point: point.cloned(),
            before: Arc::new(Before::default()),
        }))
    }

    /// The jobs that are submitted: path, folder, and whether they go on at a point.
    fn jobs(actions: &[Action]) -> Vec<String> {
        let job = |action: &Action| match action {
            Action::Submit(job) => {
                let at = job.order.case.as_ref().is_some_and(|case| case.point.is_some());
                assert_eq!(at, job.before.is_some());
                Some(format!("{} {} {at}", job.path, job.dir.display()))
            }
            _ => None,
        };
        actions.iter().filter_map(job).collect()
    }

    #[test]
    fn a_test_that_forks_goes_on_as_its_cases() {
        let entries = vec![Entry::new(Job { retries: 1, ..job(0) }), Entry::new(job(1))];
        let mut state = RunState::new(entries, Some(1), Limits::default(), 1);
        let points = [ForkPoint::default(), ForkPoint::default()].map(Arc::new);
        assert_eq!(line(&state.begin()), "submit 0.1");
        let mut check = |input: Input, expected: &str, submitted: &[&str]| {
            let actions = state.step(input);
            assert_eq!(line(&actions), expected);
            assert_eq!(jobs(&actions), submitted);
        };
        let a = "t/0_test.sh [a] /logs/t/0_test.sh.case-a true";
        check(forked(0, 1, "a b", Some(&points[0])), "forked 2 3, submit 2.1", &[a]);
        let a = "t/0_test.sh [a] /logs/t/0_test.sh.case-a.attempt-2 true";
        check(finished(2, 1, Outcome::Failed), "retried, submit 2.2", &[a]);
        let b = "t/0_test.sh [b] /logs/t/0_test.sh.case-b true";
        check(finished(2, 2, Outcome::Passed), "pass, submit 3.1", &[b]);
        let x = "t/0_test.sh [b] [x] /logs/t/0_test.sh.case-b+x true";
        check(forked(3, 1, "b/x b/y", Some(&points[1])), "forked 4 5, submit 4.1", &[x]);
        assert_eq!(Arc::strong_count(&points[0]), 1, "nobody needs it any more");
        let y = "t/0_test.sh [b] [y] /logs/t/0_test.sh.case-b+y true";
        check(finished(4, 1, Outcome::Passed), "pass, submit 5.1", &[y]);
        let other = "t/1_test.sh /logs/t/1_test.sh false";
        check(finished(5, 1, Outcome::Passed), "pass, submit 1.1", &[other]);
        assert_eq!(Arc::strong_count(&points[1]), 1);
        check(finished(1, 1, Outcome::Passed), "pass, close", &[]);
        assert_eq!(line(&state.end()), "");
    }

    #[test]
    fn a_case_is_the_same_in_every_round_and_goes_on_where_its_round_forked() {
        let mut state = rounds(&[false], Some(2), Limits::default());
        let points = [ForkPoint::default(), ForkPoint::default()].map(Arc::new);
        assert_eq!(line(&state.begin()), "submit 0.1, submit 0.1");
        let first = state.step(forked(0, 1, "a", Some(&points[0])));
        assert_eq!(line(&first), "forked 1, submit 1.1");
        let second = state.step(forked(0, 2, "a b", Some(&points[1])));
        assert_eq!(line(&second), "forked 1 2, submit 1.1");
        let point = |actions: &[Action]| match actions.last() {
            Some(Action::Submit(job)) => job.order.case.clone().and_then(|case| case.point),
            _ => None,
        };
        assert!(Arc::ptr_eq(&point(&first).unwrap(), &points[0]));
        assert!(Arc::ptr_eq(&point(&second).unwrap(), &points[1]));
        let lost = state.step(in_round(1, 1, trouble(Kind::Lost)));
        assert!(Arc::ptr_eq(&point(&lost).unwrap(), &points[0]), "{lost:?}");
    }

    #[test]
    fn without_a_frozen_machine_a_test_is_run_again_for_each_case() {
        let mut state = state(2, Limits::default());
        state.begin();
        let warning = "warning: t/0_test.sh is run again for each case: this machine cannot be \
                       frozen";
        let actions = state.step(forked(0, 1, "a b", None));
        assert_eq!(line(&actions), format!("forked 2 3, {warning}, submit 2.1"));
        assert!(jobs(&actions)[0].ends_with(" false"));
        let again = state.step(forked(1, 1, "a", None));
        assert_eq!(line(&again), "forked 4, submit 4.1", "one warning is enough");
    }

    #[test]
    fn cases_end_a_run_and_a_run_ends_cases() {
        let mut state = state(2, Limits { fail_fast: Some(1), ..Limits::default() });
        state.begin();
        let point = Arc::new(ForkPoint::default());
        state.step(forked(0, 1, "a b c", Some(&point)));
        let actions = line(&state.step(finished(2, 1, Outcome::Failed)));
        assert!(actions.starts_with("fail, raise Drain"), "{actions}");
        assert_eq!(line(&state.step(forked(1, 1, "d e", Some(&point)))), "forked 5 6");
        let end = state.end();
        assert_eq!(line(&end), "not run, not run, not run, not run");
        assert!(end.iter().all(|action| matches!(action, Action::Report(Event::TestFinished(a))
            if matches!(a.role, crate::events::attempt::Role::Case(_)))));
        assert_eq!(Arc::strong_count(&point), 1);
    }

    #[test]
    fn a_case_keeps_the_wishes_that_are_about_it() {
        let mut first = job(0);
        let wishes = |text: &str| -> Vec<Vec<String>> {
            let names = |case: &str| case.split('/').map(str::to_owned).collect();
            text.split_whitespace().map(names).collect()
        };
        first.order.only = wishes("a b/x b/y");
        let mut state = RunState::new(vec![Entry::new(first)], Some(1), Limits::default(), 2);
        state.begin();
        let only = |actions: Vec<Action>| -> Vec<Vec<Vec<String>>> {
            let submitted = actions.into_iter().filter_map(|action| match action {
                Action::Submit(job) => Some(job.order.only),
                _ => None,
            });
            submitted.collect()
        };
        let cases = only(state.step(forked(0, 1, "a b", None)));
        assert_eq!(cases, [wishes("a"), wishes("b/x b/y")]);
        let cases = only(state.step(forked(1, 1, "a/z", None)));
        assert_eq!(cases, [wishes("")], "with the case all below it was asked for");
    }

    #[test]
    fn a_set_up_cannot_fork() {
        let mut state = with_setup(Some(1), Limits::default());
        state.begin();
        let actions = state.step(forked(0, 1, "a", None));
        assert_eq!(line(&actions), "fail, fail, fail");
    }

    #[test]
    fn a_thousand_cases_take_no_time() {
        let mut state = state(1, Limits::default());
        state.begin();
        let names: Vec<String> = (0..4096).map(|n| n.to_string()).collect();
        let began = std::time::Instant::now();
        let point = Arc::new(ForkPoint::default());
        state.step(forked(0, 1, &names.join(" "), Some(&point)));
        for case in 1..=4096 {
            state.step(finished(case, 1, Outcome::Passed));
        }
        assert_eq!(line(&state.end()), "");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
