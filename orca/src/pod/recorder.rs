//! The recorder: a test's output goes to files and to the parser here, and nowhere else.
//!
//! Everything is bounded: the logs in size, the tails in memory, the artifacts in number and size.
//! A note says what was cut off.

use super::before::Before;
use super::job::{Job, Message};
use crate::events::attempt::{Complaints, TestId};
use crate::events::event::Event;
use crate::events::points::Points;
use crate::machine::Sink;
use agent::wire::{ARTIFACTS_BYTES_MAX, ARTIFACTS_DEPTH_MAX, ARTIFACTS_FILES_MAX, Ended};
use crossbeam::channel::Sender;
use memchr::memmem;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// The most bytes of output that a log keeps. The parser reads all of it.
pub(super) const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// How much of a log is copied at a time, in bytes.
const COPY_BYTES: usize = 64 * 1024;
/// The most bytes of standard error that are kept in memory.
const STDERR_TAIL: usize = 4 * 1024;
/// The most notes that are kept.
const NOTES_MAX: usize = 50;
/// The most lines of kernel complaints that are kept.
const KERNEL_LINES: usize = 200;
/// The most kernel complaints whose first line is kept.
const COMPLAINTS_MAX: usize = 10;
/// What programs say where a file system is full.
const NO_ROOM: &[u8] = b"No space left on device";
/// The note of a test that said so, cleared away what it wrote, and failed. One that leaves its
/// files there has a note of the agent's, which knows the file system.
const NO_ROOM_NOTE: &str =
    "it had no space left: docs/share.md says what gives it more (--memory, --share, --rootfs)";
/// What all such notes of the agent's have.
const FULL: &str = " is full";
/// The shortest time between two progress events.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Records one attempt.
pub(super) struct Recorder {
    test: TestId,
    conductor: Sender<Message>,
    parser: tap::Collector,
    points: Points,
    output: Log,
    stdout: Log,
    stderr_tail: Vec<u8>,
    artifacts: Artifacts,
    /// The folder for the logs of commands on other nodes, and those logs by node.
    nodes: (PathBuf, HashMap<String, Log>),
    notes: Vec<String>,
    complaints: Complaints,
    /// Whether an exit status says enough: it is a set-up.
    is_setup: bool,
    last_progress: Instant,
    first_output: Option<Instant>,
    /// Whether the test said [`NO_ROOM`]. One that a read cuts in two may be missed.
    no_room: bool,
}

/// The part of a recorded attempt that stays in memory.
pub(super) struct Recorded {
    pub(super) suite: tap::Suite,
    pub(super) points: Points,
    pub(super) stderr_tail: String,
    pub(super) notes: Vec<String>,
    pub(super) complaints: Complaints,
}

impl Recorder {
    /// Opens the logs in the job's folder. A folder that cannot be written to costs the logs, not
    /// the test.
    pub(super) fn new(job: &Job, conductor: Sender<Message>) -> Self {
        let mut notes = Vec::new();
        if let Err(e) = fs::create_dir_all(&job.dir) {
            notes.push(format!("no logs: {}", crate::error::Error::io("create", &job.dir, &e)));
        }
        let logs = ["output.log", "stdout.tap"].map(|name| job.dir.join(name));
        let mut recorder = Self {
            test: job.test,
            conductor,
            parser: tap::Collector::default(),
            points: Points::default(),
            output: Log::open(&logs[0]),
            stdout: Log::open(&logs[1]),
            stderr_tail: Vec::new(),
            artifacts: Artifacts { dir: job.dir.join("artifacts"), ..Artifacts::default() },
            nodes: (job.dir.join("nodes"), HashMap::new()),
            notes,
            complaints: Complaints { fatal: job.order.fail_on_warn, ..Complaints::default() },
            is_setup: job.order.is_setup(),
            last_progress: Instant::now(),
            first_output: None,
            no_room: false,
        };
        if let Some(before) = &job.before {
            recorder.begin_with(before);
            let names = job.order.case.as_ref().map(|case| case.names.join(", "));
            let name = names.unwrap_or_default();
            recorder.output.write(format!("[orca: forked here: {name}]\n").as_bytes());
        }
        recorder
    }

