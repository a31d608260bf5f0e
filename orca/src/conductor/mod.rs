//! The run: one loop over the pod's events, signals and the clock, around one pure [`step`].
//!
//! The conductor alone holds the job sender: retries are sent from here, and dropping the sender
//! ends the workers. It alone decides what is final. The loop owns everything that must be wound
//! down and so has no `?`.

pub mod agenda;
mod blocked;
mod entry;
mod fork;
pub mod interactive;
pub mod keeper;
mod retry;
mod schedule;
mod step;

pub use entry::Entry;
pub use step::{Limits, RunState};

use crate::cancel::{Cancel, Canceller};
use crate::events::event::{Event, Start};
use crate::events::tally::Tally;
use crate::host::signals;
use crate::host::tty::Attention;
use crate::pod::{Job, Message, Pod};
use crate::report::Reporter;
use crossbeam::channel::{Receiver, Sender, after, never, select, tick};
use keeper::Keeper;
use std::time::{Duration, Instant};
use step::{Action, Input};

/// How often a live display is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// How long the workers may take to end after everything has been told to end at once.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The final results.
    pub tally: Tally,
    /// The signal that interrupted it.
    pub signal: Option<i32>,
}

/// Everything that the loop works with.
pub struct Conductor<'a> {
    /// Ends the workers when dropped.
    pub jobs: Sender<Job>,
    /// The workers and their events.
    pub pod: Pod,
    /// Raises the level of the cancellation.
    pub canceller: Canceller,
    /// The pod's view of that level.
    pub cancel: Cancel,
    /// The numbers of the signals that the process gets.
    pub signals: &'a Receiver<i32>,
    /// Requests of the terminal that concern the reporters only.
    pub attention: &'a Receiver<Attention>,
    /// Warnings for the user, to be shown before the first test.
    pub warnings: Vec<String>,
    /// The reporters. Each gets every event, in order.
    pub reporters: &'a mut [Box<dyn Reporter>],
    /// Keeps the machines of failed tests for `--shell-on-fail` and `--keep`.
    pub keeper: Option<Keeper>,
}

/// Runs everything that `state` plans. Returns when every worker and every machine is gone.
pub fn run(conductor: Conductor<'_>, mut state: RunState, start: Start) -> Ended {
    let Conductor { jobs, pod, mut canceller, cancel, signals: all_signals, .. } = conductor;
    let Conductor { attention, warnings, reporters, keeper, .. } = conductor;
    let began = Instant::now();
    let tally = Tally::default();
    let mut executor = Executor { jobs: Some(jobs), tally, reporters, keeper, deferred: None };
    executor.report(Event::Started(start));
    warnings.into_iter().for_each(|warning| executor.report(Event::Warning(warning)));
    for action in state.begin() {
        executor.act(action, &mut canceller);
    }
    let ticks = if executor.reporters.iter().any(|r| r.is_live()) { tick(TICK) } else { never() };
    let (mut signals, mut attention) = (all_signals.clone(), attention.clone());
    let mut give_up = never();
    let stuck = loop {
        let shell_ended = executor.keeper.as_ref().map_or_else(never, Keeper::shell_ended);
        let input = select! {
            recv(pod.messages()) -> message => match message {
                Ok(Message::Event(event)) => Input::Event(event),
                Ok(Message::Forked(forked)) => Input::Forked(forked),
                Err(_) => break false,
            },
            recv(give_up) -> _ => break true,
            recv(signals) -> signal => match signal {
                Ok(signal) => {
                    executor.keeper.iter().for_each(|keeper| keeper.signal(signal));
                    Input::Signal(signal)
                }
                Err(_) => {
                    signals = never();
                    continue;
                }
            },
            recv(attention) -> asked => {
                match asked {
                    Ok(asked) => executor.on_attention(asked),
                    Err(_) => attention = never(),
                }
                continue;
            }
            recv(ticks) -> _ => {
                executor.tick();
                continue;
            }
            recv(shell_ended) -> _ => {
                executor.switch_shells();
                continue;
            }
        };
        let ended = match &input {
            Input::Event(Event::TestFinished(attempt)) => attempt.machine.clone(),
            _ => None,
        };
        let killed = state.is_killed();
        for action in state.step(input) {
            executor.act(action, &mut canceller);
        }
        if state.is_killed() && !killed {
            give_up = after(KILL_WAIT);
        }
        if let Some(machine) = ended {
            executor.keeper.iter_mut().for_each(|keeper| keeper.on_test_finished(&machine));
            executor.switch_shells();
        }
    };
    if stuck {
        drop(pod); // a thread hangs in the kernel; the machines die with this process
    } else {
        pod.join();
    }
    executor.close_shells();
    for action in state.end() {
        executor.act(action, &mut canceller);
    }
    drop(cancel); // only now: the workers' view must outlive the workers
    executor.report(Event::Finished { took: began.elapsed() });
    if let Some(keeper) = executor.keeper.as_mut().filter(|_| state.signal().is_none()) {
        keeper.wait(all_signals);
    }
    Ended { tally: executor.tally, signal: state.signal() }
}

/// Carries out the actions of [`step`].
struct Executor<'a> {
    jobs: Option<Sender<Job>>,
    tally: Tally,
    reporters: &'a mut [Box<dyn Reporter>],
    keeper: Option<Keeper>,
    /// The events since a shell got the terminal; `None` while there is no shell.
    deferred: Option<Vec<Event>>,
}

impl Executor<'_> {
    /// Closes a shell that has ended and opens the next one. A shell has the terminal to itself
    /// while it is open.
    fn switch_shells(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.close();
        if keeper.has_shell() {
            return;
        }
        self.resume(); // the person should read about the failure first
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.has_waiting()) else {
            return;
        };
        self.reporters.iter_mut().for_each(|reporter| reporter.pause());
        self.deferred = Some(Vec::new());
        keeper.open_next();
        if !keeper.has_shell() {
            self.resume();
        }
    }

    /// Closes all shells for good.
    fn close_shells(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.finish();
        }
        self.resume();
    }

    fn resume(&mut self) {
        for event in self.deferred.take().into_iter().flatten() {
            self.report(event);
        }
    }

    fn tick(&mut self) {
        if self.deferred.is_none() {
            self.reporters.iter_mut().for_each(|reporter| reporter.tick());
        }
    }

    fn act(&mut self, action: Action, canceller: &mut Canceller) {
        match action {
            Action::Submit(job) => {
                if let Some(jobs) = &self.jobs {
                    // If no worker is left, the job has no result; `RunState::end` reports it as
                    // not run.
                    let _ = jobs.send(*job);
                }
            }
            Action::Close => self.jobs = None,
            Action::Raise(level) => canceller.raise(level),
            Action::Report(event) => self.report(event),
        }
    }

    fn on_attention(&mut self, asked: Attention) {
        // While a shell has the terminal, no reporter may write to it.
        if self.deferred.is_none() {
            self.reporters.iter_mut().for_each(|reporter| reporter.attend(asked));
        }
        signals::obey(asked);
    }

    fn report(&mut self, event: Event) {
        if let Some(later) = &mut self.deferred {
            if !matches!(event, Event::TestProgress { .. }) {
                later.push(event);
            }
            return;
        }
        self.tally.take(&event);
        for reporter in self.reporters.iter_mut() {
            reporter.event(&event, &self.tally);
        }
    }
}
