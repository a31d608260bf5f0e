//! Runs what a request asks for, and everything that comes of it: `EXEC`, `TEST` and `SHELL`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::agent::Agent;
use crate::pump::{Kept, Orders, Outcome, Running, pump};
use crate::reaper::Spawned;
use crate::reply::{Reply, error_line};
use crate::scratch::Scratch;
use crate::shell;
use crate::sys::{self, ChildSetup};
use crate::tree::Tree;
use crate::wire::{self, Ended, Kind, Request};

/// Where commands are looked for, unless the agent itself was told otherwise.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variable that asks for [`Remains`].
const KEEP: &[u8] = b"ORCA_KEEP";

/// What a test left behind that was told to.
pub(crate) struct Remains {
    /// Before `scratch`: processes may hold files there.
    #[expect(dead_code, reason = "held for its drop")]
    tree: Kept,
    test: Vec<u8>,
    scratch: Scratch,
}

impl Remains {
    /// The variables that the test had of its own.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 3] {
        [
            ("ORCA_TEST", OsStr::from_bytes(&self.test).to_owned()),
            ("ORCA_ARTIFACTS", self.scratch.artifacts().into()),
            ("TMPDIR", self.scratch.tmp().into()),
        ]
    }
}

/// The environment of a request, on top of the agent's own.
pub(crate) type Env = [(Vec<u8>, Vec<u8>)];

/// Runs `request`, which is an `EXEC`, a `TEST` or a `SHELL`, answers it and returns the last line
/// of the answer.
///
/// # Errors
/// Only that the host is gone; everything else is said to it.
pub(crate) fn run(
    agent: &Agent,
    request: &Request,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<String> {
    match &request.command {
        wire::Command::Exec(line) => exec(agent, line, &request.env, orders, reply),
        wire::Command::Test(path) => test(agent, path, &request.env, orders, reply),
        wire::Command::Shell => shell::shell(agent, &request.env, orders, reply),
        other => Ok(error_line(&format!("{other:?} runs nothing"))),
    }
}

fn exec(
    agent: &Agent,
    line: &[u8],
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<String> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(OsStr::from_bytes(line)).current_dir(agent.folder());
    command.envs(agent.test_variables());
    agent.environment(&mut command, env);
    let input = reply.is_framed();
    match start(agent, &mut command, reply, input, false) {
        Err(e) => Ok(error_line(&format!("cannot run /bin/sh: {e}"))),
        Ok(running) => {
            reply.line(wire::EXEC_START)?;
            let outcome = pump(running, orders, reply);
            name_left(&outcome, reply)?;
            Ok(outcome.ended.exec_line())
        }
    }
}

fn test(
    agent: &Agent,
    path: &[u8],
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<String> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let script = match find_test(&agent.project, path) {
        Ok(script) => script,
        Err(why) => return Ok(error_line(&format!("{why}: {shown}"))),
    };
    agent.keep(None); // what the test before this one left
    let scratch = match Scratch::make() {
        Ok(scratch) => scratch,
        Err(e) => return Ok(error_line(&format!("cannot make a folder for {shown}: {e}"))),
    };
    let mut command = interpreter(&script);
    command.current_dir(&agent.project);
    command.env("ORCA_TEST", OsStr::from_bytes(path));
    command.env("ORCA_ARTIFACTS", scratch.artifacts()).env("TMPDIR", scratch.tmp());
    agent.environment(&mut command, env);
    let name = wire::marker_name(path);
    reply.line(&wire::test_start_line(&name))?;
    let mut kept = None;
    let ended = match start(agent, &mut command, reply, false, is_to_stay(env)) {
        Err(e) => {
            // As a shell says it: the file is there, what its first line names is not.
            let why = format!("agent: cannot run {shown}: {e}\n");
            reply.output(Kind::Stderr, why.as_bytes())?;
            let exit = if e.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            Ended { exit, ..Ended::default() }
        }
        Ok(running) => {
            let outcome = pump(running, orders, reply);
            name_left(&outcome, reply)?;
            kept = outcome.kept;
            outcome.ended
        }
    };
    if reply.is_framed() {
        scratch.send_artifacts(reply)?;
    }
    agent.keep(kept.map(|tree| Remains { tree, test: path.to_vec(), scratch }));
    Ok(ended.test_line(&name))
}

/// Whether the host wants to look at what the test leaves: its processes live on and its folders stay,
/// until the next test or until the host leaves.
fn is_to_stay(env: &Env) -> bool {
    env.iter().any(|(name, value)| name == KEEP && value == b"1")
}

/// The script that `path` names, which must lie in the project, symlinks followed.
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

/// `/bin/sh` and the script, or the script alone if it is executable and says what runs it.
fn interpreter(script: &Path) -> Command {
    let executable = fs::metadata(script).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    let mut start = [0; 2];
    let says = File::open(script).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    if executable && says && start == *b"#!" {
        return Command::new(script);
    }
    let mut command = Command::new("/bin/sh");
    command.arg(script);
    command
}

/// Starts `command` in a tree of its own, with pipes: two in frames, one for both outputs in text.
fn start(
    agent: &Agent,
    command: &mut Command,
    reply: &Reply,
    input: bool,
    keep: bool,
) -> io::Result<Running> {
    let (from_output, output) = io::pipe()?;
    let mut outputs = vec![(Kind::Stdout, OwnedFd::from(from_output))];
    if reply.is_framed() {
        let (from_errors, errors) = io::pipe()?;
        outputs.push((Kind::Stderr, from_errors.into()));
        command.stderr(errors);
    } else {
        command.stderr(output.try_clone()?);
    }
    command.stdout(output).stdin(if input { Stdio::piped() } else { Stdio::null() });
    let (mut spawned, tree) = spawn(agent, command, false, keep)?;
    let input = spawned.child.stdin.take().map(OwnedFd::from);
    Ok(Running { tree, end: spawned.end, outputs, input, terminal: false, keep })
}

/// Spawns `command` in a session and a tree of its own; with `terminal`, its standard input becomes
/// its controlling terminal.
pub(crate) fn spawn(
    agent: &Agent,
    command: &mut Command,
    terminal: bool,
    keep: bool,
) -> io::Result<(Spawned, Tree)> {
    let mut tree = Tree::new(agent.cgroups.as_deref());
    if let Some((name, value)) = tree.mark() {
        command.env(name, value);
    }
    sys::set_up_child(
        command,
        ChildSetup {
            cgroup: tree.procs(),
            terminal,
            oom_score: agent.oom_score,
            // What is kept outlives the thread that spawns it, which "parent" means here.
            dies_with_parent: !agent.is_pid_1 && !keep,
        },
    );
    let spawned = agent.reaper.spawn(command);
    // The command holds the child's ends of the pipes: as long as it does, they have no end.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let spawned = spawned?;
    tree.started(spawned.child.id());
    Ok((spawned, tree))
}

/// Names what the command left running, in frames only: text mode has its number in the end line.
pub(crate) fn name_left(outcome: &Outcome, reply: &mut Reply) -> io::Result<()> {
    if reply.is_framed() {
        for process in &outcome.left {
            reply.line(&format!("LEFT {process}"))?;
        }
    }
    Ok(())
}
