//! The command that runs one test again: which of the typed options it repeats.

use super::raw;
use super::setting::Setting;
use std::ffi::OsString;

/// The options of the command line that change what happens to a test, by their full names. A
/// variable has no value here: reports show these words, and the value may be a secret. The person
/// who runs the command has it set.
pub fn words(line: &[Setting]) -> Vec<OsString> {
    let repeated = line.iter().filter(|setting| setting.flag.again);
    repeated.map(|Setting { flag, value, .. }| raw::word(flag.long, &flag.shown(value))).collect()
}
