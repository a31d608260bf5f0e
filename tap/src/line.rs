//! One line, without its line end and indentation → a token. Never fails: any bytes are some token.
//!
//! The dialect is all it knows of earlier lines: TAP 12 writes plans and pragmas differently from
//! later versions. Nothing is copied and nothing is unescaped here.

use crate::text::{is_space, trim, trim_end, trim_start};

/// The dialect that the stream's version line declared; TAP 12 without such a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// No version line.
    #[default]
    Tap12,
    /// `TAP version 13`.
    Tap13,
    /// `TAP version 14`; later versions are read as 14.
    Tap14,
    /// `KTAP version 1`, the Linux kernel's dialect.
    Ktap1,
}

/// A decimal number of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The value; `u64::MAX` if the number is larger.
    pub value: u64,
    /// Whether the number is larger than `u64::MAX`.
    pub overflow: bool,
}

/// A directive: what the `#` at the end of a test line says about the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Not run.
    Skip,
    /// Expected to fail.
    Todo,
    /// KTAP: expected to fail.
    Xfail,
    /// KTAP: ran too long. The point fails even if the line begins with `ok`.
    Timeout,
    /// KTAP: could not be run. The point fails even if the line begins with `ok`.
    Error,
}

/// A test point: `ok 1 - description # SKIP reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point<'a> {
    /// Whether the line begins with `ok`, as opposed to `not ok`.
    pub ok: bool,
    /// The number, if the line has one.
    pub number: Option<Number>,
    /// Everything between the number and the directive, escapes and leading dash included.
    pub description: &'a [u8],
    /// The directive and its reason, if the line has one.
    pub directive: Option<(Directive, &'a [u8])>,
    /// Whether a buffered subtest follows (the line ends with `{`).
    pub opens: bool,
}

/// A plan line: `1..N` and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLine<'a> {
    /// N.
    pub count: Number,
    /// N as written.
    pub digits: &'a [u8],
    /// Why nothing is run, if N is 0; otherwise the comment, if there is one.
    pub reason: &'a [u8],
    /// The numbers after `todo`, as written; only TAP 12 has them.
    pub todo: &'a [u8],
}

