//! How many columns text takes on a terminal, and text cut to fit.
//!
//! The ranges are those that terminals agree on; a character that some draw wider than others is counted as wide, so that a line
//! may end early but never wraps.

/// Characters that take no column of their own: combining marks, joiners, variation selectors.
const ZERO: [(u32, u32); 22] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x06d6, 0x06dc),
    (0x0900, 0x0902),
    (0x093c, 0x093c),
    (0x0941, 0x0948),
    (0x0e31, 0x0e31),
    (0x0e34, 0x0e3a),
    (0x0e47, 0x0e4e),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200d),
    (0x2060, 0x2064),
    (0x20d0, 0x20ff),
    (0x3099, 0x309a),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xe0100, 0xe01ef),
];

/// Characters that take two columns: East Asian wide ones, and pictures.
const WIDE: [(u32, u32); 25] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x23f0, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2600, 0x27bf),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b55),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0x9fff),
    (0xa000, 0xa4cf),
    (0xa960, 0xa97c),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff01, 0xff60),
    (0xffe0, 0xffe6),
    (0x16fe0, 0x18aff),
    (0x1b000, 0x1b2ff),
    (0x1f000, 0x1f2ff),
    (0x1f300, 0x1faff),
    (0x20000, 0x2fffd),
    (0x30000, 0x3fffd),
];

/// Columns of one character; a control character has none of its own and must not come here.
fn columns_of(c: char) -> usize {
    let code = u32::from(c);
    let within = |table: &[(u32, u32)]| {
        let at = table.partition_point(|(first, _)| *first <= code);
        at > 0 && code <= table[at - 1].1
    };
    match code {
        0..0x300 => 1,
        _ if within(&ZERO) => 0,
        _ if within(&WIDE) => 2,
        _ => 1,
    }
}

/// Columns of `text`.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// At most `room` columns of `text`; where something is missing, an ellipsis at the end.
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

/// At most `room` columns of `text`; where something is missing, an ellipsis in front: the end of a path says most.
pub(super) fn fit_end(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let taken: Vec<char> = text.chars().rev().take_while(|c| take(&mut left, *c)).collect();
    (room > 0).then_some('…').into_iter().chain(taken.into_iter().rev()).collect()
}

fn take(left: &mut usize, c: char) -> bool {
    let rest = left.checked_sub(columns_of(c));
    *left = rest.unwrap_or(0);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order() {
        for table in [&ZERO[..], &WIDE] {
            for pair in table.windows(2) {
                assert!(pair[0].1 < pair[1].0, "{pair:x?}");
            }
        }
    }

    #[test]
    fn wide_and_combining_characters() {
        assert_eq!(columns("a日本"), 5);
        assert_eq!(columns("e\u{301}🐳"), 3);
        assert_eq!(columns("…"), 1);
    }

    #[test]
    fn cuts_fit_whatever_is_cut() {
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
