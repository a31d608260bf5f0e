//! The status on standard error, for a run whose standard output is read by a program.

use super::progress::Progress;
use super::{Reporter, plain};
use crate::events::event::Event;
use crate::events::tally::Tally;
use crate::host::tty::Attention;
use std::time::Instant;

/// A reporter that prints the status when it is asked for it.
pub struct Status {
    progress: Progress,
    tally: Tally,
}

impl Status {
    /// A reporter that says nothing until it is asked.
    pub fn new() -> Self {
        Self { progress: Progress::new(Instant::now()), tally: Tally::default() }
    }
}

impl Reporter for Status {
    fn event(&mut self, event: &Event, tally: &Tally) {
        self.tally.clone_from(tally);
        self.progress.follow(event, Instant::now());
    }

    fn attend(&mut self, asked: Attention) {
        if asked == Attention::Status {
            plain::err(self.progress.status(&self.tally, Instant::now()).as_bytes());
        }
    }
}
