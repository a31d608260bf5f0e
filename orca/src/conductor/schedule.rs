//! The order of jobs: set-ups and what waits for them, rounds of tests, attempts that are made
//! again, cases of tests that forked, and tests that run alone.
//!
//! This is pure, as [`super::step`] is. Exclusive tests come after all others, so that the workers
//! have to wait for each other only once. A run without an end would never come to them, so it
//! takes them at the end of every round.

use super::entry::Entry;
use crate::events::attempt::TestId;
use crate::pod::Job;
use std::collections::VecDeque;

/// The order of the jobs of a run.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
    /// How many of them were planned; the others are cases.
    planned: usize,
    /// How many rounds there are; `None`: no end.
    rounds: Option<u32>,
    /// Attempts that are made again, and cases. They come before anything new, and wait for no
    /// set-up.
    urgent: VecDeque<Job>,
    /// The entries that are new in this turn.
    pending: VecDeque<TestId>,
    turn: Turn,
}

/// A part of the run: the entries of a round that may run side by side, or those that run alone.
#[derive(Clone, Copy, Debug)]
struct Turn {
    alone: bool,
    round: u32,
}

impl Schedule {
    /// A schedule of `entries`, each of them `rounds` times, but for set-ups.
    pub(super) fn new(entries: Vec<Entry>, rounds: Option<u32>) -> Self {
        let (planned, turn) = (entries.len(), Turn { alone: false, round: 1 });
        let (urgent, pending) = (VecDeque::new(), VecDeque::new());
        let mut schedule = Self { entries, planned, rounds, urgent, pending, turn };
        if rounds != Some(0) {
            schedule.pending = schedule.entries_of(turn);
            schedule.fill();
        }
        schedule
    }

    /// Every entry, in plan order, and then the cases.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds an entry that is a case, and returns its id. It runs only when it is put in front.
    pub(super) fn add(&mut self, mut entry: Entry) -> TestId {
        let test = self.entries.len();
        entry.job.test = test;
        self.entries.push(entry);
        test
    }

    /// Whether no job is left.
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.pending.is_empty()
    }

    /// Puts jobs before all others, in their order.
    pub(super) fn put_in_front(&mut self, jobs: Vec<Job>) {
        jobs.into_iter().rev().for_each(|job| self.urgent.push_front(job));
    }

    /// Takes all that was put in front.
    pub(super) fn take_urgent(&mut self) -> VecDeque<Job> {
        std::mem::take(&mut self.urgent)
    }

    /// A set-up has passed, so what waits for it may run.
    pub(super) fn set_up(&mut self, setup: TestId) {
        self.entries[setup].stands = true;
    }

    /// A set-up did not pass. Returns all that stands on it, inner set-ups included, and drops it.
    pub(super) fn drop_above(&mut self, setup: TestId) -> Vec<TestId> {
        let (mut found, mut fallen) = (Vec::new(), vec![setup]);
        // An inner set-up comes after its outer one, so that one pass finds all.
        for (test, entry) in self.entries[..self.planned].iter_mut().enumerate() {
            if entry.after.is_some_and(|after| fallen.contains(&after)) {
                entry.dropped = true;
                found.push(test);
                fallen.extend(entry.is_setup().then_some(test));
            }
        }
        let entries = &self.entries;
        self.pending.retain(|test| !entries[*test].dropped);
        self.fill();
        found
    }

    /// Takes the next job. `running` are the tests that run now; `None` if no job is left or all
    /// that are left have to wait for one that runs.
    pub(super) fn take(&mut self, running: impl IntoIterator<Item = TestId>) -> Option<Job> {
        let at = match self.urgent.front() {
            Some(_) => None,
            None => Some(self.pending.iter().position(|test| self.is_ready(*test))?),
        };
        let test = match (at, self.urgent.front()) {
            (Some(at), _) => self.pending[at],
            (None, Some(job)) => job.test,
            (None, None) => return None,
        };
        let alone = |test: TestId| self.entries[test].exclusive;
        if running.into_iter().any(|other| alone(other) || alone(test)) {
            return None;
        }
        let Some(at) = at else { return self.urgent.pop_front() };
        self.pending.remove(at);
        let round = self.turn.round;
        self.fill();
        Some(job_of_round(&self.entries[test].job, round))
    }

    /// Whether its set-up has passed, if it has one.
    fn is_ready(&self, test: TestId) -> bool {
        self.entries[test].after.is_none_or(|setup| self.entries[setup].stands)
    }

    /// Goes on to the next turn that has entries, if this one has none left. While an entry waits
    /// for its set-up, its turn is not over.
    fn fill(&mut self) {
        while self.pending.is_empty() {
            let Some(next) = self.after(self.turn) else { return };
            self.turn = next;
            self.pending = self.entries_of(next);
        }
    }

    fn entries_of(&self, turn: Turn) -> VecDeque<TestId> {
        let belongs = |test: &TestId| {
            let entry = &self.entries[*test];
            let counts = entry.exclusive == turn.alone && !entry.is_over();
            counts && (turn.round == 1 || !entry.is_setup())
        };
        (0..self.planned).filter(belongs).collect()
    }

    fn after(&self, turn: Turn) -> Option<Turn> {
        let Turn { alone, round } = turn;
        let repeats = |alone: bool| {
            let tests = self.entries[..self.planned].iter().filter(|entry| !entry.is_setup());
            tests.filter(|entry| !entry.is_over()).any(|entry| entry.exclusive == alone)
        };
        match self.rounds {
            Some(rounds) if round < rounds && repeats(alone) => {
                Some(Turn { round: round + 1, ..turn })
            }
            Some(_) if !alone => Some(Turn { alone: true, round: 1 }),
            Some(_) => None,
            None if !alone => Some(Turn { alone: true, round }),
            None if repeats(false) || repeats(true) => {
                Some(Turn { alone: false, round: round + 1 })
            }
            None => None,
        }
    }
}

