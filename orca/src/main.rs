//! The multi-call host binary: the name it is called by, or its first argument, picks the program.

mod arch;
mod cancel;
mod cli;
mod commands;
mod conductor;
mod error;
mod events;
mod guest;
mod host;
mod image;
mod machine;
#[cfg(test)]
mod mutate;
mod pod;
mod qemu;
mod report;
mod select;
mod setup;
mod shape;
mod text;

use cli::command::Command;
use cli::config::Config;
use cli::parse::{self, Parsed};
use error::{Error, Result};
use events::exit;
use report::plain;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use text::suggest::nearest;

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
        program if PROGRAMS.contains(&program) => run_program(program, args),
        other => {
            let what = if other.starts_with('-') { "option" } else { "program" };
            let error = Error::new(format!("unknown {what} `{}`", other.escape_debug()));
            let hint = nearest(other, PROGRAMS).map_or_else(
                || "the programs are orca, prove and agent".to_owned(),
                |near| format!("did you mean `toolbox {near}`?"),
            );
            plain::error("toolbox", &error.hint(hint));
            exit::USAGE
        }
    }
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
    let parsed = parse::parse(args.clone(), &variables, cli::config::rc_settings);
    match (parsed, args.first()) {
        (Ok(Parsed::Do(Command::Doctor, raw)), _) => {
            // It looks at what a run would be, and a run reads more settings.
            let run =
                std::iter::once(Command::Test.row().name.into()).chain(args.into_iter().skip(1));
            match parse::parse(run, &variables, cli::config::rc_settings) {
                Ok(Parsed::Do(_, raw)) => obey(Parsed::Do(Command::Doctor, raw), None),
                Ok(_) => obey(Parsed::Do(Command::Doctor, raw), None),
                Err(complaint) => obey(Parsed::Do(Command::Doctor, raw), Some(&complaint)),
            }
        }
        (Err(complaint), Some(first)) if first == Command::Doctor.row().name => {
            // The doctor reports settings that cannot be used; a wrong command line stays an error.
            let parsed = parse::parse(args, &[], |_| Ok(Vec::new()))?;
            obey(parsed, Some(&complaint))
        }
        (parsed, _) => obey(parsed?, None),
    }
}

/// Carries out the command line. A subcommand that is forgotten here does not compile.
fn obey(parsed: Parsed, complaint: Option<&Error>) -> Result<u8> {
    let (command, raw) = match parsed {
        Parsed::Do(command, raw) => (command, *raw),
        Parsed::Version => return Ok(print(&format!("orca {VERSION}\n"))),
        Parsed::Help(None, _) => return Ok(print(&cli::help::overview())),
        Parsed::Help(Some(command), long) => return Ok(print(&cli::help::command(command, long))),
    };
    match command {
        Command::Completions => commands::completions::run(&raw.words),
        Command::Man => Ok(commands::man::run(VERSION)),
        Command::Doctor => Ok(commands::doctor::run(&raw, complaint, VERSION)),
        Command::Image => commands::image::run(&raw).map(|()| exit::GOOD),
        Command::Test => commands::test::run(&Config::new(raw)?),
        Command::Run => commands::run::run(&Config::new(raw)?),
        Command::List => commands::list::run(&Config::new(raw)?),
        Command::Merge => commands::merge::run(&Config::new(raw)?),
        Command::Template => commands::template::run(&Config::new(raw)?),
        Command::Clean => commands::clean::run(&Config::new(raw)?),
        Command::Shell => commands::shell::run(&Config::new(raw)?),
        Command::Watch => commands::watch::run(&Config::new(raw)?),
        Command::Config => commands::config::run(&Config::new(raw)?),
    }
}

fn print(text: &str) -> u8 {
    plain::out(text.as_bytes());
    exit::GOOD
}
