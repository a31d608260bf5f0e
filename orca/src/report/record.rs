//! The history's ear: hands every event to the journal.

use super::Reporter;
use crate::event::Event;
use crate::history::Journal;
use crate::tally::Tally;

/// See the module.
pub struct Record(pub Journal);

impl Reporter for Record {
    fn event(&mut self, event: &Event, _: &Tally) {
        self.0.take(event);
    }
}
