//! Writes JUnit XML that is a valid document after every suite, so a killed run leaves one too.
//!
//! It keeps to what the schemas in use, Ant's and Jenkins', have in common: an attribute that
//! either requires is always there, and an element that only one of them knows is not used. Any
//! bytes may come in: terminal escapes are dropped, and other control characters become their
//! pictures.

use crate::line::Directive;
use crate::parser::{Item, Kind};
use crate::suite::{self, Failure, Verdict};
use crate::tally::Progress;
use std::io::{self, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

/// Cases kept per suite; a suite that has more says so.
pub const CASES_MAX: usize = 100_000;
/// Bytes of stdout and of stderr kept per suite: the last ones, because they tell most.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
const FOOT: &str = "</testsuites>\n";

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It was not run; the reason.
    Skipped(String),
    /// The test failed.
    Failed {
        /// What failed, in one line.
        message: String,
        /// Everything known about it.
        text: String,
    },
    /// It has no verdict, for a reason outside the test.
    Errored {
        /// What failed, in one line.
        message: String,
        /// Everything known about it.
        text: String,
    },
}

/// One test case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// How long it took; zero if it was not measured.
    pub time: Duration,
    /// Its outcome.
    pub outcome: Outcome,
}

/// One suite, usually a test file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its name; also the class name of its cases.
    pub name: String,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub time: Duration,
    /// Its cases.
    pub cases: Vec<Case>,
    /// What it wrote to stdout; any bytes.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr; any bytes.
    pub stderr: Vec<u8>,
}

/// Writes suites, each as soon as it has ended.
#[derive(Debug)]
pub struct Report<W> {
    out: W,
    suites: usize,
    hostname: String,
}

impl<W: Write + Seek> Report<W> {
    /// Begins a report: from here on `out` holds a valid document.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(HEAD.as_bytes())?;
        out.write_all(FOOT.as_bytes())?;
        out.flush()?;
        Ok(Self { out, suites: 0, hostname: hostname() })
    }

    /// Adds a suite.
    pub fn add(&mut self, suite: &Suite) -> io::Result<()> {
        let mut text = String::new();
        self.render(suite, &mut text);
        text.push_str(FOOT);
        self.out.seek(SeekFrom::End(-(FOOT.len() as i64)))?;
        self.out.write_all(text.as_bytes())?;
        self.suites += 1;
        self.out.flush()
    }

    /// Returns the underlying writer.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn render(&self, suite: &Suite, out: &mut String) {
        let count =
            |is: fn(&Outcome) -> bool| suite.cases.iter().filter(|c| is(&c.outcome)).count();
        out.push_str(&format!(
            "<testsuite name=\"{}\" package=\"\" id=\"{}\" timestamp=\"{}\" hostname=\"{}\" \
             tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\">\n\
             <properties/>\n",
            attribute(suite.name.as_bytes()),
            self.suites,
            timestamp(suite.started),
            attribute(self.hostname.as_bytes()),
            suite.cases.len(),
            count(|o| matches!(o, Outcome::Failed { .. })),
            count(|o| matches!(o, Outcome::Errored { .. })),
            count(|o| matches!(o, Outcome::Skipped(_))),
            seconds(suite.time),
        ));
        for case in &suite.cases {
            render_case(&suite.name, case, out);
        }
        for (tag, bytes) in [("system-out", &suite.stdout), ("system-err", &suite.stderr)] {
            let tail = &bytes[bytes.len().saturating_sub(OUTPUT_BYTES_MAX)..];
            out.push_str(&format!("<{tag}>"));
            if tail.len() < bytes.len() {
                out.push_str(&format!("({} bytes left out)\n", bytes.len() - tail.len()));
            }
            out.push_str(&text(tail));
            out.push_str(&format!("</{tag}>\n"));
        }
        out.push_str("</testsuite>\n");
    }
}

fn render_case(class: &str, case: &Case, out: &mut String) {
    out.push_str(&format!(
        "<testcase name=\"{}\" classname=\"{}\" time=\"{}\"",
        attribute(case.name.as_bytes()),
        attribute(class.as_bytes()),
        seconds(case.time),
    ));
    let (tag, message, body) = match &case.outcome {
        Outcome::Passed => return out.push_str("/>\n"),
        Outcome::Skipped(reason) => {
            let reason = attribute(reason.as_bytes());
            return out.push_str(&format!("><skipped message=\"{reason}\"/></testcase>\n"));
        }
        Outcome::Failed { message, text } => ("failure", message, text),
        Outcome::Errored { message, text } => ("error", message, text),
    };
    out.push_str(&format!(
        ">\n<{tag} message=\"{}\" type=\"{tag}\">{}</{tag}>\n</testcase>\n",
        attribute(message.as_bytes()),
        text(body.as_bytes()),
    ));
}

/// Records the points of a stream as cases while a [`crate::Collector`] reads it.
#[derive(Debug, Default)]
pub struct Recorder {
    cases: Vec<Case>,
    /// The line of each case, in order.
    lines: Vec<u64>,
    seen: Progress,
    left_out: u64,
}

