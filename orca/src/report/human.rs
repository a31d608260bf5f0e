//! The report for people: a line per finished test, a block per failure, a summary. On a terminal
//! the running tests are redrawn below.
//!
//! The text is the same on a terminal and elsewhere, in the order of events.

use super::paint::{Paint, safe};
use super::progress::Progress;
use super::rounds::Rounds;
use super::screen::Screen;
use super::wording::{counts, detail, front, opening, seconds, summary};
use super::{Reporter, failure, live};
use crate::cancel::Level;
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::{Event, ForkedCase, Start};
use crate::events::points::{self, Point};
use crate::events::tally::Tally;
use crate::host::tty::Attention;
use crate::text::count::count;
use crate::text::quote;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The key that asks for the status.
const STATUS_KEY: u8 = b't';

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// Only failures and the summary.
    Quiet,
    /// Also a line per test.
    Normal,
    /// Also timings and notes.
    Verbose,
    /// Also every check.
    Everything,
}

/// The reporter for people, on standard output.
pub struct Human {
    screen: Screen,
    paint: Paint,
    volume: Volume,
    progress: Progress,
    tally: Tally,
    /// The tally of each kernel, if the run has several.
    kernels: Vec<(String, Tally)>,
    rounds: Rounds,
    /// The tests that are not good: path and outcome.
    failures: Vec<(String, String)>,
    /// How many tests were never started for want of each set-up.
    blocked: BTreeMap<String, usize>,
    log_dir: PathBuf,
    again: Vec<String>,
    ended: bool,
}

impl Human {
    /// A reporter on standard output; with `live` it may redraw a part of a terminal.
    pub fn new(paint: Paint, volume: Volume, live: bool) -> Self {
        Self {
            screen: Screen::new(live && volume > Volume::Quiet),
            paint,
            volume,
            progress: Progress::new(Instant::now()),
            tally: Tally::default(),
            kernels: Vec::new(),
            rounds: Rounds::default(),
            failures: Vec::new(),
            blocked: BTreeMap::new(),
            log_dir: PathBuf::new(),
            again: Vec::new(),
            ended: false,
        }
    }

    /// Prints text above the live part.
    fn say(&mut self, text: &str) {
        let begun = !self.progress.workers.is_empty();
        let live = if begun && !self.ended && self.screen.is_live() {
            let size = self.screen.size();
            live::lines(&self.progress, &self.tally, size, self.paint, Instant::now())
        } else {
            Vec::new()
        };
        self.screen.show(text, live);
    }

    fn text(&mut self, event: &Event) -> String {
        match event {
            Event::Started(start) => self.started(start),
            Event::Warning(text) => {
                format!("{} {}\n", self.paint.warn("warning:"), safe(text))
            }
            Event::TestFinished(attempt) => {
                if let Some(kernel) = &attempt.kernel {
                    tally_of(&mut self.kernels, &kernel.release).take(event);
                }
                self.rounds.take(attempt);
                self.finished(attempt)
            }
            Event::Cancelled { why, level, running } => {
                self.paint.warn(&cancelled(why, *level, *running)) + "\n"
            }
            Event::Finished { took } => self.summary(*took),
            Event::TestForked { path, cases, .. } => self.forked(path, cases),
            Event::MachineStarting { .. }
            | Event::MachineReady { .. }
            | Event::TestStarted { .. }
            | Event::TestProgress { .. } => String::new(),
        }
    }

    fn started(&mut self, start: &Start) -> String {
        self.log_dir.clone_from(&start.log_dir);
        self.again.clone_from(&start.again);
        if self.volume == Volume::Quiet { String::new() } else { opening(start) }
    }

