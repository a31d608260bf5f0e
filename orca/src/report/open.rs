//! Which reports a command writes, and where.

use super::file::{Fault, ReportFile};
use super::github::Github;
use super::human::{Human, Volume};
use super::json::Json;
use super::junit::Junit;
use super::paint::Paint;
use super::status::Status;
use super::tap::Tap;
use super::{Reporter, plain};
use crate::cli::config::Config;
use crate::cli::raw::Format;
use crate::error::{Error, Result};
use crate::events::exit;
use std::path::{Path, PathBuf};

/// The run's own report, in its log folder.
const RESULTS: &str = "results.json";

/// The reporters of a command.
pub struct Reporters {
    /// All reporters; those that write to standard output come before those that write to files.
    pub all: Vec<Box<dyn Reporter>>,
    /// The later faults of the files that the user asked for.
    pub faults: Vec<Fault>,
}

/// The reporters that `config` asks for, and the run's own report in `log_dir`.
///
/// # Errors
/// A report cannot be written.
pub fn open(config: &Config, log_dir: Option<&Path>) -> Result<Reporters> {
    let mut found: Vec<Box<dyn Reporter>> = Vec::new();
    let mut faults = Vec::new();
    let on_github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let format = config.raw.format;
    if on_github {
        found.push(github(format)?);
    }
    match format {
        Format::Human => {
            // Consoles on the same screen would be overwritten.
            let live = !config.raw.debug && !on_github;
            found.push(Box::new(Human::new(Paint { on: config.colors() }, volume(config), live)));
        }
        Format::Json => found.push(Box::new(Json::new(plain::Out))),
        Format::Tap => {
            let out = Tap::new(plain::Out);
            found.push(Box::new(out.map_err(|e| Error::io("write", Path::new("-"), &e))?));
        }
    }
    if format != Format::Human {
        found.push(Box::new(Status::new()));
    }
    // The run's own report is for later use; a run can do without it.
    if let Some(Ok((file, _))) = log_dir.map(|dir| ReportFile::create(&dir.join(RESULTS))) {
        found.push(Box::new(Json::new(file)));
    }
    if let Some(path) = &config.raw.json {
        let (file, fault) = ReportFile::create(path)?;
        found.push(Box::new(Json::new(file)));
        faults.push(fault);
    }
    if let Some(path) = &config.raw.junit {
        let (file, fault) = ReportFile::create(path)?;
        found.push(Box::new(Junit::new(file).map_err(|e| Error::io("write", path, &e))?));
        faults.push(fault);
    }
    Ok(Reporters { all: found, faults })
}

/// Prints the faults of the files that could not be written, and returns the exit status. A
/// `status` of success becomes a host error then, because a report is missing.
pub fn settle(faults: &[Fault], status: u8) -> u8 {
    let faults: Vec<&Error> = faults.iter().filter_map(|fault| fault.get()).collect();
    faults.iter().for_each(|error| plain::error("orca", error));
    if status == exit::GOOD && !faults.is_empty() { exit::USAGE } else { status }
}

/// The reporter for GitHub, which reads commands on both streams. Commands go to standard output,
/// except where that is a report for programs.
fn github(format: Format) -> Result<Box<dyn Reporter>> {
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    let random = |e| Error::io("read", Path::new("/dev/urandom"), &e);
    Ok(match format {
        Format::Human => Box::new(Github::new(plain::Out, summary.as_deref()).map_err(random)?),
        Format::Json | Format::Tap => {
            Box::new(Github::new(plain::Err, summary.as_deref()).map_err(random)?)
        }
    })
}

fn volume(config: &Config) -> Volume {
    match (config.raw.quiet, config.raw.verbose) {
        (true, _) => Volume::Quiet,
        (false, 0) => Volume::Normal,
        (false, 1) => Volume::Verbose,
        (false, _) => Volume::Everything,
    }
}
