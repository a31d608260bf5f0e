//! What is known of tests from earlier runs: how they ended and how long they took.
//!
//! It is a file of JSON lines that only grows during a run: the plan at the start, then each result
//! as it comes, each with a single append. So an end of any kind, `kill -9` included, loses at most
//! the running tests, and planned tests without a result are known. The next run rewrites the file
//! with a line per test, unless another run is writing to it. Only a damaged line itself is lost.

use crate::error::{Error, Result};
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::Event;
use crate::host::atomic;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Durations kept per test; their median is its expected time.
const TIMES_KEPT: usize = 5;
/// The most that is read of a history, in bytes: some 100,000 tests.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Tests kept, those of the latest runs.
const TESTS_MAX: usize = 50_000;
/// How many lines a file may have beyond one per test before it is rewritten.
const SLACK_LINES: usize = 1000;
/// How often the file is opened again if somebody has replaced it meanwhile.
const REOPENS: u32 = 10;

/// What is known of one test.
#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    /// The last run that planned it.
    run: String,
    /// Whether it has had a final result in that run.
    seen: bool,
    /// Whether any such result was bad.
    bad: bool,
    /// How long it took in the latest runs, the newest last, in seconds.
    times: Vec<f64>,
    /// The last line of the file about it.
    line: usize,
}

/// What is known of a project's tests.
#[derive(Clone, Debug, Default)]
pub struct History {
    tests: HashMap<String, Record>,
    lines: usize,
    damaged: usize,
    too_long: bool,
}

impl History {
    /// Reads the history in `path`. A missing file is an empty history. What cannot be read is left
    /// out; the warning says so.
    pub fn load(path: &Path) -> (Self, Option<String>) {
        let mut history = Self::default();
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => history.read(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return (history, None),
            Err(e) => return (history, Some(Error::io("read", path, &e).to_string())),
        }
        history.too_long = bytes.len() as u64 == FILE_BYTES_MAX;
        let shown = path.display();
        let warning = match history.damaged {
            0 => None,
            1 => Some(format!("the history `{shown}` has a damaged line, which is left out")),
            n => Some(format!("the history `{shown}` has {n} damaged lines, which are left out")),
        };
        (history, warning)
    }

    /// Whether nothing is known at all.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether the time of any test is known.
    pub fn has_times(&self) -> bool {
        self.tests.values().any(|record| !record.times.is_empty())
    }

    /// Whether no line of the file is a line of a history.
    pub fn is_not_a_history(&self) -> bool {
        self.damaged > 0 && self.tests.is_empty()
    }

    /// How long `test` is expected to take: the median of its last few runs, of good ones if there
    /// are any.
    pub fn expected(&self, test: &str) -> Option<Duration> {
        let mut times = self.tests.get(test)?.times.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).map(|seconds| Duration::from_secs_f64(*seconds))
    }

    /// Whether `test` failed or got no result in the last run that planned it.
    pub fn is_outstanding(&self, test: &str) -> bool {
        self.tests.get(test).is_some_and(|record| record.bad || !record.seen)
    }

    fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            self.lines += 1;
            let known = serde_json::from_slice(line).ok().and_then(|value| self.take(&value));
            self.damaged += usize::from(known.is_none());
        }
    }

    /// Takes one line; `None` if it is not a line of a history.
    fn take(&mut self, value: &Value) -> Option<()> {
        let line = self.lines;
        let run = value.get("run")?.as_str()?;
        if let Some(tests) = value.get("planned") {
            for test in tests.as_array()? {
                let record = self.tests.entry(test.as_str()?.to_owned()).or_default();
                let times = std::mem::take(&mut record.times);
                *record = Record { run: run.to_owned(), times, line, ..Record::default() };
            }
            return Some(());
        }
        let test = value.get("test")?.as_str()?.to_owned();
        let record = self.tests.entry(test).or_default();
        record.line = line;
        if let Some(times) = value.get("times") {
            let times = times.as_array()?.iter().filter_map(seconds);
            let bad = value.get("bad")?.as_bool()?;
            let seen = value.get("seen")?.as_bool()?;
            *record = Record { run: run.to_owned(), seen, bad, times: Vec::from_iter(times), line };
        } else {
            if record.run != run {
                *record = Record { run: run.to_owned(), bad: false, ..std::mem::take(record) };
            }
            record.seen = true;
            let bad = value.get("bad")?.as_bool()?;
            record.bad |= bad;
            // A failure often ends early, so its time counts only if there is no other.
            let tells = !bad || record.times.is_empty();
            record.times.extend(value.get("seconds").and_then(seconds).filter(|_| tells));
        }
        let excess = record.times.len().saturating_sub(TIMES_KEPT);
        record.times.drain(..excess);
        Some(())
    }

    /// A line per test, the latest last.
    fn compact(&self) -> Vec<u8> {
        let mut tests: Vec<(&String, &Record)> = self.tests.iter().collect();
        tests.sort_by_key(|(test, record)| (record.line, *test));
        let mut out = String::new();
        for (test, record) in &tests[tests.len().saturating_sub(TESTS_MAX)..] {
            let Record { run, seen, bad, times, .. } = record;
            let line =
                json!({ "test": test, "run": run, "seen": seen, "bad": bad, "times": times });
            out.push_str(&format!("{line}\n"));
        }
        out.into_bytes()
    }

    fn needs_compaction(&self) -> bool {
        self.damaged > 0 || self.too_long || self.lines > self.tests.len() + SLACK_LINES
    }
}

