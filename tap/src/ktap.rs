//! Which document of a KTAP stream a line belongs to.
//!
//! Every nested document of KTAP begins with a version line of its own, and the indentation of
//! that line is the document's: two spaces, four, or a tab, as its author liked. A console may
//! put a time stamp in front of all lines; the column of the first version line tells how wide.

use crate::line::ktap_line;
use crate::text::trim_end;

/// Subtests, of KTAP or of TAP, are followed this many levels down; lines below that are junk.
pub const DEPTH_MAX: u32 = 64;
/// Columns of a tab; wider than any other indentation of one level.
const TAB_WIDTH: usize = 8;

/// The open documents of a KTAP stream.
#[derive(Debug)]
pub(crate) struct Nest {
    /// Bytes in front of the first version line: a console's prefix.
    prefix: usize,
    /// The prefix is a `[time] ` stamp, whose width may grow.
    stamp: bool,
    /// The column of each open document, the outermost first.
    columns: Vec<usize>,
    /// The last line of a document was a test point.
    pub(crate) after_point: bool,
}

impl Nest {
    /// Starts a stream at `line` if that is a KTAP version line, a console prefix allowed.
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

    /// A version line: opens a document at its column and returns its depth.
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

    /// The depth of the document whose column `line` begins at, if there is one.
    pub(crate) fn level(&self, line: &[u8]) -> Option<u32> {
        let column = column(line);
        let at = self.columns.iter().rposition(|&c| c == column)?;
        u32::try_from(at).ok()
    }

    /// A point at `depth` ends every document below it.
    pub(crate) fn close_below(&mut self, depth: u32) {
        self.columns.truncate(depth as usize + 1);
    }
}

fn column(line: &[u8]) -> usize {
    let indent = line.iter().take_while(|&&b| b == b' ' || b == b'\t');
    indent.map(|&b| if b == b'\t' { TAB_WIDTH } else { 1 }).sum()
}
