//! Makes machines ahead of the workers: each is made while others run, and waits for its test.
//!
//! As many threads as there are workers make machines, in the order in which tests need them, and
//! each holds one until a worker takes it. Together they make as many as there are tests and then
//! end. A machine of a set-up is made once the set-up has passed. A retry at the end of a run has
//! its machine made on the spot. So there are never more than two machines per worker.

use super::fork::ForkPoint;
use super::interface::{Machine, Maker, SetUp, Warn};
use crate::cancel::{Cancel, Level};
use crate::events::trouble::Trouble;
use crate::shape::{Node, Shape};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// From how many tests on machines are prepared together for them, beside the first tests.
/// Measured: it costs 1.2 s of processor time, and each trivial test saves 0.035 s. If the project
/// does not change, the next run has it for nothing.
const WARM_MIN: usize = 36;

/// How many machines of a shape the tests need, in the order of the tests.
pub type Demand = Vec<(Shape, usize)>;

/// A machine, or why there is none, and its maker's warnings.
type Made = (Result<Box<dyn Machine>, Trouble>, Vec<String>);

/// A maker that has machines ready. It must be dropped before the folders of its machines.
pub struct Prefetcher {
    shared: Arc<Shared>,
    ready: HashMap<Shape, Receiver<Made>>,
    makers: Vec<JoinHandle<()>>,
}

/// What the threads share with the workers.
struct Shared {
    maker: Arc<dyn Maker>,
    cancel: Cancel,
    state: Mutex<State>,
    /// Another shape may be possible now, or nothing is wanted any more.
    changed: Condvar,
}

struct State {
    /// The machines that nobody has begun to make.
    demand: Demand,
    /// How many are being made or held, and not taken yet.
    coming: HashMap<Shape, usize>,
    is_over: bool,
}

