//! The run's decisions: a function from state and input to actions, without threads, clocks or machines.

use crate::cancel::Level;
use crate::event::{Attempt, Event, Outcome};
use crate::pod::Job;
use crate::tally::Tally;
use crate::trouble::Kind;
use std::collections::VecDeque;

/// Boots that may fail in a row before the run ends: the fourth machine would not fare better.
const BOOT_FAILURES_MAX: u32 = 3;
/// How often a test whose machine was in trouble is tried again, whatever `--retries` says.
const TROUBLE_RETRIES: u32 = 1;

/// What can happen to a run.
#[derive(Debug)]
pub(super) enum Input {
    /// The pod told something.
    Event(Event),
    /// The process got a signal.
    Signal(i32),
}

/// What is to be done about it, in order.
#[derive(Debug)]
pub(super) enum Action {
    /// Queue an attempt.
    Submit(Job),
    /// No more attempts will come.
    Close,
    /// Stop, that far.
    Raise(Level),
    /// Tell the reporters.
    Report(Event),
}

/// The user's limits on the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many failures end the run.
    pub fail_fast: Option<usize>,
}

/// Where the run stands.
#[derive(Debug)]
pub struct State {
    /// The first attempt at each test, in plan order.
    jobs: Vec<Job>,
    /// Attempts that no worker has been given yet.
    waiting: VecDeque<Job>,
    workers: usize,
    done: Vec<bool>,
    running: usize,
    tally: Tally,
    limits: Limits,
    level: Option<Level>,
    signal: Option<i32>,
    boot_failures: u32,
}

impl State {
    /// A run of `jobs`, none of them begun, by `workers` workers. Each worker is given a job when it has finished one, so that
    /// nothing starts after a decision to stop.
    pub fn new(jobs: Vec<Job>, limits: Limits, workers: usize) -> State {
        let done = vec![false; jobs.len()];
        State {
            waiting: jobs.iter().cloned().collect(),
            jobs,
            workers,
            done,
            running: 0,
            tally: Tally::default(),
            limits,
            level: None,
            signal: None,
            boot_failures: 0,
        }
    }

    /// The signal that interrupted the run.
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// What to do first.
    pub(super) fn begin(&mut self) -> Vec<Action> {
        let first = self.workers.min(self.waiting.len());
        let mut actions: Vec<Action> = self.waiting.drain(..first).map(Action::Submit).collect();
        if actions.is_empty() {
            actions.push(Action::Close);
        }
        actions
    }

    /// What to do about one input.
    pub(super) fn step(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Signal(signal) => self.interrupted(signal),
            Input::Event(Event::TestFinished(attempt)) => self.finished(*attempt),
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

    /// What is left to tell once every worker has ended: the tests that have no result.
    pub(super) fn end(&mut self) -> Vec<Action> {
        let rest: Vec<&Job> = self
            .jobs
            .iter()
            .zip(&self.done)
            .filter(|(_, done)| !**done)
            .map(|(job, _)| job)
            .collect();
        rest.into_iter()
            .map(|job| Action::Report(Event::TestFinished(Box::new(not_run(job)))))
            .collect()
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
        let told = Event::Cancelled { why: why.to_owned(), running: self.running };
        vec![Action::Raise(level), Action::Report(told)]
    }

    fn finished(&mut self, mut attempt: Attempt) -> Vec<Action> {
        if attempt.machine.is_empty() {
            self.boot_failures += u32::from(is_boot_failure(&attempt));
        } else {
            self.running = self.running.saturating_sub(1);
        }
        attempt.retried = self.level.is_none() && self.may_retry(&attempt);
        let test = attempt.test;
        let again = attempt.retried.then(|| self.next_attempt(&attempt));
        let event = Event::TestFinished(Box::new(attempt));
        self.tally.take(&event);
        let mut actions = vec![Action::Report(event)];
        match again {
            Some(job) => self.waiting.push_front(job),
            None => self.done[test] = true,
        }
        if self.boot_failures >= BOOT_FAILURES_MAX {
            let why = format!("{BOOT_FAILURES_MAX} machines in a row failed to boot");
            actions.extend(self.raise(Level::Drain, &why));
        }
        if self.limits.fail_fast.is_some_and(|limit| self.tally.bad() >= limit) {
            actions.extend(self.raise(Level::Drain, "as many failures as --fail-fast allows"));
        }
        if self.done.iter().all(|done| *done) {
            actions.push(Action::Close);
        } else if self.level.is_none() {
            actions.extend(self.waiting.pop_front().map(Action::Submit));
        }
        actions
    }

    fn may_retry(&self, attempt: &Attempt) -> bool {
        let retries = self.jobs[attempt.test].retries;
        let allowed = match &attempt.outcome {
            Outcome::Passed | Outcome::Skipped(_) | Outcome::NotRun => 0,
            Outcome::Failed | Outcome::TimedOut { .. } => retries,
            Outcome::Errored(_) => retries.max(TROUBLE_RETRIES),
        };
        attempt.attempt <= allowed
    }

    fn next_attempt(&self, attempt: &Attempt) -> Job {
        let mut job = self.jobs[attempt.test].clone();
        job.attempt = attempt.attempt + 1;
        let name = job.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        job.dir.set_file_name(format!("{name}.attempt-{}", job.attempt));
        job
    }
}

fn is_boot_failure(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Errored(trouble) if trouble.kind == Kind::Boot)
}

