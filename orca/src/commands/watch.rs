//! `orca watch`: runs `orca test` again and again, on the tests that a changed file touches.
//!
//! Each run is a child process, so that it is exactly an `orca test`. A change during a run cuts
//! it, since its results would be out of date; its tests run again together with those touched
//! since.

use crate::cli::config::Config;
use crate::cli::raw::{Source, word};
use crate::error::{Error, Result, plain as plain_io};
use crate::host::watcher::Watcher;
use crate::host::{rundir, signals, sys};
use crate::report::plain;
use crate::select::dependents::{Touched, touched};
use crate::select::discover::{Test, discover};
use crate::text::case;
use crate::text::count::count;
use agent::wire::Share;
use crossbeam::channel::{Receiver, bounded, never, select};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::SIGINT;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long no file may have changed: editors and checkouts touch several, one after the other.
const QUIET: Duration = Duration::from_millis(150);
/// The most tests that a run's command line names one by one.
const NAMED_MAX: usize = 1000;

/// Runs tests until a signal ends it.
///
/// # Errors
/// A project without tests; a host without threads.
pub fn run(config: &Config) -> Result<u8> {
    let tests = discover(&config.root, &config.paths())?;
    let fail = |e: std::io::Error| Error::new(format!("cannot watch: {}", plain_io(&e)));
    let signals = signals::listen()?;
    let watcher = Watcher::start(&config.root).map_err(fail)?;
    let all = tests.len();
    let mut watch = Watch { config, own: own_files(config), due: tests, child: None };
    watch.start(all)?;
    let mut changed: Vec<PathBuf> = Vec::new();
    loop {
        let ended = watch.child.as_ref().map_or_else(never, |child| child.ended.clone());
        let quiet = if changed.is_empty() { never() } else { crossbeam::channel::after(QUIET) };
        select! {
            recv(watcher.changes) -> path => match path {
                Ok(path) if watch.counts(&path) => changed.push(path),
                Ok(_) => {}
                Err(_) => return Err(Error::new("cannot watch: the watcher has ended")),
            },
            recv(quiet) -> _ => watch.changed(std::mem::take(&mut changed))?,
            recv(ended) -> _ => watch.ended(),
            recv(signals) -> signal => {
                let signal = signal.unwrap_or(SIGINT);
                watch.end(signal, &signals);
                signals::die_of(signal)
            }
        }
    }
}

struct Watch<'a> {
    config: &'a Config,
    /// The files and folders that runs write to.
    own: Vec<PathBuf>,
    /// The tests of the current run; none when it has ended.
    due: Vec<Test>,
    child: Option<Child>,
}

/// A run of `orca test`.
struct Child {
    pid: Pid,
    /// Disconnected when the process has been waited for.
    ended: Receiver<std::convert::Infallible>,
}

