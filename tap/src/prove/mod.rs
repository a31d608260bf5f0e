//! `prove`: runs tests that print TAP, and says what failed. Perl's `prove`, without Perl.
//!
//! Flow: `args` (by the table in `flags`) → `raw` → `settings` → `discover` → `pool` of workers,
//! each running `job`s → `event`s → `harness`, the one thread that prints, through `printer` and
//! `summary`. Output that Perl's `prove` also prints is the same, byte for byte; `--help` shows
//! what is added.

mod args;
mod discover;
mod error;
mod event;
mod exit;
mod flags;
mod harness;
mod help;
mod job;
mod json;
mod lines;
mod pool;
mod printer;
mod process_tree;
mod raw;
mod row;
mod settings;
mod shared;
mod source;
mod state;
mod summary;
mod sys;
mod tee;

use error::Error;
pub use job::HARNESS_VERSION;
use std::ffi::OsString;
use std::io::Write;

/// Runs `prove` with `args` (without the program's name) and returns its exit status: 0 when all
/// passed or nothing was to be run, 1 when a test failed, 2 for a usage or host error, and after a
/// bail out that of the test that bailed out, or 255 if that is 0. On an interrupt it kills the
/// tests and dies of the signal.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    dispatch(args.into_iter()).unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "prove: {error}");
        exit::USAGE
    })
}

fn dispatch(args: impl Iterator<Item = OsString>) -> Result<u8, Error> {
    let raw = args::parse(args)?;
    if raw.help {
        return print(&help::text());
    }
    if raw.version {
        return print(&format!(
            "prove {} (does what TAP::Harness v{HARNESS_VERSION} does)\n",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if raw.json {
        return json::filter(&raw.tests);
    }
    let dry = raw.dry;
    let (settings, selection) = settings::resolve(raw)?;
    let mut state = state::StateFile::load(&selection.statefile)?;
    let tests = discover::tests(&selection, &mut state)?;
    if dry {
        let names: Vec<String> =
            tests.iter().map(|test| format!("{}\n", row::shown(test))).collect();
        return print(&names.concat());
    }
    discover::check(&tests)?;
    harness::run(&settings, tests, &mut state)
}

fn print(text: &str) -> Result<u8, Error> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|e| Error::usage(format!("cannot write to stdout: {e}")))?;
    Ok(exit::PASS)
}
