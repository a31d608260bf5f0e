//! The report for people: a line per finished test, a block per failure, a summary; on a terminal, what runs now below them.

use super::Reporter;
use super::failure;
use super::live::{Live, seconds};
use super::paint::{Paint, safe};
use crate::event::{Attempt, Event, Outcome, Start};
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// Failures and the summary.
    Quiet,
    /// A line per test.
    Normal,
    /// Timings, notes.
    Verbose,
    /// Every point.
    Everything,
}

/// See the module.
pub struct Human {
    out: io::Stdout,
    paint: Paint,
    volume: Volume,
    live: Option<Live>,
    terminal: bool,
    /// Lines of the live part on the screen.
    drawn: usize,
    tally: Tally,
    /// The same for each of several kernels.
    kernels: Vec<(String, Tally)>,
    failures: Vec<(String, &'static str)>,
    /// How often each test has had a result, and a bad one.
    rounds: BTreeMap<String, (usize, usize)>,
    /// Whether there was a second round.
    repeated: bool,
    log_dir: PathBuf,
}

impl Human {
    /// A reporter on standard output.
    pub fn new(paint: Paint, volume: Volume) -> Human {
        let out = io::stdout();
        Human {
            paint,
            terminal: out.is_terminal() && volume > Volume::Quiet,
            out,
            volume,
            live: None,
            drawn: 0,
            tally: Tally::default(),
            kernels: Vec::new(),
            failures: Vec::new(),
            rounds: BTreeMap::new(),
            repeated: false,
            log_dir: PathBuf::new(),
        }
    }

    /// Prints text above the live part.
    fn say(&mut self, text: &str) {
        let mut bytes = self.erase();
        bytes.push_str(text);
        self.write(&bytes);
        self.draw();
    }

    /// A reader that is gone (`| head`) must not end the run: the status tells the result all the same.
    fn write(&mut self, text: &str) {
        let mut out = self.out.lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }

    fn draw(&mut self) {
        let Some(live) = self.live.as_ref().filter(|_| self.terminal) else { return };
        let (columns, rows) = crate::tty::size(&self.out).unwrap_or((80, 24));
        let lines = live.lines(&self.tally, columns.into(), rows.into(), self.paint);
        self.drawn = lines.len();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.write(&text);
    }

    fn started(&mut self, start: &Start) {
        self.log_dir.clone_from(&start.log_dir);
        self.live = Some(Live::new(start.workers, start.tests.len()));
        if self.volume > Volume::Quiet {
            let (tests, workers) = (start.tests.len(), start.workers);
            let text = format!(
                "running {tests} test file{} on {workers} machine{} ({})\n",
                plural(tests),
                plural(workers),
                start.machine
            );
            self.say(&text);
        }
        if let Some(seed) = start.seed {
            self.say(&format!("shuffled; the same order again: --shuffle={seed}\n"));
        }
    }

    fn finished(&mut self, attempt: &Attempt) {
        let bad = !attempt.outcome.is_good() && attempt.outcome != Outcome::NotRun;
        let quiet = self.volume == Volume::Quiet;
        let mut text = String::new();
        if !quiet || bad {
            text.push_str(&self.line(attempt));
        }
        self.repeated |= attempt.round > 1;
        if !attempt.retried {
            let (results, bad_ones) = self.rounds.entry(attempt.path.clone()).or_default();
            *results += usize::from(attempt.outcome != Outcome::NotRun);
            *bad_ones += usize::from(bad);
        }
        let counts = attempt.quarantined.is_none();
        // Of what is in quarantine a line that says why is enough for most.
        if bad && !attempt.retried && (counts || self.volume >= Volume::Verbose) {
            text.push_str(&failure::block(attempt, self.paint));
        }
        if bad && !attempt.retried && counts {
            self.failures.push((safe(&attempt.path), attempt.outcome.word()));
        }
        if !text.is_empty() {
            self.say(&text);
        }
    }

    fn line(&self, attempt: &Attempt) -> String {
        let word = match &attempt.outcome {
            Outcome::Passed if attempt.is_flaky() => "FLAKY".to_owned(),
            outcome if in_quarantine(attempt, outcome) => "QUARANTINE".to_owned(),
            outcome => outcome.word().to_uppercase(),
        };
        let word = format!("{word:<7}");
        let word = match &attempt.outcome {
            Outcome::Passed if !attempt.is_flaky() => self.paint.good(&word),
            Outcome::Passed | Outcome::Skipped(_) | Outcome::NotRun => self.paint.warn(&word),
            _ if attempt.retried || attempt.quarantined.is_some() => self.paint.warn(&word),
            _ => self.paint.bad(&word),
        };
        let time = seconds(attempt.timing.test);
        let (path, detail) = (safe(&attempt.path), detail(attempt));
        let round =
            if attempt.round > 1 { format!("  round {}", attempt.round) } else { String::new() };
        let mut out = format!("{word} {time:>7}  {path}{detail}{round}\n");
        if self.volume >= Volume::Verbose {
            out.push_str(&self.paint.faint(&timing(attempt)));
            for note in attempt.notes.iter().filter(|_| attempt.outcome.is_good()) {
                out.push_str(&format!("                 {}\n", safe(note)));
            }
        }
        out
    }

