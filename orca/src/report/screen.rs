//! Standard output for people: text that stays and, on a terminal, a few lines below it that are
//! redrawn.
//!
//! The cursor rests at the beginning of the first redrawn line, not below the last. When a window
//! is made narrower the terminal may break lines in two, but all their parts are after the cursor,
//! where one sequence clears them. Every change is one write, and lines are overwritten rather than
//! cleared first, so nothing flickers.

use crate::host::tty::{self, Keys};
use std::io::{self, IsTerminal, Write};

/// The size that is assumed if the terminal gives none, in columns and rows.
const SIZE: (u16, u16) = (80, 24);
/// Clears from the second column of the cursor's line to the end of the screen, and writes a space
/// into the first. Text that is cleared from the very first place of a screen, tmux would keep in
/// its scrollback.
const CLEAR: &str = "\r \x1b[J\r";

/// Standard output, and the lines that are redrawn on it.
#[derive(Debug)]
pub(super) struct Screen {
    out: io::Stdout,
    /// `None` if nothing is redrawn.
    keys: Option<Keys>,
    drawn: Vec<String>,
}

impl Screen {
    /// Standard output. With `live`, lines are redrawn if it is a terminal that can do so.
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

    /// Writes `text`, in whole lines, over the redrawn lines, and `live` below it.
    pub(super) fn show(&mut self, text: &str, live: Vec<String>) {
        if text.is_empty() && live == self.drawn {
            return;
        }
        let bytes = frame(text, &self.drawn, &live);
        self.drawn = live;
        self.write(&bytes);
    }

    /// Clears the redrawn lines, which may have moved; the next ones are drawn from scratch.
    pub(super) fn forget(&mut self) {
        if !self.drawn.is_empty() {
            self.drawn.clear();
            self.write(CLEAR);
        }
    }

    /// Leaves the terminal as it was before, except for the text.
    pub(super) fn leave(&mut self) {
        self.forget();
        if let Some(keys) = &mut self.keys {
            keys.leave();
        }
    }

    /// Writes `text`. A reader that is gone (`| head`) must not end the run: the exit status still
    /// tells the result.
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

/// The bytes that put `text` and then the lines `new` in the place of the lines `old`.
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
