//! One worker: takes a job, gets a machine for it, runs the test, reports the result.
//!
//! The worker owns its machine by value, so the machine ends with it. No failure ends a worker
//! early: every job that it takes gets exactly one `TestFinished`.

use super::job::{After, ForkedTest, Held, Job, Message};
use super::outcome;
use super::recorder::Recorder;
use crate::cancel::{Cancel, Level};
use crate::events::attempt::{Attempt, Outcome, Timing};
use crate::events::event::Event;
use crate::events::trouble::Trouble;
use crate::machine::{Forked, Machine, Maker, Order, Ran};
use crate::shape::Shape;
use agent::wire;
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The rounds of a repeated run in which good results leave logs too. Later rounds leave only the
/// logs of bad results, or a long run would fill the disk.
const ROUNDS_KEPT: u32 = 100;

/// What happens to a machine after a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One machine per worker, for all its tests.
    Reuse,
    /// Every test gets a machine that nobody has touched.
    Pristine,
}

/// A machine for the next test that needs this shape.
type Reusable = (Shape, Box<dyn Machine>);

/// What becomes of a machine after its test.
enum MachineAfter {
    /// Somebody has taken it; the worker waits until that is over.
    Kept(Receiver<Infallible>),
    /// The next test runs on it.
    Reused(Box<dyn Machine>),
    /// It has ended.
    Gone,
}

/// A worker that has not started yet.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) maker: Arc<dyn Maker>,
    pub(super) policy: Policy,
    pub(super) after: After,
    pub(super) jobs: Receiver<Job>,
    pub(super) cancel: Cancel,
    pub(super) conductor: Sender<Message>,
}

impl Worker {
    /// Runs jobs until the queue is closed or the run is cancelled.
    pub(super) fn work(self) {
        let mut reusable: Option<Reusable> = None;
        while let Some(job) = self.next_job() {
            let order = &job.order;
            let is_alone = order.nodes.is_empty()
                && order.setup.is_none()
                && order.case.as_ref().is_none_or(|case| case.point.is_none());
            let fits = |(shape, _): &Reusable| *shape == order.shape && is_alone;
            reusable = self.run(&job, reusable.filter(fits).map(|(_, machine)| machine));
        }
        if let Some((_, machine)) = reusable {
            machine.stop();
        }
    }

    fn next_job(&self) -> Option<Job> {
        if self.cancel.reached(Level::Drain) {
            return None;
        }
        select! {
            recv(self.jobs) -> job => job.ok(),
            recv(self.cancel.on(Level::Drain)) -> _ => None,
        }
    }

    /// Runs one job and returns the machine if it may be used again.
    fn run(&self, job: &Job, machine: Option<Box<dyn Machine>>) -> Option<Reusable> {
        if self.recall(job) {
            return None;
        }
        let waiting = Instant::now();
        let is_new = machine.is_none();
        let mut machine = match machine.map_or_else(|| self.make(job), Ok) {
            Ok(machine) => machine,
            Err(trouble) => {
                let ready = waiting.elapsed();
                let timing = Timing { ready, ..Timing::default() };
                self.report_trouble(job, trouble, timing);
                return None;
            }
        };
        let ready = waiting.elapsed();
        self.report(Event::TestStarted {
            test: job.test,
            path: job.path.clone(),
            round: job.round,
            attempt: job.attempt,
            timeout: job.order.timeout,
            worker: self.number,
            machine: machine.name().to_owned(),
        });
        let goes_on = job.order.case.as_ref().is_some_and(|case| case.point.is_some());
        if is_new && !goes_on && !self.set_up(job, &mut machine, ready) {
            return None;
        }
        let mut recorder = Recorder::new(job, self.conductor.clone());
        let before = machine.console();
        let started = Instant::now();
        let mut result = machine.run(&job.order, &self.cancel, &mut recorder);
        let test = started.elapsed();
        let name = machine.name().to_owned();
        let forked = result.as_mut().ok().and_then(|ran| ran.forked.take());
        if let Some(forked) = forked {
            let timing = Timing { ready, test, ..Timing::default() };
            self.fork(job, forked, recorder, (name, timing));
            return None;
        }
        let console = said_since(&before, machine.console());
        let reusable = self.policy == Policy::Reuse
            && job.order.nodes.is_empty()
            && matches!(&result, Ok(ran) if ran.cut.is_none());
        let first = recorder.first_output().map(|at| at.duration_since(started));
        let timing = Timing { ready, test, first, teardown: Duration::ZERO };
        let mut attempt = self.attempt(job, Some(name), result, recorder, timing);
        if !matches!(attempt.outcome, Outcome::Errored(_)) {
            attempt.console = console;
        }
        let stopped = Instant::now();
        let (keep, released) = match self.after(job, &mut attempt, machine, reusable) {
            MachineAfter::Kept(released) => (None, Some(released)),
            MachineAfter::Reused(machine) => (Some((job.order.shape, machine)), None),
            MachineAfter::Gone => (None, None),
        };
        attempt.timing.teardown = stopped.elapsed();
        self.report(Event::TestFinished(Box::new(attempt)));
        if let Some(released) = released {
            select! {
                recv(released) -> _ => {}
                recv(self.cancel.on(Level::Cut)) -> _ => {}
            }
        }
        keep
    }

