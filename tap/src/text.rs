//! Makes bytes of a test's output fit to show: trimming, the two TAP escapes, lossy UTF-8, cuts.
//!
//! TAP is read as bytes; text becomes a `String` only where it is kept or shown.

/// Whether `byte` is ASCII white space to Perl's `\s`, which includes form feed and vertical tab.
#[inline]
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r' | b'\n')
}

/// `bytes` without leading white space.
#[inline]
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// `bytes` without trailing white space.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// `bytes` without white space on either side.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Undoes TAP's escapes: `\\` is a backslash, `\#` a hash; any other backslash stays.
pub fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest.get(at + 1) {
            Some(&next @ (b'\\' | b'#')) => {
                out.push(next);
                rest = &rest[at + 2..];
            }
            _ => {
                out.push(b'\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Escapes `text` so that no part of it reads as a directive: `\` and `#` get a backslash.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// At most `limit` of `bytes` as text, and how many bytes were cut off. Bad UTF-8 is replaced.
pub(crate) fn clip(bytes: &[u8], limit: usize) -> String {
    if bytes.len() <= limit {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut end = limit;
    while end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    let mut out = String::from_utf8_lossy(&bytes[..end]).into_owned();
    out.push_str(&format!("… ({} more bytes)", bytes.len() - end));
    out
}

/// A description for a person: without the ` - ` in front, unescaped, at most `limit` bytes.
pub fn describe(description: &[u8], limit: usize) -> String {
    let trimmed = trim(description);
    let bare = match trimmed {
        [b'-'] => &[],
        [b'-', next, rest @ ..] if is_space(*next) => trim(rest),
        other => other,
    };
    clip(&unescape(bare), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_pairwise() {
        assert_eq!(unescape(br"a \# b \\# c \n \"), br"a # b \# c \n \");
        assert_eq!(unescape(escape(r"x \# y # z").as_bytes()), br"x \# y # z");
    }

    #[test]
    fn a_clip_never_splits_a_character() {
        assert_eq!(clip("aé".as_bytes(), 2), "a… (2 more bytes)");
        assert_eq!(clip(b"\xff", 9), "\u{fffd}");
    }
}
