//! One test, from its start to its verdict: spawn, read, count, wait.

use super::event::{Event, Finished};
use super::lines::Lines;
use super::process_tree::MARK;
use super::settings::Launch;
use super::shared::Shared;
use super::source::{self, Source};
use super::sys;
use crate::collect::Collector;
use crate::junit::{Case, Recorder};
use crate::parser::{Item, Options};
use crate::suite::{ExitStatus, Suite};
use crate::tally::Progress;
use crossbeam::channel::Sender;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The version of Perl's Test::Harness that `prove` behaves like; tests see it in HARNESS_VERSION.
pub const HARNESS_VERSION: &str = "3.50";
/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// How long the output of a killed test is still read.
const DRAIN: Duration = Duration::from_secs(2);
/// The shortest time between two running counts.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// Exit status of a test that could not be started, as in shells.
const CANNOT_RUN: i32 = 127;
/// The status of a test that was due to start when the run had been stopped already.
const KILLED: ExitStatus = ExitStatus::signal(Signal::SIGKILL as i32);

/// Runs test number `index` and sends its events to `events`.
pub(super) fn run(shared: &Shared, index: usize, events: &Sender<Event>) {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let mut reading = Reading::new(shared, index, events);
    let outcome = read_all(shared, index, &mut reading);
    let (exit, stderr, error) = match outcome {
        Ok((exit, stderr)) => (exit, stderr, None),
        Err(e) => (ExitStatus::Code(CANNOT_RUN), Vec::new(), Some(e.to_string())),
    };
    let timed_out = shared.forget(index);
    let (suite, cases, stdout) = reading.finish(exit);
    let elapsed = clock.elapsed();
    let finished = Finished { suite, started, elapsed, timed_out, error, cases, stdout, stderr };
    let _ = events.send(Event::Done(index, Box::new(finished)));
}

fn read_all(
    shared: &Shared,
    index: usize,
    reading: &mut Reading<'_>,
) -> io::Result<(ExitStatus, Vec<u8>)> {
    let test = &shared.tests[index];
    let words = match source::find(test, &shared.launch)? {
        Source::Tap => {
            let mut file = std::fs::File::open(test)?;
            reading.drain(&mut file, None)?;
            return Ok((ExitStatus::SUCCESS, Vec::new()));
        }
        Source::Command(words) => words,
    };
    let Some((mut child, mut output)) = shared.start(index, || spawn(shared, index, &words))?
    else {
        return Ok((KILLED, Vec::new()));
    };
    let tee = child.stderr.take().map(super::tee::start);
    let give_up = shared.launch.timeout.map(|limit| Instant::now() + limit + DRAIN);
    let read = reading.drain(&mut output, give_up);
    drop(output);
    sys::await_end(&child);
    shared.mark_ended(index);
    let status = child.wait()?;
    read?;
    Ok((status.into(), tee.map(super::tee::Tee::finish).unwrap_or_default()))
}

fn spawn(shared: &Shared, index: usize, words: &[OsString]) -> io::Result<(Child, PipeReader)> {
    let launch = &shared.launch;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env(MARK, shared.mark(index));
    set_environment(&mut command, launch);
    if launch.merge {
        command.stderr(writer.try_clone()?);
    } else if launch.capture {
        command.stderr(Stdio::piped());
    }
    command.stdout(writer);
    if shared.own_group {
        command.process_group(0);
    }
    let named = |e: io::Error| {
        io::Error::new(e.kind(), format!("cannot start `{}`: {e}", words[0].display()))
    };
    Ok((command.spawn().map_err(named)?, reader))
}

/// Sets the variables that Perl's harness sets for a test.
fn set_environment(command: &mut Command, launch: &Launch) {
    command.env("HARNESS_ACTIVE", "1").env("HARNESS_VERSION", HARNESS_VERSION);
    command.env("TAP_VERSION", "14");
    if launch.verbose {
        command.env("HARNESS_IS_VERBOSE", "1").env("TEST_VERBOSE", "1");
    }
    if !launch.libs.is_empty() {
        let inherited = std::env::var_os("PERL5LIB");
        let inherited: Vec<PathBuf> = inherited.iter().flat_map(std::env::split_paths).collect();
        // A path with a colon cannot be passed on; Perl could not read it either.
        if let Ok(paths) = std::env::join_paths(launch.libs.iter().chain(&inherited)) {
            command.env("PERL5LIB", paths);
        }
    }
}

