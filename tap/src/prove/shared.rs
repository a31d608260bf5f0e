//! State that the workers and the printing thread share: the tests still to be started, and the
//! processes of those that run.

use super::process_tree;
use super::settings::{Launch, Settings, Show};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, PipeReader};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

/// How long [`Shared::stop`] waits for a test that is being started, before it kills: the test's
/// program may be on a disk that does not answer.
const START_LIMIT: Duration = Duration::from_secs(2);
/// How often it checks meanwhile.
const START_TICK: Duration = Duration::from_millis(1);

/// The tests of a run, how to start them, and which of them run.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tests: Vec<OsString>,
    pub(super) launch: Launch,
    pub(super) show: Show,
    /// Whether points count after a bail out, as in Perl's `prove` without `-j`.
    pub(super) past_bail: bool,
    /// Whether each test leads its own process group. Not if tests may read a terminal: reading it
    /// from another group would stop them.
    pub(super) own_group: bool,
    next: AtomicUsize,
    /// Whether the run has been stopped: no more tests are started.
    closed: AtomicBool,
    /// Locked for reading while a test is started. After `closed` is set and this is locked for
    /// writing, `running` holds every test that was started.
    starting: RwLock<()>,
    running: Mutex<HashMap<usize, Running>>,
}

/// A test that was started, until its worker forgets it.
#[derive(Clone, Copy, Debug)]
struct Running {
    pid: i32,
    since: Instant,
    timed_out: bool,
    /// The process may be reaped at any moment and must not be killed.
    ended: bool,
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

    /// The value of [`process_tree::MARK`] for the processes of test number `index`.
    pub(super) fn mark(&self, index: usize) -> String {
        format!("{}.{index}", std::process::id())
    }

    /// Starts test number `index` with `spawn`; `None` if no more tests are started.
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
        let fresh = Running { pid, since: Instant::now(), timed_out: false, ended: false };
        self.running().insert(index, fresh);
        if self.is_closed() {
            self.kill(index); // the stop has given up waiting for it
        }
        Ok(Some(started))
    }

    /// Notes that the process of test number `index` has ended and is about to be reaped.
    pub(super) fn mark_ended(&self, index: usize) {
        if let Some(entry) = self.running().get_mut(&index) {
            entry.ended = true;
        }
    }

    /// Forgets test number `index`, and returns whether it timed out.
    pub(super) fn forget(&self, index: usize) -> bool {
        self.running().remove(&index).is_some_and(|entry| entry.timed_out)
    }

    /// Kills test number `index` and everything it started. The lock is held meanwhile, so that the
    /// process cannot be reaped and its id given to another.
    pub(super) fn kill(&self, index: usize) {
        let running = self.running();
        if let Some(entry) = running.get(&index).filter(|entry| !entry.ended) {
            process_tree::kill_all(entry.pid, &self.mark(index), self.own_group);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Starts no more tests and kills those that run, except number `except`.
    pub(super) fn stop(&self, except: Option<usize>) {
        self.closed.store(true, Ordering::SeqCst);
        let give_up = Instant::now() + START_LIMIT;
        while matches!(self.starting.try_write(), Err(TryLockError::WouldBlock))
            && Instant::now() < give_up
        {
            std::thread::sleep(START_TICK);
        }
        let indices: Vec<usize> = self.running().keys().copied().collect();
        indices.into_iter().filter(|&i| Some(i) != except).for_each(|i| self.kill(i));
    }

    /// Kills the tests whose time is up, and returns when to come again. A test without a process
    /// yet is due no earlier than one that started now.
    pub(super) fn enforce_timeout(&self) -> Option<Instant> {
        let limit = self.launch.timeout?;
        let now = Instant::now();
        let mut next = now + limit;
        let mut late = Vec::new();
        for (&index, entry) in self.running().iter_mut().filter(|(_, e)| !e.ended && !e.timed_out) {
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

    /// The index of the next test; `None` if there is none, or no more tests are started.
    pub(super) fn take(&self) -> Option<usize> {
        if self.is_closed() {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::SeqCst);
        (index < self.tests.len()).then_some(index)
    }
}
