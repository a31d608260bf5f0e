//! `TAP_START name` and `TAP_END name exit=N`: orca's markers around one test's output in logs.
//!
//! They count only in a log of the text protocol. In a framed stream they are junk like any other
//! line, so that no test can forge its own end.

/// A marker before or after a test's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker<'a> {
    /// The output of the named test begins.
    Start(&'a [u8]),
    /// The output of the named test ends; its exit status.
    End {
        /// The test's name; may be empty.
        name: &'a [u8],
        /// Its exit status; above 128 it is 128 plus a signal's number.
        exit: i32,
    },
}

/// Reads `line`, without its line end, as a marker.
pub fn parse(line: &[u8]) -> Option<Marker<'_>> {
    if let Some(name) = line.strip_prefix(b"TAP_START ") {
        return Some(Marker::Start(crate::text::trim(name)));
    }
    let rest = line.strip_prefix(b"TAP_END ")?;
    let at = memchr::memmem::rfind(rest, b"exit=")?;
    let exit = std::str::from_utf8(crate::text::trim(&rest[at + 5..])).ok()?.parse().ok()?;
    let spaced = at == 0 || rest[at - 1] == b' ';
    spaced.then(|| Marker::End { name: crate::text::trim(&rest[..at]), exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_last_word() {
        let end = |name: &'static [u8], exit| Some(Marker::End { name, exit });
        assert_eq!(parse(b"TAP_START sanity_test.sh"), Some(Marker::Start(b"sanity_test.sh")));
        assert_eq!(parse(b"TAP_END a exit=0"), end(b"a", 0));
        assert_eq!(parse(b"TAP_END exit=3"), end(b"", 3));
        assert_eq!(parse(b"TAP_END a exit=0 exit=1"), end(b"a exit=0", 1));
        assert_eq!(parse(b"TAP_END a exit=x"), None);
        assert_eq!(parse(b" TAP_END a exit=0"), None);
    }
}
