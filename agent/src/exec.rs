//! Runs what a request asks for, and everything that comes of it: `EXEC`, `TEST` and `SHELL`.

use crate::agent::Agent;
use crate::control::Orders;
use crate::kmsg::KernelLog;
use crate::nodes::requests;
use crate::prestarted_shell::PrestartedShell;
use crate::process_tree::{Outside, ProcessTree};
use crate::pump::{KeptTree, Outcome, Running, pump};
use crate::reaper::Spawned;
use crate::reply::{Reply, error_line};
use crate::scratch::Scratch;
use crate::shell;
use crate::sys::{self, ChildSetup};
use crate::wire::{self, Ended, Kind, Request};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where commands are looked for, unless the agent itself was told otherwise.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What runs commands, and tests that do not say what runs them.
pub(crate) const SHELL: &str = "/bin/sh";

/// A shell's exit statuses for what it cannot run, and for what is not there.
pub(crate) const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The variable that asks for [`Remains`].
const KEEP: &[u8] = b"ORCA_KEEP";

/// What a test left behind that was told to.
pub(crate) struct Remains {
    /// Before `scratch`: processes may hold files there.
    #[expect(dead_code, reason = "held for its drop")]
    tree: KeptTree,
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

/// A request that has run: its last line, and what there is to clear away once that is sent.
pub(crate) struct Done {
    pub(crate) line: String,
    _leavings: (Option<ProcessTree>, Option<Scratch>),
}

impl Done {
    /// It ran, in `tree`.
    pub(crate) fn new(line: String, tree: Option<ProcessTree>) -> Self {
        Self { line, _leavings: (tree, None) }
    }

    /// The last line, with everything cleared away before it is sent: a person may look.
    pub(crate) fn clear_away(self) -> String {
        self.line
    }

