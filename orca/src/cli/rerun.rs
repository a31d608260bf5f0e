//! The command that runs one test again: which of the typed options it repeats.

use super::flag::Takes;
use super::raw;
use super::setting::Setting;
use std::ffi::OsString;

/// The options of the command line that change what happens to a test, by their full names. A
/// variable has no value here: reports show these words, and the value may be a secret. The person
/// who runs the command has it set.
pub fn words(line: &[Setting]) -> Vec<OsString> {
    let repeated = line.iter().filter(|setting| setting.flag.again);
    let word = |Setting { flag, value, .. }: &Setting| {
        let mut word = raw::word(flag.long, &flag.shown(value));
        if value.is_empty() && !matches!(flag.takes, Takes::Nothing(_) | Takes::Optional(..)) {
            word.push("="); // or the next word would be its value
        }
        word
    };
    repeated.map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::Command;
    use crate::cli::flags::FLAGS;
    use crate::cli::raw::Source;

    #[test]
    fn an_empty_value_does_not_take_the_next_word() {
        let setting = |name: &str, value: &str| {
            let flag = FLAGS.iter().find(|flag| flag.long == name).unwrap();
            assert!(flag.is_on(Command::Test));
            Setting { flag, value: value.into(), source: Source::Line }
        };
        let line = [setting("qemu", ""), setting("cold", ""), setting("memory", "1G")];
        assert_eq!(words(&line), ["--qemu=", "--cold", "--memory=1G"]);
    }
}
