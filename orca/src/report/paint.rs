//! Colours, and text from tests made safe for a terminal.

/// Adds colours to text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether colours are added.
    pub on: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Bad news.
    pub fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// Worth a look.
    pub fn warn(self, text: &str) -> String {
        self.with("33", text)
    }

    /// Of no great interest.
    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    /// A heading.
    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

/// `text` without anything that could move a cursor, change a colour, forge a line or turn the
/// direction of the text after it.
pub fn safe(text: &str) -> String {
    let turns = |c: char| {
        let marks = ['\u{200e}', '\u{200f}'];
        marks.contains(&c) || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let keep = |c: char| if c == '\t' || !(c.is_control() || turns(c)) { c } else { '\u{fffd}' };
    text.chars().map(keep).collect()
}

/// The lines of `text`, each made [`safe`].
pub fn safe_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(safe("a\x1b[2Jb\tc\r"), "a\u{fffd}[2Jb\tc\u{fffd}");
        assert_eq!(safe("a\u{202e}b"), "a\u{fffd}b");
        assert_eq!(safe_lines("a\nb\r\n").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn colour_is_only_added_when_wanted() {
        let off = Paint { on: false };
        assert_eq!(off.bad("x"), "x");
        assert_eq!(Paint { on: true }.bad("x"), "\x1b[1;31mx\x1b[0m");
    }
}