    /// It was refused for this reason.
    pub(crate) fn refused(why: &str) -> Self {
        Self { line: error_line(why), _leavings: (None, None) }
    }
}

/// Runs `request`, which is an `EXEC`, a `TEST` or a `SHELL`, and answers it up to the last line.
///
/// # Errors
/// Only that the host is gone; everything else is said to it.
pub(crate) fn run(
    agent: &Agent,
    request: &Request,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Done> {
    match &request.command {
        wire::Command::Exec(line) => exec(agent, line, &request.env, orders, reply),
        wire::Command::Test(path) => test(agent, path, &request.env, orders, reply),
        wire::Command::Shell => shell::shell(agent, &request.env, orders, reply),
        other => Ok(Done::refused(&format!("{other:?} runs nothing"))),
    }
}

fn exec(
    agent: &Agent,
    line: &[u8],
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Done> {
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(OsStr::from_bytes(line)).current_dir(agent.folder());
    command.envs(agent.test_variables());
    agent.environment(&mut command, env);
    let framed = reply.is_framed();
    match start(agent, &mut command, framed, framed) {
        Err(e) => Ok(Done::refused(&format!("cannot run {SHELL}: {e}"))),
        Ok(running) => {
            reply.line(wire::EXEC_START)?;
            let outcome = pump(running, orders, reply);
            name_left(&outcome, reply)?;
            Ok(Done::new(outcome.ended.exec_line(), outcome.tree))
        }
    }
}

fn test(
    agent: &Agent,
    path: &[u8],
    env: &Env,
    orders: Orders,
    reply: &mut Reply,
) -> io::Result<Done> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let script = match find_test(&agent.project, path) {
        Ok(script) => script,
        Err(why) => return Ok(Done::refused(&format!("{why}: {shown}"))),
    };
    agent.keep(None); // what the test before this one left
    let mut command = interpreter(&script);
    command.current_dir(&agent.project).env("ORCA_TEST", OsStr::from_bytes(path));
    if env.iter().any(|(name, _)| name == wire::NODES.as_bytes()) {
        command.env("PATH", format!("{}:{PATH}", requests::PROGRAMS));
    }
    let framed = reply.is_framed();
    // The kernel's log is the test's where the machine is.
    let kernel = KernelLog::open().filter(|_| agent.owns_machine && framed);
    let (scratch, started) = match start_test(agent, &mut command, env, framed) {
        Ok(made) => made,
        Err(e) => return Ok(Done::refused(&format!("cannot make a folder for {shown}: {e}"))),
    };
    let name = wire::marker_name(path);
    if let Err(gone) = reply.line(&wire::test_start_line(&name)) {
        // It has begun, and nobody else knows of it.
        started.iter().for_each(|running| running.tree.kill());
        return Err(gone);
    }
    let keep = is_to_stay(env);
    let (ended, tree, kept) = match started {
        Err(e) => {
            let mut why = Vec::new();
            let exit = say_why(&mut why, &shown, &e).into();
            reply.output(Kind::Stderr, &why)?;
            (Ended { exit, ..Ended::default() }, None, None)
        }
        Ok(running) => {
            let outcome = pump(Running { kernel, keep, ..running }, orders, reply);
            name_left(&outcome, reply)?;
            (outcome.ended, outcome.tree, outcome.kept)
        }
    };
    if framed {
        scratch.send_artifacts(reply)?;
    }
    let line = ended.test_line(&name);
    let Some(tree) = kept else { return Ok(Done { line, _leavings: (tree, Some(scratch)) }) };
    agent.keep(Some(Remains { tree, test: path.to_vec(), scratch }));
    Ok(Done { line, _leavings: (None, None) })
}

/// Starts `command` with `env` and folders of its own: as the spare, if there is one.
///
/// # Errors
/// There are no folders to be had. That `command` did not start is told beside them.
fn start_test(
    agent: &Agent,
    command: &mut Command,
    env: &Env,
    framed: bool,
) -> io::Result<(Scratch, io::Result<Running>)> {
    let told = |command: &mut Command, scratch: &Scratch| {
        command.env("ORCA_ARTIFACTS", scratch.artifacts()).env("TMPDIR", scratch.tmp());
        agent.environment(command, env);
    };
    if framed && let Some(spare) = PrestartedShell::take(agent) {
        told(command, spare.scratch());
        if let Ok((scratch, running)) = spare.become_test(command) {
            return Ok((scratch, Ok(running)));
        }
    }
    let scratch = Scratch::make()?;
    told(command, &scratch);
    Ok((scratch, start_claiming(agent, command, framed, false)))
}

/// As [`start`], for a test: what it moves out of its cgroup is its own all the same.
pub(crate) fn start_claiming(
    agent: &Agent,
    command: &mut Command,
    apart: bool,
    input: bool,
) -> io::Result<Running> {
    // Where this is init, there are no services that could have started something meanwhile.
    let init = agent.is_pid_1 && agent.owns_machine;
    let outside = agent.cgroups.as_deref().filter(|_| init).and_then(Outside::now);
    let mut running = start(agent, command, apart, input)?;
    running.tree.claim(outside);
    Ok(running)
}

/// Says, as a shell does, that `shown` cannot be run, and returns a shell's exit status for it: the
/// file is there, what its first line names may not be.
pub(crate) fn say_why(to: &mut impl Write, shown: &str, why: &io::Error) -> u8 {
    // There is nowhere else to say it.
    _ = writeln!(to, "agent: cannot run {shown}: {why}");
    if why.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN }
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
    let says_what_runs_it = || {
        let mut start = [0; 2];
        let read = File::open(script).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && start == *b"#!"
    };
    if executable && says_what_runs_it() {
        return Command::new(script);
    }
    let mut command = Command::new(SHELL);
    command.arg(script);
    command
}

/// Starts `command` in a tree of its own, with pipes: two where its outputs stay `apart`, one for both where not.
pub(crate) fn start(
    agent: &Agent,
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
    let (mut spawned, tree) = spawn(agent, command, false)?;
    let input = spawned.child.stdin.take().map(OwnedFd::from);
    Ok(Running {
        tree,
        end: spawned.end,
        outputs,
        input,
        terminal: false,
        kernel: None,
        keep: false,
    })
}

/// Spawns `command` in a session and a tree of its own; with `terminal`, its standard input becomes
/// its controlling terminal.
pub(crate) fn spawn(
    agent: &Agent,
    command: &mut Command,
    terminal: bool,
) -> io::Result<(Spawned, ProcessTree)> {
    let mut tree = ProcessTree::new(agent.cgroups.as_deref());
    if let Some((name, value)) = tree.mark() {
        command.env(name, value);
    }
    sys::set_up_child(
        command,
        ChildSetup {
            cgroup: tree.procs(),
            terminal,
            oom_score: agent.oom_score,
            // "Parent" means the thread that spawns it, which waits for other requests when this one is over.
            dies_with_parent: !agent.is_pid_1,
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
