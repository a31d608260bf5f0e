//! The one error type of the host side: what the user or the host got wrong, and the next step.
//!
//! Faults of tests and machines are not errors but results: see `events::attempt::Outcome` and
//! `events::trouble::Trouble`.

use std::path::Path;
use std::{fmt, io};

/// A host or user fault: a lowercase fragment, and a hint that says what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    hint: Option<String>,
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that says `message`: lowercase, paths in backticks, the cause after a colon.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// `cannot <verb> \`path\`: cause`.
    pub fn io(verb: &str, path: &Path, cause: &io::Error) -> Self {
        Self::new(format!("cannot {verb} `{}`: {}", path.display(), plain(cause)))
    }

    /// Adds the next step, which starts with a verb.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error behind `context`, which says what could not be done, with the same hint.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The next step, if one is known.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The text of an I/O error as a fragment: in lower case at its start, unless a name stands there,
/// and without `(os error N)`, which helps nobody.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if chars.clone().next().is_some_and(char::is_uppercase) => {
            std::iter::once(first).chain(chars).collect()
        }
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::from("unknown error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_reads_as_one_fragment() {
        let cause = io::Error::from_raw_os_error(2);
        let error = Error::io("read", Path::new("build/vmlinuz"), &cause).hint("build it");
        assert_eq!(error.to_string(), "cannot read `build/vmlinuz`: no such file or directory");
        assert_eq!(error.next_step(), Some("build it"));
        let error = error.context("no boot");
        assert!(error.to_string().starts_with("no boot: cannot read `build/vmlinuz`: no such"));
        assert_eq!(error.next_step(), Some("build it"));
    }
}
