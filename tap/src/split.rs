//! Bytes, cut anywhere → lines. LF, CRLF or a lone CR ends a line; the last line needs no end.
//!
//! LF, CR and `#` are each searched once per chunk, not once per line: the position of the next one
//! is kept until the lines have passed it. A line that crosses chunks is cut after
//! [`LINE_BYTES_MAX`], so memory is bounded on any input; it is still one line.

use memchr::memchr;

/// Bytes kept of a line that crosses the edge of a chunk.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// What is kept of a stream from one chunk to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splitter {
    carry: Vec<u8>,
    /// The last chunk ended in CR: an LF at the start of the next one belongs to it.
    after_cr: bool,
    /// A line has begun, even if none of its bytes is kept.
    open: bool,
}

impl Splitter {
    /// Calls `sink(line, has_hash)` for every line that `bytes` completes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&[u8], bool)) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.after_cr) {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        let mut scan = Scan::new(bytes);
        if self.open {
            let Some((head, _)) = scan.next_line() else { return self.keep(bytes) };
            self.keep(head);
            let carry = std::mem::take(&mut self.carry);
            sink(&carry, memchr(b'#', &carry).is_some());
            self.carry = carry;
            self.carry.clear();
            self.open = false;
        }
        scan.lf_lines(&mut sink);
        while let Some((line, hash)) = scan.next_line() {
            sink(line, hash);
        }
        self.after_cr = scan.after_cr;
        self.keep(scan.rest());
    }

    /// Gives `sink` the last line, if that has no line end.
    pub(crate) fn finish(&mut self, sink: impl FnOnce(&[u8], bool)) {
        if std::mem::take(&mut self.open) {
            let carry = std::mem::take(&mut self.carry);
            sink(&carry, memchr(b'#', &carry).is_some());
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.open |= !bytes.is_empty();
    }
}

/// The position of the next `byte` in a chunk, searched again only when it has been passed.
struct Next {
    byte: u8,
    at: usize,
    fresh: bool,
}

impl Next {
    const fn new(byte: u8) -> Self {
        Self { byte, at: 0, fresh: false }
    }

    /// The first position at or after `from`; the length of `bytes` if there is none.
    #[inline]
    fn from(&mut self, bytes: &[u8], from: usize) -> usize {
        if !self.fresh || self.at < from {
            self.at = memchr(self.byte, &bytes[from..]).map_or(bytes.len(), |at| from + at);
            self.fresh = true;
        }
        self.at
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    lf: Next,
    cr: Next,
    hash: Next,
    after_cr: bool,
}

impl<'a> Scan<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        let (lf, cr, hash) = (Next::new(b'\n'), Next::new(b'\r'), Next::new(b'#'));
        Self { bytes, at: 0, lf, cr, hash, after_cr: false }
    }

    #[inline]
    fn next_line(&mut self) -> Option<(&'a [u8], bool)> {
        let start = self.at;
        let lf = self.lf.from(self.bytes, start);
        let cr = self.cr.from(self.bytes, start);
        let end = lf.min(cr);
        if end >= self.bytes.len() {
            return None;
        }
        self.at = end + 1;
        if cr < lf {
            self.after_cr = self.at == self.bytes.len();
            if lf == self.at && !self.after_cr {
                self.at += 1;
            }
        }
        let hash = self.hash.from(self.bytes, start) < end;
        Some((&self.bytes[start..end], hash))
    }

    /// Gives `sink` all lines left, if no CR is left in the chunk: the usual case, and the fastest.
    #[inline]
    fn lf_lines(&mut self, sink: &mut impl FnMut(&[u8], bool)) {
        if self.cr.from(self.bytes, self.at) < self.bytes.len() {
            return;
        }
        let rest = &self.bytes[self.at..];
        let mut hash = Next::new(b'#');
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', rest) {
            sink(&rest[start..end], hash.from(rest, start) < end);
            start = end + 1;
        }
        self.at += start;
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        let mut push = |line: &[u8], hash: bool| {
            assert_eq!(hash, line.contains(&b'#'));
            out.push(String::from_utf8_lossy(line).into_owned());
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut push);
        }
        splitter.finish(&mut push);
        out
    }

    #[test]
    fn every_kind_of_line_end_works_and_no_cut_matters() {
        let text = b"a\n#b\r\nc\rd\n\n\r\n#e#";
        let whole = lines(&[text]);
        assert_eq!(whole, ["a", "#b", "c", "d", "", "", "#e#"]);
        for at in 0..=text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(lines(&[head, b"", tail]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines(&bytes), whole);
    }

    #[test]
    fn an_endless_line_is_cut_in_memory_and_stays_one_line() {
        let piece = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        let got = lines(&[&piece, &piece, &piece, b"\nok"]);
        assert_eq!(got.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 2]);
    }
}
