//! Tests that fork: the entries of their cases, and the points where those go on.

use super::entry::Entry;
use super::schedule::{Schedule, job_of_round};
use crate::events::attempt::TestId;
use crate::events::event::{Event, ForkedCase};
use crate::machine::Case;
use crate::machine::fork::ForkPoint;
use crate::pod::{Before, ForkedTest, Job};
use crate::text::{case, quote};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where a case goes on in one round, and what was recorded before.
type Start = (Arc<ForkPoint>, Arc<Before>);

/// The forks of a run.
#[derive(Debug, Default)]
pub(super) struct Forks {
    /// How long cases are expected to take, by their paths.
    pub(super) times: HashMap<String, Duration>,
    /// The entries of cases by their paths.
    cases: HashMap<String, TestId>,
    /// Where the cases go on that have no final result yet, by case and round. These hold disk
    /// space.
    starts: HashMap<(TestId, u32), Start>,
    /// Whether the user has been told that tests are run again for each case.
    warned: bool,
}

impl Forks {
    /// Puts the cases of `forked` in front of all other work, and returns what reporters are told.
    pub(super) fn take(&mut self, forked: ForkedTest, schedule: &mut Schedule) -> Vec<Event> {
        let ForkedTest { test, round, attempt, cases, point, before } = forked;
        let mut parent = schedule.entries()[test].clone();
        // Thousands of cases must not hold thousands of wishes each.
        let only = std::mem::take(&mut parent.job.order.only);
        let path = parent.job.path.clone();
        let mut events = Vec::new();
        if point.is_none() && !self.warned {
            self.warned = true;
            let why = "this machine cannot be frozen";
            events.push(Event::Warning(format!("{path} is run again for each case: {why}")));
        }
        let (mut jobs, mut told) = (Vec::new(), Vec::new());
        for names in cases {
            let id = self.entry(&parent, &only, names, schedule);
            let entry = &schedule.entries()[id];
            if let Some(point) = &point {
                self.starts.insert((id, round), (Arc::clone(point), Arc::clone(&before)));
            }
            let mut job = job_of_round(&entry.job, round);
            self.equip(&mut job);
            jobs.push(job);
            told.push(ForkedCase {
                test: id,
                path: entry.job.path.clone(),
                expected: entry.expected,
                again: entry.again.clone(),
            });
        }
        schedule.put_in_front(jobs);
        events.insert(0, Event::TestForked { test, path, round, attempt, cases: told });
        events
    }

    /// Lets the job of a case go on where its test forked in this round.
    pub(super) fn equip(&self, job: &mut Job) {
        let start = self.starts.get(&(job.test, job.round));
        if let (Some(case), Some((point, before))) = (&mut job.order.case, start) {
            case.point = Some(Arc::clone(point));
            job.before = Some(Arc::clone(before));
        }
    }

    /// Drops what the entry needed in this round: it has its final result.
    pub(super) fn forget(&mut self, test: TestId, round: u32) {
        self.starts.remove(&(test, round));
    }

    /// Drops what any entry may need: the run is over.
    pub(super) fn forget_all(&mut self) {
        self.starts.clear();
    }

    /// The entry of a case of the test, or of the case, `parent`; it is made if this is its first
    /// round. `only` are the cases that were asked for.
    fn entry(
        &mut self,
        parent: &Entry,
        only: &[Vec<String>],
        names: Vec<String>,
        schedule: &mut Schedule,
    ) -> TestId {
        let path = parent.path_of_case(&names);
        if let Some(known) = self.cases.get(&path) {
            return *known;
        }
        let Entry { job, exclusive, command, .. } = parent;
        let word = quote::line(&case::path(&parent.file(), &names));
        let again = format!("{command} {}", quote::shell_word(word.as_bytes()));
        let mut job = Job { path: path.clone(), before: None, ..job.clone() };
        let file = Path::new(OsStr::from_bytes(&job.order.path));
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        job.dir.set_file_name(case::folder(&name, &names));
        job.order.only = only.iter().filter(|only| only.starts_with(&names)).cloned().collect();
        job.order.case = Some(Case { names, point: None });
        let entry = Entry {
            exclusive: *exclusive,
            expected: self.times.get(&path).copied(),
            command: command.clone(),
            again,
            ..Entry::new(job)
        };
        let id = schedule.add(entry);
        self.cases.insert(path, id);
        id
    }
}