/// A time that a history may have: finite, not negative, at most a year.
fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().filter(|seconds| (0.0..3.2e7).contains(seconds))
}

/// Writes the results of a run to the history.
#[derive(Debug)]
pub struct Journal {
    file: Flock<File>,
    run: String,
    /// Whether durations are written.
    times: bool,
}

impl Journal {
    /// Opens `path` for a run with the unique name `run`; `history` is what was read from there.
    /// Without `times` the durations stay as they are.
    ///
    /// # Errors
    /// A file or folder that cannot be written to.
    pub fn open(path: &Path, history: &History, run: &str, times: bool) -> Result<Self> {
        let unwritable =
            |e: io::Error| Error::io("write", path, &e).hint("name a writable file with --history");
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(unwritable)?;
        }
        if history.needs_compaction() {
            compact(path).map_err(unwritable)?;
        }
        let mut file = open_shared(path).map_err(unwritable)?;
        end_last_line(&mut file).map_err(unwritable)?;
        Ok(Self { file, run: run.to_owned(), times })
    }

    /// Writes what an event says. A failed write is ignored: it must never stop a run.
    pub fn take(&mut self, event: &Event) {
        let run = &self.run;
        let line = match event {
            Event::Started(start) => json!({ "run": run, "planned": start.tests }),
            Event::TestFinished(attempt) if !attempt.retried => {
                let Some(bad) = is_bad(attempt) else { return };
                let mut line = json!({ "run": run, "test": attempt.path, "bad": bad });
                if self.times && attempt.machine.is_some() {
                    line["seconds"] = attempt.timing.test.as_secs_f64().into();
                }
                line
            }
            _ => return,
        };
        let _ = self.file.write_all(format!("{line}\n").as_bytes());
    }
}

/// Whether a result counts against its test; in quarantine none does. `None` if there is none.
fn is_bad(attempt: &Attempt) -> Option<bool> {
    match attempt.outcome {
        Outcome::NotRun => None,
        _ => Some(!attempt.outcome.is_good() && attempt.quarantined.is_none()),
    }
}

/// Opens the file for appending, and locks it against replacement for as long as it is open.
fn open_shared(path: &Path) -> io::Result<Flock<File>> {
    for _ in 0..REOPENS {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let file = Flock::lock(file, FlockArg::LockShared).map_err(|(_, e)| io::Error::from(e))?;
        if is_named(&file, path)? {
            return Ok(file);
        }
    }
    Err(io::Error::other("it is being replaced again and again"))
}

/// Whether `path` still names this very file.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let ours = id(file.metadata()?);
    Ok(fs::metadata(path).is_ok_and(|named| id(named) == ours))
}

/// Replaces the file in one step, unless somebody is writing to it. A damaged file is kept beside
/// the new one.
fn compact(path: &Path) -> io::Result<()> {
    let old = OpenOptions::new().read(true).append(true).open(path)?;
    let Ok(old) = Flock::lock(old, FlockArg::LockExclusiveNonblock) else { return Ok(()) };
    if !is_named(&old, path)? {
        return Ok(());
    }
    let (history, _) = History::load(path);
    if history.damaged > 0 {
        fs::copy(path, path.with_extension("damaged"))?;
    }
    atomic::replace(path, &history.compact())
}

/// Ends a line that a crash has cut off, so that it does not swallow the next one.
fn end_last_line(file: &mut File) -> io::Result<()> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
