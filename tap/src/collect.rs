//! Bytes in, one [`Suite`] out: the [`Collector`] joins the parser and the tally.

use crate::parser::{Item, Options, Parser};
use crate::suite::{ExitStatus, Suite};
use crate::tally::{Progress, Tally};

/// Reads a stream of TAP and sums it up in one [`Suite`].
#[derive(Clone, Debug)]
pub struct Collector {
    parser: Parser,
    tally: Tally,
}

impl Default for Collector {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Collector {
    /// A collector at the start of a stream.
    pub fn new(options: Options) -> Self {
        Self { parser: Parser::with(options), tally: Tally::new(options.past_bail) }
    }

    /// Takes the next bytes, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let tally = &mut self.tally;
        self.parser.feed(bytes, &mut |item| tally.item(&item));
    }

    /// Takes the next bytes and shows `sink` every item after it has been counted.
    pub fn feed_with(&mut self, bytes: &[u8], sink: &mut impl FnMut(&Item<'_>, Progress)) {
        let tally = &mut self.tally;
        self.parser.feed(bytes, &mut |item| {
            tally.item(&item);
            sink(&item, tally.progress());
        });
    }

    /// Ends a stream that was fed with a sink; its last line may come only now.
    pub fn finish_with(
        mut self,
        exit: ExitStatus,
        sink: &mut impl FnMut(&Item<'_>, Progress),
    ) -> Suite {
        let tally = &mut self.tally;
        self.parser.finish(&mut |item| {
            tally.item(&item);
            sink(&item, tally.progress());
        });
        self.tally.into_suite(exit)
    }

    /// Ends the stream; `exit` is how its producer ended.
    pub fn finish(self, exit: ExitStatus) -> Suite {
        self.finish_with(exit, &mut |_, _| {})
    }

    /// How far the stream has come.
    pub fn progress(&self) -> Progress {
        self.tally.progress()
    }

    /// The reason of the bail out, if there was one; empty if it gave none.
    pub fn bailed(&self) -> Option<&str> {
        self.tally.bail.as_deref()
    }

    /// The exit status in the last `TAP_END` marker; `None` unless [`Options::markers`] is set.
    pub const fn ended(&self) -> Option<i32> {
        self.tally.ended
    }
}
