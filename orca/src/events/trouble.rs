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
    /// The end of the console.
    pub console: ConsoleTail,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// The end of what a console said. It is shown as `<empty>` if the console said nothing: a report
/// without it would leave open whether somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleTail(String);

impl ConsoleTail {
    /// How an empty tail is shown.
    const EMPTY: &str = "<empty>";

    /// The tail that was shown as `text`.
    pub fn from_shown(text: String) -> Self {
        if text == Self::EMPTY { Self::default() } else { text.into() }
    }

    /// Whether there was no console, or nothing on it.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl From<String> for ConsoleTail {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for ConsoleTail {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for ConsoleTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { Self::EMPTY } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_console_is_shown_as_such_and_read_back() {
        let check = |text: &str, shown: &str| {
            let tail = ConsoleTail::from(text);
            assert_eq!((tail.to_string().as_str(), tail.is_empty()), (shown, shown == "<empty>"));
            assert_eq!(ConsoleTail::from_shown(shown.to_owned()).to_string(), shown);
        };
        check("", "<empty>");
        check(" \n", "<empty>");
        check("[ 1.0] Oops\n", "[ 1.0] Oops\n");
    }
}