impl Prefetcher {
    /// Starts making the machines of `demand`, `ahead` of them at a time.
    pub fn new(maker: Arc<dyn Maker>, demand: Demand, ahead: usize, cancel: &Cancel) -> Self {
        let total = demand.iter().fold(0_usize, |sum, (_, count)| sum.saturating_add(*count));
        let channels = demand.iter().map(|(shape, _)| (*shape, bounded(0)));
        let channels: HashMap<Shape, (Sender<Made>, Receiver<Made>)> = channels.collect();
        let warmed = demand.iter().filter(|(shape, _)| shape.setup.is_none());
        let warmed = warmed.max_by_key(|(_, count)| *count).copied();
        let state = State { demand, coming: HashMap::new(), is_over: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { maker, cancel: cancel.clone(), state, changed });
        let start = |number: usize| {
            let senders = channels.iter().map(|(shape, (sender, _))| (*shape, sender.clone()));
            let (senders, shared) = (senders.collect(), Arc::clone(&shared));
            let work = move || shared.fill(&senders);
            std::thread::Builder::new().name(format!("maker-{number}")).spawn(work)
        };
        // Without threads nothing is made ahead; every machine is made on the spot.
        let mut makers: Vec<_> =
            (0..ahead.min(total)).filter_map(|number| start(number).ok()).collect();
        if let Some((shape, WARM_MIN..)) = warmed {
            let shared = Arc::clone(&shared);
            // A machine that is not warm does as well.
            let warm = move || drop(shared.maker.warm(shape, &shared.cancel, &|_| ()));
            makers.extend(std::thread::Builder::new().name("warmer".into()).spawn(warm));
        }
        let ready = channels.into_iter().map(|(shape, (_, ready))| (shape, ready)).collect();
        Self { shared, ready, makers }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one machine after the other, and holds each until a worker takes it.
    fn fill(&self, out: &HashMap<Shape, Sender<Made>>) {
        while let Some(shape) = self.next() {
            if self.cancel.reached(Level::Drain) {
                return;
            }
            let warnings = Mutex::new(Vec::new());
            let warn = |text| warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            let made = self.maker.make(shape, &self.cancel, &warn);
            let warnings = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
            let Some(sender) = out.get(&shape) else { return };
            select! {
                send(sender, (made, warnings)) -> sent => if sent.is_err() {
                    return;
                },
                recv(self.cancel.on(Level::Drain)) -> _ => return,
            }
        }
    }

    /// The next shape to make a machine of; `None` if no more are wanted.
    fn next(&self) -> Option<Shape> {
        let mut state = self.state();
        loop {
            if state.is_over || state.demand.iter().all(|(_, count)| *count == 0) {
                return None;
            }
            let can_be_made =
                |(shape, count): &&mut (Shape, usize)| *count > 0 && self.maker.can_make(*shape);
            if let Some((shape, count)) = state.demand.iter_mut().find(can_be_made) {
                *count -= 1;
                let shape = *shape;
                *state.coming.entry(shape).or_default() += 1;
                return Some(shape);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Claims a machine of `shape` that is being made. If there is none, the caller makes one.
    fn claim(&self, shape: Shape) -> bool {
        let mut state = self.state();
        let coming = state.coming.entry(shape).or_default();
        let is_coming = *coming > 0;
        *coming -= usize::from(is_coming);
        if !is_coming && let Some((_, left)) = state.demand.iter_mut().find(|(s, _)| *s == shape) {
            *left = left.saturating_sub(1);
        }
        drop(state);
        // A worker that asks for a machine may be the first after a set-up.
        self.changed.notify_all();
        is_coming
    }
}

impl Maker for Prefetcher {
    fn make(
        &self,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        if let Some(ready) = self.ready.get(&shape)
            && self.shared.claim(shape)
        {
            select! {
                recv(ready) -> made => if let Ok((made, warnings)) = made {
                    warnings.into_iter().for_each(warn);
                    return made;
                },
                // The threads make nothing more.
                recv(cancel.on(Level::Drain)) -> _ => {}
            }
        }
        self.shared.maker.make(shape, cancel, warn)
    }

    fn group(
        &self,
        shape: Shape,
        nodes: &[Node],
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        self.shared.maker.group(shape, nodes, cancel, warn)
    }

    fn thaw(&self, point: &Arc<ForkPoint>, cancel: &Cancel) -> Result<Box<dyn Machine>, Trouble> {
        self.shared.maker.thaw(point, cancel)
    }

    fn recall(&self, shape: Shape, setup: &SetUp, warn: Warn<'_>) -> bool {
        self.shared.maker.recall(shape, setup, warn)
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        self.ready.clear(); // a thread that holds out a machine lets go of it
        for maker in self.makers.drain(..) {
            // A thread that panicked has dropped its machine on the way.
            let _ = maker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel;
    use crate::events::trouble::{ConsoleTail, Kind};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Makes nothing, and counts. Machines of a set-up can be made once it has passed.
    #[derive(Default)]
    struct Counting {
        made: AtomicUsize,
        passed: AtomicBool,
    }

    impl Maker for Counting {
        fn make(&self, _: Shape, _: &Cancel, _: Warn<'_>) -> Result<Box<dyn Machine>, Trouble> {
            self.made.fetch_add(1, Ordering::SeqCst);
            let detail = "made".to_owned();
            Err(Trouble { kind: Kind::Boot, detail, console: ConsoleTail::default() })
        }

        fn can_make(&self, shape: Shape) -> bool {
            shape.setup.is_none() || self.passed.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn every_test_gets_one_machine_whatever_the_order() {
        let (_canceller, cancel) = cancel::channel();
        let counting = Arc::new(Counting::default());
        let (plain, above) = (Shape::default(), Shape { setup: Some(0), ..Shape::default() });
        let maker: Arc<dyn Maker> = Arc::clone(&counting) as Arc<dyn Maker>;
        let prefetcher = Prefetcher::new(maker, vec![(above, 3), (plain, 3)], 2, &cancel);
        let take = |shape| drop(prefetcher.make(shape, &cancel, &|_| ()));
        [plain, plain, plain].into_iter().for_each(take);
        counting.passed.store(true, Ordering::SeqCst);
        [above, above, above].into_iter().for_each(take);
        take(Shape { cpus: 9, ..plain });
        drop(prefetcher);
        assert_eq!(counting.made.load(Ordering::SeqCst), 7);
    }

    #[test]
    fn a_run_that_ends_waits_for_no_set_up() {
        let (mut canceller, cancel) = cancel::channel();
        let above = Shape { setup: Some(0), ..Shape::default() };
        let maker: Arc<dyn Maker> = Arc::new(Counting::default());
        let prefetcher = Prefetcher::new(maker, vec![(above, 9)], 2, &cancel);
        canceller.raise(Level::Drain);
        drop(prefetcher);
    }
}
