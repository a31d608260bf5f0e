//! The reporter that hands every event to the history's journal.

use super::Reporter;
use crate::events::event::Event;
use crate::events::tally::Tally;
use crate::select::journal::Journal;

/// A reporter that writes the history.
pub struct JournalReporter(pub Journal);

impl Reporter for JournalReporter {
    fn event(&mut self, event: &Event, _: &Tally) {
        self.0.take(event);
    }
}
