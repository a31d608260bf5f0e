//! Keeps the machines of failed tests for a person to look into: `--shell-on-fail` and `--keep`.
//!
//! A worker hands such a machine over and waits until it may go on. The conductor owns the machine
//! from then on and serves it with a [`Mux`]. It ends the machine after the shell, or when the
//! person at the terminal presses Ctrl-C. No machine is kept longer than that.

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

/// How many signals may wait for a shell.
const SIGNALS: usize = 4;

/// What happens to the machine of a test that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// A shell is opened in it during the run.
    Shell,
    /// It is kept until after the run; at most this many machines are.
    Keep(usize),
}

/// The machines of failed tests, in all their states.
pub struct Keeper {
    on_failure: OnFailure,
    held: Receiver<Held>,
    run_dir: PathBuf,
    env: Env,
    /// Machines handed over by workers that have not reported the end of their test yet.
    unreported: Vec<Held>,
    /// Machines that wait for their shell.
    waiting: VecDeque<Held>,
    shell: Option<Shell>,
    kept: Vec<KeptMachine>,
    /// How many failed tests had their machine ended because enough were kept.
    dropped: usize,
}

/// A machine that callers can connect to.
struct KeptMachine {
    mux: Mux,
    machine: Box<dyn Machine>,
    test: String,
}

impl KeptMachine {
    /// Ends the machine in good order, so that its agent ends what the test left behind.
    fn end(self) {
        drop(self.mux); // the answers of the agent are now read by `stop` alone
        self.machine.stop();
    }
}

/// A shell that is open.
struct Shell {
    /// Closes when the shell ends.
    ended: Receiver<Infallible>,
    signals: Sender<i32>,
    thread: Option<JoinHandle<()>>,
    kept: KeptMachine,
    /// Lets the worker go on when it is dropped.
    release: Sender<Infallible>,
}

impl Shell {
    fn end(self) {
        if let Some(thread) = self.thread {
            // A thread that panicked has restored the terminal on the way.
            let _ = thread.join();
        }
        self.kept.end();
        drop(self.release);
    }
}

impl Keeper {
    /// A keeper of the machines that come from `held`. Sockets go to `run_dir`; shells have the
    /// variables in `env`.
    pub fn new(on_failure: OnFailure, held: Receiver<Held>, run_dir: &Path, env: Env) -> Self {
        Self {
            on_failure,
            held,
            run_dir: run_dir.to_owned(),
            env,
            unreported: Vec::new(),
            waiting: VecDeque::new(),
            shell: None,
            kept: Vec::new(),
            dropped: 0,
        }
    }

    /// Takes the machine that a worker has handed over, after the end of its test has been
    /// reported.
    pub fn on_test_finished(&mut self, machine: &str) {
        self.unreported.extend(self.held.try_iter());
        let Some(at) = self.unreported.iter().position(|held| held.machine.name() == machine)
        else {
            return;
        };
        let held = self.unreported.swap_remove(at);
        match self.on_failure {
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
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Closes when the open shell has ended; then [`Keeper::close`] is due.
    pub fn shell_ended(&self) -> Receiver<Infallible> {
        self.shell.as_ref().map_or_else(never, |shell| shell.ended.clone())
    }

    /// Ends the machine of a shell that has ended.
    pub fn close(&mut self) {
        if let Some(shell) = self.shell.take_if(|shell| is_closed(&shell.ended)) {
            shell.end();
        }
    }

    /// Opens a shell in the next machine that waits for one.
    pub fn open_next(&mut self) {
        while self.shell.is_none() {
            let Some(held) = self.waiting.pop_front() else { return };
            self.shell = self.start(held);
        }
    }

    /// Passes a signal on to the open shell: only the conductor's loop receives signals.
    pub fn signal(&self, signal: i32) {
        if let Some(shell) = &self.shell {
            // A full channel means that the shell has been told often enough.
            let _ = shell.signals.try_send(signal);
        }
    }

    /// Ends all shells and the machines that wait for one, at the end of the run.
    pub fn finish(&mut self) {
        let left = self.waiting.drain(..).chain(self.unreported.drain(..));
        left.for_each(|held| held.machine.stop());
        if let Some(shell) = self.shell.take() {
            shell.end();
        }
    }

    /// Lists the kept machines and waits for a signal; returns at once if there are none.
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
            text.push_str(&format!(
                "orca: {} more failed; --keep=N keeps the machines of N\n",
                self.dropped
            ));
        }
        plain::err(text.as_bytes());
        // Any signal ends the wait, and so does the loss of the signals' source.
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
        let (open, ended) = bounded(0);
        let (signals, inbox) = bounded(SIGNALS);
        let (path, env) = (kept.mux.path().to_owned(), self.env.clone());
        let body = move || {
            let _open: Sender<Infallible> = open;
            let result = interactive::call(&path)
                .and_then(|mut guest| interactive::shell(&mut guest, env, &inbox));
            if let Err(why) = result {
                plain::err(format!("orca: the shell ended: {why}\n").as_bytes());
            }
        };
        let thread = std::thread::Builder::new().name("shell".into()).spawn(body).ok();
        Some(Shell { ended, signals, thread, kept, release })
    }
}

impl Drop for Keeper {
    /// Ends everything: an interrupted run keeps no machine.
    fn drop(&mut self) {
        self.finish();
        self.kept.drain(..).for_each(KeptMachine::end);
    }
}

/// Opens a mux for a machine; `None`, with a message to the user, if that is not possible.
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

fn is_closed(channel: &Receiver<Infallible>) -> bool {
    matches!(channel.try_recv(), Err(crossbeam::channel::TryRecvError::Disconnected))
}
