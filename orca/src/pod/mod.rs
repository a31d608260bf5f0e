//! The pod: a fixed number of workers, each with a machine at a time, taking jobs from one queue.
//!
//! The pod knows the trait [`Maker`], not the machines behind it, and reports as events. Jobs come
//! through a channel; when its last sender is dropped the workers end, and the event channel with
//! them.

mod aloud;
mod before;
mod job;
mod outcome;
mod recorder;
mod worker;

pub use aloud::set_up;
pub use before::Before;
pub use job::{After, ForkedTest, Held, Job, Message};
pub use worker::Policy;

use crate::cancel::Cancel;
use crate::machine::Maker;
use crossbeam::channel::{Receiver, bounded};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// How many messages may wait for the conductor. After that the workers wait too, which bounds
/// memory.
const MESSAGE_QUEUE: usize = 1024;

/// The workers.
#[derive(Debug)]
pub struct Pod {
    workers: Vec<JoinHandle<()>>,
    messages: Receiver<Message>,
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
        let (sender, messages) = bounded(MESSAGE_QUEUE);
        let start = |number| {
            let worker = worker::Worker {
                number,
                maker: Arc::clone(maker),
                policy,
                after: after.clone(),
                jobs: jobs.clone(),
                cancel: cancel.clone(),
                conductor: sender.clone(),
            };
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker.work())
        };
        let workers = (0..size).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, messages })
    }

    /// What all workers say; disconnected once every worker has ended.
    pub fn messages(&self) -> &Receiver<Message> {
        &self.messages
    }

    /// Waits for the workers. Call it when [`Pod::messages`] is disconnected: until then a worker
    /// may wait for its message to be read.
    pub fn join(self) {
        drop(self.messages);
        for worker in self.workers {
            // The test of a worker that panicked has no result; the conductor sees that.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
