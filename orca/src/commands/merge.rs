//! `orca merge`: joins the reports of several runs and prints them with the same reporters.

use crate::cli::config::Config;
use crate::error::{Error, Result};
use crate::events::event::Event;
use crate::events::exit;
use crate::events::tally::Tally;
use crate::report::merge::join;
use crate::report::open::{self, Reporters};
use crate::report::replay;
use std::fs;
use std::path::PathBuf;

/// Joins the reports that `config` names and returns the exit status of a single such run.
///
/// # Errors
/// A file that cannot be read, is not a report, or would be written as well.
pub fn run(config: &Config) -> Result<u8> {
    let paths = config.paths();
    if paths.is_empty() {
        let error = Error::new("orca merge needs the reports to join");
        return Err(error.hint("for example: orca merge shard-1.json shard-2.json"));
    }
    check_outputs(config, &paths)?;
    let mut found = Vec::new();
    for path in &paths {
        let bytes = fs::read(path).map_err(|e| Error::io("read", path, &e))?;
        found.push(replay::read(&path.display().to_string(), &bytes)?);
    }
    let joined = join(found);
    let Reporters { mut all, faults } = open::open(config, None)?;
    let mut tally = Tally::default();
    let mut report = |event: Event| {
        tally.take(&event);
        all.iter_mut().for_each(|reporter| reporter.event(&event, &tally));
    };
    report(Event::Started(joined.start));
    joined.warnings.into_iter().for_each(|warning| report(Event::Warning(warning)));
    for attempt in joined.attempts {
        report(Event::TestFinished(Box::new(attempt)));
    }
    report(Event::Finished { took: joined.took });
    Ok(open::settle(&faults, exit::status(&tally)))
}

/// Refuses to write to a report that is read: it would be lost.
fn check_outputs(config: &Config, inputs: &[PathBuf]) -> Result<()> {
    let same = |a: &PathBuf, b: &PathBuf| match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    for output in [&config.raw.json, &config.raw.junit].into_iter().flatten() {
        if inputs.iter().any(|input| same(input, output)) {
            let error = Error::new(format!("`{}` is both read and written", output.display()));
            return Err(error.hint("name another file for the joined report"));
        }
    }
    Ok(())
}