fn not_run(job: &Job) -> Attempt {
    Attempt {
        attempt: job.attempt,
        quarantined: job.quarantined.clone(),
        ..Attempt::not_run(job.test, job.path.clone(), job.round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Order;
    use crate::trouble::Trouble;
    use std::path::PathBuf;

    fn job(test: usize) -> Job {
        let path = format!("t/{test}_test.sh");
        let dir = PathBuf::from(format!("/logs/{path}"));
        let order = Order::default();
        Job { test, path, round: 1, attempt: 1, retries: 0, quarantined: None, order, dir }
    }

    fn state(tests: usize, limits: Limits) -> State {
        State::new((0..tests).map(job).collect(), limits, 2)
    }

    fn finished(test: usize, attempt: u32, outcome: Outcome) -> Input {
        let machine = "vm1".to_owned();
        let job = Job { attempt, ..job(test) };
        Input::Event(Event::TestFinished(Box::new(Attempt { outcome, machine, ..not_run(&job) })))
    }

    fn trouble(kind: Kind) -> Outcome {
        Outcome::Errored(Trouble { kind, detail: "x".into(), console: "<empty>".into() })
    }

    /// The actions as a line: what a person would check first.
    fn line(actions: &[Action]) -> String {
        let word = |action: &Action| match action {
            Action::Submit(job) => format!("submit {}.{}", job.test, job.attempt),
            Action::Close => "close".to_owned(),
            Action::Raise(level) => format!("raise {level:?}"),
            Action::Report(Event::TestFinished(attempt)) if attempt.retried => "retried".to_owned(),
            Action::Report(Event::TestFinished(attempt)) => attempt.outcome.word().to_owned(),
            Action::Report(Event::Cancelled { why, .. }) => format!("cancelled: {why}"),
            Action::Report(_) => "told".to_owned(),
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
        let mut twice = state(1, Limits::default());
        twice.jobs[0].retries = 1;
        twice.begin();
        let failed = finished(0, 1, Outcome::Failed);
        assert_eq!(line(&twice.step(failed)), "retried, submit 0.2");
        let passed = finished(0, 2, Outcome::Passed);
        assert_eq!(line(&twice.step(passed)), "pass, close");
        assert!(twice.jobs[0].dir.ends_with("0_test.sh"));
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
        let mut state = state(3, Limits { fail_fast: Some(1) });
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
                attempt.machine.clear();
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
        assert_eq!(line(&state.step(Input::Event(ready))), "told");
        assert_eq!(line(&state.step(failed(0, 2))), "error, submit 2.1");
        assert_eq!(line(&state.step(failed(1, 1))), "retried, submit 1.2");
        let last = line(&state.step(failed(2, 1)));
        assert!(
            last.ends_with("raise Drain, cancelled: 3 machines in a row failed to boot"),
            "{last}"
        );
    }
}
