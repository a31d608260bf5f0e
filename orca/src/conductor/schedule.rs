//! The order of jobs: rounds of tests, attempts that are made again, and tests that run alone.
//!
//! This is pure, as [`super::step`] is. Exclusive tests come after all others, so that the workers
//! have to wait for each other only once. A run without an end would never come to them, so it
//! takes them at the end of every round.

use crate::events::attempt::TestId;
use crate::pod::Job;
use std::collections::VecDeque;

/// A test of the run, and how it is scheduled.
#[derive(Clone, Debug)]
pub struct ScheduledJob {
    /// The first attempt in its first round.
    pub job: Job,
    /// Whether no other test may run at the same time.
    pub exclusive: bool,
    /// Why it is not run at all.
    pub skipped: Option<String>,
}

/// The order of the jobs of a run.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: Vec<ScheduledJob>,
    /// The tests that may run side by side, and the tests that run alone.
    lists: [Vec<TestId>; 2],
    /// How many rounds there are; `None`: no end.
    rounds: Option<u32>,
    /// Attempts that are made again. They come before anything new.
    retries: VecDeque<Job>,
    /// The next test that is new.
    next: Option<Position>,
}

/// A position in the rounds.
#[derive(Clone, Copy, Debug)]
struct Position {
    list: usize,
    round: u32,
    index: usize,
}

impl Schedule {
    /// A schedule of `entries`, each of them `rounds` times.
    pub(super) fn new(entries: Vec<ScheduledJob>, rounds: Option<u32>) -> Self {
        let list = |exclusive: bool| {
            let belongs = |(_, entry): &(_, &ScheduledJob)| {
                entry.exclusive == exclusive && entry.skipped.is_none()
            };
            entries.iter().enumerate().filter(belongs).map(|(id, _)| id).collect::<Vec<TestId>>()
        };
        let lists = [list(false), list(true)];
        let any = lists.iter().any(|list| !list.is_empty()) && rounds != Some(0);
        let first = Position { list: usize::from(lists[0].is_empty()), round: 1, index: 0 };
        Self { entries, lists, rounds, retries: VecDeque::new(), next: any.then_some(first) }
    }

    /// Every test, in plan order.
    pub(super) fn entries(&self) -> &[ScheduledJob] {
        &self.entries
    }

    /// Whether no job is left.
    pub(super) fn is_empty(&self) -> bool {
        self.retries.is_empty() && self.next.is_none()
    }

    /// Puts an attempt before all others.
    pub(super) fn put_back(&mut self, job: Job) {
        self.retries.push_front(job);
    }

    /// The attempts that wait to be made again.
    pub(super) fn retries(&self) -> impl Iterator<Item = &Job> {
        self.retries.iter()
    }

    /// Takes the next job. `running` are the tests that run now; `None` if no job is left or the
    /// next one has to wait for them.
    pub(super) fn take(&mut self, running: impl IntoIterator<Item = TestId>) -> Option<Job> {
        let alone = |test: TestId| self.entries[test].exclusive;
        let test = match (self.retries.front(), self.next) {
            (Some(job), _) => job.test,
            (None, Some(position)) => self.lists[position.list][position.index],
            (None, None) => return None,
        };
        if running.into_iter().any(|other| alone(other) || alone(test)) {
            return None;
        }
        self.retries.pop_front().or_else(|| {
            let position = self.next?;
            self.next = self.after(position);
            Some(job_of_round(&self.entries[test].job, position.round))
        })
    }

    fn after(&self, position: Position) -> Option<Position> {
        let Position { list, round, index } = position;
        if index + 1 < self.lists[list].len() {
            return Some(Position { index: index + 1, ..position });
        }
        let other = 1 - list;
        let next = match self.rounds {
            Some(rounds) if round < rounds => Position { list, round: round + 1, index: 0 },
            Some(_) if list == 0 => Position { list: other, round: 1, index: 0 },
            Some(_) => return None,
            None if list == 0 && !self.lists[other].is_empty() => {
                Position { list: other, round, index: 0 }
            }
            None => {
                Position { list: usize::from(self.lists[0].is_empty()), round: round + 1, index: 0 }
            }
        };
        (!self.lists[next.list].is_empty()).then_some(next)
    }
}

/// The first attempt in `round`.
fn job_of_round(job: &Job, round: u32) -> Job {
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
    use crate::machine::Order;

    /// Tests by letter: capitals run alone, `-` is skipped.
    fn schedule(tests: &str, rounds: Option<u32>) -> Schedule {
        let entry = |(test, letter): (usize, char)| ScheduledJob {
            job: Job {
                test,
                path: letter.to_string(),
                kernel: None,
                round: 1,
                attempt: 1,
                retries: 0,
                quarantined: None,
                order: Order::default(),
                dir: format!("/logs/{letter}").into(),
                before: None,
            },
            exclusive: letter.is_uppercase(),
            skipped: (letter == '-').then(String::new),
        };
        Schedule::new(tests.chars().enumerate().map(entry).collect(), rounds)
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
        schedule.put_back(schedule.entries()[0].job.clone());
        assert_eq!(schedule.take([2]).unwrap().path, "a", "another attempt need not wait");
        assert_eq!(schedule.take([]).unwrap().path, "B");
        schedule.put_back(schedule.entries()[0].job.clone());
        assert!(schedule.take([1]).is_none(), "nothing runs beside B");
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
