//! Machine faults: neither the test nor the user is to blame for them.

use std::fmt;

/// What went wrong with a machine. Never the test's fault: the attempt is errored, not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its agent never answered.
    Boot,
    /// It was running and is gone.
    Lost,
    /// It is running and does not answer.
    Hung,
    /// Its kernel died.
    Panicked,
    /// The agent would not run the test, or did not speak the protocol.
    Refused,
    /// The run was told to end at once.
    Killed,
}

impl Kind {
    /// The kind that is shown as `words`.
    pub fn from_words(words: &str) -> Option<Self> {
        let all = [Self::Boot, Self::Lost, Self::Hung, Self::Panicked, Self::Refused, Self::Killed];
        all.into_iter().find(|kind| kind.to_string() == words)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boot => "boot failed",
            Self::Lost => "machine lost",
            Self::Hung => "machine hung",
            Self::Panicked => "kernel panicked",
            Self::Refused => "agent refused",
            Self::Killed => "killed",
        })
    }
}

/// A machine's trouble, always with the end of its console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of fault.
    pub kind: Kind,
    /// The detail, a lowercase fragment.
    pub detail: String,
    /// The end of the console, `<empty>` included.
    pub console: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}
