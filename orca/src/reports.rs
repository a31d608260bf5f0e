//! Which reports a command writes, and where.

use crate::cli::raw::Format;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::report::Reporter;
use crate::report::github::Github;
use crate::report::human::{Human, Volume};
use crate::report::json::Json;
use crate::report::junit::Junit;
use crate::report::paint::Paint;
use crate::report::plain;
use crate::report::status::Status;
use crate::report::tap::Tap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The reporters that `config` asks for; the one on standard output is the first.
///
/// # Errors
/// A report that cannot be written.
pub fn open(config: &Config) -> Result<Vec<Box<dyn Reporter>>> {
    let mut found: Vec<Box<dyn Reporter>> = Vec::new();
    let on_github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let format = config.raw.format.unwrap_or_default();
    if on_github {
        found.push(github(format)?);
    }
    match format {
        Format::Human => {
            // Consoles on the same screen would be drawn over.
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
    if let Some(path) = &config.raw.json {
        found.push(Box::new(Json::new(create(path)?)));
    }
    if let Some(path) = &config.raw.junit {
        let report = Junit::new(create(path)?).map_err(|e| Error::io("write", path, &e))?;
        found.push(Box::new(report));
    }
    Ok(found)
}

/// Commands go where people read; a program's report is not to be mixed with them, and GitHub reads both.
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

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| Error::io("write", path, &e).hint("name a writable file"))
}

fn volume(config: &Config) -> Volume {
    match (config.raw.quiet, config.raw.verbose) {
        (true, _) => Volume::Quiet,
        (false, 0) => Volume::Normal,
        (false, 1) => Volume::Verbose,
        (false, _) => Volume::Everything,
    }
}