    /// Takes over what was recorded before a fork.
    fn begin_with(&mut self, before: &Before) {
        self.parser = before.parser.clone();
        self.points = before.points.clone();
        self.stderr_tail.clone_from(&before.stderr_tail);
        self.notes.extend(before.notes.iter().cloned());
        let Complaints { titles, lines, .. } = before.complaints.clone();
        self.complaints = Complaints { titles, lines, fatal: self.complaints.fatal };
        self.output.copy(&before.dir.join("output.log"));
        self.stdout.copy(&before.dir.join("stdout.tap"));
        for entry in fs::read_dir(before.dir.join("nodes")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(node) = name.strip_suffix(".log") {
                self.node(node, b"");
                self.nodes.1.get_mut(node).into_iter().for_each(|log| log.copy(&entry.path()));
            }
        }
    }

    /// Whether the kernel has complained so far, and that fails the test.
    pub(super) fn has_fatal_complaints(&self) -> bool {
        self.complaints.fatal && !self.complaints.titles.is_empty()
    }

    /// What is recorded of a test that forked. `dir` is the folder of its job.
    pub(super) fn before_fork(self, dir: &Path) -> Before {
        Before {
            parser: self.parser,
            points: self.points,
            stderr_tail: self.stderr_tail,
            notes: self.notes,
            complaints: self.complaints,
            dir: dir.to_owned(),
        }
    }

    /// Closes the logs. `ended` is `None` if there was no end marker, which fails the suite.
    pub(super) fn finish(mut self, ended: Option<Ended>) -> Recorded {
        for (log, name) in [(&self.output, "output.log"), (&self.stdout, "stdout.tap")] {
            if let Some(why) = &log.fault {
                self.notes.push(format!("{name} is incomplete: {why}"));
            }
        }
        for (node, log) in &self.nodes.1 {
            let fault = log.fault.iter();
            self.notes.extend(fault.map(|why| format!("nodes/{node}.log is incomplete: {why}")));
        }
        self.notes.extend(self.artifacts.fault.take());
        if !self.complaints.fatal {
            let titles = self.complaints.titles.iter();
            self.notes.extend(titles.map(|title| format!("the kernel complained: {title}")));
        }
        let status = match ended {
            Some(Ended { signal: Some(signal), .. }) => tap::ExitStatus::signal(signal),
            Some(Ended { exit, .. }) => tap::ExitStatus::Code(exit),
            None => tap::ExitStatus::Code(-1),
        };
        self.judge_by_status(status);
        let points = &mut self.points;
        let suite = self.parser.finish_with(status, &mut |item, done| points.item(item, done));
        let is_known = self.notes.iter().any(|note| note.contains(FULL));
        if self.no_room && !is_known && suite.verdict() == tap::Verdict::Fail {
            self.notes.push(NO_ROOM_NOTE.to_owned());
        }
        Recorded {
            suite,
            points: self.points,
            stderr_tail: String::from_utf8_lossy(&self.stderr_tail).into_owned(),
            notes: self.notes,
            complaints: self.complaints,
        }
    }

    /// Makes a point of the exit status of a set-up that printed none and succeeded. A bad status
    /// is a reason by itself, and then the output says more than a point.
    fn judge_by_status(&mut self, status: tap::ExitStatus) {
        let tap::Progress { run, planned, .. } = self.parser.progress();
        let is_good = status == tap::ExitStatus::Code(0);
        if self.is_setup && is_good && run == 0 && planned.is_none() {
            // The set-up's last line may lack its end.
            let tap = b"\n1..1\nok 1 - exit status\n";
            let points = &mut self.points;
            self.parser.feed_with(tap, &mut |item, done| points.item(item, done));
        }
    }

    /// When the first byte of standard output came.
    pub(super) fn first_output(&self) -> Option<Instant> {
        self.first_output
    }

    fn progress(&mut self) {
        if self.last_progress.elapsed() >= PROGRESS_EVERY {
            self.last_progress = Instant::now();
            let tap::Progress { run: points, planned, .. } = self.parser.progress();
            // A conductor that is busy or gone can do without this event.
            let _ = self.conductor.try_send(Message::Event(Event::TestProgress {
                test: self.test,
                points,
                planned,
            }));
        }
    }
}

