//! Writes TAP 14 line by line; what has been written is valid so far.
//!
//! Perl's `TAP::Parser` and node's `tap-parser` both accept it; together they are stricter than the
//! specification. YAML keeps to Perl's subset (one flat map, plain block scalars or quoted
//! strings), and characters that would end a line for either of them are replaced.

use crate::line::Directive;
use crate::text::escape;
use std::io::{self, Write};

/// A test point to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// Whether it passed.
    pub ok: bool,
    /// Any text; the writer escapes it and puts it on one line.
    pub description: &'a str,
    /// Skip or to-do, and the reason. A skipped point is always written `ok`.
    pub directive: Option<(Directive, &'a str)>,
}

/// Writes one document and the subtests in it.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    count: u64,
    planned: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a document with its version line.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"TAP version 14\n")?;
        Ok(Self { out, levels: vec![Level::default()] })
    }

    /// Writes a plan. Without one, [`Self::end`] or [`Self::finish`] writes it last.
    pub fn plan(&mut self, count: u64) -> io::Result<()> {
        self.level().planned = true;
        self.line(&format!("1..{count}"))
    }

    /// Writes the plan `1..0`, and the reason why nothing is run.
    pub fn skip_all(&mut self, reason: &str) -> io::Result<()> {
        self.level().planned = true;
        let reason = one_line(reason);
        self.line(format!("1..0 # SKIP {}", escape(&reason)).trim_end())
    }

    /// Writes a test point with the next number.
    pub fn point(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let level = self.level();
        level.count += 1;
        let number = level.count;
        let skip = matches!(entry.directive, Some((Directive::Skip, _)));
        let mut line = format!("{} {number}", if entry.ok || skip { "ok" } else { "not ok" });
        let description = escape(&one_line(entry.description));
        if !description.is_empty() {
            line.push_str(" - ");
            line.push_str(&description);
        }
        if line.ends_with('{') {
            line.push('.');
        }
        if let Some((directive, reason)) = entry.directive {
            let word = if directive == Directive::Skip { "SKIP" } else { "TODO" };
            let reason = escape(&one_line(reason));
            line.push_str(&format!(" # {word} {reason}"));
        }
        self.line(line.trim_end())
    }

    /// Writes a YAML block about the last point: a flat map of texts.
    pub fn diagnostics(&mut self, entries: &[(&str, &str)]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.line("  ---")?;
        for (key, value) in entries {
            self.yaml_entry(key, value)?;
        }
        self.line("  ...")
    }

    /// Writes a comment, a line for each line of `text`.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            let line = one_line(line);
            self.line(format!("# {line}").trim_end())?;
        }
        Ok(())
    }

    /// Begins a subtest; its points follow, then [`Self::end`], then the point it belongs to,
    /// with the same description.
    pub fn subtest(&mut self, name: &str) -> io::Result<()> {
        let name = escape(&one_line(name));
        self.line(format!("# Subtest: {name}").trim_end())?;
        self.levels.push(Level::default());
        Ok(())
    }

    /// Ends a subtest, and writes its plan if it has none yet.
    pub fn end(&mut self) -> io::Result<()> {
        self.close_plan()?;
        if self.levels.len() > 1 {
            self.levels.pop();
        }
        Ok(())
    }

    /// Writes `Bail out!` and the reason. Nothing may follow.
    pub fn bail(&mut self, reason: &str) -> io::Result<()> {
        self.levels.truncate(1);
        self.level().planned = true;
        let reason = escape(&one_line(reason));
        self.line(format!("Bail out! {reason}").trim_end())
    }

    /// Flushes the underlying writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the document, open subtests included, and returns the underlying writer.
    pub fn finish(mut self) -> io::Result<W> {
        while self.levels.len() > 1 {
            self.end()?;
        }
        self.close_plan()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn close_plan(&mut self) -> io::Result<()> {
        let level = self.level();
        if std::mem::replace(&mut level.planned, true) {
            return Ok(());
        }
        let count = level.count;
        self.line(&format!("1..{count}"))
    }

    fn yaml_entry(&mut self, key: &str, value: &str) -> io::Result<()> {
        let word = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let key: String = key.chars().map(word).collect();
        if !is_block(value) {
            return self.line(&format!("  {key}: {}", quote(value)));
        }
        self.line(&format!("  {key}: |"))?;
        for line in value.trim_end_matches('\n').split('\n') {
            self.line(&format!("    {line}"))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let indent = 4 * (self.levels.len() - 1);
        writeln!(self.out, "{:indent$}{text}", "")
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }
}

/// Whether `value` can be a block scalar as it is: it has several lines, the first of them neither
/// blank nor indented, and no character that a block scalar cannot hold.
fn is_block(value: &str) -> bool {
    value.trim_end_matches('\n').contains('\n')
        && !value.starts_with(char::is_whitespace)
        && !value.chars().any(|c| (ends_line(c) || c.is_control()) && c != '\n')
}

/// `value` as a double-quoted scalar, with escapes that both YAML and Perl's subset of it know.
fn quote(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if ends_line(c) || c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `text` on one line, without control characters, and without white space at its ends.
fn one_line(text: &str) -> String {
    let plain = |c: char| if ends_line(c) || c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect::<String>().trim().to_owned()
}

/// Whether some reader takes `c` for the end of a line.
const fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Collector;
    use crate::suite::ExitStatus;

    #[test]
    fn a_document_with_everything() -> io::Result<()> {
        let mut w = Writer::new(Vec::new())?;
        w.point(&Entry { ok: true, description: "a # b \\ c", directive: None })?;
        w.subtest("net")?;
        w.point(&Entry { ok: false, description: "up {", directive: None })?;
        w.diagnostics(&[("got", "1\n\n2"), ("why", "a \"b\"\u{1b}")])?;
        w.end()?;
        w.point(&Entry { ok: false, description: "net", directive: None })?;
        w.point(&Entry {
            ok: false,
            description: "",
            directive: Some((Directive::Skip, "no nft")),
        })?;
        w.comment("one\ntwo")?;
        let text = String::from_utf8(w.finish()?).unwrap();
        assert_eq!(
            text,
            r#"TAP version 14
ok 1 - a \# b \\ c
# Subtest: net
    not ok 1 - up {.
      ---
      got: |
        1
        
        2
      why: "a \"b\"\x1b"
      ...
    1..1
not ok 2 - net
ok 3 # SKIP no nft
# one
# two
1..3
"#
        );
        Ok(())
    }

    #[test]
    fn our_own_parser_reads_it_back() -> io::Result<()> {
        let mut w = Writer::new(Vec::new())?;
        for text in ["# TODO x", "a\nok 2", "\\# SKIP", "Bail out!", "1..2", "x #todo {"] {
            w.point(&Entry { ok: true, description: text, directive: None })?;
        }
        let mut collector = Collector::default();
        collector.feed(&w.finish()?);
        let suite = collector.finish(ExitStatus::SUCCESS);
        assert_eq!((suite.run, suite.todo, suite.skipped, suite.success()), (6, 0, 0, true));
        Ok(())
    }
}
