//! In GitHub Actions: an annotation per failure as it happens, and a summary on the job's page at
//! the end.
//!
//! The runner obeys commands in a step's output, so a test could give it some by printing them.
//! During a run commands are therefore switched off, with a random word that no test knows, and
//! switched on only around our own.

use super::rounds::Rounds;
use super::wording::{detail, failures, head, summary, timeout};
use super::{Reporter, markdown};
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::Event;
use crate::events::tally::Tally;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The most annotations: GitHub shows no more of one step. The summary has the rest.
const ANNOTATIONS_MAX: usize = 10;
/// The most bytes of an annotation's text.
const MESSAGE_BYTES: usize = 4096;
/// The most bytes of a step's summary: GitHub drops a longer one altogether.
const SUMMARY_BYTES: u64 = 1 << 20;

/// The reporter for GitHub Actions.
pub struct Github<W: Write> {
    out: W,
    token: String,
    summary: Option<File>,
    annotated: usize,
    rounds: Rounds,
    /// The attempts that the summary lists, without their points.
    listed: Vec<Attempt>,
}

impl<W: Write> Github<W> {
    /// A reporter that writes its commands to `out` and appends its summary to the file `summary`.
    ///
    /// # Errors
    /// The host has no random numbers.
    pub fn new(out: W, summary: Option<&Path>) -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // A summary that cannot be written is left out: nobody could do anything about it.
        let open = |path| OpenOptions::new().append(true).create(true).open(path).ok();
        let summary = summary.and_then(open);
        let mut github = Self {
            out,
            token,
            summary,
            annotated: 0,
            rounds: Rounds::default(),
            listed: Vec::new(),
        };
        github.say("", false);
        Ok(github)
    }

    /// Writes `commands` while commands are switched on, and switches them off again unless this is
    /// the `last` call.
    fn say(&mut self, commands: &str, last: bool) {
        let on = if commands.is_empty() && !last {
            String::new()
        } else {
            format!("::{}::\n", self.token)
        };
        let off = if last { String::new() } else { format!("::stop-commands::{}\n", self.token) };
        // A write fails only if nobody reads any more.
        let _ = self.out.write_all(format!("{on}{commands}{off}").as_bytes());
        let _ = self.out.flush();
    }

    fn finished(&mut self, attempt: &Attempt) {
        if !(attempt.is_bad() || attempt.is_flaky()) || attempt.retried {
            return;
        }
        // One annotation for a set-up is enough for all tests that could not start without it.
        if self.annotated < ANNOTATIONS_MAX && attempt.blocked_by.is_none() {
            self.annotated += 1;
            let command = annotation(attempt);
            self.say(&command, false);
        }
        if self.listed.len() < markdown::TESTS_MAX {
            let mut listed = attempt.clone();
            listed.points = Default::default();
            self.listed.push(listed);
        }
    }
}

impl<W: Write> Reporter for Github<W> {
    fn event(&mut self, event: &Event, tally: &Tally) {
        match event {
            Event::TestFinished(attempt) => {
                self.rounds.take(attempt);
                self.finished(attempt);
            }
            Event::Finished { took } => {
                self.say("", true);
                if let Some(mut file) = self.summary.take() {
                    let used = file.metadata().map_or(0, |meta| meta.len());
                    let room = SUMMARY_BYTES.saturating_sub(used) as usize;
                    let counts = summary(tally, *took, self.rounds.tests());
                    let text = markdown::summary(&self.listed, tally, &counts, room);
                    let _ = file.write_all(text.as_bytes());
                }
            }
            _ => {}
        }
    }
}

/// `::error file=…,title=…::message`
fn annotation(attempt: &Attempt) -> String {
    let level = if attempt.is_flaky() || attempt.is_excused() { "warning" } else { "error" };
    let title = format!("{} {}{}", attempt.word(), attempt.path, detail(attempt));
    let mut message: Vec<String> = Vec::new();
    match &attempt.outcome {
        Outcome::Errored(trouble) => message.push(trouble.to_string()),
        Outcome::TimedOut { silence } => message.push(timeout(*silence).to_owned()),
        _ => message.extend(attempt.reasons.iter().cloned()),
    }
    failures(&mut message, &attempt.suite);
    let mut message = message.join("\n");
    if message.is_empty() {
        message = attempt.word();
    }
    format!(
        "::{level} file={},title={}::{}\n",
        property(attempt.file()),
        property(&title),
        data(head(&message, MESSAGE_BYTES))
    )
}

/// The text of a command, escaped for the runner.
fn data(text: &str) -> String {
    let plain =
        |c: char| if c.is_control() && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c };
    let text: String = text.chars().map(plain).collect();
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a command's property, escaped for the runner.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::attempts;
    use super::*;
    use std::time::Duration;

    #[test]
    fn text_cannot_leave_its_place_in_a_command() {
        assert_eq!(property("a%,b:\r\n\x1b"), "a%25%2Cb%3A%0D%0A\u{fffd}");
        assert_eq!(data("a::b,c\nd"), "a::b,c%0Ad");
    }

    #[test]
    fn commands_are_off_except_around_our_own() {
        let mut out = Vec::new();
        let mut github = Github::new(&mut out, None).unwrap();
        let token = github.token.clone();
        for attempt in attempts() {
            github.event(&Event::TestFinished(Box::new(attempt)), &Tally::default());
        }
        github.event(&Event::Finished { took: Duration::ZERO }, &Tally::default());
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (on, off) = (format!("::{token}::"), format!("::stop-commands::{token}"));
        assert_eq!((lines[0], *lines.last().unwrap()), (off.as_str(), on.as_str()));
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" file=")) {
            assert_eq!((lines[at - 1], lines[at + 1]), (on.as_str(), off.as_str()), "{line}");
        }
        let error = "::error file=t/bad_test.sh,title=FAIL t/bad_test.sh  (1 of 3 checks failed)::";
        assert_eq!(lines.iter().filter(|line| line.starts_with(error)).count(), 1, "{text}");
        assert!(text.contains("::warning file=t/quarantined_test.sh,"), "{text}");
        assert!(!text.contains("never_test"), "{text}");
    }
}
