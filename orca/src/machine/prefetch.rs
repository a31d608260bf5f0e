//! Makes machines ahead of the workers: each is made while others run, and waits for its test.
//!
//! As many threads as there are workers make machines of the usual shape, and each holds one until
//! a worker takes it. Together they make as many as there are tests and then end. A retry at the
//! end of a run, or a test of another shape, has its machine made on the spot. So there are never
//! more than two machines per worker.

use super::fork::ForkPoint;
use super::interface::{Machine, Maker, SetUp, Warn};
use crate::cancel::{Cancel, Level};
use crate::events::trouble::Trouble;
use crate::shape::{Node, Shape};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// From how many tests on machines are prepared together for them, beside the first tests. Measured:
/// it costs as much as six trivial tests, and each test saves half of one.
const WARM_MIN: usize = 12;

/// A machine, or why there is none, and its maker's warnings.
type Made = (Result<Box<dyn Machine>, Trouble>, Vec<String>);

/// A maker that has machines of one shape ready. It must be dropped before the folders of its
/// machines.
pub struct Prefetcher {
    maker: Arc<dyn Maker>,
    shape: Shape,
    ready: Option<Receiver<Made>>,
    makers: Vec<JoinHandle<()>>,
}

impl Prefetcher {
    /// Starts making `demand` machines of `shape`, `ahead` of them at a time.
    pub fn new(
        maker: Arc<dyn Maker>,
        shape: Shape,
        ahead: usize,
        demand: usize,
        cancel: &Cancel,
    ) -> Self {
        let (sender, ready) = bounded(0);
        let left = Arc::new(AtomicUsize::new(demand));
        let start = |number: usize| {
            let (maker, left) = (Arc::clone(&maker), Arc::clone(&left));
            let (sender, cancel) = (sender.clone(), cancel.clone());
            let work = move || fill(&*maker, shape, &left, &cancel, &sender);
            std::thread::Builder::new().name(format!("maker-{number}")).spawn(work)
        };
        // Without threads nothing is made ahead; every machine is made on the spot.
        let mut makers: Vec<_> =
            (0..ahead.min(demand)).filter_map(|number| start(number).ok()).collect();
        if demand >= WARM_MIN {
            let (maker, cancel) = (Arc::clone(&maker), cancel.clone());
            // A machine that is not warm is made as well.
            let warm = move || drop(maker.warm(shape, &cancel, &|_| ()));
            makers.extend(std::thread::Builder::new().name("warmer".into()).spawn(warm));
        }
        Self { maker, shape, ready: Some(ready), makers }
    }
}

fn fill(maker: &dyn Maker, shape: Shape, left: &AtomicUsize, cancel: &Cancel, out: &Sender<Made>) {
    let take = |n: usize| n.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        if cancel.reached(Level::Drain) {
            return;
        }
        let warnings = Mutex::new(Vec::new());
        let warn = |text| warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        let made = maker.make(shape, cancel, &warn);
        let warnings = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
        select! {
            send(out, (made, warnings)) -> sent => if sent.is_err() {
                return;
            },
            recv(cancel.on(Level::Drain)) -> _ => return,
        }
    }
}

impl Maker for Prefetcher {
    fn make(
        &self,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        if let Some(ready) = self.ready.as_ref().filter(|_| shape == self.shape)
            && let Ok((made, warnings)) = ready.recv()
        {
            warnings.into_iter().for_each(warn);
            return made;
        }
        self.maker.make(shape, cancel, warn)
    }

    fn group(
        &self,
        shape: Shape,
        nodes: &[Node],
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        self.maker.group(shape, nodes, cancel, warn)
    }

    fn thaw(&self, point: &Arc<ForkPoint>, cancel: &Cancel) -> Result<Box<dyn Machine>, Trouble> {
        self.maker.thaw(point, cancel)
    }

    fn recall(&self, shape: Shape, setup: &SetUp) -> bool {
        self.maker.recall(shape, setup)
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        self.ready = None; // a thread that holds out a machine lets go of it
        for maker in self.makers.drain(..) {
            // A thread that panicked has dropped its machine on the way.
            let _ = maker.join();
        }
    }
}
