//! What each worker is doing, according to the events. The live display, the status and the notices
//! about slow tests are made of it.
//!
//! Pure: the caller says what time it is.

use super::estimate::Estimate;
use super::paint::safe;
use super::width;
use super::wording::{clock, noun, seconds};
use crate::events::attempt::TestId;
use crate::events::event::{Event, Start};
use crate::events::tally::Tally;
use crate::text::count::count;
use std::time::{Duration, Instant};

/// The part of its timeout after which a running test is called slow.
const SLOW_PART: u32 = 2;

/// A running test.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) test: TestId,
    pub(super) path: String,
    round: u32,
    attempt: u32,
    /// `round 2`, `attempt 2`; empty for the first of each.
    pub(super) again: String,
    pub(super) machine: String,
    pub(super) timeout: Duration,
    pub(super) points: u64,
    pub(super) planned: Option<u64>,
    slow_reported: bool,
}

impl Running {
    /// `3/8`, `3`, or nothing before the first point.
    pub(super) fn progress(&self) -> String {
        match (self.points, self.planned) {
            (0, None) => String::new(),
            (points, None) => points.to_string(),
            (points, Some(planned)) => format!("{points}/{planned}"),
        }
    }

    /// Whether it has used so much of its timeout that the user should know.
    pub(super) fn is_slow(&self, elapsed: Duration) -> bool {
        elapsed >= self.timeout / SLOW_PART
    }
}

/// What a worker is doing.
#[derive(Clone, Debug)]
pub(super) enum Doing {
    Waiting,
    Booting,
    Testing(Running),
}

/// The state of a run: its workers, its size, and how long it will still take.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) workers: Vec<(Doing, Instant)>,
    /// How many results the whole run will have; `None` if it runs until a test fails.
    pub(super) total: Option<usize>,
    rounds: Option<u32>,
    pub(super) began: Instant,
    estimate: Estimate,
}

impl Progress {
    /// The state before the first event.
    pub(super) fn new(now: Instant) -> Self {
        let estimate = Estimate::default();
        Self { workers: Vec::new(), total: Some(0), rounds: Some(1), began: now, estimate }
    }

