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

/// Told everything that happens, in order. It must never stop a run: what it cannot write is lost, or said at the end.
pub trait Reporter {
    /// One event, with the final results so far (this event's included).
    fn event(&mut self, event: &Event, tally: &Tally);

    /// Called about ten times a second if [`Reporter::is_live`].
    fn tick(&mut self) {}

    /// Takes what is redrawn off the screen, which is somebody else's until the next event or tick.
    fn pause(&mut self) {}

    /// Whether [`Reporter::tick`] is wanted.
    fn is_live(&self) -> bool {
        false
    }

    /// Something is asked of whoever shows the run. After `Suspend` and `Quit` the terminal must be as it was before the run.
    fn attend(&mut self, _: Attention) {}
}
