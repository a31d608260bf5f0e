//! Reporters: consumers of events. Nothing else prints.

mod failure;
pub mod human;
pub mod json;
pub mod junit;
mod live;
pub mod paint;
pub mod passthrough;
pub mod plain;
pub mod record;
pub mod saved;

use crate::event::Event;
use crate::tally::Tally;

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
}