    /// What becomes of the machine. That of a set-up which passed is frozen.
    fn after(
        &self,
        job: &Job,
        attempt: &mut Attempt,
        machine: Box<dyn Machine>,
        reusable: bool,
    ) -> MachineAfter {
        if let Some(setup) = &job.order.setup {
            if attempt.outcome == Outcome::Passed {
                let warn = |text| self.report(Event::Warning(format!("{}: {text}", job.path)));
                if let Err(trouble) = machine.become_setup(setup, &warn) {
                    attempt.outcome = Outcome::Errored(trouble);
                }
            }
            return MachineAfter::Gone;
        }
        match self.hand_over(attempt, machine) {
            Ok(released) => MachineAfter::Kept(released),
            Err(machine) if reusable => MachineAfter::Reused(machine),
            Err(machine) => {
                if self.after.failed.is_some() {
                    machine.stop(); // its agent still holds what it kept of the test
                }
                MachineAfter::Gone
            }
        }
    }

    /// Whether this is a set-up whose machine is kept from an earlier run. It is answered then.
    fn recall(&self, job: &Job) -> bool {
        let Some(setup) = &job.order.setup else { return false };
        let warn = |text| self.report(Event::Warning(format!("{}: {text}", job.path)));
        if !self.maker.recall(job.order.shape, setup, &warn) {
            return false;
        }
        let recorder = Recorder::new(job, self.conductor.clone());
        let result = Ok(Ran::default());
        let mut attempt = self.attempt(job, None, result, recorder, Timing::default());
        attempt.outcome = Outcome::Passed;
        attempt.reasons.clear();
        attempt.notes.push("kept from an earlier run".to_owned());
        self.report(Event::TestFinished(Box::new(attempt)));
        true
    }

    /// Runs the set-ups of a test in its machine, where they could not be run before. Returns false
    /// if one did not pass; the job is answered then.
    fn set_up(&self, job: &Job, machine: &mut Box<dyn Machine>, ready: Duration) -> bool {
        for path in &job.order.setups_before {
            let shown = String::from_utf8_lossy(path).into_owned();
            let mut order = Order { case: None, path: path.clone(), ..job.order.clone() };
            order.env.push((wire::SETUP.into(), b"1".to_vec()));
            let dir = job.dir.join(shown.replace('/', "%2F"));
            let setup = Job { order, dir, before: None, ..job.clone() };
            let mut recorder = Recorder::new(&setup, self.conductor.clone());
            let started = Instant::now();
            let result = machine.set_up(&setup.order, &self.cancel, &mut recorder);
            let timing = Timing { ready, test: started.elapsed(), ..Timing::default() };
            let name = Some(machine.name().to_owned());
            let mut attempt = self.attempt(&setup, name, result, recorder, timing);
            match &attempt.outcome {
                Outcome::Passed => continue,
                Outcome::Skipped(why) => {
                    attempt.outcome = Outcome::Skipped(format!("set-up skipped: {why}"));
                }
                Outcome::Failed | Outcome::TimedOut { .. } => {
                    attempt.reasons.insert(0, format!("set-up failed: {shown}"));
                }
                Outcome::Errored(_) | Outcome::NotRun => {}
            }
            self.report(Event::TestFinished(Box::new(attempt)));
            return false;
        }
        true
    }

    /// Answers the job of a test that forked. A test whose kernel had complained before goes on in
    /// no case: its cases would all fail for that.
    fn fork(&self, job: &Job, forked: Forked, recorder: Recorder, about: (String, Timing)) {
        if recorder.has_fatal_complaints() {
            let result = Ok(Ran::default());
            let mut attempt = self.attempt(job, Some(about.0), result, recorder, about.1);
            let titles = attempt.complaints.titles.iter();
            attempt.reasons =
                titles.map(|title| format!("the kernel complained: {title}")).collect();
            attempt.reasons.push("that was before the test forked: no case was run".to_owned());
            attempt.outcome = Outcome::Failed;
            return self.report(Event::TestFinished(Box::new(attempt)));
        }
        let outer = job.order.case.as_ref().map_or(&[][..], |case| &case.names);
        let case = |name: String| [outer, &[name]].concat();
        let forked = ForkedTest {
            test: job.test,
            round: job.round,
            attempt: job.attempt,
            cases: forked.names.into_iter().map(case).collect(),
            point: forked.point,
            before: Arc::new(recorder.before_fork(&job.dir)),
        };
        // Without a conductor nobody waits for the answer.
        let _ = self.conductor.send(Message::Forked(Box::new(forked)));
    }