impl Sink for Recorder {
    fn stdout(&mut self, bytes: &[u8]) {
        self.first_output.get_or_insert_with(Instant::now);
        self.no_room |= memmem::find(bytes, NO_ROOM).is_some();
        self.output.write(bytes);
        self.stdout.write(bytes);
        let points = &mut self.points;
        self.parser.feed_with(bytes, &mut |item, done| points.item(item, done));
        self.progress();
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.no_room |= memmem::find(bytes, NO_ROOM).is_some();
        self.output.write(bytes);
        self.stderr_tail.extend_from_slice(bytes);
        let excess = self.stderr_tail.len().saturating_sub(STDERR_TAIL);
        self.stderr_tail.drain(..excess);
    }

    fn note(&mut self, line: &str) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(plain(line));
        }
    }

    fn kernel(&mut self, line: &str, begins: bool) {
        if begins && self.complaints.titles.len() < COMPLAINTS_MAX {
            self.complaints.titles.push(plain(line));
        }
        if self.complaints.lines.len() < KERNEL_LINES {
            self.complaints.lines.push(plain(line));
        }
    }

    fn file(&mut self, path: &[u8]) {
        self.artifacts.begin(path);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.artifacts.write(bytes);
    }

    fn node(&mut self, name: &str, bytes: &[u8]) {
        let (dir, logs) = &mut self.nodes;
        if !logs.contains_key(name) {
            // If the folder cannot be made the log cannot be opened, and that becomes a note.
            let _ = fs::create_dir_all(&*dir);
            logs.insert(name.to_owned(), Log::open(&dir.join(format!("{name}.log"))));
        }
        if let Some(log) = logs.get_mut(name) {
            log.write(bytes);
        }
    }
}

/// `line` without control characters.
fn plain(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

/// A file that stops growing at [`LOG_BYTES`].
struct Log {
    file: Option<File>,
    left: u64,
    fault: Option<String>,
}

impl Log {
    fn open(path: &Path) -> Self {
        match File::create(path) {
            Ok(file) => Self { file: Some(file), left: LOG_BYTES, fault: None },
            Err(e) => Self { file: None, left: 0, fault: Some(crate::error::plain(&e)) },
        }
    }

    /// Appends what is in another log.
    fn copy(&mut self, from: &Path) {
        let mut chunk = vec![0; COPY_BYTES];
        let Ok(mut from) = File::open(from) else { return };
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            self.write(&chunk[..count]);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let kept = &bytes[..self.left.min(bytes.len() as u64) as usize];
        self.left -= kept.len() as u64;
        let mut fault = file.write_all(kept).err().map(|e| crate::error::plain(&e));
        if fault.is_none() && kept.len() < bytes.len() {
            fault = Some(format!("cut off at {} MiB", LOG_BYTES >> 20));
            // If this line cannot be written, the note still says it.
            let _ = writeln!(file, "\n[orca: {}]", fault.as_deref().unwrap_or_default());
        }
        if fault.is_some() {
            self.file = None;
            self.fault = fault;
        }
    }
}

/// The files that a test leaves, and the first fault among them.
#[derive(Default)]
struct Artifacts {
    dir: PathBuf,
    open: Option<File>,
    count: usize,
    bytes: u64,
    fault: Option<String>,
}

impl Artifacts {
    /// Begins a file. A guest may be hostile, so only plain names below the folder are accepted,
    /// and nothing else writes to that folder.
    fn begin(&mut self, path: &[u8]) {
        self.open = None;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
            return self.fail("refused a path that leaves their folder");
        }
        if path.components().count() > ARTIFACTS_DEPTH_MAX + 1 {
            return self.fail("cut off: folders too deep");
        }
        self.count += 1;
        if self.count > ARTIFACTS_FILES_MAX {
            return self.fail("cut off: too many files");
        }
        let full = self.dir.join(path);
        let made =
            full.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(full));
        match made {
            Ok(file) => self.open = Some(file),
            Err(e) => self.fail(&crate::error::plain(&e)),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.open = None;
        }
        let Some(file) = &mut self.open else { return };
        self.bytes += bytes.len() as u64;
        if self.bytes > ARTIFACTS_BYTES_MAX {
            self.fail("cut off: too large");
        } else if let Err(e) = file.write_all(bytes) {
            self.fail(&crate::error::plain(&e));
        }
    }

    fn fail(&mut self, why: &str) {
        self.open = None;
        self.fault.get_or_insert_with(|| format!("artifacts: {why}"));
    }
}
