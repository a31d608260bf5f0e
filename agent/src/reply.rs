//! The answers to one request, by the same calls in text mode and in frames.
//!
//! In text mode, a line of output that would read as a marker gets a leading backslash, wherever
//! the reads happened to cut the line.

use crate::connection::Out;
use crate::wire::{self, Kind, PAYLOAD_MAX};
use std::io;
use std::sync::Arc;

/// Where the answers to one request go.
pub(crate) struct Reply {
    out: Arc<Out>,
    mode: Mode,
}

enum Mode {
    Text(Escaper),
    /// A shell's bytes in text mode, unchanged, and whether the last one was a newline.
    Raw(bool),
    Frames(u32),
}

impl Reply {
    /// Answers in text, escaped.
    pub(crate) fn text(out: Arc<Out>) -> Self {
        Self { out, mode: Mode::Text(Escaper::default()) }
    }

    /// Answers in text, with the output unchanged.
    pub(crate) fn raw(out: Arc<Out>) -> Self {
        Self { out, mode: Mode::Raw(true) }
    }

    /// Answers in frames with this request id.
    pub(crate) fn frames(out: Arc<Out>, id: u32) -> Self {
        Self { out, mode: Mode::Frames(id) }
    }

    /// Whether standard output and standard error stay apart, and files can be sent.
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self.mode, Mode::Frames(_))
    }

    /// Sends a line of the protocol. It begins on a new line.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = match &mut self.mode {
            Mode::Frames(id) => return self.out.frame(Kind::Reply, *id, &cut(line.as_bytes())),
            Mode::Text(escaper) => escaper.finish(),
            Mode::Raw(true) => Vec::new(),
            Mode::Raw(false) => b"\n".to_vec(),
        };
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.out.send(&bytes)
    }

    /// Sends `ERR` and why.
    pub(crate) fn error(&mut self, why: &str) -> io::Result<()> {
        self.line(&error_line(why))
    }

    /// Sends output of the command: at most [`PAYLOAD_MAX`] bytes of kind `Stdout` or `Stderr`.
    pub(crate) fn output(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        match &mut self.mode {
            Mode::Frames(id) => self.out.frame(kind, *id, bytes),
            Mode::Text(escaper) => self.out.send(&escaper.escape(bytes)),
            Mode::Raw(ended) => {
                *ended = bytes.last().map_or(*ended, |&b| b == b'\n');
                self.out.send(bytes)
            }
        }
    }

    /// Asks the host for fork `id` into cases with these names; nothing in text mode.
    pub(crate) fn fork(&self, id: u32, names: &[u8]) -> io::Result<()> {
        if self.is_framed() { self.out.frame(Kind::Fork, id, names) } else { Ok(()) }
    }

    /// Sends a frame of any kind; nothing in text mode.
    pub(crate) fn frame(&self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        match &self.mode {
            Mode::Frames(id) => self.out.frame(kind, *id, payload),
            _ => Ok(()),
        }
    }
}

/// The line that refuses a request.
pub(crate) fn error_line(why: &str) -> String {
    format!("{}{}", wire::ERR, why.replace('\n', " "))
}

fn cut(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(PAYLOAD_MAX)].to_vec()
}

/// Puts a backslash before each line that would read as a marker.
#[derive(Default)]
struct Escaper {
    /// The beginning of a line that may yet turn out to be a marker.
    held: Vec<u8>,
    inside_line: bool,
}

impl Escaper {
    fn escape(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            if self.inside_line {
                out.extend_from_slice(piece);
            } else {
                self.held.extend_from_slice(piece);
                if wire::may_need_escape(&self.held) && !wire::needs_escape(&self.held) {
                    continue;
                }
                self.release(&mut out);
            }
            self.inside_line = !piece.ends_with(b"\n");
        }
        out
    }

    /// The bytes that were held back, and a newline if the last line has none.
    fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.held.is_empty() {
            self.release(&mut out);
            self.inside_line = true;
        }
        if std::mem::take(&mut self.inside_line) {
            out.push(b'\n');
        }
        out
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        if wire::needs_escape(&self.held) {
            out.push(b'\\');
        }
        out.append(&mut self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Escapes `input` in one piece, and byte by byte.
    fn check(input: &str, expected: &str) {
        for size in [1, 2, 3, input.len().max(1)] {
            let mut escaper = Escaper::default();
            let mut out = Vec::new();
            for chunk in input.as_bytes().chunks(size) {
                out.extend(escaper.escape(chunk));
            }
            out.extend(escaper.finish());
            assert_eq!(String::from_utf8_lossy(&out), expected, "{input:?} by {size}");
            assert!(escaper.finish().is_empty());
        }
    }

    #[test]
    fn markers_are_escaped_wherever_the_reads_cut() {
        check("", "");
        check("ok 1\n", "ok 1\n");
        check("ok 1", "ok 1\n");
        check("\n\n", "\n\n");
        check("TAP_END x exit=0\n", "\\TAP_END x exit=0\n");
        check("ok\nTAP_END x exit=0\nok", "ok\n\\TAP_END x exit=0\nok\n");
        check("TAP_EN\nTAP", "TAP_EN\nTAP\n");
        check("--- END OUTPUT (exit=0) ---", "\\--- END OUTPUT (exit=0) ---\n");
        check("\\TAP_END", "\\\\TAP_END\n");
        check("a TAP_END\n", "a TAP_END\n");
        check("HELLO AGENT_v1\nHELLO WORLD\n", "\\HELLO AGENT_v1\nHELLO WORLD\n");
    }

    #[test]
    fn only_a_possible_marker_is_held_back() {
        let mut escaper = Escaper::default();
        assert_eq!(escaper.escape(b"name? "), b"name? ");
        assert_eq!(escaper.escape(b"\nTAP_"), b"\n");
        assert_eq!(escaper.escape(b"X"), b"TAP_X");
    }
}