    /// Updates the state with one event.
    pub(super) fn follow(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started(start) => self.start(start, now),
            Event::MachineStarting { worker } => self.set(*worker, Doing::Booting, now),
            Event::MachineReady { worker, .. } => self.set(*worker, Doing::Waiting, now),
            Event::TestStarted { test, path, round, attempt, timeout, worker, machine } => {
                self.estimate.started(*test);
                let named = [("round", round), ("attempt", attempt)];
                let again: Vec<String> = named
                    .iter()
                    .filter(|(_, number)| **number > 1)
                    .map(|(word, number)| format!("{word} {number}"))
                    .collect();
                let running = Running {
                    test: *test,
                    path: safe(path),
                    round: *round,
                    attempt: *attempt,
                    again: again.join(", "),
                    machine: safe(machine),
                    timeout: *timeout,
                    points: 0,
                    planned: None,
                    slow_reported: false,
                };
                self.set(*worker, Doing::Testing(running), now);
            }
            Event::TestProgress { test, points, planned } => {
                for (doing, _) in &mut self.workers {
                    if let Doing::Testing(running) = doing
                        && running.test == *test
                    {
                        (running.points, running.planned) = (*points, *planned);
                    }
                }
            }
            Event::TestForked { test, round, attempt, cases, .. } => {
                self.estimate.forked(cases);
                let more = cases.len().saturating_sub(1); // and one instead of the test
                self.total = self.total.map(|total| total + more);
                self.free((*test, *round, *attempt), now);
            }
            Event::TestFinished(attempt) => {
                self.estimate.finished(attempt);
                if attempt.blocked_by.is_some() && !attempt.is_setup() {
                    let rounds = self.rounds.unwrap_or(1) as usize; // in which it never runs
                    let less = rounds.saturating_sub(1);
                    self.total = self.total.map(|total| total.saturating_sub(less));
                }
                if attempt.machine.is_some() || attempt.blocked_by.is_none() {
                    self.set(attempt.worker, Doing::Waiting, now);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, start: &Start, now: Instant) {
        self.workers = vec![(Doing::Waiting, now); start.workers];
        self.rounds = start.rounds;
        let tests = start.tests.len().saturating_sub(start.setups);
        self.total = start.rounds.map(|rounds| tests.saturating_mul(rounds as usize));
        self.estimate = Estimate::new(&start.expected, start.setups, start.rounds);
    }

    fn set(&mut self, worker: usize, doing: Doing, now: Instant) {
        if let Some(slot) = self.workers.get_mut(worker) {
            *slot = (doing, now);
        }
    }

    /// The worker that ran this test, round and attempt waits for another job.
    fn free(&mut self, (test, round, attempt): (TestId, u32, u32), now: Instant) {
        for slot in &mut self.workers {
            if let Doing::Testing(running) = &slot.0
                && (running.test, running.round, running.attempt) == (test, round, attempt)
            {
                *slot = (Doing::Waiting, now);
            }
        }
    }

    /// The tests that became slow since the last call, each with the time that it has run. Each
    /// test is returned once.
    pub(super) fn newly_slow(&mut self, now: Instant) -> Vec<(Running, Duration)> {
        let mut found = Vec::new();
        for (doing, since) in &mut self.workers {
            let Doing::Testing(running) = doing else { continue };
            let elapsed = now.saturating_duration_since(*since);
            if !running.slow_reported && running.is_slow(elapsed) {
                running.slow_reported = true;
                found.push((running.clone(), elapsed));
            }
        }
        found
    }

    /// How much longer the run will take; `None` while it cannot be known.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let running: Vec<(TestId, Duration)> = self
            .workers
            .iter()
            .filter_map(|(doing, since)| match doing {
                Doing::Testing(running) => {
                    Some((running.test, now.saturating_duration_since(*since)))
                }
                Doing::Waiting | Doing::Booting => None,
            })
            .collect();
        self.estimate.left(&running, self.workers.len())
    }

    /// The status at this moment for a person who asks, in whole lines.
    pub(super) fn status(&self, tally: &Tally, now: Instant) -> String {
        let mut out = format!(
            "status after {}: {} done",
            seconds(now.saturating_duration_since(self.began)),
            match self.total {
                Some(total) => format!("{} of {}", tally.tests(), count(total, noun(tally))),
                None => count(tally.tests(), noun(tally)),
            }
        );
        if tally.bad() > 0 {
            out.push_str(&format!(", {} not good", tally.bad()));
        }
        if let Some(left) = self.left(now).filter(|left| left.as_secs() > 0) {
            out.push_str(&format!(", about {} left", clock(left)));
        }
        out.push('\n');
        for (worker, (doing, since)) in self.workers.iter().enumerate() {
            let elapsed = now.saturating_duration_since(*since);
            let time = seconds(elapsed);
            out.push_str(&match doing {
                Doing::Waiting => format!("  worker {worker}: idle for {time}\n"),
                Doing::Booting => format!("  worker {worker}: making a machine for {time}\n"),
                Doing::Testing(running) => {
                    let points = match running.progress().as_str() {
                        "" => "no checks yet".to_owned(),
                        points => format!("checks {points}"),
                    };
                    let left = running.timeout.saturating_sub(elapsed);
                    let path = width::fit_end(&running.path, 1000);
                    format!(
                        "  worker {worker}: {path} on {} for {time}, {points}, timeout in {}\n",
                        running.machine,
                        seconds(left)
                    )
                }
            });
        }
        out
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::events::event::ForkedCase;

    /// A run of `tests` tests by `workers` workers, without a history.
    pub(in crate::report) fn start(tests: usize, workers: usize) -> Start {
        Start {
            tests: (0..tests).map(|n| format!("t/{n}_test.sh")).collect(),
            expected: vec![None; tests],
            rounds: Some(1),
            workers,
            machine: "x86_64, tcg".into(),
            log_dir: "/logs".into(),
            ..Start::default()
        }
    }

    /// Test 0 begins on worker 0.
    pub(in crate::report) fn begun(path: &str, attempt: u32) -> Event {
        Event::TestStarted {
            test: 0,
            path: path.into(),
            round: 1,
            attempt,
            timeout: Duration::from_secs(100),
            worker: 0,
            machine: "vm1".into(),
        }
    }

    #[test]
    fn a_slow_test_is_named_once_before_its_timeout() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.follow(&Event::Started(start(2, 1)), now);
        progress.follow(&begun("t/0_test.sh", 1), now);
        assert!(progress.newly_slow(now + Duration::from_secs(49)).is_empty());
        let slow = progress.newly_slow(now + Duration::from_secs(50));
        assert_eq!(slow[0].0.path, "t/0_test.sh");
        assert!(progress.newly_slow(now + Duration::from_secs(60)).is_empty());
    }

    #[test]
    fn progress_belongs_to_its_test() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.follow(&Event::Started(start(2, 2)), now);
        progress.follow(&begun("t/0_test.sh", 2), now);
        progress.follow(&Event::TestProgress { test: 9, points: 7, planned: None }, now);
        progress.follow(&Event::TestProgress { test: 0, points: 3, planned: Some(8) }, now);
        let Doing::Testing(running) = &progress.workers[0].0 else { panic!("{progress:?}") };
        assert_eq!((running.progress().as_str(), running.again.as_str()), ("3/8", "attempt 2"));
        let status = progress.status(&Tally::default(), now + Duration::from_secs(2));
        assert_eq!(
            status,
            "status after 2.0s: 0 of 2 test files done\n  \
             worker 0: t/0_test.sh on vm1 for 2.0s, checks 3/8, timeout in 98.0s\n  \
             worker 1: idle for 2.0s\n"
        );
    }

    #[test]
    fn a_test_that_forks_makes_room_and_counts_as_its_cases() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.follow(&Event::Started(Start { setups: 1, ..start(3, 1) }), now);
        assert_eq!(progress.total, Some(2), "set-ups are counted apart");
        progress.follow(&begun("t/0_test.sh", 1), now);
        let case =
            |test| ForkedCase { test, path: String::new(), expected: None, again: String::new() };
        let cases = (3..6).map(case).collect();
        let path = "t/0_test.sh".to_owned();
        progress.follow(&Event::TestForked { test: 0, path, round: 1, attempt: 1, cases }, now);
        assert_eq!(progress.total, Some(4));
        assert!(matches!(progress.workers[0].0, Doing::Waiting), "{progress:?}");
    }
}