/// What a line is when read on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A test point.
    Point(Point<'a>),
    /// A plan that starts at 1.
    Plan(PlanLine<'a>),
    /// `TAP version N`: N as written.
    Version(&'a [u8]),
    /// `KTAP version N`: N as written.
    Ktap(&'a [u8]),
    /// `# text`, without the hash.
    Comment(&'a [u8]),
    /// `Bail out! reason`, escapes included.
    Bail(&'a [u8]),
    /// `pragma +name, -name`: the list.
    Pragma(&'a [u8]),
    /// White space only.
    Blank,
    /// Any other line. It fails nothing by itself.
    Junk,
}

/// Reads one line. `hash` says whether the line holds a `#`; the caller knows that at no cost.
pub fn classify(line: &[u8], version: Version, hash: bool) -> Token<'_> {
    let Some(&first) = line.first() else { return Token::Blank };
    match first {
        b'o' | b'n' => point(line, version, hash).map_or(Token::Junk, Token::Point),
        b'#' => Token::Comment(&line[1..]),
        b'1' => plan(line, version),
        b'T' | b't' => version_line(line).map_or(Token::Junk, Token::Version),
        b'K' => ktap_line(line).map_or(Token::Junk, Token::Ktap),
        b'B' | b'b' => bail(line).map_or(Token::Junk, Token::Bail),
        b'p' if version >= Version::Tap13 => pragma(line).map_or(Token::Junk, Token::Pragma),
        b' ' | b'\t' | 0x0b | 0x0c if trim_start(line).is_empty() => Token::Blank,
        _ => Token::Junk,
    }
}

/// The reason, if the line is a `Bail out!`, in upper or lower case.
pub(crate) fn bail(line: &[u8]) -> Option<&[u8]> {
    const WORDS: &[u8] = b"bail out!";
    let head = line.get(..WORDS.len())?;
    head.eq_ignore_ascii_case(WORDS).then(|| trim(&line[WORDS.len()..]))
}

#[inline(always)]
pub(crate) fn point(line: &[u8], version: Version, hash: bool) -> Option<Point<'_>> {
    let (ok, rest) = match line {
        [b'o', b'k', rest @ ..] => (true, rest),
        [b'n', b'o', b't', b' ', b'o', b'k', rest @ ..] => (false, rest),
        _ => return None,
    };
    if starts_with_word(rest, version) {
        return None;
    }
    let rest = trim_start(rest);
    let (number, mut rest) = split_number(rest);
    let mut directive = None;
    if hash && let Some(found) = find_directive(line, rest, version) {
        rest = found.0;
        directive = Some((found.1, found.2));
    }
    let opens = line.last() == Some(&b'{') || (directive.is_none() && ends_open(rest));
    if opens && directive.is_none() {
        rest = trim_end(rest);
        rest = &rest[..rest.len().saturating_sub(1)];
    }
    Some(Point { ok, number, description: rest, directive, opens })
}

#[inline]
fn ends_open(rest: &[u8]) -> bool {
    matches!(rest.last(), Some(&last) if last == b'{' || is_space(last))
        && trim_end(rest).last() == Some(&b'{')
}

/// Whether `rest` begins with a word character, so that the word before it goes on. TAP 13 and
/// later are UTF-8: there the letters of every script count.
#[inline]
fn starts_with_word(rest: &[u8], version: Version) -> bool {
    match rest.first() {
        Some(&b) if b.is_ascii() => b.is_ascii_alphanumeric() || b == b'_',
        Some(_) if version >= Version::Tap13 => {
            let head = &rest[..rest.len().min(4)];
            let valid = match std::str::from_utf8(head) {
                Ok(text) => text,
                Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
            };
            valid.chars().next().is_some_and(char::is_alphanumeric)
        }
        _ => false,
    }
}

/// Any number of this many digits fits in 64 bits.
const SAFE_DIGITS: usize = 19;

#[inline(always)]
fn split_number(rest: &[u8]) -> (Option<Number>, &[u8]) {
    let mut value = 0u64;
    let mut len = 0;
    while let Some(digit) = rest.get(len).map(|b| b.wrapping_sub(b'0')).filter(|&d| d < 10) {
        if len == SAFE_DIGITS {
            return split_long_number(rest);
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        len += 1;
    }
    ((len > 0).then_some(Number { value, overflow: false }), &rest[len..])
}

#[cold]
fn split_long_number(rest: &[u8]) -> (Option<Number>, &[u8]) {
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let step = |value: u64, b: &u8| value.checked_mul(10)?.checked_add(u64::from(b - b'0'));
    let value = rest[..len].iter().try_fold(0, step);
    let number = Number { value: value.unwrap_or(u64::MAX), overflow: value.is_none() };
    (Some(number), &rest[len..])
}

/// Splits `rest`, the tail of `line`, at its directive: (description, directive, reason).
///
/// A directive begins at the first unescaped `#` with white space on one side; an escaped backslash
/// before it counts as white space. If no directive follows that `#`, a later `#` begins none
/// either. Words such as `SKIPPED` need white space before the `#`: without it neither Perl nor
/// node takes them for directives.
#[inline(never)]
fn find_directive<'a>(
    line: &[u8],
    rest: &'a [u8],
    version: Version,
) -> Option<(&'a [u8], Directive, &'a [u8])> {
    let offset = line.len() - rest.len();
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'#', &rest[from..]) {
        let at = from + found;
        from = at + 1;
        let slashes = rest[..at].iter().rev().take_while(|&&b| b == b'\\').count();
        if slashes % 2 == 1 {
            continue;
        }
        let before = slashes > 0 || (offset + at > 0 && is_space(line[offset + at - 1]));
        let tail = &rest[at + 1..];
        let after = tail.first().is_none_or(|&b| is_space(b));
        if !before && !after {
            continue;
        }
        let tail = trim_start(if version >= Version::Tap13 { trim_wide(tail) } else { tail });
        let (directive, reason) = directive(tail, version)?;
        if !before && directive == Directive::Skip && starts_with_word(&tail[4..], version) {
            return None;
        }
        return Some((&rest[..at], directive, reason));
    }
    None
}

/// `tail` without leading white space; no-break spaces and the other spaces of Unicode count.
fn trim_wide(tail: &[u8]) -> &[u8] {
    let text = match std::str::from_utf8(tail) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&tail[..e.valid_up_to()]).unwrap_or_default(),
    };
    &tail[text.len() - text.trim_start().len()..]
}

/// Reads `SKIP reason`, `TODO reason` or, in KTAP, its other directives, in upper or lower case.
fn directive(tail: &[u8], version: Version) -> Option<(Directive, &[u8])> {
    let is = |word: &[u8]| tail.get(..word.len()).is_some_and(|h| h.eq_ignore_ascii_case(word));
    if is(b"skip") {
        let end = tail.iter().position(|&b| is_space(b)).unwrap_or(tail.len());
        return Some((Directive::Skip, reason(&tail[end..])));
    }
    let mut words: &[(&[u8], Directive)] = &[(b"todo", Directive::Todo)];
    if version == Version::Ktap1 {
        words = &[
            (b"todo", Directive::Todo),
            (b"xfail", Directive::Xfail),
            (b"timeout", Directive::Timeout),
            (b"error", Directive::Error),
        ];
    }
    let (word, directive) = words.iter().find(|(word, _)| is(word))?;
    let after = &tail[word.len()..];
    (!starts_with_word(after, version)).then(|| (*directive, reason(after)))
}

fn reason(bytes: &[u8]) -> &[u8] {
    let bare = trim(bytes);
    let bare = bare.strip_prefix(b":").or_else(|| bare.strip_prefix(b"- ")).unwrap_or(bare);
    trim_start(bare)
}

fn plan(line: &[u8], version: Version) -> Token<'_> {
    let Some(rest) = line.strip_prefix(b"1..") else { return Token::Junk };
    let (Some(count), tail) = split_number(rest) else { return Token::Junk };
    let digits = &rest[..rest.len() - tail.len()];
    let plan = |reason, todo| Token::Plan(PlanLine { count, digits, reason, todo });
    let bare = trim_start(tail);
    if bare.is_empty() {
        return plan(b"", b"");
    }
    let spaced = bare.len() < tail.len();
    if let Some(comment) = bare.strip_prefix(b"#") {
        let skip = directive(trim_start(comment), version).filter(|d| d.0 == Directive::Skip);
        let glued = count.value == 0 || (version >= Version::Tap13 && skip.is_some());
        if spaced || glued {
            return plan(skip.map_or(trim(comment), |(_, why)| why), b"");
        }
        return Token::Junk;
    }
    let word = |w: &[u8]| bare.get(..w.len()).is_some_and(|h| h.eq_ignore_ascii_case(w));
    if version == Version::Tap12 && bare.starts_with(b"todo") {
        let list = &bare[4..];
        if is_number_list(list) {
            return plan(b"", list);
        }
    }
    if count.value == 0 && spaced && word(b"skip") {
        let end = bare.iter().position(|&b| is_space(b)).unwrap_or(bare.len());
        return plan(reason(&bare[end..]), b"");
    }
    if count.value == 0 && version == Version::Tap12 {
        return plan(trim(bare), b"");
    }
    Token::Junk
}

