//! How many columns text takes on a terminal, and text cut to fit.
//!
//! The widths are those of `unicode-width`, character by character. Terminals disagree about
//! sequences of characters; such a sequence counts as the widest that a terminal draws, so that a
//! line may end early but never wraps.

use unicode_width::UnicodeWidthChar;

/// Columns of one character. A control character counts as one column; replace it before it is
/// printed.
fn columns_of(c: char) -> usize {
    match c {
        '\u{ad}' => 1,                  // soft hyphen: some terminals draw it
        '\u{fe0f}' => 1,                // makes a two-column picture of the character before it
        '\u{1f1e6}'..='\u{1f1ff}' => 2, // half a flag: some terminals draw each half
        _ => c.width().unwrap_or(1),
    }
}

/// Columns of `text`.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// At most `room` columns of `text`, with an ellipsis at the end where text was cut off.
pub(super) fn fit(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let taken = text.chars().take_while(|c| take(&mut left, *c));
    let mut out: String = taken.collect();
    out.extend((room > 0).then_some('…'));
    out
}

/// At most `room` columns of `text`, with an ellipsis in front where text was cut off. For paths,
/// whose end says most.
pub(super) fn fit_end(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let taken: Vec<char> = text.chars().rev().take_while(|c| take(&mut left, *c)).collect();
    (room > 0).then_some('…').into_iter().chain(taken.into_iter().rev()).collect()
}

/// Takes the columns of `c` from those that are `left`; false if they do not suffice.
fn take(left: &mut usize, c: char) -> bool {
    let rest = left.checked_sub(columns_of(c));
    *left = rest.unwrap_or(0);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_its_widths() {
        let check = |text: &str, expected: usize| assert_eq!(columns(text), expected, "{text:?}");
        check("\u{5d0}\u{5bf}", 1); // Hebrew, with a point
        check("\u{995}\u{9c1}", 1); // Bengali, with a vowel sign
        check("\u{18b00}\u{17000}", 4); // Khitan and Tangut
        check("\u{fe10}\u{2329}", 4); // vertical forms, angle brackets
        check("\u{200b}\u{feff}\u{e0100}", 0);
        check("\u{2705}", 2);
        check("\u{2600}", 1);
        check("\u{2600}\u{fe0f}", 2);
        check("\t\u{ad}", 2);
    }

    #[test]
    fn wide_and_combining_characters() {
        assert_eq!(columns("a日本"), 5);
        assert_eq!(columns("e\u{301}🐳"), 3);
        assert_eq!(columns("…"), 1);
    }

    #[test]
    fn cut_text_always_fits() {
        for text in ["t/30-firewall/nat_test.sh", "日本語のテスト", "e\u{301}e\u{301}e\u{301}🐳🐳"]
        {
            for room in 0..30 {
                assert!(columns(&fit(text, room)) <= room, "{text} in {room}");
                assert!(columns(&fit_end(text, room)) <= room, "{text} in {room}");
            }
        }
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit_end("abcdef", 4), "…def");
        assert_eq!(fit("日本語", 4), "日…");
    }
}
