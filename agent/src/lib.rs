//! The guest side of orca.
//!
//! The crate has two halves: [`wire`], the protocol that host and guest share, and the rest, which
//! runs in a guest and is compiled for Linux only. The host's crate may name `wire`; its `main` may
//! also name [`run`].

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod amend;
mod args;
#[cfg(target_os = "linux")]
mod cmdline;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod console;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod exec;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod kept_processes;
#[cfg(target_os = "linux")]
mod kmsg;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod port;
#[cfg(target_os = "linux")]
mod prestarted_shell;
#[cfg(target_os = "linux")]
mod process_tree;
#[cfg(target_os = "linux")]
mod process_walk;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod pump;
#[cfg(target_os = "linux")]
mod quote;
#[cfg(target_os = "linux")]
mod reaper;
#[cfg(target_os = "linux")]
mod remains;
#[cfg(target_os = "linux")]
mod reply;
#[cfg(target_os = "linux")]
mod resume;
#[cfg(target_os = "linux")]
mod room;
mod root;
#[cfg(target_os = "linux")]
mod scratch;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod share;
#[cfg(target_os = "linux")]
mod shebang;
#[cfg(target_os = "linux")]
mod shell;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod threads;
pub mod wire;

use std::ffi::OsString;
use std::io::{self, Write};

#[cfg(target_os = "linux")]
use {
    agent::Agent,
    args::{Invocation, Options},
    port::{Port, Source},
    programs::fork_requests::PROGRAM,
    std::sync::Arc,
};

/// Runs the agent and returns its exit status. `args` are the arguments after the program's name.
///
/// As process 1, the agent is the init of its machine. It then ignores `args`, where the kernel
/// puts words of its own, and does not return. If the first one is `orca-fork`, this is that
/// program.
#[cfg(target_os = "linux")]
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let is_agent = args.first().is_some_and(|first| first == "agent");
    if args.get(usize::from(is_agent)).is_some_and(|word| word == PROGRAM) {
        return fork(args.into_iter().skip(1 + usize::from(is_agent)));
    }
    sys::one_heap();
    if std::process::id() == 1 {
        init::main();
    }
    match args::parse(args) {
        Ok(Invocation::Print(text)) => u8::from(io::stdout().write_all(text.as_bytes()).is_err()),
        Ok(Invocation::Serve(options)) => match serve(options) {
            Ok(()) => 0,
            Err(e) => complain(&e, 1),
        },
        Err(why) => complain(&why, 2),
    }
}

/// Runs the program `on`, which runs a command on another node of a test, and returns the command's
/// exit status.
#[cfg(target_os = "linux")]
#[must_use]
pub fn on(args: impl IntoIterator<Item = OsString>) -> u8 {
    programs::on::run(args.into_iter().collect())
}

/// Runs the program `orca-fork`, by which a test goes on in copies of its machine, and returns its
/// exit status.
#[cfg(target_os = "linux")]
#[must_use]
pub fn fork(args: impl IntoIterator<Item = OsString>) -> u8 {
    programs::fork::run(args.into_iter().collect())
}

/// Says that there is no agent on this system: a guest is a Linux.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn run(_args: impl IntoIterator<Item = OsString>) -> u8 {
    complain("the agent runs on Linux only", 2)
}

fn complain(why: &str, exit: u8) -> u8 {
    // There is nowhere else to say it.
    _ = writeln!(io::stderr(), "agent: {why}");
    exit
}

#[cfg(target_os = "linux")]
fn serve(options: Options) -> Result<(), String> {
    let owns_machine = options.source == Source::Guest;
    let shown = options.source.to_string();
    let agent = Agent::new(options.project, owns_machine).map_err(|e| e.to_string())?;
    let port = Port::new(options.source);
    serve::serve(&Arc::new(agent), port).map_err(|e| format!("cannot connect to {shown}: {e}"))
}
