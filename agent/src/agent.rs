//! The state that all requests share: the project, the launcher, and what this machine has ready or
//! has kept.

use crate::cmdline::CommandLine;
use crate::launch::Launcher;
use crate::prestarted_shell::PrestartedShell;
use crate::programs::fork_requests::ForkRequests;
use crate::programs::node_requests::NodeRequests;
use crate::remains::Remains;
use crate::root;
use crate::share::Mounted;
use crate::threads::Threads;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The agent of this machine. Every session and every request has the same one.
pub(crate) struct Agent {
    /// Where tests run.
    pub(crate) project: PathBuf,
    /// Whether the agent may change this machine: clock, name, mounts.
    pub(crate) owns_machine: bool,
    pub(crate) launcher: Launcher,
    pub(crate) threads: Threads,
    pub(crate) share: Mutex<Mounted>,
    /// Whether the root is yet to be entered, which `RESUME` does.
    pub(crate) root_pending: AtomicBool,
    /// The requests of tests to other nodes.
    pub(crate) node_requests: NodeRequests,
    /// The forks that tests ask for.
    pub(crate) fork_requests: ForkRequests,
    /// Ready for the next test.
    prestarted_shell: Mutex<Option<PrestartedShell>>,
    /// What the last test left, if it was told to.
    remains: Mutex<Option<Remains>>,
    /// What set-ups left, where the agent's end is the end of its machine.
    setups: Mutex<Vec<Remains>>,
}

impl Agent {
    /// Prepares this process to serve.
    ///
    /// # Errors
    /// As [`Launcher::new`].
    pub(crate) fn new(project: PathBuf, owns_machine: bool) -> io::Result<Self> {
        let launcher = Launcher::new(owns_machine)?;
        let root_pending =
            launcher.is_pid_1 && root::is_entered_at_resume(&CommandLine::of_this_boot());
        Ok(Self {
            project,
            owns_machine,
            launcher,
            threads: Threads::default(),
            share: Mutex::new(Mounted::NOTHING),
            root_pending: AtomicBool::new(root_pending),
            node_requests: NodeRequests::default(),
            fork_requests: ForkRequests::default(),
            prestarted_shell: Mutex::default(),
            remains: Mutex::default(),
            setups: Mutex::default(),
        })
    }

    /// Starts a shell for the next test. If that fails, the test is started as any other. A shell
    /// that waits already is ended: what was started after it would be looked at after the test, to
    /// see whether it is the test's.
    pub(crate) fn prestart_shell(&self) {
        if let Some(old) = self.take_shell() {
            old.end();
        }
        let new = PrestartedShell::start(&self.launcher).ok();
        *self.prestarted_shell.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Takes the shell that waits for a test, if there is one.
    pub(crate) fn take_shell(&self) -> Option<PrestartedShell> {
        self.prestarted_shell.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps `remains`, and ends those of the test before.
    pub(crate) fn keep(&self, remains: Remains) {
        self.replace_remains(Some(remains));
    }

    /// Ends what the last test left, if anything.
    pub(crate) fn end_remains(&self) {
        self.replace_remains(None);
    }

    /// Makes what a set-up left the machine's own: no end of a test or a session touches it.
    pub(crate) fn adopt(&self, mut setup: Remains) {
        setup.settle(&self.threads);
        if self.owns_machine {
            std::mem::forget(setup); // dropping it would end it, also when the agent is restarted
        } else {
            self.setups.lock().unwrap_or_else(PoisonError::into_inner).push(setup);
        }
    }

    /// Clears away what stays until the agent ends, where no machine ends with it: what set-ups
    /// left, and the place of `orca-fork`.
    pub(crate) fn end(&self) {
        if !self.owns_machine {
            self.fork_requests.close();
        }
        let setups =
            std::mem::take(&mut *self.setups.lock().unwrap_or_else(PoisonError::into_inner));
        drop(setups); // not under the lock: killing takes its time
    }

    fn replace_remains(&self, remains: Option<Remains>) {
        let before = std::mem::replace(&mut *self.remains(), remains);
        drop(before); // not under the lock: killing takes its time
    }

    /// The variables of the test whose remains are kept; none without remains.
    pub(crate) fn test_variables(&self) -> Vec<(&'static str, OsString)> {
        self.remains().as_ref().map(|remains| remains.variables().into()).unwrap_or_default()
    }

    fn remains(&self) -> MutexGuard<'_, Option<Remains>> {
        self.remains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a command runs that is not a test: in the project, or at the root where there is none.
    pub(crate) fn folder(&self) -> &Path {
        if self.project.is_dir() { &self.project } else { Path::new("/") }
    }
}
