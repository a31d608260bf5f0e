//! Patterns over paths: `*` and `?` stay within a folder, `**` does not, `[a-c]` and `[!x]` match a
//! single byte.
//!
//! Patterns are matched against bytes, because a path is bytes. The shell's `glob` is no help here:
//! a pattern that arrives is one that the shell tried and found nothing for.

/// Whether `text` has a character that makes it a pattern.
pub fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|b| b"*?[".contains(b))
}

/// Whether `pattern` matches all of `path`, or the path of a folder that `path` is in.
pub fn matches_path(pattern: &[u8], path: &[u8]) -> bool {
    let ends = ends(pattern, path);
    let ends_a_name = |at: usize| path.get(at).is_none_or(|&byte| byte == b'/');
    (0..ends.len()).any(|at| ends[at] && ends_a_name(at))
}

/// The lengths at which a beginning of `text` matches all of `pattern`, as flags by length. Takes
/// time in proportion to the product of both lengths, whatever the pattern.
fn ends(pattern: &[u8], text: &[u8]) -> Vec<bool> {
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    let mut rest = pattern;
    while let Some((step, behind)) = first_step(rest) {
        ends = step.advance(&ends, text);
        rest = behind;
    }
    ends
}

/// One element of a pattern.
enum Step<'a> {
    /// `**/`: any number of whole folders, also none.
    Folders,
    /// `**`: any bytes.
    Any,
    /// `*`: any bytes of one name.
    Within,
    /// `?`: one byte of a name.
    One,
    /// `[…]`: one byte of a name that is in the set, or is not if `negated`.
    Class { set: &'a [u8], negated: bool },
    /// Exactly this byte.
    Byte(u8),
}

/// The first element of `pattern` and what follows it.
fn first_step(pattern: &[u8]) -> Option<(Step<'_>, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'*', b'*', b'/', rest @ ..] => (Step::Folders, rest),
        [b'*', b'*', rest @ ..] => (Step::Any, rest),
        [b'*', rest @ ..] => (Step::Within, rest),
        [b'?', rest @ ..] => (Step::One, rest),
        [b'[', rest @ ..] => match class(rest) {
            Some((set, negated, rest)) => (Step::Class { set, negated }, rest),
            None => (Step::Byte(b'['), rest),
        },
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (Step::Byte(*literal), rest),
    })
}

impl Step<'_> {
    /// The ends of matches up to and including this element, given those `before` it; as flags by
    /// length, like [`ends`].
    fn advance(&self, before: &[bool], text: &[u8]) -> Vec<bool> {
        let mut after = Vec::with_capacity(before.len());
        let mut open = false; // the element has begun and may go on
        for (at, &begins) in before.iter().enumerate() {
            let last = at.checked_sub(1).map(|last| text[last]);
            let one =
                |fits: &dyn Fn(u8) -> bool| at > 0 && before[at - 1] && last.is_some_and(fits);
            let ends = match self {
                Self::Folders => begins || open && last == Some(b'/'),
                Self::Any => begins || open,
                Self::Within => begins || open && last != Some(b'/'),
                Self::One => one(&|byte| byte != b'/'),
                Self::Class { set, negated } => {
                    one(&|byte| byte != b'/' && in_set(set, byte) != *negated)
                }
                Self::Byte(literal) => one(&|byte| byte == *literal),
            };
            open = if matches!(self, Self::Within) { ends } else { open || begins };
            after.push(ends);
        }
        after
    }
}

/// The inside of `[…]`, whether it is negated, and what follows; `None` without a closing bracket.
fn class(pattern: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let inside = &pattern[usize::from(negated)..];
    // A bracket that comes first stands for itself.
    let end = inside.iter().skip(1).position(|&b| b == b']')? + 1;
    Some((&inside[..end], negated, &inside[end + 1..]))
}

fn in_set(set: &[u8], byte: u8) -> bool {
    match set {
        [] => false,
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&byte) || in_set(rest, byte),
        [one, rest @ ..] => *one == byte || in_set(rest, byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, path: &str, expected: bool| {
            let got = matches_path(pattern.as_bytes(), path.as_bytes());
            assert_eq!(got, expected, "{pattern} {path}");
        };
        check("t/*/dns_*", "t/25-dns/dns_cache_test.sh", true);
        check("t/*/dns_*", "t/dns_cache_test.sh", false);
        check("t/*", "t/25-dns/cache_test.sh", true);
        check("t/2?-dns", "t/25-dns/cache_test.sh", true);
        check("t/*_test.sh", "t/25-dns/cache_test.sh", false);
        check("**/cache*", "t/25-dns/cache_test.sh", true);
        check("**/cache*", "cache_test.sh", true);
        check("t/**_test.sh", "t/a/b/c_test.sh", true);
        check("t/[12]0*", "t/20-dhcp/x_test.sh", true);
        check("t/[!12]0*", "t/20-dhcp/x_test.sh", false);
        check("t/[0-9]5-*", "t/25-dns/x_test.sh", true);
        check("t/[]]x_test.sh", "t/]x_test.sh", true);
        check("t/[x_test.sh", "t/[x_test.sh", true);
        check("t/\\*", "t/a", false);
        check("t/\\*", "t/*", true);
    }

    #[test]
    fn stars_take_no_longer_than_the_path_is_long() {
        let path = "a/".repeat(500);
        for pattern in ["**/".repeat(200), "*".repeat(200), "**a/".repeat(100)] {
            let path = format!("{path}y");
            assert!(!matches_path(format!("{pattern}x").as_bytes(), path.as_bytes()), "{pattern}");
            assert!(
                matches_path(format!("**/{pattern}y").as_bytes(), path.as_bytes()),
                "{pattern}"
            );
        }
    }
}
