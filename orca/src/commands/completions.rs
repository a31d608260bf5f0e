//! `orca completions`: the completions for a shell, made from the tables.

use crate::cli::command::SHELLS;
use crate::cli::completions::script;
use crate::error::{Error, Result};
use crate::events::exit;
use crate::report::plain;
use crate::text::suggest::nearest;
use std::ffi::OsString;

/// Prints the completions for the named shell.
///
/// # Errors
/// No name, or that of a shell without completions.
pub fn run(words: &[OsString]) -> Result<u8> {
    let names: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let [name] = &names[..] else {
        return Err(Error::new("`orca completions` takes the name of one shell")
            .hint(format!("say one of {}", SHELLS.join(", "))));
    };
    let Some(text) = script(name) else {
        let hint = match nearest(name, SHELLS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are some for {}", SHELLS.join(", ")),
        };
        return Err(Error::new(format!("no completions for `{name}`")).hint(hint));
    };
    plain::out(text.as_bytes());
    Ok(exit::GOOD)
}
