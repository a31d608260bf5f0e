//! Starts processes: their environment, their pipes, and the process tree of all that they fork.
//!
//! Nothing here knows what a request is. `pump.rs` carries a started process to its end.

use crate::process_tree::{self, Outside, ProcessTree};
use crate::pump::{AtEnd, Running};
use crate::reaper::{Reaper, Spawned, adopt_orphans};
use crate::sys::{self, ChildSetup};
use crate::wire::Kind;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where commands are looked for, unless the agent itself has another `PATH`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program that runs commands, and tests that name no interpreter.
pub(crate) const SHELL: &str = "/bin/sh";

/// A shell's exit status for a file that it cannot run.
pub(crate) const CANNOT_RUN: u8 = 126;
/// A shell's exit status for a file that is not there.
const NOT_FOUND: u8 = 127;

/// The environment of a request, on top of the agent's own: names and values.
pub(crate) type Env = [(Vec<u8>, Vec<u8>)];

/// Starts processes, with what all of them get from the agent.
pub(crate) struct Launcher {
    /// Whether the agent is the init of this machine.
    pub(crate) is_pid_1: bool,
    /// Whether a test's process tree also claims new processes outside the agent's cgroups. Only
    /// where the agent is init: elsewhere, a service may have started them.
    claims_strays: bool,
    /// The value to set a child's `oom_score_adj` back to.
    oom_score: Option<&'static [u8]>,
    /// Where to make cgroups, if that is possible.
    cgroups: Option<PathBuf>,
    reaper: Reaper,
}

impl Launcher {
    /// Prepares this process to start others: it adopts orphans, and is the last process that a
    /// lack of memory kills.
    ///
    /// # Errors
    /// The kernel refuses a subreaper or a thread.
    pub(crate) fn new(owns_machine: bool) -> io::Result<Self> {
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
            is_pid_1,
            claims_strays: is_pid_1 && owns_machine,
            oom_score: spared.then_some(b"0"),
            cgroups,
            reaper: Reaper::start()?,
        })
    }

    /// Where commands are looked for.
    pub(crate) fn path(&self) -> OsString {
        self.own("PATH", PATH)
    }

    /// The agent's own variable, or `default`. The kernel gives process 1 variables that are not
    /// meant for others.
    fn own(&self, name: &str, default: &str) -> OsString {
        match std::env::var_os(name) {
            Some(value) if !self.is_pid_1 => value,
            _ => default.into(),
        }
    }

    /// Sets the environment of `command`: what all requests have, then what `command` has already,
    /// then `env`. The later one wins.
    pub(crate) fn environment(&self, command: &mut Command, env: &Env) {
        let set: Vec<_> =
            command.get_envs().map(|(k, v)| (k.to_owned(), v.map(OsStr::to_owned))).collect();
        command.env_clear();
        command.env("PATH", self.path()).env("HOME", self.own("HOME", "/root"));
        command.env("LANG", "C.UTF-8").env("ORCA", "1").env("ORCA_TIMEOUT_FACTOR", "1");
        command.env("ORCA_VM", nix::unistd::gethostname().unwrap_or_default());
        command.envs(set.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(env.iter().map(|(k, v)| (OsStr::from_bytes(k), OsStr::from_bytes(v))));
    }

    /// Starts `command` as [`Launcher::start`] does, for a test: a process that the test moves out
    /// of its cgroup still belongs to its process tree.
    pub(crate) fn start_claiming(
        &self,
        command: &mut Command,
        apart: bool,
        input: bool,
    ) -> io::Result<Running> {
        let outside = self.cgroups.as_deref().filter(|_| self.claims_strays).and_then(Outside::now);
        let mut running = self.start(command, apart, input)?;
        running.processes.claim(outside);
        Ok(running)
    }

    /// Starts `command` in a process tree of its own, with pipes: one for each output if they stay
    /// `apart`, otherwise one for both. Without `input`, its standard input is empty.
    pub(crate) fn start(
        &self,
        command: &mut Command,
        apart: bool,
        input: bool,
    ) -> io::Result<Running> {
        let (from_output, output) = io::pipe()?;
        let mut outputs = vec![(Kind::Stdout, OwnedFd::from(from_output))];
        if apart {
            let (from_errors, errors) = io::pipe()?;
            outputs.push((Kind::Stderr, from_errors.into()));
            command.stderr(errors);
        } else {
            command.stderr(output.try_clone()?);
        }
        command.stdout(output).stdin(if input { Stdio::piped() } else { Stdio::null() });
        let (mut spawned, processes) = self.spawn(command, false)?;
        let input = spawned.child.stdin.take().map(OwnedFd::from);
        Ok(Running {
            processes,
            end: spawned.end,
            outputs,
            input,
            terminal: false,
            kernel: None,
            at_end: AtEnd::Kill,
        })
    }

    /// Spawns `command` in a session and a process tree of its own; with `terminal`, its standard
    /// input becomes its controlling terminal.
    pub(crate) fn spawn(
        &self,
        command: &mut Command,
        terminal: bool,
    ) -> io::Result<(Spawned, ProcessTree)> {
        let mut processes = ProcessTree::new(self.cgroups.as_deref());
        if let Some((name, value)) = processes.mark() {
            command.env(name, value);
        }
        sys::set_up_child(
            command,
            ChildSetup {
                cgroup: processes.procs(),
                terminal,
                oom_score: self.oom_score,
                // The "parent" is the thread that spawns it. That thread waits for other requests
                // when this one is over.
                dies_with_parent: !self.is_pid_1,
            },
        );
        let spawned = self.reaper.spawn(command);
        // `command` holds the child's ends of the pipes. The pipes have no end as long as it does.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let spawned = spawned?;
        processes.started(spawned.child.id());
        Ok((spawned, processes))
    }
}

/// Writes to `to` that `shown` cannot be run, and returns the exit status that a shell has for
/// that. `NotFound` may mean the interpreter that a script's first line names.
pub(crate) fn say_why(to: &mut impl Write, shown: &str, why: &io::Error) -> u8 {
    // There is nowhere else to say it.
    _ = writeln!(to, "agent: cannot run {shown}: {why}");
    if why.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN }
}
