//! What is left of a request when it has ended: its last line, with the processes and folders to
//! clear away, or the processes and folders of a test that was told to leave them.

use crate::kept_processes::KeptProcesses;
use crate::process_tree::ProcessTree;
use crate::reply::error_line;
use crate::scratch::Scratch;
use crate::threads::Threads;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// A request that is over: its last line, and what to clear away once that line is sent. Dropping
/// it clears away.
pub(crate) struct Finished {
    pub(crate) last_line: String,
    _leftovers: (Option<ProcessTree>, Option<Scratch>),
}

impl Finished {
    /// A request that ran, with its process tree and its folders.
    pub(crate) fn new(
        last_line: String,
        processes: Option<ProcessTree>,
        scratch: Option<Scratch>,
    ) -> Self {
        Self { last_line, _leftovers: (processes, scratch) }
    }

    /// A request that was refused for this reason.
    pub(crate) fn refused(why: &str) -> Self {
        Self::new(error_line(why), None, None)
    }

    /// Clears everything away before the last line is sent: a person who has read it may look.
    pub(crate) fn clear_away(self) -> String {
        self.last_line
    }
}

/// The processes and folders that a test left because the host asked it to, or that a set-up left.
/// Dropping it ends and removes them.
pub(crate) struct Remains {
    /// Dropped before `scratch`: processes may hold files there.
    processes: KeptProcesses,
    test: Vec<u8>,
    scratch: Scratch,
}

impl Remains {
    /// What `test`, a path in the project, left.
    pub(crate) fn new(processes: KeptProcesses, test: Vec<u8>, scratch: Scratch) -> Self {
        Self { processes, test, scratch }
    }

    /// Makes the processes fit to live as long as the machine, as [`KeptProcesses::settle`] does.
    pub(crate) fn settle(&mut self, threads: &Threads) {
        self.processes.settle(threads);
    }

    /// The variables that only this test had.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 3] {
        [
            ("ORCA_TEST", OsStr::from_bytes(&self.test).to_owned()),
            ("ORCA_ARTIFACTS", self.scratch.artifacts().into()),
            ("TMPDIR", self.scratch.tmp().into()),
        ]
    }
}
