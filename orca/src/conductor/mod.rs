//! The run: one loop over what the pod tells, signals and the clock, around one pure [`step`].
//!
//! The conductor alone holds the job sender, so retries re-enter here and dropping it is what ends the workers. It alone decides
//! what is final. The loop owns everything that must be wound down and so has no `?`.

pub mod interactive;
pub mod keeper;
mod schedule;
mod step;

pub use schedule::ScheduledJob;
pub use step::{Limits, RunState};

use crate::cancel::{Cancel, Canceller};
use crate::events::event::{Event, Start};
use crate::events::tally::Tally;
use crate::host::signals;
use crate::host::tty::Attention;
use crate::pod::{Job, Pod};
use crate::report::Reporter;
use crossbeam::channel::{Receiver, Sender, after, never, select, tick};
use keeper::Keeper;
use std::time::{Duration, Instant};
use step::{Action, Input};

/// How often a live display is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// How long the workers may take to end once everything has been told to end at once.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The final results.
    pub tally: Tally,
    /// The signal that interrupted it.
    pub signal: Option<i32>,
}

/// What the loop works with.
pub struct Conductor<'a> {
    /// Ends the workers when dropped.
    pub jobs: Sender<Job>,
    /// What happens in the pod.
    pub pod: Pod,
    /// Raises the level.
    pub canceller: Canceller,
    /// The pod's view of the level.
    pub cancel: Cancel,
    /// Signal numbers as they come.
    pub signals: &'a Receiver<i32>,
    /// What concerns the reporters only.
    pub attention: &'a Receiver<Attention>,
    /// What the user should know before the first test.
    pub warnings: Vec<String>,
    /// Told everything, in order.
    pub reporters: &'a mut [Box<dyn Reporter>],
    /// Has the machines of failed tests, where somebody wants them.
    pub keeper: Option<Keeper>,
}

/// Runs everything that `state` plans. Returns when every worker and every machine is gone.
pub fn run(conductor: Conductor<'_>, mut state: RunState, start: Start) -> Ended {
    let Conductor { jobs, pod, mut canceller, cancel, signals: all, .. } = conductor;
    let Conductor { attention, warnings, reporters, keeper, .. } = conductor;
    let began = Instant::now();
    let mut executor =
        Executor { jobs: Some(jobs), tally: Tally::default(), reporters, keeper, put_off: None };
    executor.tell(Event::Started(start));
    warnings.into_iter().for_each(|warning| executor.tell(Event::Warning(warning)));
    for action in state.begin() {
        executor.act(action, &mut canceller);
    }
    let ticks = if executor.reporters.iter().any(|r| r.is_live()) { tick(TICK) } else { never() };
    let (mut signals, mut attention) = (all.clone(), attention.clone());
    let mut give_up = never();
    let stuck = loop {
        let shell = executor.keeper.as_ref().map_or_else(never, Keeper::done);
        let input = select! {
            recv(pod.events()) -> event => match event {
                Ok(event) => Input::Event(event),
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
                    Ok(asked) => executor.attend(asked),
                    Err(_) => attention = never(),
                }
                continue;
            }
            recv(ticks) -> _ => {
                executor.tick();
                continue;
            }
            recv(shell) -> _ => {
                executor.look_after();
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
            executor.keeper.iter_mut().for_each(|keeper| keeper.told(&machine));
            executor.look_after();
        }
    };
    if stuck {
        drop(pod); // a thread that hangs in the kernel; the machines die with this process
    } else {
        pod.join();
    }
    executor.leave();
    for action in state.end() {
        executor.act(action, &mut canceller);
    }
    drop(cancel); // the workers' view outlives the workers
    executor.tell(Event::Finished { took: began.elapsed() });
    if let Some(keeper) = executor.keeper.as_mut().filter(|_| state.signal().is_none()) {
        keeper.wait(all);
    }
    Ended { tally: executor.tally, signal: state.signal() }
}

/// Where actions are carried out.
struct Executor<'a> {
    jobs: Option<Sender<Job>>,
    tally: Tally,
    reporters: &'a mut [Box<dyn Reporter>],
    keeper: Option<Keeper>,
    /// What has happened while the terminal was a shell's.
    put_off: Option<Vec<Event>>,
}

impl Executor<'_> {
    /// Looks after the machines of failed tests, whose shell has the terminal for as long as it is open.
    fn look_after(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.close();
        if keeper.has_shell() {
            return;
        }
        self.resume(); // a person reads of the failure first
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.has_more()) else { return };
        self.reporters.iter_mut().for_each(|reporter| reporter.pause());
        self.put_off = Some(Vec::new());
        keeper.next();
        if !keeper.has_shell() {
            self.resume();
        }
    }

    /// No shell is open from now on.
    fn leave(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.finish();
        }
        self.resume();
    }

    fn resume(&mut self) {
        for event in self.put_off.take().into_iter().flatten() {
            self.tell(event);
        }
    }

    fn tick(&mut self) {
        if self.put_off.is_none() {
            self.reporters.iter_mut().for_each(|reporter| reporter.tick());
        }
    }

    fn act(&mut self, action: Action, canceller: &mut Canceller) {
        match action {
            Action::Submit(job) => {
                if let Some(jobs) = &self.jobs {
                    // Without a worker left the job has no result, which `RunState::end` makes up for.
                    let _ = jobs.send(job);
                }
            }
            Action::Close => self.jobs = None,
            Action::Raise(level) => canceller.raise(level),
            Action::Report(event) => self.tell(event),
        }
    }

    fn attend(&mut self, asked: Attention) {
        // While a shell has the terminal nobody shows anything.
        if self.put_off.is_none() {
            self.reporters.iter_mut().for_each(|reporter| reporter.attend(asked));
        }
        signals::obey(asked);
    }

    fn tell(&mut self, event: Event) {
        if let Some(later) = &mut self.put_off {
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