impl Recorder {
    /// Takes an item and the progress after it, as [`crate::Collector::feed_with`] gives them.
    pub fn item(&mut self, item: &Item<'_>, progress: Progress) {
        let Kind::Point(point) = item.kind else { return };
        if item.depth > 0 {
            return;
        }
        let failed = progress.failed > self.seen.failed;
        self.seen = progress;
        if self.cases.len() >= CASES_MAX {
            self.left_out += 1;
            return;
        }
        let described = crate::text::describe(point.description, 4096);
        let number = point.number.map_or(progress.run, |n| n.value);
        let reason = |text| String::from_utf8_lossy(&crate::text::unescape(text)).into_owned();
        let outcome = match point.directive {
            _ if failed => Outcome::Failed { message: described.clone(), text: String::new() },
            Some((Directive::Skip, why)) => Outcome::Skipped(reason(why)),
            Some((Directive::Todo | Directive::Xfail, why)) if !point.ok => {
                Outcome::Skipped(format!("TODO {}", reason(why)).trim_end().to_owned())
            }
            _ => Outcome::Passed,
        };
        let name = if described.is_empty() {
            number.to_string()
        } else {
            format!("{number} - {described}")
        };
        self.cases.push(Case { name, time: Duration::ZERO, outcome });
        self.lines.push(item.line);
    }

    /// The cases of the finished stream: failures with their details, and one more case for what
    /// failed the stream as a whole.
    pub fn into_cases(mut self, suite: &suite::Suite) -> Vec<Case> {
        for failure in &suite.failures {
            if let Ok(at) = self.lines.binary_search(&failure.line) {
                let message = self.cases[at].name.clone();
                self.cases[at].outcome = Outcome::Failed { message, text: details(failure) };
            }
        }
        if self.left_out > 0 {
            let name = format!("{} more points, not listed", self.left_out);
            self.cases.push(Case { name, time: Duration::ZERO, outcome: Outcome::Passed });
        }
        let mut reasons = suite.reasons();
        reasons.retain(|reason| !reason.starts_with("failed "));
        if !reasons.is_empty() {
            let (message, text) = (reasons.join("; "), reasons.join("\n"));
            let outcome = Outcome::Failed { message, text };
            self.cases.push(Case { name: "(whole file)".into(), time: Duration::ZERO, outcome });
        } else if suite.verdict() == Verdict::Skip {
            let reason = suite.skip_all.clone().unwrap_or_default();
            let outcome = Outcome::Skipped(reason);
            self.cases.push(Case { name: "(whole file)".into(), time: Duration::ZERO, outcome });
        }
        self.cases
    }
}

/// Everything known about a failing point, with its subtests indented below.
pub fn details(failure: &Failure) -> String {
    let mut out = String::new();
    let mut put = |line: &str| {
        out.push_str(line);
        out.push('\n');
    };
    failure.reasons.iter().for_each(|r| put(r));
    failure.comments.iter().for_each(|c| put(c));
    failure.yaml.iter().flat_map(|y| y.lines()).for_each(&mut put);
    for child in &failure.subtests {
        put(&format!("not ok {} - {}", child.number, child.description));
        for line in details(child).lines() {
            put(&format!("    {line}"));
        }
    }
    out
}

/// Bytes as XML text.
fn text(bytes: &[u8]) -> String {
    encode(bytes, false)
}

/// Bytes as the value of an XML attribute.
fn attribute(bytes: &[u8]) -> String {
    encode(bytes, true)
}

fn encode(bytes: &[u8], attribute: bool) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(lossy.len() + lossy.len() / 16);
    let mut chars = lossy.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' | '\t' if attribute => out.push_str(&format!("&#{};", u32::from(c))),
            '\n' | '\t' => out.push(c),
            '\r' => out.push_str("&#13;"),
            '\u{1b}' => skip_escape(&mut chars),
            '\0'..'\u{20}' => out.extend(char::from_u32(0x2400 + u32::from(c))),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..'\u{a0}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Skips the rest of a terminal's escape sequence, after its ESC.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            chars.next_if(|c| matches!(c, '@'..='~'));
        }
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while chars.next_if(|&c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            chars.next_if(|&c| c == '\u{7}');
        }
        Some('(' | ')' | '#') => {
            chars.next();
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => {
            chars.next();
        }
        _ => {}
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// `time` in UTC as the schemas want it: `2024-02-29T12:00:00`.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = crate::date::civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

fn hostname() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
    name.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).unwrap_or("localhost".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_becomes_legal_text() {
        assert_eq!(
            text(b"a<b>&\"\x1b[1;31mred\x1b[0m\0\xff\r\n"),
            "a&lt;b&gt;&amp;\"red\u{2400}\u{fffd}&#13;\n"
        );
        assert_eq!(text(b"\x1b]0;title\x07x\x1b(By\x1b"), "xy");
        assert_eq!(attribute(b"\"a\nb\""), "&quot;a&#10;b&quot;");
        assert_eq!(text("\u{ffff}\u{85}]]>".as_bytes()), "\u{fffd}\u{fffd}]]&gt;");
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        let at = |secs| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!(at(0), "1970-01-01T00:00:00");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(at(1_709_210_096), "2024-02-29T12:34:56");
        assert_eq!(at(4_102_444_800), "2100-01-01T00:00:00");
    }
}
