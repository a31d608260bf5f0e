//! The run: one loop over what the pod tells, signals and the clock, around one pure [`step`].
//!
//! The conductor alone holds the job sender, so retries re-enter here and dropping it is what ends the workers. It alone decides
//! what is final. The loop owns everything that must be wound down and so has no `?`.

mod step;

pub use step::{Limits, State};

use crate::cancel::{Cancel, Canceller};
use crate::event::{Event, Start};
use crate::pod::{Job, Pod};
use crate::report::Reporter;
use crate::signals;
use crate::tally::Tally;
use crate::tty::Attention;
use crossbeam::channel::{Receiver, Sender, never, select, tick};
use std::time::{Duration, Instant};
use step::{Action, Input};

/// How often a live display is redrawn.
const TICK: Duration = Duration::from_millis(100);

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
}

/// Runs everything that `state` plans. Returns when every worker and every machine is gone.
pub fn run(conductor: Conductor<'_>, mut state: State, start: Start) -> Ended {
    let Conductor { jobs, pod, mut canceller, cancel, signals, attention, warnings, reporters } =
        conductor;
    let began = Instant::now();
    let mut desk = Desk { jobs: Some(jobs), tally: Tally::default(), reporters };
    desk.tell(Event::Started(start));
    warnings.into_iter().for_each(|warning| desk.tell(Event::Warning(warning)));
    for action in state.begin() {
        desk.act(action, &mut canceller);
    }
    let ticks = if desk.reporters.iter().any(|r| r.is_live()) { tick(TICK) } else { never() };
    let (mut signals, mut attention) = (signals.clone(), attention.clone());
    loop {
        let input = select! {
            recv(pod.events()) -> event => match event {
                Ok(event) => Input::Event(event),
                Err(_) => break,
            },
            recv(signals) -> signal => match signal {
                Ok(signal) => Input::Signal(signal),
                Err(_) => {
                    signals = never();
                    continue;
                }
            },
            recv(attention) -> asked => {
                match asked {
                    Ok(asked) => desk.attend(asked),
                    Err(_) => attention = never(),
                }
                continue;
            }
            recv(ticks) -> _ => {
                desk.reporters.iter_mut().for_each(|reporter| reporter.tick());
                continue;
            }
        };
        for action in state.step(input) {
            desk.act(action, &mut canceller);
        }
    }
    pod.join();
    for action in state.end() {
        desk.act(action, &mut canceller);
    }
    drop(cancel); // the workers' view outlives the workers
    desk.tell(Event::Finished { took: began.elapsed() });
    Ended { tally: desk.tally, signal: state.signal() }
}

/// Where actions are carried out.
struct Desk<'a> {
    jobs: Option<Sender<Job>>,
    tally: Tally,
    reporters: &'a mut [Box<dyn Reporter>],
}

impl Desk<'_> {
    fn act(&mut self, action: Action, canceller: &mut Canceller) {
        match action {
            Action::Submit(job) => {
                if let Some(jobs) = &self.jobs {
                    // Without a worker left the job has no result, which `State::end` makes up for.
                    let _ = jobs.send(job);
                }
            }
            Action::Close => self.jobs = None,
            Action::Raise(level) => canceller.raise(level),
            Action::Report(event) => self.tell(event),
        }
    }

    fn attend(&mut self, asked: Attention) {
        self.reporters.iter_mut().for_each(|reporter| reporter.attend(asked));
        signals::obey(asked);
    }

    fn tell(&mut self, event: Event) {
        self.tally.take(&event);
        for reporter in self.reporters.iter_mut() {
            reporter.event(&event, &self.tally);
        }
    }
}
