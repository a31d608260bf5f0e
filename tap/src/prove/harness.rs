//! The run: takes the workers' events, prints in order, enforces deadlines, and returns a result.
//!
//! Only this thread prints, and only it decides to kill. The run ends when all tests have ended,
//! after a bail out, or on a signal. Workers that cannot end are left to end with the process.

use super::error::Error;
use super::event::{Event, Finished};
use super::printer::Printer;
use super::row::{Row, shown};
use super::settings::{Settings, Verbosity};
use super::shared::Shared;
use super::state::{Observation, StateFile};
use super::summary::{self, Status, Stopwatch};
use super::{exit, pool, sys};
use crate::junit::{self, Report};
use crate::suite::ExitStatus;
use crate::tally::Progress;
use crossbeam::channel::{Receiver, at, bounded, never, select};
use signal_hook::consts::{SIGHUP, SIGTERM};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a test may go on after its bail out, so that the rest of its output is read.
const BAIL_GRACE: Duration = Duration::from_secs(1);
/// How long the end of that test is awaited once it has been killed.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// Bytes of lines kept of a test that waits for its turn to be printed.
const HELD_BYTES_MAX: usize = 16 << 20;

/// How a run ended.
enum End {
    Complete,
    Bailed(String),
    Interrupted,
}

/// Runs `tests` and returns the exit status.
pub(super) fn run(
    settings: &Settings,
    tests: Vec<OsString>,
    state: &mut StateFile,
) -> Result<u8, Error> {
    let report = settings.junit.as_ref().map(|path| {
        let open = File::create(path).and_then(Report::new);
        open.map_err(|e| Error::usage(format!("cannot write `{}`: {e}", path.display())))
    });
    let mut harness = Harness::new(settings, tests, report.transpose()?);
    let signals = signals();
    let events = pool::start(&harness.shared, settings.jobs)
        .map_err(|e| Error::usage(format!("cannot start a thread: {e}")))?;
    let outcome = harness.drive(&events, &signals).and_then(|end| harness.conclude(end, state));
    outcome.unwrap_or_else(|e| {
        harness.shared.stop(None);
        match e.kind() {
            io::ErrorKind::BrokenPipe => Ok(exit::FAIL),
            _ => Err(Error::usage(format!("cannot write the output: {e}"))),
        }
    })
}

/// A channel that reports the first SIGINT, SIGHUP or SIGTERM. `ctrlc` handles SIGINT and
/// `signal-hook` the other two: `ctrlc`'s feature for all three would take them in orca too, which
/// must know which signal came.
fn signals() -> Receiver<()> {
    let (sender, receiver) = bounded(1);
    let interrupts = sender.clone();
    let handler = move || {
        let _ = interrupts.try_send(());
    };
    if let Ok(mut others) = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP]) {
        let forward = move || {
            for _ in others.forever() {
                let _ = sender.try_send(());
            }
        };
        // Without the thread these two signals end the process, as they do by default.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(forward);
    }
    // Fails only if the surrounding program has a handler already; that one then decides.
    match ctrlc::set_handler(handler) {
        Ok(()) => receiver,
        Err(_) => never(),
    }
}

/// A test that has begun but has not been printed.
#[derive(Default)]
struct Held {
    text: Vec<u8>,
    left_out: usize,
    progress: Progress,
    finished: Option<Box<Finished>>,
}

/// The test that bailed out first.
struct Bail {
    index: usize,
    reason: String,
    /// When it is killed; once killed, when it is given up.
    limit: Instant,
    killed: bool,
}

struct Harness<'a> {
    settings: &'a Settings,
    shared: Arc<Shared>,
    printer: Printer<BufWriter<Stdout>>,
    report: Option<Report<File>>,
    clock: Stopwatch,
    test_clock: Stopwatch,
    held: BTreeMap<usize, Held>,
    /// The index of the test that is printed next.
    head: usize,
    /// Points of tests that have been printed.
    points: u64,
    rows: Vec<Row>,
    bail: Option<Bail>,
}

impl<'a> Harness<'a> {
    fn new(settings: &'a Settings, tests: Vec<OsString>, report: Option<Report<File>>) -> Self {
        let longest = tests.iter().map(|test| shown(test).len()).max().unwrap_or(0);
        let parallel = settings.jobs > 1 && tests.len() > 1;
        let out = BufWriter::new(io::stdout());
        Self {
            settings,
            shared: Arc::new(Shared::new(tests, settings)),
            printer: Printer::new(out, settings.show, longest, parallel),
            report,
            clock: Stopwatch::start(),
            test_clock: Stopwatch::start(),
            held: BTreeMap::new(),
            head: 0,
            points: 0,
            rows: Vec::new(),
            bail: None,
        }
    }

