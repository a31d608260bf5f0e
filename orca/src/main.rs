//! The multi-call host binary: the name it is called by, or its first argument, picks the program.

mod cancel;
mod cli;
mod cmd_list;
mod cmd_merge;
mod cmd_run;
mod cmd_template;
mod cmd_test;
mod conductor;
mod config;
mod discover;
mod error;
mod event;
mod exit;
mod guest;
mod header;
mod image;
mod logdir;
mod machine;
mod merge;
mod nursery;
mod plan;
mod pod;
mod points;
mod qemu;
mod quote;
mod replay;
mod report;
mod reports;
mod rundir;
mod session;
mod setup;
mod signals;
mod sys;
mod tally;
mod trouble;
mod tty;

use cli::command::Command;
use cli::parse::{self, Parsed};
use cli::suggest::nearest;
use config::Config;
use error::{Error, Result};
use report::plain;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROGRAMS: [&str; 3] = ["orca", "prove", "agent"];

const TOOLBOX_HELP: &str = "\
toolbox is three programs in one file.

usage: toolbox PROGRAM [arguments]      or a link to it that is called PROGRAM

programs:
  orca     run tests that need a kernel of their own, each in a VM
  prove    run tests that need no VM, and read TAP
  agent    the guest's side, which orca talks to

`toolbox PROGRAM --help` explains each.
";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_prefix("glacic-").unwrap_or(&name);
    ExitCode::from(if PROGRAMS.contains(&name) {
        run_program(name, args.collect())
    } else {
        toolbox(args.collect())
    })
}

fn toolbox(mut args: Vec<OsString>) -> u8 {
    if args.is_empty() {
        print(TOOLBOX_HELP);
        return exit::USAGE;
    }
    let first = args.remove(0).to_string_lossy().into_owned();
    match first.as_str() {
        "-h" | "--help" | "help" => print(TOOLBOX_HELP),
        "-V" | "--version" => print(&format!("toolbox {VERSION}\n")),
        program if PROGRAMS.contains(&program) => return run_program(program, args),
        other => {
            let what = if other.starts_with('-') { "option" } else { "program" };
            let error = Error::new(format!("unknown {what} `{}`", other.escape_debug()));
            let hint = nearest(other, PROGRAMS).map_or_else(
                || "the programs are orca, prove and agent".to_owned(),
                |near| format!("did you mean `toolbox {near}`?"),
            );
            plain::error("toolbox", &error.hint(hint));
            return exit::USAGE;
        }
    }
    exit::GOOD
}

fn run_program(name: &str, args: Vec<OsString>) -> u8 {
    match name {
        "prove" => tap::prove::run(args),
        "agent" => agent::run(args),
        _ => orca(args).unwrap_or_else(|error| {
            plain::error("orca", &error);
            exit::USAGE
        }),
    }
}

fn orca(args: Vec<OsString>) -> Result<u8> {
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    match parse::parse(args, &variables, config::rc_settings)? {
        Parsed::Version => print(&format!("orca {VERSION}\n")),
        Parsed::Help(None, _) => print(&cli::help::overview()),
        Parsed::Help(Some(command), long) => print(&cli::help::command(command, long)),
        Parsed::Pass(args) => image::run(args)?,
        Parsed::Do(command, raw) => {
            let config = Config::new(*raw)?;
            return match command {
                Command::Test => cmd_test::run(&config),
                Command::Run => cmd_run::run(&config),
                Command::List => cmd_list::run(&config),
                Command::Merge => cmd_merge::run(&config),
                Command::Template => cmd_template::run(&config),
                Command::Clean => cmd_template::clean(&config),
                Command::Image => Ok(exit::USAGE), // has a grammar of its own, see `Parsed::Pass`
            };
        }
    }
    Ok(exit::GOOD)
}

fn print(text: &str) {
    plain::out(text.as_bytes());
}
