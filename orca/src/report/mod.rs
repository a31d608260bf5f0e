//! Reporters: consumers of events. Nothing else prints.

pub mod console;
mod estimate;
mod failure;
pub mod file;
pub mod github;
pub mod human;
pub mod journal;
pub mod json;
pub mod junit;
mod live;
mod markdown;
pub mod merge;
pub mod open;
pub mod paint;
pub mod plain;
mod progress;
pub mod replay;
mod rounds;
mod screen;
pub mod status;
pub mod tap;
mod width;
mod wording;

use crate::events::event::Event;
use crate::events::tally::Tally;
use crate::host::tty::Attention;

/// A consumer of all events, in their order. It must never stop a run: output that cannot be
/// written is lost, or reported at the end.
pub trait Reporter {
    /// Takes one event; `tally` counts the final results so far, those of this event included.
    fn event(&mut self, event: &Event, tally: &Tally);

    /// Called about ten times a second if [`Reporter::is_live`].
    fn tick(&mut self) {}

    /// Takes the redrawn lines off the screen, because a shell uses it until the next event or
    /// tick.
    fn pause(&mut self) {}

    /// Whether [`Reporter::tick`] is wanted.
    fn is_live(&self) -> bool {
        false
    }

    /// Answers a request of the terminal or of a signal. After `Suspend` and `Quit` the terminal
    /// must be as it was before the run.
    fn attend(&mut self, _: Attention) {}
}