/// Whether `list` begins with white space and a number, as it must after a plan's `todo`.
fn is_number_list(list: &[u8]) -> bool {
    list.first().is_some_and(|&b| is_space(b))
        && trim_start(list).first().is_some_and(u8::is_ascii_digit)
}

/// The numbers of a plan's `todo` list, up to the first word that is not a number.
pub(crate) fn numbers(mut list: &[u8]) -> impl Iterator<Item = u64> + '_ {
    std::iter::from_fn(move || {
        let (number, rest) = split_number(trim_start(list));
        list = rest;
        number.map(|n| n.value)
    })
}

fn version_line(line: &[u8]) -> Option<&[u8]> {
    if !line.get(..3)?.eq_ignore_ascii_case(b"tap") {
        return None;
    }
    version_number(&line[3..], true)
}

pub(crate) fn ktap_line(line: &[u8]) -> Option<&[u8]> {
    version_number(line.strip_prefix(b"KTAP")?, false)
}

fn version_number(rest: &[u8], any_case: bool) -> Option<&[u8]> {
    const WORD: &[u8] = b"version";
    let word = trim_start(rest);
    let head = word.get(..WORD.len())?;
    let same = if any_case { head.eq_ignore_ascii_case(WORD) } else { head == WORD };
    let tail = &word[WORD.len()..];
    let digits = trim(tail);
    let spaced = word.len() < rest.len() && trim_start(tail).len() < tail.len();
    (same && spaced && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .then_some(digits)
}

fn pragma(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"pragma")?;
    let list = trim(rest);
    let spaced = rest.first().is_some_and(|&b| is_space(b));
    let in_name = |&b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let good = |name: &[u8]| match trim(name) {
        [b'+' | b'-', word @ ..] => !word.is_empty() && word.iter().all(in_name),
        _ => false,
    };
    (spaced && list.split(|&b| b == b',').all(good)).then_some(list)
}
