//! The pod: a fixed number of workers, each with a machine at a time, taking jobs from one queue.
//!
//! It knows the trait [`Maker`], not what is behind it, and it tells what happens as events. Jobs are handed in by whoever holds the
//! sender; when the last sender is dropped the workers end, and the event channel with them.

mod recorder;
mod worker;

pub use worker::Policy;

use crate::cancel::Cancel;
use crate::events::attempt::{Kernel, TestId};
use crate::events::event::Event;
use crate::machine::{Machine, Maker, Order};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Events that may wait for the conductor; behind them the workers wait, which bounds memory.
const EVENT_QUEUE: usize = 1024;

/// One attempt to be made at a test.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which test.
    pub test: TestId,
    /// Its path, for people.
    pub path: String,
    /// Which of several kernels it runs on.
    pub kernel: Option<Kernel>,
    /// From 1: which repetition of the test this is.
    pub round: u32,
    /// From 1.
    pub attempt: u32,
    /// How often the test may be tried again after a failure.
    pub retries: u32,
    /// Why a bad result does not count, where the test is in quarantine.
    pub quarantined: Option<String>,
    /// What the machine is told.
    pub order: Order,
    /// Where its logs and artifacts go.
    pub dir: PathBuf,
}

/// What becomes of what a test leaves.
#[derive(Clone, Default)]
pub struct After {
    /// Where the machine of a test that did not pass goes, instead of being ended.
    pub failed: Option<Sender<Held>>,
    /// Whether the artifacts of tests that passed stay.
    pub artifacts: bool,
}

/// A machine that is handed over, no test running in it. It comes before the `TestFinished` of its test.
pub struct Held {
    /// The test's path, for people.
    pub test: String,
    /// The machine, as the test left it.
    pub machine: Box<dyn Machine>,
    /// The worker goes on when this is dropped.
    pub release: Sender<Infallible>,
}

/// The workers.
#[derive(Debug)]
pub struct Pod {
    workers: Vec<JoinHandle<()>>,
    events: Receiver<Event>,
}

impl Pod {
    /// Starts `size` workers that take from `jobs`.
    ///
    /// # Errors
    /// When the host gives no more threads; those already started end with their queue.
    pub fn start(
        size: usize,
        maker: &Arc<dyn Maker>,
        policy: Policy,
        after: &After,
        jobs: &Receiver<Job>,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        let (sender, events) = bounded(EVENT_QUEUE);
        let start = |number| {
            let worker = worker::Worker {
                number,
                maker: Arc::clone(maker),
                policy,
                after: after.clone(),
                jobs: jobs.clone(),
                cancel: cancel.clone(),
                events: sender.clone(),
            };
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker.work())
        };
        let workers = (0..size).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, events })
    }

    /// What happens; disconnected once every worker has ended.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Waits for the workers. Call it when [`Pod::events`] is disconnected, or they may wait for somebody to read it.
    pub fn join(self) {
        drop(self.events);
        for worker in self.workers {
            // A worker that panicked has lost its test, which then has no result; the conductor sees that.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
