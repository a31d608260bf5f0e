//! Finds the document of a KTAP stream that a line belongs to.
//!
//! Every nested document of KTAP begins with its own version line, and the indentation of that line
//! is the document's: two spaces, four, or a tab, as its author chose. A console may put a time
//! stamp in front of every line; the column of the first version line gives its width.

use crate::line::ktap_line;
use crate::text::trim_end;

/// Levels to which subtests may nest, in KTAP and in TAP; deeper lines are junk.
pub const DEPTH_MAX: u32 = 64;
/// Columns that a tab counts as: more than any other indentation of one level.
const TAB_WIDTH: usize = 8;

/// The open documents of a KTAP stream.
#[derive(Clone, Debug)]
pub(crate) struct Nest {
    /// Length of the console's prefix: the bytes in front of the first version line.
    prefix: usize,
    /// The prefix is a `[time] ` stamp; its width may grow.
    stamp: bool,
    /// The column of each open document, outermost first.
    columns: Vec<usize>,
    /// The last line that belonged to a document was a test point.
    pub(crate) after_point: bool,
}

impl Nest {
    /// Starts a stream at `line`, if that is a KTAP version line. It may have a console's prefix.
    pub(crate) fn detect(line: &[u8]) -> Option<Self> {
        let at = memchr::memmem::find(line, b"KTAP")?;
        ktap_line(&line[at..])?;
        let prefix = &line[..at];
        let bare = trim_end(prefix);
        let console = bare.len() < at && matches!(bare.last(), Some(b']' | b':' | b'>'));
        (bare.is_empty() || console).then(|| Self {
            prefix: if bare.is_empty() { 0 } else { at },
            stamp: prefix.starts_with(b"[") && prefix.ends_with(b"] "),
            columns: vec![if bare.is_empty() { column(line) } else { 0 }],
            after_point: false,
        })
    }

    /// `line` without the console's prefix.
    pub(crate) fn strip<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        if self.prefix == 0 {
            return line;
        }
        if self.stamp
            && line.starts_with(b"[")
            && let Some(at) = memchr::memchr(b']', line)
        {
            let rest = &line[at + 1..];
            return rest.strip_prefix(b" ").unwrap_or(rest);
        }
        line.get(self.prefix..).unwrap_or_default()
    }

    /// Opens a document at the column of `line`, a version line, and returns its depth.
    pub(crate) fn open(&mut self, line: &[u8]) -> u32 {
        let column = column(line);
        while self.columns.len() > 1 && self.columns.last().is_some_and(|&c| c >= column) {
            self.columns.pop();
        }
        let within = self.columns.last().is_some_and(|&c| c < column);
        if within && self.columns.len() <= DEPTH_MAX as usize {
            self.columns.push(column);
        }
        self.after_point = false;
        self.deepest()
    }

    /// The depth of the innermost open document.
    pub(crate) fn deepest(&self) -> u32 {
        u32::try_from(self.columns.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The depth of the document whose column `line` has, if there is one.
    pub(crate) fn level(&self, line: &[u8]) -> Option<u32> {
        let column = column(line);
        let at = self.columns.iter().rposition(|&c| c == column)?;
        u32::try_from(at).ok()
    }

    /// Ends every document deeper than `depth`, as a point at `depth` does.
    pub(crate) fn close_below(&mut self, depth: u32) {
        self.columns.truncate(depth as usize + 1);
    }
}

fn column(line: &[u8]) -> usize {
    let indent = line.iter().take_while(|&&b| b == b' ' || b == b'\t');
    indent.map(|&b| if b == b'\t' { TAB_WIDTH } else { 1 }).sum()
}