/// The first attempt in `round`.
pub(super) fn job_of_round(job: &Job, round: u32) -> Job {
    let mut job = job.clone();
    if round > 1 {
        job.round = round;
        rename(&mut job, &format!("round-{round}"));
    }
    job
}

/// The attempt after `attempt` in the same round.
pub(super) fn next_attempt(first: &Job, round_now: u32, attempt: u32) -> Job {
    let mut job = job_of_round(first, round_now);
    job.attempt = attempt + 1;
    let suffix = format!("attempt-{}", job.attempt);
    rename(&mut job, &suffix);
    job
}

fn rename(job: &mut Job, suffix: &str) {
    let name = job.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    job.dir.set_file_name(format!("{name}.{suffix}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Order, SetUp};

    fn entry(test: usize, letter: char, setups: usize) -> Entry {
        let number = letter.to_digit(10).map(|digit| digit as usize);
        let order = Order {
            setup: number.map(|number| SetUp { number, ..SetUp::default() }),
            ..Order::default()
        };
        let job = Job {
            test,
            path: letter.to_string(),
            kernel: None,
            round: 1,
            attempt: 1,
            retries: 0,
            quarantined: None,
            order,
            dir: format!("/logs/{letter}").into(),
            before: None,
        };
        let after = match letter {
            _ if number.is_some() => number.and_then(|number| number.checked_sub(1)),
            'a'..='m' | 'A'..='M' => setups.checked_sub(1),
            _ => None,
        };
        let skipped = (letter == '-').then(String::new);
        Entry { exclusive: letter.is_uppercase(), skipped, after, ..Entry::new(job) }
    }

    /// Entries by letter: digits are set-ups, each on top of the one before. Letters are tests: the
    /// first half of the alphabet starts from the last set-up, capitals run alone, `-` is skipped.
    fn schedule(tests: &str, rounds: Option<u32>) -> Schedule {
        let setups = tests.chars().filter(char::is_ascii_digit).count();
        let entries = tests.chars().enumerate().map(|(test, letter)| entry(test, letter, setups));
        Schedule::new(entries.collect(), rounds)
    }

    fn walk(schedule: &mut Schedule, count: usize) -> String {
        let jobs = std::iter::from_fn(|| schedule.take([])).take(count);
        jobs.map(|job| format!("{}{}", job.path, job.round)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rounds_follow_each_other_and_the_exclusive_follow_all() {
        let check = |tests: &str, rounds: Option<u32>, expected: &str| {
            let mut schedule = schedule(tests, rounds);
            assert_eq!(walk(&mut schedule, 9), expected, "{tests}");
            assert_eq!(schedule.is_empty(), rounds.is_some());
        };
        check("abc", Some(1), "a1 b1 c1");
        check("aBc", Some(2), "a1 c1 a2 c2 B1 B2");
        check("AB", Some(2), "A1 B1 A2 B2");
        check("a-", Some(2), "a1 a2");
        check("aBc", None, "a1 c1 B1 a2 c2 B2 a3 c3 B3");
        check("A", None, "A1 A2 A3 A4 A5 A6 A7 A8 A9");
        assert!(schedule("--", None).is_empty() && schedule("", Some(3)).is_empty());
    }

    #[test]
    fn the_exclusive_wait_for_everybody_and_everybody_for_them() {
        let mut schedule = schedule("aBc", Some(1));
        assert_eq!(schedule.take([]).unwrap().path, "a");
        assert_eq!(schedule.take([0]).unwrap().path, "c");
        assert!(schedule.take([0, 2]).is_none() && schedule.take([2]).is_none());
        schedule.put_in_front(vec![schedule.entries()[0].job.clone()]);
        assert_eq!(schedule.take([2]).unwrap().path, "a", "another attempt need not wait");
        assert_eq!(schedule.take([]).unwrap().path, "B");
        schedule.put_in_front(vec![schedule.entries()[0].job.clone()]);
        assert!(schedule.take([1]).is_none(), "nothing runs beside B");
    }

    /// The paths of what may start while `running` runs.
    fn ready(schedule: &mut Schedule, running: &[TestId]) -> String {
        let jobs = std::iter::from_fn(|| schedule.take(running.iter().copied()));
        jobs.map(|job| job.path).collect()
    }

    #[test]
    fn what_needs_a_set_up_waits_for_it_and_nothing_else_does() {
        let mut one = schedule("01abxB", Some(1));
        assert_eq!(ready(&mut one, &[]), "0x", "1 is on top of 0, and a and b on top of 1");
        assert!(ready(&mut one, &[0]).is_empty() && !one.is_empty());
        one.set_up(0);
        assert_eq!(ready(&mut one, &[]), "1");
        one.set_up(1);
        assert_eq!(ready(&mut one, &[4]), "ab");
        assert_eq!(ready(&mut one, &[]), "B", "the exclusive one comes after all others");
        assert!(one.is_empty());
    }

    #[test]
    fn set_ups_are_run_once_and_rounds_wait_for_them() {
        let mut twice = schedule("0axB", Some(2));
        assert_eq!(ready(&mut twice, &[]), "0x", "round 1 is not over");
        twice.set_up(0);
        assert_eq!(walk(&mut twice, 9), "a1 a2 x2 B1 B2");
        let mut endless = schedule("0ax", None);
        assert_eq!(ready(&mut endless, &[]), "0x");
        assert_eq!(endless.drop_above(0), [1]);
        assert_eq!(walk(&mut endless, 3), "x2 x3 x4");
        let mut nothing = schedule("0aB", None);
        assert_eq!(ready(&mut nothing, &[]), "0");
        assert_eq!(nothing.drop_above(0), [1, 2]);
        assert!(nothing.is_empty());
    }

    #[test]
    fn what_stands_on_a_fallen_set_up_falls_too() {
        let mut inner = schedule("01axB", Some(1));
        assert_eq!(ready(&mut inner, &[]), "0x");
        assert_eq!(inner.drop_above(0), [1, 2, 4]);
        assert!(inner.is_empty());
        let mut outer = schedule("01ax", Some(1));
        assert_eq!(ready(&mut outer, &[]), "0x");
        outer.set_up(0);
        assert_eq!(ready(&mut outer, &[]), "1");
        assert_eq!(outer.drop_above(1), [2]);
    }

    #[test]
    fn cases_come_before_what_is_new_and_stay_exclusive() {
        let mut schedule = schedule("xyZ", Some(1));
        assert_eq!(schedule.take([]).unwrap().path, "x");
        let case = |schedule: &mut Schedule, letter| {
            let test = schedule.add(entry(0, letter, 0));
            schedule.entries()[test].job.clone()
        };
        let cases = vec![case(&mut schedule, 'p'), case(&mut schedule, 'q')];
        schedule.put_in_front(cases);
        assert_eq!(schedule.entries()[4].job.test, 4);
        assert_eq!(walk(&mut schedule, 9), "p1 q1 y1 Z1");
        let cases = vec![case(&mut schedule, 'R'), case(&mut schedule, 'S')];
        schedule.put_in_front(cases);
        assert_eq!(schedule.take([]).unwrap().path, "R");
        assert!(schedule.take([5]).is_none());
        assert_eq!(schedule.take([]).unwrap().path, "S");
    }

    #[test]
    fn every_attempt_has_a_folder_of_its_own() {
        let first = &schedule("a", None).entries[0].job;
        let check = |job: Job, dir: &str| assert_eq!(job.dir.to_str(), Some(dir));
        check(job_of_round(first, 1), "/logs/a");
        check(job_of_round(first, 3), "/logs/a.round-3");
        check(next_attempt(first, 1, 1), "/logs/a.attempt-2");
        check(next_attempt(first, 3, 2), "/logs/a.round-3.attempt-3");
    }
}
