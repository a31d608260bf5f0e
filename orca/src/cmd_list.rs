//! `orca list`: the plan, without the run.

use crate::config::Config;
use crate::discover::discover;
use crate::error::Result;
use crate::exit;
use crate::report::plain;
use std::os::unix::ffi::OsStrExt;

/// Prints the path of every test that would run, as bytes, one a line.
///
/// # Errors
/// As discovery has them.
pub fn run(config: &Config) -> Result<u8> {
    let tests = discover(&config.root, &config.paths())?;
    let mut text = Vec::new();
    for test in &tests {
        text.extend_from_slice(test.path.as_os_str().as_bytes());
        text.push(b'\n');
    }
    plain::out(&text);
    Ok(if tests.is_empty() { exit::NOTHING } else { exit::GOOD })
}
