//! The state of a run that the workers and the printing thread share: the tests still to start, and
//! the processes of those that run.

use super::settings::{Launch, Settings, Show};
use super::tree;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, PipeReader};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

/// A test that is being started is waited for this long before the tests are killed: its program
/// may be on a disk that does not answer.
const START_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const START_TICK: Duration = Duration::from_millis(1);

/// What workers and printer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tests: Vec<OsString>,
    pub(super) launch: Launch,
    pub(super) show: Show,
    /// Go on counting after a bail out, as Perl's `prove` does without `-j`.
    pub(super) past_bail: bool,
    /// Each test leads a process group of its own. Not where tests may read a terminal: they
    /// would be stopped for it.
    pub(super) own_group: bool,
    next: AtomicUsize,
    /// Whether no more tests are started.
    closed: AtomicBool,
    /// Held for reading while one is, so that whoever has set `closed` and then waits for this
    /// finds all that were started in `running`.
    starting: RwLock<()>,
    running: Mutex<HashMap<usize, Running>>,
}

/// A test with a process that has not been reaped.
#[derive(Clone, Copy, Debug)]
struct Running {
    pid: i32,
    since: Instant,
    timed_out: bool,
    over: bool,
}

impl Shared {
    pub(super) fn new(tests: Vec<OsString>, settings: &Settings) -> Self {
        Self {
            tests,
            launch: settings.launch.clone(),
            show: settings.show,
            past_bail: settings.jobs == 1,
            own_group: !std::io::stdin().is_terminal(),
            next: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            starting: RwLock::default(),
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<usize, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of the variable that marks the processes of test number `index`.
    pub(super) fn mark(&self, index: usize) -> String {
        format!("{}.{index}", std::process::id())
    }

    /// Starts test number `index` by `spawn`, unless no more are to be started.
    pub(super) fn start(
        &self,
        index: usize,
        spawn: impl FnOnce() -> io::Result<(Child, PipeReader)>,
    ) -> io::Result<Option<(Child, PipeReader)>> {
        let _starting = self.starting.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Ok(None);
        }
        let started = spawn()?;
        let pid = started.0.id().cast_signed();
        let fresh = Running { pid, since: Instant::now(), timed_out: false, over: false };
        self.running().insert(index, fresh);
        if self.is_closed() {
            self.kill(index); // it took so long to start that nobody waited
        }
        Ok(Some(started))
    }

    pub(super) fn deregister(&self, index: usize) {
        if let Some(entry) = self.running().get_mut(&index) {
            entry.over = true;
        }
    }

    pub(super) fn timed_out(&self, index: usize) -> bool {
        self.running().remove(&index).is_some_and(|entry| entry.timed_out)
    }

    /// Kills test number `index` and all it started. The lock is held meanwhile, so that the
    /// process cannot be reaped and its number given away.
    pub(super) fn kill(&self, index: usize) {
        let running = self.running();
        if let Some(entry) = running.get(&index).filter(|entry| !entry.over) {
            tree::kill_all(entry.pid, &self.mark(index), self.own_group);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Starts no more tests and kills those that run, except number `spared`.
    pub(super) fn stop(&self, spared: Option<usize>) {
        self.closed.store(true, Ordering::SeqCst);
        let give_up = Instant::now() + START_LIMIT;
        while matches!(self.starting.try_write(), Err(TryLockError::WouldBlock))
            && Instant::now() < give_up
        {
            std::thread::sleep(START_TICK);
        }
        let indices: Vec<usize> = self.running().keys().copied().collect();
        indices.into_iter().filter(|&i| Some(i) != spared).for_each(|i| self.kill(i));
    }

    /// Kills the tests whose time is up; when to come again. A test that has no process yet can
    /// be due no earlier than one that started now.
    pub(super) fn enforce_timeout(&self) -> Option<Instant> {
        let limit = self.launch.timeout?;
        let now = Instant::now();
        let mut next = now + limit;
        let mut late = Vec::new();
        for (&index, entry) in self.running().iter_mut().filter(|(_, e)| !e.over && !e.timed_out) {
            let due = entry.since + limit;
            if due <= now {
                entry.timed_out = true;
                late.push(index);
            } else {
                next = next.min(due);
            }
        }
        late.into_iter().for_each(|index| self.kill(index));
        Some(next)
    }

    /// The number of the next test to start; `None` when there is none, or no more are started.
    pub(super) fn take(&self) -> Option<usize> {
        if self.is_closed() {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::SeqCst);
        (index < self.tests.len()).then_some(index)
    }
}
