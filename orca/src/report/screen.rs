//! Standard output for people: text that stays and, on a terminal, a few lines below it that are redrawn.
//!
//! The cursor rests at the beginning of the first redrawn line, not below the last: when a window is made narrower the terminal may
//! break lines in two, and whatever became of them stands behind the cursor, where one sequence clears it. Every change is one
//! write, and lines are overwritten rather than cleared first, so nothing flickers.

use crate::host::tty::{self, Keys};
use std::io::{self, IsTerminal, Write};

/// The window's size where nobody knows it, in columns and rows.
const SIZE: (u16, u16) = (80, 24);
/// Clears from the beginning of the cursor's line. Not quite from there: what is cleared from the very first place of a screen, tmux
/// keeps for scrolling back to.
const CLEAR: &str = "\r \x1b[J\r";

/// See the module.
#[derive(Debug)]
pub(super) struct Screen {
    out: io::Stdout,
    /// `None` where nothing is redrawn.
    keys: Option<Keys>,
    drawn: Vec<String>,
}

impl Screen {
    /// Standard output; `live` allows redrawing where it is a terminal that can.
    pub(super) fn new(live: bool) -> Self {
        let out = io::stdout();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let live = live && !dumb && out.is_terminal();
        Self { keys: live.then(Keys::default), out, drawn: Vec::new() }
    }

    /// Whether lines are redrawn at this moment: not while another program has the terminal.
    pub(super) fn is_live(&self) -> bool {
        self.keys.is_some() && tty::in_foreground(&self.out)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (columns, rows) = tty::size(&self.out).unwrap_or(SIZE);
        (columns.into(), rows.into())
    }

    /// Keys pressed since the last call.
    pub(super) fn keys(&mut self) -> Vec<u8> {
        self.keys.as_mut().map(Keys::pressed).unwrap_or_default()
    }

    /// Writes `text`, whose lines are ended, and `live` below it, in place of what was there.
    pub(super) fn show(&mut self, text: &str, live: Vec<String>) {
        if text.is_empty() && live == self.drawn {
            return;
        }
        let bytes = frame(text, &self.drawn, &live);
        self.drawn = live;
        self.write(&bytes);
    }

    /// The redrawn lines are no longer where they were: the next ones are drawn from scratch.
    pub(super) fn forget(&mut self) {
        if !self.drawn.is_empty() {
            self.drawn.clear();
            self.write(CLEAR);
        }
    }

    /// Leaves the terminal as it was, but for the text.
    pub(super) fn leave(&mut self) {
        self.forget();
        if let Some(keys) = &mut self.keys {
            keys.leave();
        }
    }

    /// A reader that is gone (`| head`) must not end the run: the status tells the result all the same.
    fn write(&mut self, text: &str) {
        let mut out = self.out.lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What has to be written for `text` and then `new` to stand where `old` is.
fn frame(text: &str, old: &[String], new: &[String]) -> String {
    let mut out = String::new();
    if !old.is_empty() {
        let overwrite = text.is_empty() && !new.is_empty();
        out.push_str(if overwrite { "\r" } else { CLEAR });
    }
    out.push_str(text);
    for (at, line) in new.iter().enumerate() {
        if at > 0 {
            out.push_str("\r\n");
        }
        out.push_str(line);
        out.push_str("\x1b[K");
    }
    if !new.is_empty() {
        out.push_str("\x1b[J\r");
    }
    if new.len() > 1 {
        out.push_str(&format!("\x1b[{}A", new.len() - 1));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_terminator('|').map(str::to_owned).collect()
    }

    #[test]
    fn a_frame_is_one_write_that_ends_where_it_began() {
        assert_eq!(frame("a\n", &[], &[]), "a\n");
        assert_eq!(frame("", &[], &lines("x|y|")), "x\x1b[K\r\ny\x1b[K\x1b[J\r\x1b[1A");
        assert_eq!(frame("", &lines("x|y|"), &lines("z|")), "\rz\x1b[K\x1b[J\r");
        assert_eq!(frame("a\n", &lines("x|"), &lines("z|")), "\r \x1b[J\ra\nz\x1b[K\x1b[J\r");
        assert_eq!(frame("", &lines("x|y|"), &[]), CLEAR);
    }
}
