//! One option as a source gives it: read, and not yet applied.

use super::flag::Flag;
use super::raw::{Given, Raw, Source};
use crate::error::{Error, Result};
use std::ffi::OsString;

/// A flag, a value and the source of both.
pub struct Setting {
    /// The flag.
    pub flag: &'static Flag,
    /// Its value; empty for a switch, or if it was left out.
    pub value: OsString,
    /// Where it was given.
    pub source: Source,
}

impl Setting {
    /// Stores the value in `raw`.
    ///
    /// # Errors
    /// A value that the flag does not take.
    pub fn apply(self, raw: &mut Raw) -> Result<()> {
        let Self { flag, value, source } = self;
        flag.store(raw, &value).map_err(|form| {
            let name = match &source {
                Source::Line => format!("--{}", flag.long),
                Source::Variable(name) => name.clone(),
                Source::Rc(line) => format!("`.orcarc` line {line}: --{}", flag.long),
            };
            let shown = value.to_string_lossy();
            Error::new(format!("{name} takes {form}, not `{}`", shown.escape_debug()))
        })?;
        raw.given.push(Given { flag: flag.long, value, source });
        Ok(())
    }
}
