//! Prints the progress of a run: one line per test, in order, and a live line on a terminal.
//!
//! The bytes are those of Perl's `prove`. Lines are added only where a subtest failed or
//! contradicts the point it belongs to.

use super::lines::{GREEN, RED, RESET};
use super::row::Row;
use super::settings::{Show, Verbosity};
use super::sys::clock;
use crate::suite::{ExitStatus, Failure};
use crate::tally::Progress;
use std::io::{self, Write};
use std::time::Instant;

/// Width of the live line of a parallel run.
const RULER_WIDTH: usize = 72;
/// How the live line ends when it has to be cut.
const RULER_CUT: &str = "... )===";
/// Lines about subtests shown for one test.
const SUBTEST_LINES_MAX: usize = 30;

/// The printer of a run, in the format of Perl's `prove`.
#[derive(Debug)]
pub(super) struct Printer<W> {
    pub(super) out: W,
    pub(super) show: Show,
    /// Length of the longest name, so that the dots line up.
    longest: usize,
    parallel: bool,
    /// The live line of a parallel run is shown.
    live: bool,
    /// Lines of the test whose turn it is have been shown.
    lines_shown: bool,
    last_count: String,
    started: Instant,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, show: Show, longest: usize, parallel: bool) -> Self {
        Self {
            out,
            show,
            longest,
            parallel,
            live: false,
            lines_shown: false,
            last_count: String::new(),
            started: Instant::now(),
        }
    }

    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    const fn silent(&self) -> bool {
        matches!(self.show.verbosity, Verbosity::ReallyQuiet)
    }

    /// The name and its dots.
    fn pretty(&self, name: &str) -> String {
        let dots = ".".repeat((self.longest + 2).saturating_sub(name.len()));
        let stamp = if self.show.timer { clock() + " " } else { String::new() };
        format!("{stamp}{name} {dots} ")
    }

    /// Begins a test; on a terminal its name is shown at once.
    pub(super) fn open(&mut self, name: &str) -> io::Result<()> {
        self.lines_shown = false;
        self.last_count.clear();
        if self.show.terminal && !self.parallel && !self.silent() {
            let pretty = self.pretty(name);
            self.out.write_all(pretty.as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Shows the running count of the only test that runs.
    pub(super) fn count(&mut self, name: &str, progress: Progress) -> io::Result<()> {
        if !self.show.count || self.silent() || self.show.verbosity == Verbosity::Verbose {
            return Ok(());
        }
        let planned = progress.planned.map_or("?".into(), |n| n.to_string());
        self.last_count = format!("{}/{planned} ", progress.run);
        write!(self.out, "\r{}{}", self.pretty(name), self.last_count)?;
        self.out.flush()
    }

    /// Shows the live line of a parallel run.
    pub(super) fn ruler(&mut self, total: u64, active: &[Progress]) -> io::Result<()> {
        if !self.show.count || self.silent() || active.is_empty() {
            return Ok(());
        }
        let mut text = format!("===( {total:7};{}  ", self.started.elapsed().as_secs());
        for progress in active {
            let planned = progress.planned.map_or("?".into(), |n| n.to_string());
            text.push_str(&format!("{:>width$}/{planned}  ", progress.run, width = planned.len()));
        }
        text.pop();
        text.push_str(")===");
        if text.len() > RULER_WIDTH {
            text.truncate(RULER_WIDTH - RULER_CUT.len());
            text.push_str(RULER_CUT);
        }
        write!(self.out, "\r{text:=<RULER_WIDTH$}")?;
        self.live = true;
        self.out.flush()
    }

    fn clear_ruler(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.live) {
            write!(self.out, "\r{:RULER_WIDTH$}\r", "")?;
        }
        Ok(())
    }

    /// Prints lines of the test whose turn it is, as they come.
    pub(super) fn text(&mut self, name: &str, text: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.lines_shown, true) {
            self.clear_ruler()?;
            if self.parallel || !self.show.terminal {
                let pretty = self.pretty(name);
                self.out.write_all(pretty.as_bytes())?;
            }
            self.out.write_all(b"\n")?;
        }
        self.out.write_all(text)?;
        self.out.flush()
    }

    /// Says that a test asked for all testing to stop.
    pub(super) fn bail(&mut self, reason: &str) -> io::Result<()> {
        self.clear_ruler()?;
        let text = format!("Bailout called.  Further testing stopped:  {reason}\n");
        self.failure(&text)
    }

    /// Prints the result of a test. `text` is those of its lines that have not been shown.
    pub(super) fn close(&mut self, row: &Row, text: &[u8], times: &str) -> io::Result<()> {
        self.clear_ruler()?;
        if self.silent() {
            return Ok(());
        }
        self.name_for_close(row)?;
        let suite = &row.suite;
        let good_line = suite.skip_all.is_some() || !row.errors();
        if suite.skip_all.is_none() && !self.lines_shown && !text.is_empty() {
            self.out.write_all(b"\n")?;
            self.out.write_all(text)?;
        } else if !self.show.terminal && !good_line && !self.lines_shown {
            self.out.write_all(b"\n")?;
        }
        match &suite.skip_all {
            Some(reason) => {
                let reason = if reason.is_empty() { "(no reason given)" } else { reason };
                writeln!(self.out, "skipped: {reason}")?;
            }
            None if row.errors() => self.report_failure(row)?,
            None => {
                let ok = format!("ok{}\n", if self.show.timer { times } else { "" });
                self.colored(GREEN, &ok)?;
            }
        }
        self.subtests(row)?;
        self.out.flush()
    }

    fn name_for_close(&mut self, row: &Row) -> io::Result<()> {
        let pretty = self.pretty(&row.name);
        let serial_console = self.show.terminal && !self.parallel;
        if serial_console && self.show.count && self.show.verbosity != Verbosity::Verbose {
            let width = 1 + pretty.len() + self.last_count.len() + row.suite.run.to_string().len();
            return write!(self.out, "\r{:width$}\r{pretty}", "");
        }
        if serial_console || self.lines_shown {
            return Ok(());
        }
        self.out.write_all(pretty.as_bytes())
    }

    fn report_failure(&mut self, row: &Row) -> io::Result<()> {
        let suite = &row.suite;
        if let ExitStatus::Code(code) = suite.exit
            && code != 0
        {
            let wait = row.wait_status();
            self.failure(&format!("Dubious, test returned {code} (wstat {wait}, 0x{wait:x})\n"))?;
        }
        let run = i128::from(suite.run);
        let total = suite.plan.as_ref().map_or(run, |plan| i128::from(plan.count));
        let failed = i128::from(row.failed()) + total - run;
        if failed == 0 && total > 0 {
            self.failure(&format!("All {total} subtests passed "))?;
        } else if failed == 0 {
            self.failure("No subtests run ")?;
        } else {
            self.failure(&format!("Failed {failed}/{total} subtests "))?;
            if total == 0 {
                self.failure("\nNo tests run!")?;
            }
        }
        if suite.skipped > 0 {
            let many = if suite.skipped == 1 { "" } else { "s" };
            let okay = i128::from(row.passed()) - i128::from(suite.skipped);
            write!(self.out, "\n\t(less {} skipped subtest{many}: {okay} okay)", suite.skipped)?;
        }
        if suite.todo_passed > 0 {
            let tests = if suite.todo_passed > 1 { "tests" } else { "test" };
            write!(self.out, "\n\t({} TODO {tests} unexpectedly succeeded)", suite.todo_passed)?;
        }
        self.out.write_all(b"\n")
    }

    /// Prints what failed inside failing points, and the points that contradict their subtests.
    fn subtests(&mut self, row: &Row) -> io::Result<()> {
        if !matches!(self.show.verbosity, Verbosity::Normal) {
            return Ok(());
        }
        let mut lines = Vec::new();
        for failure in &row.suite.failures {
            if !failure.subtests.is_empty() || !failure.reasons.is_empty() {
                tell(failure, "not ok", 1, &mut lines);
            }
        }
        for failure in &row.suite.contradictions {
            let state = if failure.number == 0 { "no result" } else { "contradiction: ok" };
            tell(failure, state, 1, &mut lines);
        }
        let hidden = lines.len().saturating_sub(SUBTEST_LINES_MAX);
        lines.truncate(SUBTEST_LINES_MAX);
        if hidden > 0 {
            lines.push(format!("  ({hidden} more lines)"));
        }
        for line in lines {
            self.failure(&format!("{line}\n"))?;
        }
        Ok(())
    }

    /// Prints text about a failure.
    pub(super) fn failure(&mut self, text: &str) -> io::Result<()> {
        if !self.show.color {
            return self.out.write_all(text.as_bytes());
        }
        let (line, end) = text.strip_suffix('\n').map_or((text, ""), |line| (line, "\n"));
        write!(self.out, "{RED}{line}{RESET}{end}")
    }

    /// Prints text in a colour, if colours are on.
    pub(super) fn colored(&mut self, color: &str, text: &str) -> io::Result<()> {
        if self.show.color {
            write!(self.out, "{color}{text}{RESET}")
        } else {
            self.out.write_all(text.as_bytes())
        }
    }
}

fn tell(failure: &Failure, state: &str, level: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(level);
    let number = if failure.number == 0 { String::new() } else { format!(" {}", failure.number) };
    let dash = if failure.description.is_empty() { "" } else { " - " };
    lines.push(format!("{indent}{state}{number}{dash}{}", failure.description));
    lines.extend(failure.reasons.iter().map(|reason| format!("{indent}  ({reason})")));
    failure.subtests.iter().for_each(|child| tell(child, "not ok", level + 1, lines));
}
