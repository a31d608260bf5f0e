//! The threads that requests run on. A thread that has run its request waits for another one:
//! starting a thread is cheap where code is warm, but a tenth of a small test's work in a machine
//! that has just been copied.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

type Body = Box<dyn FnOnce() + Send>;

/// The idle threads, each as the sender that gives it a request. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Threads(Arc<Mutex<Vec<SyncSender<Body>>>>);

impl Threads {
    /// Runs `body` on a thread that is idle, or on a new one.
    ///
    /// # Errors
    /// The kernel gives no more threads; `body` is dropped.
    pub(crate) fn run(&self, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut body: Body = Box::new(body);
        while let Some(thread) = self.take() {
            match thread.send(body) {
                Ok(()) => return Ok(()),
                Err(back) => body = back.0, // the thread's last request panicked
            }
        }
        self.start(body)
    }

    fn take(&self) -> Option<SyncSender<Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn start(&self, first: Body) -> io::Result<()> {
        let (sender, bodies) = sync_channel::<Body>(1);
        let idle = self.clone();
        let work = move || {
            let mut next = Ok(first);
            while let Ok(body) = next {
                body();
                idle.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
                next = bodies.recv();
            }
        };
        thread::Builder::new().name("request".into()).spawn(work).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_serves_again_and_two_requests_get_two() {
        let threads = Threads::default();
        let (sender, receiver) = channel();
        let run = || {
            let sender = sender.clone();
            threads.run(move || sender.send(thread::current().id()).unwrap()).unwrap();
            receiver.recv().unwrap()
        };
        let first = run();
        while threads.0.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        assert_eq!(first, run());
        let (hold, held) = channel::<()>();
        let busy = sender.clone();
        let wait = move || {
            busy.send(thread::current().id()).unwrap();
            held.recv().unwrap_err();
        };
        threads.run(wait).unwrap();
        assert_ne!(receiver.recv().unwrap(), run());
        drop(hold);
    }
}
