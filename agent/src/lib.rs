//! The guest side of orca.
//!
//! Two halves: [`wire`], the protocol that host and guest share, and the rest, which only runs in a
//! guest. The host crate may name `wire` and, from its `main` alone, [`run`].

mod agent;
mod args;
mod cmdline;
mod console;
mod crew;
mod exec;
mod init;
mod kernel;
mod link;
mod port;
mod pump;
mod reaper;
mod reply;
mod resume;
mod scratch;
mod serve;
mod share;
mod shell;
mod spare;
mod sys;
mod tree;
pub mod wire;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use agent::Agent;
use args::{Asked, Options};
use cmdline::CommandLine;
use port::{Port, Source};
use serve::Over;

/// Runs the agent and returns its exit status. `args` is all that follows the program's name.
///
/// As process 1 it is the init of its machine, ignores `args` (the kernel puts words of its own
/// there) and does not return.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    if std::process::id() == 1 {
        init::main();
    }
    let mut args = args.into_iter().peekable();
    if args.next_if(|first| first == spare::ARGUMENT).is_some() {
        return spare::wait();
    }
    match args::parse(args) {
        Ok(Asked::Text(text)) => u8::from(io::stdout().write_all(text.as_bytes()).is_err()),
        Ok(Asked::Serve(options)) => match serve(options) {
            Ok(()) => 0,
            Err(e) => complain(&e, 1),
        },
        Err(why) => complain(&why, 2),
    }
}

fn complain(why: &str, exit: u8) -> u8 {
    // There is nowhere else to say it.
    _ = writeln!(io::stderr(), "agent: {why}");
    exit
}

/// Serves one host after the other, until one says `EXIT` or a source that is no device ends.
fn serve(options: Options) -> Result<(), String> {
    let owns_machine = options.source == Source::Guest;
    let shown = format!("{:?}", options.source);
    let agent = Agent::new(options.project, owns_machine).map_err(|e| e.to_string())?;
    let port = Port::new(options.source).map_err(|e| e.to_string())?;
    let agent = Arc::new(agent);
    serve_port(&agent, port).map_err(|e| format!("cannot connect to {shown}: {e}"))
}

fn serve_port(agent: &Arc<Agent>, mut port: Port) -> io::Result<()> {
    // Under another init, a host at the port is the first sign that this is a guest at all.
    let mut unmounted = agent.owns_machine && !agent.is_pid_1;
    while let Some((input, out)) = port.connect()? {
        if std::mem::take(&mut unmounted)
            && let Err(why) = resume::mount_at_boot(agent, &CommandLine::of_this_boot())
        {
            complain(&format!("share: {why}"), 0);
        }
        if serve::session(agent, input, out) == Over::Exit {
            break;
        }
    }
    Ok(())
}

/// Where tests run unless told otherwise.
fn default_project() -> PathBuf {
    PathBuf::from(wire::SHARE_DIR)
}