    /// A test that forked has no line of its own unless asked for: its cases have one each.
    fn forked(&mut self, path: &str, cases: &[ForkedCase]) -> String {
        for case in cases {
            if self.again.len() <= case.test {
                self.again.resize(case.test + 1, String::new());
            }
            self.again[case.test].clone_from(&case.again);
        }
        if self.volume < Volume::Verbose {
            return String::new();
        }
        let cases = count(cases.len(), "case");
        format!("FORK             {}  ({cases})\n", safe(path))
    }

    fn finished(&mut self, attempt: &Attempt) -> String {
        let bad = attempt.is_bad();
        let mut text = String::new();
        if self.volume > Volume::Quiet || bad {
            text.push_str(&self.line(attempt));
        }
        let excused = attempt.is_excused();
        if let Some(setup) = attempt.blocked_by.as_ref().filter(|_| bad) {
            // The set-up has the block, and a line in the summary.
            let counts = !excused && !attempt.is_setup();
            *self.blocked.entry(safe(setup)).or_default() += usize::from(counts);
            return text;
        }
        // A test in quarantine gets no block unless asked for: its line says why it is there.
        if bad && !attempt.retried && (!excused || self.volume >= Volume::Verbose) {
            let again = self.again.get(attempt.test).map(String::as_str);
            let again = again.filter(|command| !command.is_empty());
            text.push_str(&failure::block(attempt, again, self.paint));
        }
        if bad && !attempt.retried && !excused {
            self.failures.push((safe(&attempt.path), attempt.word()));
        }
        text
    }

    fn line(&self, attempt: &Attempt) -> String {
        let (word, time) = front(&attempt.word(), attempt.timing.test);
        let word = self.painted(&word, attempt);
        let mut out = format!("{word}{time}  {}{}\n", safe(&attempt.path), detail(attempt));
        if self.volume >= Volume::Verbose {
            out.push_str(&self.paint.faint(&timing(attempt)));
            out.push('\n');
            for note in attempt.notes.iter().filter(|_| attempt.outcome.is_good()) {
                out.push_str(&format!("                 {}\n", safe(note)));
            }
        }
        if self.volume >= Volume::Everything {
            attempt.points.list.iter().for_each(|point| out.push_str(&self.point(point)));
            if attempt.points.left_out > 0 {
                let more = count(attempt.points.left_out, "more check");
                out.push_str(&format!("                 and {more}\n"));
            }
        }
        out
    }

    fn painted(&self, word: &str, attempt: &Attempt) -> String {
        match &attempt.outcome {
            Outcome::Passed if !attempt.is_flaky() => self.paint.good(word),
            outcome if outcome.is_good() || *outcome == Outcome::NotRun => self.paint.warn(word),
            _ if attempt.retried || attempt.is_excused() => self.paint.warn(word),
            _ => self.paint.bad(word),
        }
    }

    fn point(&self, point: &Point) -> String {
        let mut text = format!("{} {}", if point.is_ok() { "ok" } else { "not ok" }, point.number);
        if !point.description.is_empty() {
            text.push_str(&format!(" - {}", safe(&point.description)));
        }
        if let Some((directive, why)) = &point.directive {
            text.push_str(&format!(" # {} {}", points::word(*directive), safe(why)));
        }
        let text = text.trim_end();
        let text = if point.passed { text.to_owned() } else { self.paint.bad(text) };
        format!("                 {text}\n")
    }

    fn slow(&mut self) -> String {
        let now = Instant::now();
        let slow = self.progress.newly_slow(now);
        let line = |(running, elapsed): (super::progress::Running, Duration)| {
            let (word, time) = front("SLOW", elapsed);
            let left = seconds(running.timeout.saturating_sub(elapsed));
            let (word, path) = (self.paint.warn(&word), running.path);
            format!("{word}{time}  {path}  (on {}, timeout in {left})\n", running.machine)
        };
        slow.into_iter().map(line).collect()
    }

