//! `SHELL`: an interactive shell on a terminal of its own.

use crate::agent::Agent;
use crate::control::Orders;
use crate::launch::Env;
use crate::pump::{AtEnd, Running, pump};
use crate::remains::Finished;
use crate::reply::Reply;
use crate::sys;
use crate::wire::Kind;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

/// Rows and columns, until the host sends its own.
const WINDOW: (u16, u16) = (24, 80);
/// The kind of a terminal that the host does not name.
const TERM: &str = "linux";

/// Runs a login shell until it exits, and passes bytes both ways.
///
/// # Errors
/// Only that the host is gone.
pub(crate) fn shell(
    agent: &Agent,
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Finished> {
    let path = choose(env);
    let running = match start(agent, &path, env) {
        Ok(running) => running,
        Err(e) => return Ok(Finished::refused(&format!("cannot run {path}: {e}"))),
    };
    let outcome = pump(running, orders, reply);
    outcome.name_left(reply)?;
    Ok(Finished::new(outcome.ended.shell_line(), outcome.processes, None))
}

fn start(agent: &Agent, path: &str, env: &Env) -> io::Result<Running> {
    let (master, slave) = open_terminal()?;
    sys::set_window(master.as_fd(), WINDOW.0, WINDOW.1);
    let mut command = Command::new(path);
    command.arg("-l").current_dir(agent.folder());
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    command.env("TERM", TERM).env("SHELL", path).envs(agent.test_variables());
    agent.launcher.environment(&mut command, env);
    let (spawned, processes) = agent.launcher.spawn(&mut command, true)?;
    let output = master.try_clone()?;
    Ok(Running {
        processes,
        end: spawned.end,
        outputs: vec![(Kind::Stdout, output)],
        input: Some(master),
        terminal: true,
        kernel: None,
        at_end: AtEnd::Kill,
    })
}

/// Opens a new terminal. Both sides are close-on-exec from the start, which `openpty` cannot do.
fn open_terminal() -> io::Result<(OwnedFd, File)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname_r(&master)?;
    let slave =
        File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(path)?;
    Ok((master.as_fd().try_clone_to_owned()?, slave))
}

/// The shell that the request names, or else bash, or else `sh`.
fn choose(env: &Env) -> String {
    let named = env.iter().rev().find(|(name, _)| name == b"SHELL").map(|(_, value)| value);
    let named = named.map(|value| OsStr::from_bytes(value).to_string_lossy());
    match named {
        Some(path) if Path::new(&*path).exists() => path.into_owned(),
        _ if Path::new("/bin/bash").exists() => "/bin/bash".into(),
        _ => "/bin/sh".into(),
    }
}