    fn summary(&mut self, took: Duration) {
        self.live = None;
        let mut text = self.erase();
        let tally = &self.tally;
        if self.repeated {
            for (path, (results, bad)) in self.rounds.iter().filter(|(_, (_, bad))| *bad > 0) {
                let line = format!("{}: bad in {bad} of {results} rounds\n", safe(path));
                text.push_str(&self.paint.bad(&line));
            }
        } else if self.failures.len() > 1 {
            text.push('\n');
            for (path, word) in &self.failures {
                text.push_str(&format!(
                    "{} {path}\n",
                    self.paint.bad(&format!("{:<7}", word.to_uppercase()))
                ));
            }
        }
        for (release, tally) in &self.kernels {
            text.push_str(&format!("{}: {}\n", safe(release), counts(tally)));
        }
        let files = tally.files();
        let what = match self.repeated {
            true => format!(
                "{files} runs of {} test file{}",
                self.rounds.len(),
                plural(self.rounds.len())
            ),
            false => format!("{files} test file{}", plural(files)),
        };
        let line = format!(
            "{what}, {} check{} in {}: {}",
            tally.points,
            plural(tally.points as usize),
            seconds(took),
            counts(tally)
        );
        let good = tally.bad() + tally.not_run == 0;
        let line = if good { self.paint.good(&line) } else { self.paint.bad(&line) };
        text.push_str(&format!("{line}\n"));
        if !good || self.volume >= Volume::Verbose {
            text.push_str(&format!("logs: {}\n", self.log_dir.display()));
        }
        self.write(&text);
    }
}

impl Reporter for Human {
    fn pause(&mut self) {
        let text = self.erase();
        self.write(&text);
    }

    fn event(&mut self, event: &Event, tally: &Tally) {
        self.tally.clone_from(tally);
        if let Some(live) = &mut self.live {
            live.follow(event);
        }
        match event {
            Event::Started(start) => self.started(start),
            Event::Warning(text) => {
                self.say(&format!("{} {}\n", self.paint.warn("warning:"), safe(text)))
            }
            Event::TestFinished(attempt) => {
                if let Some(kernel) = &attempt.kernel {
                    tally_of(&mut self.kernels, &kernel.release).take(event);
                }
                self.finished(attempt);
            }
            Event::Cancelled { why, running } => {
                let text = format!("{why}: {running} running test{} to end\n", plural(*running));
                self.say(&self.paint.warn(&text));
            }
            Event::Finished { took } => self.summary(*took),
            Event::MachineStarting { .. }
            | Event::MachineReady { .. }
            | Event::TestStarted { .. }
            | Event::TestProgress { .. } => {}
        }
    }

    fn tick(&mut self) {
        let erase = self.erase();
        self.write(&erase);
        self.draw();
    }

    fn is_live(&self) -> bool {
        self.terminal
    }
}

/// Whether a bad result does not count.
fn in_quarantine(attempt: &Attempt, outcome: &Outcome) -> bool {
    attempt.quarantined.is_some() && !outcome.is_good() && *outcome != Outcome::NotRun
}

/// What stands behind the path: how many checks, why not.
fn detail(attempt: &Attempt) -> String {
    let suite = &attempt.suite;
    let (_, failed, skipped) = suite.summary();
    if let Some(why) =
        attempt.quarantined.as_ref().filter(|_| in_quarantine(attempt, &attempt.outcome))
    {
        return format!("  ({}: {})", attempt.outcome.word(), safe(why));
    }
    match &attempt.outcome {
        Outcome::Passed => {
            let mut out = format!("  ({} check{}", suite.run, plural(suite.run as usize));
            for (count, word) in [(skipped, "skipped"), (suite.todo, "to do")] {
                if count > 0 {
                    out.push_str(&format!(", {count} {word}"));
                }
            }
            out + ")"
        }
        Outcome::Skipped(reason) => format!("  ({})", safe(reason)),
        Outcome::Failed if failed > 0 => format!("  ({failed} of {} checks failed)", suite.run),
        Outcome::Failed => {
            attempt.reasons().first().map(|why| format!("  ({})", safe(why))).unwrap_or_default()
        }
        Outcome::Errored(trouble) => {
            let again = if attempt.retried { "; trying again" } else { "" };
            format!("  ({}{again})", safe(&trouble.to_string()))
        }
        Outcome::TimedOut { .. } | Outcome::NotRun => String::new(),
    }
}

/// What came of the files, in words.
fn counts(tally: &Tally) -> String {
    let mut parts = vec![format!("{} passed", tally.passed)];
    for (count, word) in [
        (tally.failed, "failed"),
        (tally.timed_out, "timed out"),
        (tally.errored, "without a verdict"),
        (tally.quarantined, "in quarantine"),
        (tally.skipped, "skipped"),
        (tally.not_run, "not run"),
        (tally.flaky, "flaky"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    parts.join(", ")
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
    format!(
        "                 machine {} in {}, test {}, teardown {}\n",
        if attempt.machine.is_empty() { "none" } else { &attempt.machine },
        seconds(timing.ready),
        seconds(timing.test),
        seconds(timing.teardown)
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
