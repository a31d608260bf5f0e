//! What all requests share: where the project is, who reaps, what may be changed in this machine.

use crate::cmdline::CommandLine;
use crate::exec::{Env, PATH, Remains};
use crate::nodes::requests::NodeRequests;
use crate::prestarted_shell::PrestartedShell;
use crate::reaper::{Reaper, adopt_orphans};
use crate::share::Mounted;
use crate::threads::Threads;
use crate::{process_tree, root};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

/// The agent.
pub(crate) struct Agent {
    /// Where tests run.
    pub(crate) project: PathBuf,
    /// Whether it is the init of this machine.
    pub(crate) is_pid_1: bool,
    /// Whether this machine is the host's to change: clock, name, mounts.
    pub(crate) owns_machine: bool,
    /// What a child's `oom_score_adj` has to be set back to.
    pub(crate) oom_score: Option<&'static [u8]>,
    pub(crate) reaper: Reaper,
    pub(crate) crew: Threads,
    /// Where to make cgroups, if that is possible.
    pub(crate) cgroups: Option<PathBuf>,
    pub(crate) share: Mutex<Mounted>,
    /// Ready for the next test.
    pub(crate) spare: Mutex<Option<PrestartedShell>>,
    /// Whether the root is still to be entered, when the machine is let go.
    pub(crate) rootless: AtomicBool,
    /// What tests ask of other nodes.
    pub(crate) asks: NodeRequests,
    /// What the last test left that was told to.
    remains: Mutex<Option<Remains>>,
}

impl Agent {
    /// Gets the process ready to run things: it adopts orphans, and is the last that a lack of
    /// memory takes.
    pub(crate) fn new(project: PathBuf, owns_machine: bool) -> io::Result<Self> {
        let is_pid_1 = std::process::id() == 1;
        if !is_pid_1 {
            adopt_orphans()?;
        }
        let spared = owns_machine && fs::write("/proc/self/oom_score_adj", "-1000").is_ok();
        let cgroups = process_tree::cgroup_root();
        if let Some(root) = cgroups.as_deref().filter(|_| owns_machine) {
            process_tree::bound_forks(root);
        }
        Ok(Self {
            project,
            is_pid_1,
            owns_machine,
            oom_score: spared.then_some(b"0"),
            reaper: Reaper::start()?,
            crew: Threads::default(),
            cgroups,
            share: Mutex::new(Mounted::NOTHING),
            spare: Mutex::new(None),
            rootless: AtomicBool::new(is_pid_1 && root::waits(&CommandLine::of_this_boot())),
            asks: NodeRequests::default(),
            remains: Mutex::default(),
        })
    }

    /// Keeps `remains` and ends what was kept before.
    pub(crate) fn keep(&self, remains: Option<Remains>) {
        let before = std::mem::replace(&mut *self.remains(), remains);
        drop(before); // not under the lock: killing takes its time
    }

    /// The variables of the test whose remains are here.
    pub(crate) fn test_variables(&self) -> Vec<(&'static str, OsString)> {
        self.remains().as_ref().map(|remains| remains.variables().into()).unwrap_or_default()
    }

    fn remains(&self) -> MutexGuard<'_, Option<Remains>> {
        self.remains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a command runs that is no test: in the project, if there is one.
    pub(crate) fn folder(&self) -> &Path {
        if self.project.is_dir() { &self.project } else { Path::new("/") }
    }

    /// Gives `command` the environment that all requests have, over it what it has already, over
    /// that `env`.
    pub(crate) fn environment(&self, command: &mut Command, env: &Env) {
        // What the kernel gives process 1 is no environment to hand on.
        let own = |name, default: &str| match std::env::var_os(name) {
            Some(value) if !self.is_pid_1 => value,
            _ => default.into(),
        };
        let set: Vec<_> =
            command.get_envs().map(|(k, v)| (k.to_owned(), v.map(OsStr::to_owned))).collect();
        command.env_clear();
        command.env("PATH", own("PATH", PATH)).env("HOME", own("HOME", "/root"));
        command.env("LANG", "C.UTF-8").env("ORCA", "1").env("ORCA_TIMEOUT_FACTOR", "1");
        command.env("ORCA_VM", nix::unistd::gethostname().unwrap_or_default());
        command.envs(set.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(env.iter().map(|(k, v)| (OsStr::from_bytes(k), OsStr::from_bytes(v))));
    }
}
