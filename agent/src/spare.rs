//! A process that waits for the next test: made before its machine is frozen, it is there in every copy, in a tree of its own, with
//! its pipes and folders, and only has to become the test.
//!
//! A copy under emulation finds no code translated, and forking, entering a cgroup and making folders is as much code as running a
//! small test is. The process is this program once more: it reads one order from its standard input and executes that.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::PoisonError;

use nix::unistd::{chdir, dup2_stdin, execve};

use crate::agent::Agent;
use crate::exec;
use crate::pump::Running;
use crate::scratch::Scratch;
use crate::sys;
use crate::tree::Tree;

/// Tells this program that it is a spare. No option: nobody types it.
pub(crate) const ARGUMENT: &str = "spare";
/// Ends each of an order's strings: the folder, the program and its arguments, an empty one, the environment.
const NUL: u8 = 0;
/// What an order takes, as a rule, in bytes.
const ORDER_ROOM: usize = 4096;

/// See the module.
pub(crate) struct Spare {
    scratch: Scratch,
    running: Running,
}

impl Spare {
    /// Makes one for `agent`'s next test, unless there is one. Where that fails the test is started as any other.
    pub(crate) fn put_by(agent: &Agent) {
        let mut place = agent.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Spare::make(agent).ok();
        }
    }

    /// Takes the one that was put by.
    pub(crate) fn take(agent: &Agent) -> Option<Spare> {
        agent.spare.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn make(agent: &Agent) -> io::Result<Spare> {
        let scratch = Scratch::make()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("agent").arg(ARGUMENT).env_clear().current_dir("/");
        let running = exec::start_claiming(agent, &mut command, true, true)?;
        // A walk finds processes by a variable that only they have; this one's were its test's too.
        match running.tree {
            Tree::Cgroup(..) => Ok(Spare { scratch, running }),
            Tree::Walk { .. } => Err(io::Error::other("no cgroup")),
        }
    }

    /// The folders that `command` should be told of.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Has it become `command`.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn become_test(mut self, command: &Command) -> io::Result<(Scratch, Running)> {
        let mut order = Vec::new();
        let folder = command.get_current_dir().map_or(OsStr::new("/"), AsRef::as_ref);
        let program = [folder, command.get_program()].into_iter().chain(command.get_args());
        for text in program {
            order.extend_from_slice(text.as_bytes());
            order.push(NUL);
        }
        order.push(NUL);
        for (name, value) in command.get_envs() {
            order.extend_from_slice(name.as_bytes());
            order.push(b'=');
            order.extend_from_slice(value.unwrap_or_default().as_bytes());
            order.push(NUL);
        }
        let input = self.running.input.take().ok_or(io::ErrorKind::BrokenPipe)?;
        File::from(input).write_all(&order)?;
        Ok((self.scratch, self.running))
    }
}

/// Waits for the order and executes it; returns an exit status, a shell's, only where that fails.
pub(crate) fn wait() -> u8 {
    // All that can be done before the order is known is done before the machine is frozen.
    sys::default_sigpipe();
    let Ok(null) = File::open("/dev/null") else { return exec::CANNOT_RUN };
    let mut order = vec![1; ORDER_ROOM]; // written to, so that its memory is there
    order.clear();
    if io::stdin().read_to_end(&mut order).is_err() || order.is_empty() {
        return exec::CANNOT_RUN; // the agent is gone, or did without
    }
    let strings = order.split_inclusive(|&b| b == NUL).map(CStr::from_bytes_with_nul);
    let mut strings = strings.filter_map(Result::ok);
    let folder = strings.next().unwrap_or_default();
    let args: Vec<&CStr> = strings.by_ref().take_while(|text| !text.is_empty()).collect();
    let env: Vec<&CStr> = strings.collect();
    let program = args.first().copied().unwrap_or_default();
    let Err(why) =
        dup2_stdin(null).and_then(|()| chdir(folder)).and_then(|()| execve(program, &args, &env));
    let named = env.iter().find_map(|text| text.to_bytes().strip_prefix(b"ORCA_TEST="));
    let shown = String::from_utf8_lossy(named.unwrap_or(program.to_bytes()));
    exec::say_why(&mut io::stderr(), &shown, &why.into())
}