    /// Hands over the machine of a test that did not pass, if the run keeps such machines. The
    /// receiver closes when the worker may go on. Returns the machine if the run does not keep it,
    /// or if nobody takes it. A worker waits here, so there is never more than one such machine per
    /// worker besides those that `--keep=N` bounds.
    fn hand_over(
        &self,
        attempt: &Attempt,
        machine: Box<dyn Machine>,
    ) -> Result<Receiver<Infallible>, Box<dyn Machine>> {
        let bad = matches!(attempt.outcome, Outcome::Failed | Outcome::TimedOut { .. });
        let Some(failed) = self.after.failed.as_ref().filter(|_| bad) else { return Err(machine) };
        let (release, released) = bounded(0);
        let held = Held { test: attempt.path.clone(), machine, release };
        failed.send(held).map(|()| released).map_err(|unsent| unsent.0.machine)
    }

    fn make(&self, job: &Job) -> Result<Box<dyn Machine>, Trouble> {
        self.report(Event::MachineStarting { worker: self.number });
        let started = Instant::now();
        let warn = |text| self.report(Event::Warning(text));
        let order = &job.order;
        let point = order.case.as_ref().and_then(|case| case.point.as_ref());
        // Where machines are used again, the set-up only says which tests share one.
        let setup = order.shape.setup.filter(|_| self.policy == Policy::Pristine);
        let shape = Shape { setup, ..order.shape };
        let machine = match (point, &order.nodes[..]) {
            (Some(point), _) => self.maker.thaw(point, &self.cancel)?,
            (None, []) => self.maker.make(shape, &self.cancel, &warn)?,
            (None, nodes) => self.maker.group(order.shape, nodes, &self.cancel, &warn)?,
        };
        self.report(Event::MachineReady {
            worker: self.number,
            machine: machine.name().to_owned(),
            took: started.elapsed(),
            phases: machine.phases().to_vec(),
        });
        Ok(machine)
    }

    fn attempt(
        &self,
        job: &Job,
        machine: Option<String>,
        result: Result<Ran, Trouble>,
        recorder: Recorder,
        timing: Timing,
    ) -> Attempt {
        let recorded = recorder.finish(result.as_ref().ok().map(|ran| ran.ended));
        let (outcome, reasons) = outcome::of(result, &recorded);
        let kept = job.round <= ROUNDS_KEPT || !outcome.is_good();
        if !kept {
            // A folder that cannot be removed stays, as the logs of other tests do.
            let _ = std::fs::remove_dir_all(&job.dir);
        } else if outcome.is_good() && !self.after.artifacts {
            // Artifacts that stay are pruned with the run.
            let _ = std::fs::remove_dir_all(job.dir.join("artifacts"));
        }
        Attempt {
            test: job.test,
            path: job.path.clone(),
            kernel: job.kernel.clone(),
            round: job.round,
            attempt: job.attempt,
            quarantined: job.quarantined.clone(),
            retried: false,
            worker: self.number,
            machine,
            outcome,
            reasons,
            suite: recorded.suite,
            points: recorded.points,
            timing,
            dir: kept.then(|| job.dir.clone()),
            stderr_tail: recorded.stderr_tail,
            complaints: recorded.complaints,
            console: String::new(),
            notes: recorded.notes,
            ..Attempt::not_run(job.test, job.path.clone(), job.round)
        }
    }

    fn report_trouble(&self, job: &Job, trouble: Trouble, timing: Timing) {
        let recorder = Recorder::new(job, self.conductor.clone());
        let attempt = self.attempt(job, None, Err(trouble), recorder, timing);
        self.report(Event::TestFinished(Box::new(attempt)));
    }

    fn report(&self, event: Event) {
        // Without a conductor nobody reads events; the cancel channel ends the worker.
        let _ = self.conductor.send(Message::Event(event));
    }
}

/// The part of the console's tail `after` that is new since the tail was `before`.
fn said_since(before: &str, after: String) -> String {
    match after.strip_prefix(before) {
        Some(new) => new.trim_matches('\n').to_owned(),
        None => after,
    }
}

#[cfg(test)]
mod tests {
    use super::said_since;

    #[test]
    fn only_new_text_of_the_console_is_kept() {
        assert_eq!(said_since("boot", "boot\noops\n".into()), "oops");
        assert_eq!(said_since("boot", "boot".into()), "");
        assert_eq!(said_since("", "oops".into()), "oops");
        assert_eq!(said_since("long gone", "gone\noops".into()), "gone\noops");
    }
}
