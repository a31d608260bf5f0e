//! The worker threads: each takes tests and runs them until none are left.

use super::event::Event;
use super::job;
use super::shared::Shared;
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::io;
use std::sync::Arc;

/// Starts up to `jobs` workers; the channel closes when the last of them is done. Workers are not
/// joined: one whose test left a process behind may outlive the run, and ends with this process.
pub(super) fn start(shared: &Arc<Shared>, jobs: usize) -> io::Result<Receiver<Event>> {
    let (sender, receiver) = unbounded();
    for number in 0..jobs.min(shared.tests.len()) {
        let (shared, sender) = (Arc::clone(shared), sender.clone());
        let work = move || work(&shared, &sender);
        std::thread::Builder::new().name(format!("worker {number}")).spawn(work)?;
    }
    Ok(receiver)
}

fn work(shared: &Shared, events: &Sender<Event>) {
    while let Some(index) = shared.take() {
        if events.send(Event::Start(index)).is_err() {
            return;
        }
        job::run(shared, index, events);
    }
}
