//! The machines of failed tests, which somebody wants to look into: `--shell-on-fail` and `--keep`.
//!
//! A worker hands such a machine over and waits until it is told to go on. The conductor owns the machine from then on, serves it on a
//! [`Mux`] and ends it: after the shell, or when the person at the terminal has had enough. Nothing is kept longer than that.

use super::interactive::{self, Env};
use crate::guest::mux::Mux;
use crate::machine::Machine;
use crate::pod::Held;
use crate::report::plain;
use crate::text::quote::shell_word;
use crossbeam::channel::{Receiver, Sender, bounded, never};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Signals that may wait for a shell.
const SIGNALS: usize = 4;

/// What is done with the machine of a test that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// A shell in it, now.
    Shell,
    /// It is kept until after the run; so many of them at most.
    Keep(usize),
}

/// See the module.
pub struct Keeper {
    wish: OnFailure,
    held: Receiver<Held>,
    run_dir: PathBuf,
    env: Env,
    /// Handed over by workers who have not yet told of their test's end.
    untold: Vec<Held>,
    /// Machines that wait for their shell.
    waiting: VecDeque<Held>,
    shell: Option<Shell>,
    kept: Vec<KeptMachine>,
    /// Failed tests whose machine there was no room for.
    dropped: usize,
}

/// A machine with its door open.
struct KeptMachine {
    mux: Mux,
    machine: Box<dyn Machine>,
    test: String,
}

impl KeptMachine {
    /// Ends the machine in good order, so that its agent ends what the test left.
    fn end(self) {
        drop(self.mux); // nobody else reads the answers from now on
        self.machine.stop();
    }
}

/// A shell that is open.
struct Shell {
    /// Closed when it ends.
    done: Receiver<Infallible>,
    signals: Sender<i32>,
    thread: Option<JoinHandle<()>>,
    kept: KeptMachine,
    /// Lets the worker go on when it is dropped.
    release: Sender<Infallible>,
}

impl Shell {
    fn end(self) {
        if let Some(thread) = self.thread {
            // One that panicked has put the terminal back on its way.
            let _ = thread.join();
        }
        self.kept.end();
        drop(self.release);
    }
}

impl Keeper {
    /// A keeper of what comes from `held`; sockets go to `run_dir`, shells have `env`.
    pub fn new(wish: OnFailure, held: Receiver<Held>, run_dir: &Path, env: Env) -> Self {
        Self {
            wish,
            held,
            run_dir: run_dir.to_owned(),
            env,
            untold: Vec::new(),
            waiting: VecDeque::new(),
            shell: None,
            kept: Vec::new(),
            dropped: 0,
        }
    }

    /// A test has ended on `machine` and a person has been told of it: what its worker has handed over is due.
    pub fn told(&mut self, machine: &str) {
        self.untold.extend(self.held.try_iter());
        let Some(at) = self.untold.iter().position(|held| held.machine.name() == machine) else {
            return;
        };
        let held = self.untold.swap_remove(at);
        match self.wish {
            OnFailure::Shell => self.waiting.push_back(held),
            OnFailure::Keep(most) if self.kept.len() < most => {
                self.kept.extend(open(&self.run_dir, held.machine, held.test));
            }
            OnFailure::Keep(_) => {
                self.dropped += 1;
                held.machine.stop();
            }
        }
    }

    /// Whether a shell is open.
    pub fn has_shell(&self) -> bool {
        self.shell.is_some()
    }

    /// Whether a machine waits for its shell.
    pub fn has_more(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Ready (closed) when the open shell has ended; then [`Keeper::close`] is due.
    pub fn done(&self) -> Receiver<Infallible> {
        self.shell.as_ref().map_or_else(never, |shell| shell.done.clone())
    }

    /// Puts away the shell, if it has ended, and its machine.
    pub fn close(&mut self) {
        if let Some(shell) = self.shell.take_if(|shell| is_closed(&shell.done)) {
            shell.end();
        }
    }

    /// Opens a shell in the next machine that waits for one.
    pub fn next(&mut self) {
        while self.shell.is_none() {
            let Some(held) = self.waiting.pop_front() else { return };
            self.shell = self.start(held);
        }
    }

    /// Passes a signal on to the open shell, which the conductor's loop has taken from it.
    pub fn signal(&self, signal: i32) {
        if let Some(shell) = &self.shell {
            // Full: it has been told often enough.
            let _ = shell.signals.try_send(signal);
        }
    }

    /// The end of the run: no shell is left, and what waits for one is given up.
    pub fn finish(&mut self) {
        let left = self.waiting.drain(..).chain(self.untold.drain(..));
        left.for_each(|held| held.machine.stop());
        if let Some(shell) = self.shell.take() {
            shell.end();
        }
    }

    /// Says what is kept and waits for a signal; returns at once where nothing is.
    pub fn wait(&mut self, signals: &Receiver<i32>) {
        if self.kept.is_empty() {
            return;
        }
        let mut text =
            String::from("\norca: kept as the test left them, until you press Ctrl-C:\n");
        for kept in &self.kept {
            let (name, test) = (kept.machine.name(), shell_word(kept.test.as_bytes()));
            text.push_str(&format!("  orca shell {name:8} {test}\n"));
        }
        if self.dropped > 0 {
            text.push_str(&format!("orca: {} more failed; --keep=N keeps N\n", self.dropped));
        }
        plain::err(text.as_bytes());
        // Any signal, or their source being gone, ends it.
        let _ = signals.recv();
    }

    fn start(&self, held: Held) -> Option<Shell> {
        let Held { test, machine, release } = held;
        let kept = open(&self.run_dir, machine, test)?;
        let name = kept.machine.name();
        let text = format!(
            "\norca: this is {name}, as {} left it; the run goes on when you leave this shell\n",
            shell_word(kept.test.as_bytes())
        );
        plain::err(text.as_bytes());
        let (open, done) = bounded(0);
        let (signals, inbox) = bounded(SIGNALS);
        let (path, env) = (kept.mux.path().to_owned(), self.env.clone());
        let body = move || {
            let _open: Sender<Infallible> = open;
            let ended = interactive::call(&path)
                .and_then(|mut guest| interactive::shell(&mut guest, env, &inbox));
            if let Err(why) = ended {
                plain::err(format!("orca: the shell ended: {why}\n").as_bytes());
            }
        };
        let thread = std::thread::Builder::new().name("shell".into()).spawn(body).ok();
        Some(Shell { done, signals, thread, kept, release })
    }
}

impl Drop for Keeper {
    /// An interrupted run keeps nothing.
    fn drop(&mut self) {
        self.finish();
        self.kept.drain(..).for_each(KeptMachine::end);
    }
}

/// Opens the door to a machine; `None` where that cannot be, with a word.
fn open(run_dir: &Path, machine: Box<dyn Machine>, test: String) -> Option<KeptMachine> {
    let (inbox, writer) = machine.connection()?;
    match Mux::open_in(run_dir, machine.name(), &test, inbox, writer) {
        Ok(mux) => Some(KeptMachine { mux, machine, test }),
        Err(e) => {
            let why = crate::error::plain(&e);
            let text = format!("orca: cannot keep {}: {why}\n", machine.name());
            plain::err(text.as_bytes());
            None
        }
    }
}

fn is_closed(done: &Receiver<Infallible>) -> bool {
    matches!(done.try_recv(), Err(crossbeam::channel::TryRecvError::Disconnected))
}
