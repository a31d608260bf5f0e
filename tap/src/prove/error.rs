//! The error that stops `prove` before a run has a result.

use std::fmt;

/// An error in one line, and a hint at what to do about it.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    hint: Option<String>,
}

impl Error {
    /// A mistake in the command line, or a failure of this machine.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}