impl Watch<'_> {
    /// Whether a person may have changed this file, and not a run.
    fn counts(&self, path: &Path) -> bool {
        let raw = &self.config.raw;
        let tests_write = raw.local || raw.share == Some(Share::Rw);
        if tests_write && self.child.is_some() {
            return false;
        }
        let full = self.config.root.join(path);
        !rundir::is_inside_one(&full) && !self.own.iter().any(|own| full.starts_with(own))
    }

    /// Begins a run of the tests that `changed` touches, and of those of the run that this cuts.
    fn changed(&mut self, changed: Vec<PathBuf>) -> Result<()> {
        let changed = not_ignored(&self.config.root, changed);
        // In the middle of a rename a word may name nothing: that is no reason to end.
        let Ok(tests) = discover(&self.config.root, &self.config.paths()) else { return Ok(()) };
        // A file that no test names, such as the source of the tested program, may matter to all.
        let Touched { tests: named, others } = touched(&self.config.root, &tests, &changed);
        let found = if others { tests.clone() } else { named };
        if found.is_empty() {
            return Ok(());
        }
        let what = match &changed[..] {
            [one] => one.display().to_string(),
            more => format!("{} files", more.len()),
        };
        if let Some(child) = self.child.take() {
            // It may have ended meanwhile, which is just as good.
            let _ = kill(child.pid, Signal::SIGINT);
            let _ = child.ended.recv();
        }
        let all = tests.len();
        let again = |test: &Test| self.due.contains(test) || found.contains(test);
        self.due = tests.into_iter().filter(|test| again(test)).collect();
        let tests = count(self.due.len(), "test");
        plain::err(format!("\norca: {what} changed, {tests} to run\n").as_bytes());
        self.start(all)
    }

    /// Begins a run of the tests that are due, out of `all` that there are.
    fn start(&mut self, all: usize) -> Result<()> {
        let fail = |e: std::io::Error| Error::new(format!("cannot run tests: {}", plain_io(&e)));
        let mut command = Command::new(std::env::current_exe().map_err(fail)?);
        command.arg0("orca").arg("test").args(options(self.config)).args(self.names(all));
        // This is the main thread, which lives as long as the process.
        sys::die_with_parent(&mut command);
        let mut child = command.spawn().map_err(fail)?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let (running, ended) = bounded(0);
        let wait = move || {
            let _running: crossbeam::channel::Sender<std::convert::Infallible> = running;
            let _ = child.wait(); // what it has printed shows its status
        };
        std::thread::Builder::new().name("run".into()).spawn(wait).map_err(fail)?;
        self.child = Some(Child { pid, ended });
        Ok(())
    }

    fn names(&self, all: usize) -> Vec<OsString> {
        if self.due.len() == all || self.due.len() > NAMED_MAX {
            return self.config.raw.words.clone();
        }
        let words = |test: &Test| -> Vec<OsString> {
            let path: OsString = self.config.root.join(&test.path).into();
            let word = |names: &Vec<String>| {
                let mut word = path.clone();
                word.push(case::path("", names));
                word
            };
            if test.only.is_empty() { vec![path] } else { test.only.iter().map(word).collect() }
        };
        self.due.iter().flat_map(words).collect()
    }

    fn ended(&mut self) {
        self.child = None;
        self.due.clear();
        plain::err(b"orca: waiting for changes; Ctrl-C ends\n");
    }

    /// Waits for the run to end. A Ctrl-C has reached it as well; any other signal, and a second
    /// one, is passed on as a Ctrl-C.
    fn end(&mut self, first: i32, signals: &Receiver<i32>) {
        let Some(child) = self.child.take() else { return };
        if first != SIGINT {
            let _ = kill(child.pid, Signal::SIGINT);
        }
        loop {
            select! {
                recv(child.ended) -> _ => return,
                recv(signals) -> _ => {
                    let _ = kill(child.pid, Signal::SIGINT);
                }
            }
        }
    }
}

/// The options of the command line, without the paths.
fn options(config: &Config) -> Vec<OsString> {
    let typed = config.raw.given.iter().filter(|given| given.source == Source::Line);
    typed.map(|given| word(given.flag, &given.value)).collect()
}

/// The files and folders that runs write to; they may be in the project.
fn own_files(config: &Config) -> Vec<PathBuf> {
    let raw = &config.raw;
    let named = [&raw.json, &raw.junit, &raw.log_dir].into_iter().flatten();
    let full = named.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let dirs = [config.state.clone(), config.cache.clone()];
    full.chain(dirs).map(|path| resolve(&path)).collect()
}

/// The path with links resolved, as far as it exists, since the project's root is resolved too.
fn resolve(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => {
            std::fs::canonicalize(path).unwrap_or_else(|_| resolve(dir).join(name))
        }
        _ => path.to_owned(),
    }
}

/// The changed files without those that git ignores; all of them without git or a repository.
fn not_ignored(root: &Path, changed: Vec<PathBuf>) -> Vec<PathBuf> {
    ignored(root, &changed).map_or(changed.clone(), |ignored| {
        changed.into_iter().filter(|path| !ignored.contains(path)).collect()
    })
}

fn ignored(root: &Path, changed: &[PathBuf]) -> Option<Vec<PathBuf>> {
    let mut git = Command::new("git")
        .args(["check-ignore", "-z", "--stdin"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let list: Vec<&[u8]> = changed.iter().map(|path| path.as_os_str().as_bytes()).collect();
    let list = [list.join(&0), vec![0]].concat();
    let mut input = git.stdin.take()?;
    // On a thread of its own, so that neither end waits for the other.
    let writer = std::thread::spawn(move || input.write_all(&list));
    let out = git.wait_with_output().ok()?;
    let _ = writer.join();
    let paths = out.stdout.split(|&byte| byte == 0).filter(|path| !path.is_empty());
    Some(paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect())
}
