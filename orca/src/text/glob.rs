//! Patterns over paths: `*` and `?` stay within a folder, `**` does not, `[a-c]` and `[!x]` are one character.
//!
//! Over bytes, because a path is bytes. Not the shell's `glob`: that would miss what the shell already tried and did not find.

/// Whether `text` has a character that makes it a pattern.
pub fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|b| b"*?[".contains(b))
}

/// Whether `pattern` matches all of `path`, or the path of a folder that it is in.
pub fn matches_path(pattern: &[u8], path: &[u8]) -> bool {
    let folders = (0..path.len()).filter(|&at| path[at] == b'/').map(|at| &path[..at]);
    matches(pattern, path) || folders.into_iter().any(|folder| matches(pattern, folder))
}

/// Whether `pattern` matches all of `text`. Linear in space; a pattern with many stars may take long, but it is the user's own.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            let after = |at: &usize| *at == 0 || text[at - 1] == b'/';
            (0..=text.len()).filter(after).any(|at| matches(rest, &text[at..]))
        }
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
            (0..=end).any(|at| matches(rest, &text[at..]))
        }
        [b'?', rest @ ..] => text.first().is_some_and(|&b| b != b'/') && matches(rest, &text[1..]),
        [b'[', rest @ ..] => match class(rest) {
            Some((set, negated, rest)) => {
                let fits = |b: u8| b != b'/' && in_set(set, b) != negated;
                text.first().is_some_and(|&b| fits(b)) && matches(rest, &text[1..])
            }
            None => text.first() == Some(&b'[') && matches(rest, &text[1..]),
        },
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            text.first() == Some(literal) && matches(rest, &text[1..])
        }
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
}