    fn name(&self, index: usize) -> String {
        shown(&self.shared.tests[index])
    }

    fn drive(&mut self, events: &Receiver<Event>, signals: &Receiver<()>) -> io::Result<End> {
        if self.shared.tests.is_empty() {
            return Ok(End::Complete);
        }
        loop {
            let due = self.shared.enforce_timeout();
            let grace = self.bail.as_ref().map(|bail| bail.limit);
            let wake = due.into_iter().chain(grace).min();
            let timer = wake.map_or_else(never, at);
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.event(event)?,
                    Err(_) => return Ok(self.ended()),
                },
                recv(signals) -> _ => {
                    self.shared.stop(None);
                    return Ok(End::Interrupted);
                }
                recv(timer) -> _ => if self.is_stuck() {
                    return Ok(self.ended());
                },
            }
            if self.bail.as_ref().is_some_and(|bail| self.finished(bail.index)) {
                return Ok(self.ended());
            }
        }
    }

    /// Kills the test that bailed out, if it goes on too long. Returns whether it has outlived even
    /// that.
    fn is_stuck(&mut self) -> bool {
        let now = Instant::now();
        let Some(bail) = self.bail.as_mut().filter(|bail| bail.limit <= now) else { return false };
        if bail.killed {
            return true;
        }
        bail.killed = true;
        bail.limit = now + KILL_GRACE;
        self.shared.kill(bail.index);
        false
    }

    fn finished(&self, index: usize) -> bool {
        index < self.head || self.held.get(&index).is_some_and(|held| held.finished.is_some())
    }

    fn ended(&mut self) -> End {
        self.bail.take().map_or(End::Complete, |bail| End::Bailed(bail.reason))
    }

    fn event(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Start(index) => {
                self.held.insert(index, Held::default());
                if index == self.head {
                    let name = self.name(index);
                    self.printer.open(&name)?;
                }
            }
            Event::Text(index, text) => self.text(index, &text)?,
            Event::Count(index, progress) => self.count(index, progress)?,
            Event::Bail(index, reason) => {
                if self.bail.is_none() {
                    if self.settings.jobs == 1 {
                        self.printer.bail(&reason)?;
                    }
                    let limit = Instant::now() + BAIL_GRACE;
                    self.bail = Some(Bail { index, reason, limit, killed: false });
                    self.shared.stop(Some(index));
                }
            }
            Event::Done(index, finished) => {
                self.held.entry(index).or_default().finished = Some(finished);
                self.print_ready()?;
            }
        }
        Ok(())
    }

    /// Prints the lines of the test whose turn it is at once on a terminal, or if there are too
    /// many to keep. Keeps other lines until the test has ended.
    fn text(&mut self, index: usize, text: &[u8]) -> io::Result<()> {
        let name = self.name(index);
        let Some(held) = self.held.get_mut(&index) else { return Ok(()) };
        let full = held.text.len() + text.len() > HELD_BYTES_MAX;
        if index == self.head && (self.settings.show.terminal || full) {
            let earlier = std::mem::take(&mut held.text);
            return self.printer.text(&name, &[&earlier, text].concat());
        }
        if full {
            held.left_out += text.len();
        } else {
            held.text.extend_from_slice(text);
        }
        Ok(())
    }

    fn count(&mut self, index: usize, progress: Progress) -> io::Result<()> {
        if let Some(held) = self.held.get_mut(&index) {
            held.progress = progress;
        }
        if self.settings.jobs == 1 {
            let name = self.name(index);
            return self.printer.count(&name, progress);
        }
        self.ruler()
    }

    fn ruler(&mut self) -> io::Result<()> {
        if self.settings.show.verbosity == Verbosity::Verbose {
            return Ok(());
        }
        let active: Vec<Progress> =
            self.held.values().filter(|held| held.finished.is_none()).map(|h| h.progress).collect();
        let running: u64 = self.held.values().map(|held| held.progress.run).sum();
        self.printer.ruler(self.points + running, &active)
    }

    /// Prints every test whose turn has come.
    fn print_ready(&mut self) -> io::Result<()> {
        while let Some(mut held) = self.held.remove(&self.head) {
            let Some(finished) = held.finished.take() else {
                self.held.insert(self.head, held);
                break;
            };
            self.print_test(self.head, held, *finished)?;
            self.head += 1;
            if let Some(next) = self.held.get_mut(&self.head) {
                let text = std::mem::take(&mut next.text);
                let name = self.name(self.head);
                self.printer.open(&name)?;
                if !text.is_empty() {
                    self.text(self.head, &text)?;
                }
            }
        }
        if self.settings.jobs > 1 { self.ruler() } else { Ok(()) }
    }

    fn print_test(&mut self, index: usize, mut held: Held, finished: Finished) -> io::Result<()> {
        let row = Row::new(self.shared.tests[index].clone(), &finished, self.settings);
        if held.left_out > 0 {
            let note = format!("({} bytes of output left out)\n", held.left_out);
            held.text.extend_from_slice(note.as_bytes());
        }
        if self.settings.jobs > 1
            && let Some(reason) = &row.suite.bail
        {
            self.printer.bail(reason)?;
        }
        let times = if self.settings.show.timer {
            self.test_clock.test(row.elapsed)
        } else {
            String::new()
        };
        self.printer.close(&row, &held.text, &times)?;
        if let Some(error) = &finished.error {
            let _ = writeln!(io::stderr(), "prove: cannot run `{}`: {error}", row.name);
        }
        self.test_clock = Stopwatch::start();
        self.points += row.suite.run;
        if let Some(report) = &mut self.report {
            report.add(&junit_suite(&row, finished))?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// After the last event: prints the held tests that ended by themselves, then the summary.
    fn conclude(&mut self, end: End, state: &mut StateFile) -> io::Result<Result<u8, Error>> {
        let bailed = matches!(end, End::Bailed(_));
        let stopped = !matches!(end, End::Complete);
        for (index, mut held) in std::mem::take(&mut self.held) {
            if let Some(finished) = held.finished.take()
                && (!stopped || !was_killed(&finished) || finished.suite.bail.is_some())
            {
                self.print_test(index, held, *finished)?;
            }
        }
        if matches!(end, End::Interrupted) && !self.settings.trap {
            self.printer.out.flush()?;
            sys::die_of_interrupt();
        }
        if stopped {
            self.printer.out.write_all(b"\n")?;
        }
        let status = summary::print(&mut self.printer, &self.rows, &self.clock, stopped)?;
        if matches!(end, End::Interrupted) {
            sys::die_of_interrupt();
        }
        for row in &self.rows {
            state.observe(&row.test, observation(row));
        }
        if let Err(error) = state.commit() {
            return Ok(Err(error));
        }
        if let End::Bailed(reason) = end {
            let tail = if reason.is_empty() { ".".to_owned() } else { format!(": {reason}") };
            let _ = writeln!(io::stderr(), "FAILED--Further testing stopped{tail}");
        }
        Ok(Ok(match status {
            _ if bailed => self.bail_status(),
            Status::Fail => exit::FAIL,
            Status::Pass | Status::NoTests => exit::PASS,
        }))
    }
}

impl Harness<'_> {
    /// Perl's `prove` exits with the status of the test that bailed out, or 255 if that is 0.
    fn bail_status(&self) -> u8 {
        let exit = self.rows.iter().find(|row| row.suite.bail.is_some()).map(|row| row.suite.exit);
        match exit {
            Some(ExitStatus::Code(code)) if code != 0 => u8::try_from(code).unwrap_or(exit::BAIL),
            _ => exit::BAIL,
        }
    }
}

/// Whether SIGKILL ended a test, as it ends every test that still runs after a bail out.
fn was_killed(finished: &Finished) -> bool {
    matches!(finished.suite.exit, ExitStatus::Signal { signal: 9, .. })
}

fn observation(row: &Row) -> Observation {
    Observation {
        failed: row.failed(),
        problems: row.errors(),
        todo: row.suite.todo,
        elapsed: row.elapsed.as_secs_f64(),
    }
}

fn junit_suite(row: &Row, finished: Finished) -> junit::Suite {
    let mut cases = finished.cases;
    for text in &row.extra {
        let outcome = junit::Outcome::Failed { message: text.clone(), text: text.clone() };
        cases.push(junit::Case { name: "(prove)".into(), time: Duration::ZERO, outcome });
    }
    junit::Suite {
        name: row.name.clone(),
        started: finished.started,
        time: finished.elapsed,
        cases,
        stdout: finished.stdout,
        stderr: finished.stderr,
    }
}