/// Reads a test's output: counts its points, picks the lines to show, and records cases for a
/// report.
struct Reading<'a> {
    index: usize,
    events: &'a Sender<Event>,
    collector: Collector,
    lines: Option<Lines>,
    recorder: Option<Recorder>,
    captured: Vec<u8>,
    counts: bool,
    last_count: Option<Instant>,
    bailed: bool,
}

impl<'a> Reading<'a> {
    fn new(shared: &Shared, index: usize, events: &'a Sender<Event>) -> Self {
        let show = shared.show;
        Self {
            index,
            events,
            collector: Collector::new(Options {
                past_bail: shared.past_bail,
                ..Options::default()
            }),
            lines: Lines::wanted(&show).then(|| Lines::new(show)),
            recorder: shared.launch.capture.then(Recorder::default),
            captured: Vec::new(),
            counts: show.count,
            last_count: None,
            bailed: false,
        }
    }

    /// Reads `from` to its end, or until `give_up`.
    fn drain<R: Read + AsFd>(&mut self, from: &mut R, give_up: Option<Instant>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            if let Some(limit) = give_up
                && !readable(from, limit)?
            {
                return Ok(());
            }
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.chunk(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn chunk(&mut self, bytes: &[u8]) {
        if self.recorder.is_some() {
            super::tee::keep_tail(&mut self.captured, bytes);
        }
        if self.lines.is_none() && self.recorder.is_none() {
            self.collector.feed(bytes);
        } else {
            let mut text = Vec::new();
            let (lines, recorder) = (&mut self.lines, &mut self.recorder);
            self.collector.feed_with(bytes, &mut |item, progress| {
                note(lines, recorder, item, progress, &mut text);
            });
            self.send_text(text);
        }
        if !self.bailed
            && let Some(reason) = self.collector.bailed()
        {
            self.bailed = true;
            let _ = self.events.send(Event::Bail(self.index, reason.to_owned()));
        }
        let progress = self.collector.progress();
        if self.counts
            && progress.run > 0
            && self.last_count.is_none_or(|t| t.elapsed() > COUNT_INTERVAL)
        {
            self.last_count = Some(Instant::now());
            let _ = self.events.send(Event::Count(self.index, progress));
        }
    }

    fn send_text(&self, text: Vec<u8>) {
        if !text.is_empty() {
            let _ = self.events.send(Event::Text(self.index, text));
        }
    }

    fn finish(mut self, exit: ExitStatus) -> (Suite, Vec<Case>, Vec<u8>) {
        let mut text = Vec::new();
        let (lines, recorder) = (&mut self.lines, &mut self.recorder);
        let collector = std::mem::take(&mut self.collector);
        let suite = collector.finish_with(exit, &mut |item, progress| {
            note(lines, recorder, item, progress, &mut text);
        });
        self.send_text(text);
        if !self.bailed
            && let Some(reason) = &suite.bail
        {
            let _ = self.events.send(Event::Bail(self.index, reason.clone()));
        }
        let cases = self.recorder.map(|r| r.into_cases(&suite)).unwrap_or_default();
        (suite, cases, self.captured)
    }
}

fn note(
    lines: &mut Option<Lines>,
    recorder: &mut Option<Recorder>,
    item: &Item<'_>,
    progress: Progress,
    text: &mut Vec<u8>,
) {
    if let Some(lines) = lines {
        lines.item(item, progress, text);
    }
    if let Some(recorder) = recorder {
        recorder.item(item, progress);
    }
}

/// Waits until `from` can be read; `false` if `limit` comes first.
fn readable(from: &impl AsFd, limit: Instant) -> io::Result<bool> {
    loop {
        let left = limit.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if limit <= Instant::now() => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
}
