//! The report as one TAP 14 document, a subtest per test file, written as files finish.
//!
//! The plan comes last, so that a document that is cut off anywhere fails. A test in quarantine is
//! marked `TODO`, which is TAP's word for a failure that does not count. A test that did not run or
//! has no verdict is `not ok`, because nothing says that it passed.

use super::Reporter;
use super::wording::{head, name, seconds};
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::Event;
use crate::events::points::Point;
use crate::events::tally::Tally;
use crate::text::quote;
use std::io::{self, Write};
use tap::{Directive, Entry, Writer, junit};

/// The most bytes that are written of a failing point's diagnostics, of a console or of standard
/// error.
const TEXT_BYTES: usize = 64 * 1024;

/// The reporter that writes TAP.
pub struct Tap<W: Write> {
    /// `None` once the document is complete, or after a failed write.
    writer: Option<Writer<W>>,
}

impl<W: Write> Tap<W> {
    /// A reporter that writes to `out`.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn new(out: W) -> io::Result<Self> {
        Ok(Self { writer: Some(Writer::new(out)?) })
    }
}

impl<W: Write> Reporter for Tap<W> {
    fn event(&mut self, event: &Event, _: &Tally) {
        let Some(mut writer) = self.writer.take() else { return };
        let written = match event {
            Event::Finished { .. } => {
                // A reader that is gone needs no end.
                let _ = writer.finish();
                return;
            }
            Event::Warning(text) => writer.comment(&format!("warning: {text}")),
            Event::Cancelled { why, .. } => writer.comment(why),
            Event::TestFinished(attempt) if !attempt.retried => file(&mut writer, attempt),
            _ => return self.writer = Some(writer),
        };
        if written.and_then(|()| writer.flush()).is_ok() {
            self.writer = Some(writer);
        }
    }
}

/// One test file: its points as a subtest, then its result. Both have the same name, as TAP
/// requires.
fn file<W: Write>(out: &mut Writer<W>, attempt: &Attempt) -> io::Result<()> {
    let name = name(attempt);
    let points = attempt.points.with_failures(&attempt.suite);
    if !points.is_empty() {
        out.subtest(&name)?;
        for (point, failure) in &points {
            self::point(out, point)?;
            let details = failure.map(junit::details).unwrap_or_default();
            if !details.is_empty() {
                out.diagnostics(&[("said", head(&details, TEXT_BYTES))])?;
            }
        }
        let unlisted = attempt.points.unlisted(&attempt.suite);
        if unlisted > 0 {
            out.comment(&format!("{unlisted} more checks are in the log"))?;
        }
        out.end()?;
    }
    let excuse = format!("in quarantine: {}", attempt.quarantined.as_deref().unwrap_or_default());
    let directive = match &attempt.outcome {
        _ if attempt.is_excused() => Some((Directive::Todo, excuse.as_str())),
        Outcome::Skipped(reason) => Some((Directive::Skip, reason.as_str())),
        _ => None,
    };
    out.point(&Entry { ok: attempt.outcome.is_good(), description: &name, directive })?;
    if attempt.is_flaky() {
        out.comment(&format!("flaky: good at attempt {}", attempt.attempt))?;
    }
    if attempt.outcome.is_good() { Ok(()) } else { explain(out, attempt) }
}

fn point<W: Write>(out: &mut Writer<W>, point: &Point) -> io::Result<()> {
    let directive = match &point.directive {
        Some((Directive::Skip, why)) if point.passed => Some((Directive::Skip, why.as_str())),
        Some((Directive::Todo | Directive::Xfail, why)) => Some((Directive::Todo, why.as_str())),
        _ => None,
    };
    out.point(&Entry { ok: point.is_ok(), description: &point.description, directive })
}

fn explain<W: Write>(out: &mut Writer<W>, attempt: &Attempt) -> io::Result<()> {
    let why = match &attempt.outcome {
        Outcome::Errored(trouble) => trouble.to_string(),
        _ => attempt.reasons.join("\n"),
    };
    let kernel = attempt.kernel_said();
    let time = seconds(attempt.timing.test);
    let log = attempt.dir.as_ref().map(|dir| quote::path(&dir.join("output.log")));
    let entries = [
        ("outcome", attempt.outcome.word()),
        ("why", why.as_str()),
        ("machine", attempt.machine.as_deref().unwrap_or_default()),
        ("time", time.as_str()),
        ("stderr", head(&attempt.stderr_tail, TEXT_BYTES)),
        ("kernel", head(&kernel, TEXT_BYTES)),
        ("log", log.as_deref().unwrap_or_default()),
    ];
    let said: Vec<(&str, &str)> =
        entries.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    out.diagnostics(&said)
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::attempts;
    use super::*;
    use ::tap::{Collector, ExitStatus};
    use std::time::Duration;

    fn document(finish: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut tap = Tap::new(&mut out).unwrap();
        for attempt in attempts() {
            tap.event(&Event::TestFinished(Box::new(attempt)), &Tally::default());
        }
        if finish {
            tap.event(&Event::Finished { took: Duration::ZERO }, &Tally::default());
        }
        out
    }

    fn read(bytes: &[u8]) -> ::tap::Suite {
        let mut collector = Collector::default();
        collector.feed(bytes);
        collector.finish(ExitStatus::SUCCESS)
    }

    #[test]
    fn our_own_parser_reads_it_back() {
        let suite = read(&document(true));
        assert_eq!((suite.run, suite.faults_total), (attempts().len() as u64, 0));
        assert_eq!(suite.skipped, 1);
        assert_eq!(suite.todo, 1);
        let bad: Vec<&str> = suite.failures.iter().map(|f| f.description.as_str()).collect();
        assert_eq!(bad, ["t/bad_test.sh", "t/late_test.sh", "t/lost_test.sh", "t/never_test.sh"]);
        assert_eq!(suite.failures[0].subtests[0].description, "it's # broken");
    }

    #[test]
    fn a_document_that_is_cut_anywhere_is_read_and_does_not_pass() {
        let mut out = Vec::new();
        let mut tap = Tap::new(&mut out).unwrap();
        for attempt in attempts().into_iter().filter(|attempt| attempt.outcome.is_good()) {
            tap.event(&Event::TestFinished(Box::new(attempt)), &Tally::default());
        }
        tap.event(&Event::Finished { took: Duration::ZERO }, &Tally::default());
        let whole = out.trim_ascii_end();
        assert!(read(whole).success());
        for end in 0..whole.len() {
            assert!(!read(&whole[..end]).success(), "cut at {end}");
        }
        let mixed = document(false);
        for end in 0..mixed.len() {
            assert!(!read(&mixed[..end]).success(), "cut at {end}");
        }
    }
}
