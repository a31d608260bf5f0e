//! Runs a request, up to its last line: `EXEC`, `TEST` and `SHELL`.

use crate::agent::Agent;
use crate::control::Orders;
use crate::kmsg::KernelLog;
use crate::launch::{self, Env, SHELL};
use crate::programs::fork_requests;
use crate::programs::requests::{HOME, programs_in};
use crate::pump::{AtEnd, Running, pump};
use crate::remains::{Finished, Remains};
use crate::reply::Reply;
use crate::scratch::Scratch;
use crate::wire::{self, Ended, Kind, Request};
use crate::{room, shebang, shell};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// The variable that asks for [`Remains`].
const KEEP: &[u8] = b"ORCA_KEEP";

/// Runs `request`, which is an `EXEC`, a `TEST` or a `SHELL`, and sends all of its answer but the
/// last line.
///
/// # Errors
/// Only that the host is gone. Every other error is part of the answer.
pub(crate) fn run(
    agent: &Agent,
    request: &Request,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Finished> {
    match &request.command {
        wire::Command::Exec(line) => exec(agent, line, &request.env, orders, reply),
        wire::Command::Test(path) => test(agent, path, &request.env, orders, reply),
        wire::Command::Shell => shell::shell(agent, &request.env, orders, reply),
        other => Ok(Finished::refused(&format!("{other:?} runs nothing"))),
    }
}

fn exec(
    agent: &Agent,
    line: &[u8],
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Finished> {
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(OsStr::from_bytes(line)).current_dir(agent.folder());
    command.envs(agent.test_variables());
    agent.launcher.environment(&mut command, env);
    let framed = reply.is_framed();
    match agent.launcher.start(&mut command, framed, framed) {
        Err(e) => Ok(Finished::refused(&format!("cannot run {SHELL}: {e}"))),
        Ok(running) => {
            reply.line(wire::EXEC_START)?;
            let outcome = pump(running, orders, reply);
            outcome.name_left(reply)?;
            Ok(Finished::new(outcome.ended.exec_line(), outcome.processes, None))
        }
    }
}

fn test(
    agent: &Agent,
    path: &[u8],
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Finished> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let script = match find_test(&agent.project, path) {
        Ok(script) => script,
        Err(why) => return Ok(Finished::refused(&format!("{why}: {shown}"))),
    };
    agent.end_remains(); // those of the test before this one
    let interpreter = shebang::interpreter(&script);
    let mut command = command_for(&script, interpreter.is_some());
    command.current_dir(&agent.project).env("ORCA_TEST", OsStr::from_bytes(path));
    let framed = reply.is_framed();
    if framed {
        offer_programs(agent, &mut command, env);
    }
    // The kernel's log is about the test only where the machine is the test's own.
    let kernel = KernelLog::open().filter(|_| agent.owns_machine && framed);
    let made = start_test(agent, &mut command, interpreter.as_deref(), env, framed);
    let (scratch, started) = match made {
        Ok(made) => made,
        Err(e) => return Ok(Finished::refused(&format!("cannot make a folder for {shown}: {e}"))),
    };
    let name = wire::marker_name(path);
    if let Err(gone) = reply.line(&wire::test_start_line(&name)) {
        // The test has begun, and nobody else knows of it.
        started.iter().for_each(|running| running.processes.kill());
        return Err(gone);
    }
    let at_end = at_end(env);
    let (ended, processes, kept) = match started {
        Err(e) => {
            let mut why = Vec::new();
            let exit = launch::say_why(&mut why, &shown, &e).into();
            reply.output(Kind::Stderr, &why)?;
            (Ended { exit, ..Ended::default() }, None, None)
        }
        Ok(running) => {
            let outcome = pump(Running { kernel, at_end, ..running }, orders, reply);
            outcome.name_left(reply)?;
            (outcome.ended, outcome.processes, outcome.kept)
        }
    };
    if framed {
        if ended.exit != 0 {
            // Of the others no one asks, and in a copy it is code that runs cold.
            for note in room::notes(agent, &scratch.tmp()) {
                reply.line(&format!("NOTE {note}"))?;
            }
        }
        scratch.send_artifacts(reply)?;
    }
    let line = ended.test_line(&name);
    let Some(kept) = kept else { return Ok(Finished::new(line, processes, Some(scratch))) };
    let remains = Remains::new(kept, path.to_vec(), scratch);
    match at_end {
        AtEnd::Adopt => agent.adopt(remains),
        _ => agent.keep(remains),
    }
    Ok(Finished::new(line, None, None))
}

/// Lets the test `command` find the programs that come with the agent.
fn offer_programs(agent: &Agent, command: &mut Command, env: &Env) {
    let has_nodes = env.iter().any(|(name, _)| name == wire::NODES.as_bytes());
    let folder = match agent.fork_requests.place() {
        Some((folder, socket)) => {
            command.env(fork_requests::SOCKET, socket);
            folder
        }
        None if has_nodes => programs_in(Path::new(HOME)),
        None => return,
    };
    let mut path = folder.into_os_string();
    path.push(":");
    path.push(agent.launcher.path());
    command.env("PATH", path);
}

/// Starts `command` with `env` and folders of its own: in the prestarted shell, if there is one.
/// `interpreter` is what the test's script names.
///
/// # Errors
/// The folders cannot be made. That `command` cannot be started is the second of the two results.
fn start_test(
    agent: &Agent,
    command: &mut Command,
    interpreter: Option<&OsStr>,
    env: &Env,
    framed: bool,
) -> io::Result<(Scratch, io::Result<Running>)> {
    let set_environment = |command: &mut Command, scratch: &Scratch| {
        command.env("ORCA_ARTIFACTS", scratch.artifacts()).env("TMPDIR", scratch.tmp());
        agent.launcher.environment(command, env);
    };
    if framed && let Some(shell) = agent.take_shell() {
        set_environment(command, shell.scratch());
        if let Ok((scratch, running)) = shell.become_test(command, interpreter) {
            return Ok((scratch, Ok(running)));
        }
    }
    let scratch = Scratch::make()?;
    set_environment(command, &scratch);
    Ok((scratch, agent.launcher.start_claiming(command, framed, false)))
}

/// What becomes of what the test leaves. If the host wants to look at it, its processes live on and
/// its folders stay, until the next test or until the host leaves. If it is a set-up, until the
/// machine ends.
fn at_end(env: &Env) -> AtEnd {
    let is_set = |wanted| env.iter().any(|(name, value)| name == wanted && value == b"1");
    if is_set(wire::SETUP.as_bytes()) {
        AtEnd::Adopt
    } else if is_set(KEEP) {
        AtEnd::Keep
    } else {
        AtEnd::Kill
    }
}

/// The script at `path` in the project. It must lie in the project with symlinks followed, too.
fn find_test(project: &Path, path: &[u8]) -> Result<PathBuf, &'static str> {
    let script = project.join(OsStr::from_bytes(path));
    let real = fs::canonicalize(&script).map_err(|_| "no such test")?;
    let inside = fs::canonicalize(project).is_ok_and(|project| real.starts_with(project));
    match fs::metadata(&real) {
        _ if !inside => Err("test is outside the project"),
        Ok(meta) if meta.is_file() => Ok(script),
        Ok(_) => Err("not a file"),
        Err(_) => Err("no such test"),
    }
}

/// The command that runs `script`: the script alone if it names its interpreter, otherwise a shell.
fn command_for(script: &Path, names_interpreter: bool) -> Command {
    if names_interpreter {
        return Command::new(script);
    }
    let mut command = Command::new(SHELL);
    command.arg(script);
    command
}