    fn summary(&mut self, took: Duration) -> String {
        self.ended = true;
        let mut text = String::new();
        if self.rounds.tests().is_some() {
            for (path, results, bad) in self.rounds.bad() {
                let line = format!("{}: bad in {bad} of {results} rounds\n", safe(path));
                text.push_str(&self.paint.bad(&line));
            }
        } else if self.failures.len() + self.blocked.len() > 1 {
            text.push('\n');
            for (path, word) in &self.failures {
                let blocked = self.blocked.get(path).filter(|tests| **tests > 0);
                let tests = blocked.map(|tests| format!("  ({} never ran)", count(*tests, "test")));
                let tests = tests.unwrap_or_default();
                let word = self.paint.bad(&format!("{word:<7}"));
                text.push_str(&format!("{word} {path}{tests}\n"));
            }
        }
        for (release, tally) in &self.kernels {
            text.push_str(&format!("{}: {}\n", safe(release), counts(tally)));
        }
        let line = summary(&self.tally, took, self.rounds.tests());
        let good = self.tally.is_good();
        text.push_str(&if good { self.paint.good(&line) } else { self.paint.bad(&line) });
        text.push('\n');
        let said = self.volume >= Volume::Verbose || !self.failures.is_empty();
        if said && !self.log_dir.as_os_str().is_empty() {
            text.push_str(&format!("logs: {}\n", quote::line(&quote::path(&self.log_dir))));
        }
        text
    }
}

impl Reporter for Human {
    fn event(&mut self, event: &Event, tally: &Tally) {
        self.tally.clone_from(tally);
        self.progress.follow(event, Instant::now());
        let text = self.text(event);
        // Without text it is soon enough to redraw at the next tick.
        if !text.is_empty() {
            self.say(&text);
        }
        if self.ended {
            self.screen.leave();
        }
    }

    fn tick(&mut self) {
        let mut text = self.slow();
        if self.screen.keys().contains(&STATUS_KEY) {
            text.push_str(&self.progress.status(&self.tally, Instant::now()));
        }
        self.say(&text);
    }

    fn pause(&mut self) {
        self.screen.leave();
    }

    fn is_live(&self) -> bool {
        self.volume > Volume::Quiet
    }

    fn attend(&mut self, asked: Attention) {
        match asked {
            Attention::Status => {
                let status = self.progress.status(&self.tally, Instant::now());
                self.say(&status);
            }
            Attention::Resized | Attention::Resumed => {
                self.screen.forget();
                self.say("");
            }
            Attention::Suspend | Attention::Quit => self.screen.leave(),
        }
    }
}

/// Why the run is to end, and what that means for the running tests.
fn cancelled(why: &str, level: Level, running: usize) -> String {
    let (why, tests) = (safe(why), count(running, "running test"));
    match level {
        _ if running == 0 => why,
        Level::Drain => format!("{why}: waiting for {tests} to end"),
        Level::Cut => format!("{why}: ending {tests}"),
        Level::Kill => format!("{why}: killing {tests}"),
    }
}

fn tally_of<'a>(kernels: &'a mut Vec<(String, Tally)>, release: &str) -> &'a mut Tally {
    let at = kernels.iter().position(|(name, _)| name == release).unwrap_or_else(|| {
        kernels.push((release.to_owned(), Tally::default()));
        kernels.len() - 1
    });
    &mut kernels[at].1
}

fn timing(attempt: &Attempt) -> String {
    let timing = &attempt.timing;
    let machine = attempt.machine.as_deref().unwrap_or("none");
    format!(
        "                 machine {} in {}, test {}, teardown {}",
        safe(machine),
        seconds(timing.ready),
        seconds(timing.test),
        seconds(timing.teardown)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_run_says_what_happens_to_running_tests() {
        let check = |level, running, text| assert_eq!(cancelled("why", level, running), text);
        check(Level::Drain, 2, "why: waiting for 2 running tests to end");
        check(Level::Cut, 1, "why: ending 1 running test");
        check(Level::Kill, 2, "why: killing 2 running tests");
        check(Level::Kill, 0, "why");
    }
}
