//! Writes the results of a run to the history, as they come.

use super::history::History;
use crate::error::{Error, Result};
use crate::events::attempt::{Attempt, Outcome, TestId};
use crate::events::event::{Event, ForkedCase, Start};
use crate::host::atomic;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How often the file is opened again if somebody has replaced it meanwhile.
const REOPENS: u32 = 10;

/// Writes the results of a run to the history.
#[derive(Debug)]
pub struct Journal {
    file: Flock<File>,
    run: String,
    /// Whether durations are written.
    times: bool,
    /// The tests of the cases so far, by their paths.
    tests_of_cases: HashMap<TestId, String>,
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
        let tests_of_cases = HashMap::new();
        Ok(Self { file, run: run.to_owned(), times, tests_of_cases })
    }

    /// Writes what an event says. A failed write is ignored: it must never stop a run.
    pub fn take(&mut self, event: &Event) {
        let lines = match event {
            Event::Started(start) => self.planned(start),
            Event::TestForked { test, path, cases, .. } => self.forked(*test, path, cases),
            Event::TestFinished(attempt) if !attempt.retried => {
                self.finished(attempt).into_iter().collect()
            }
            _ => return,
        };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let _ = self.file.write_all(text.as_bytes());
    }

    /// The plan, without set-ups: those are never chosen. A test of which only some cases are run
    /// is not planned, they are.
    fn planned(&self, start: &Start) -> Vec<Value> {
        let run = &self.run;
        let whole = start.tests.iter().enumerate().skip(start.setups);
        let whole = whole.filter(|(test, _)| !start.only.contains_key(test));
        let whole: Vec<&String> = whole.map(|(_, path)| path).collect();
        let some = start.only.iter().filter_map(|(test, cases)| {
            let of = start.tests.get(*test)?;
            Some(json!({ "run": run, "planned": cases, "of": of }))
        });
        std::iter::once(json!({ "run": run, "planned": whole })).chain(some).collect()
    }

    /// The cases of a test, or of a case, that forked: they are planned from now on.
    fn forked(&mut self, test: TestId, path: &str, cases: &[ForkedCase]) -> Vec<Value> {
        let of = self.tests_of_cases.get(&test).cloned().unwrap_or_else(|| path.to_owned());
        let ids = cases.iter().map(|case| (case.test, of.clone()));
        self.tests_of_cases.extend(ids);
        let paths: Vec<&String> = cases.iter().map(|case| &case.path).collect();
        vec![json!({ "run": self.run, "planned": paths, "of": of, "forked": path })]
    }

    fn finished(&self, attempt: &Attempt) -> Option<Value> {
        let bad = is_bad(attempt)?;
        let mut line = json!({ "run": self.run, "test": attempt.path, "bad": bad });
        if self.times && attempt.machine.is_some() {
            line["seconds"] = attempt.timing.test.as_secs_f64().into();
        }
        Some(line)
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
    if history.is_damaged() {
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
