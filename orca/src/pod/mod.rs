//! The pod: a fixed number of workers, each with a machine at a time, taking jobs from one queue.
//!
//! The pod knows the trait [`Maker`], not the machines behind it, and reports as events. Jobs come
//! through a channel; when its last sender is dropped the workers end, and the event channel with
//! them.

mod job;
mod recorder;
mod worker;

pub use job::{After, Held, Job};
pub use worker::Policy;

use crate::cancel::Cancel;
use crate::events::event::Event;
use crate::machine::Maker;
use crossbeam::channel::{Receiver, bounded};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// How many events may wait for the conductor. After that the workers wait too, which bounds
/// memory.
const EVENT_QUEUE: usize = 1024;

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
    /// The host gives no more threads. The workers already started end with their queue.
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

    /// The events of all workers; disconnected once every worker has ended.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Waits for the workers. Call it when [`Pod::events`] is disconnected: until then a worker may
    /// wait for its event to be read.
    pub fn join(self) {
        drop(self.events);
        for worker in self.workers {
            // The test of a worker that panicked has no result; the conductor sees that.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
