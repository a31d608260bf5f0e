//! A run's summary in Markdown: the counts, a table of the tests that are not good, and the output
//! of each.
//!
//! Text from tests is never read as Markdown here: within a line it is spelled in character
//! references, and longer text is put in `<pre>`, where GitHub reads nothing but those.

use super::wording::{failures, head, seconds};
use crate::events::attempt::{Attempt, Outcome};
use crate::events::tally::Tally;

/// The most tests in the table.
pub(super) const TESTS_MAX: usize = 200;
/// The most bytes of one test's text, before it is escaped.
const DETAILS_BYTES: usize = 8 * 1024;
/// The end of a summary that had to be cut.
const CUT: &str = "\nThere is more, which does not fit here.\n";

/// The summary of the `listed` tests, with `counts` as its heading, in at most `room` bytes.
pub(super) fn summary(listed: &[Attempt], tally: &Tally, counts: &str, room: usize) -> String {
    let good = tally.is_good();
    let mark = if good { "✅" } else { "❌" };
    let mut out =
        Bounded { text: String::new(), room: room.saturating_sub(CUT.len()), full: false };
    out.push(&format!("### {mark} orca: {}\n\n", inline(counts)));
    if !listed.is_empty() {
        let mut table = String::from("| | test | time | machine |\n|---|---|---:|---|\n");
        for attempt in listed {
            table.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                attempt.word(),
                inline(&attempt.path),
                seconds(attempt.timing.test),
                inline(attempt.machine.as_deref().unwrap_or_default())
            ));
        }
        table.push('\n');
        out.push(&table);
        let own = |test: &&Attempt| test.is_bad() && test.blocked_by.is_none();
        listed.iter().filter(own).for_each(|test| out.push(&details(test)));
    }
    if out.full && room > CUT.len() {
        out.text.push_str(CUT);
    }
    out.text
}

/// Text made of whole pieces. The first piece that does not fit ends it, so that no tag stays open.
struct Bounded {
    text: String,
    room: usize,
    full: bool,
}

impl Bounded {
    fn push(&mut self, piece: &str) {
        self.full |= self.text.len() + piece.len() > self.room;
        if !self.full {
            self.text.push_str(piece);
        }
    }
}

fn details(attempt: &Attempt) -> String {
    let mut said: Vec<String> = attempt.reasons.clone();
    if let Outcome::Errored(trouble) = &attempt.outcome {
        said = vec![trouble.to_string()];
    }
    if let Some(why) = &attempt.quarantined {
        said.insert(0, format!("in quarantine: {why}"));
    }
    failures(&mut said, &attempt.suite);
    for (name, text) in [("stderr", &attempt.stderr_tail), ("kernel", &attempt.kernel_said())] {
        if !text.trim().is_empty() {
            said.push(format!("{name}:\n{}", text.trim_end()));
        }
    }
    let said = said.join("\n");
    let shown = head(&said, DETAILS_BYTES);
    let more = if shown.len() < said.len() { "\n…" } else { "" };
    format!(
        "<details><summary>{} {}</summary>\n<pre>{}{more}</pre>\n</details>\n\n",
        attempt.word(),
        inline(&attempt.path),
        html(shown)
    )
}

/// Text within a line, escaped so that neither Markdown nor HTML sees markup in it.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '/' | '.' | '-' | ',' | '(' | ')' => {
                out.push(c)
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c if c.is_ascii() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Text of several lines inside an HTML element, escaped.
fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::attempts;
    use super::*;

    #[test]
    fn text_from_tests_is_escaped() {
        assert_eq!(inline("a_b|*<@x>`\n"), "a&#95;b&#124;&#42;&#60;&#64;x&#62;&#96;\u{fffd}");
        assert_eq!(html("</pre>&\x1b\n"), "&lt;/pre&gt;&amp;\u{fffd}\n");
    }

    #[test]
    fn a_summary_has_a_table_and_what_was_said() {
        let listed: Vec<Attempt> = attempts().into_iter().filter(Attempt::is_bad).collect();
        let tally = Tally { failed: 1, ..Tally::default() };
        let text = summary(&listed, &tally, "1 test file, 2 checks", 1 << 20);
        assert!(text.starts_with("### ❌ orca: 1 test file, "), "{text}");
        assert!(text.contains("| FAIL | t/bad&#95;test.sh | 0.0s | vm1 |\n"), "{text}");
        assert!(text.contains("not ok 2 - it's # broken\n    ]]&gt; &lt;b&gt; got: 1\n"), "{text}");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }

    #[test]
    fn a_summary_fits_and_closes_what_it_opened() {
        let mut listed: Vec<Attempt> = attempts().into_iter().filter(Attempt::is_bad).collect();
        listed.iter_mut().for_each(|attempt| attempt.stderr_tail = "<".repeat(100_000));
        let listed: Vec<Attempt> = listed.iter().cycle().take(160).cloned().collect();
        for room in [0, 10, 100, 1000, 50_000, 1 << 20] {
            let text = summary(&listed, &Tally::default(), "0 test files", room);
            assert!(text.len() <= room, "{} in {room}", text.len());
            assert_eq!(text.matches("<pre>").count(), text.matches("</pre>").count());
        }
    }
}
