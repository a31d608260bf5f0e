//! The threads that requests run on. One that has run its request waits for another: starting a thread is cheap where code is warm,
//! and a tenth of a small test's work in a machine that has just been copied.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

type Body = Box<dyn FnOnce() + Send>;

/// See the module. Clones share the threads.
#[derive(Clone, Default)]
pub(crate) struct Threads(Arc<Mutex<Vec<SyncSender<Body>>>>);

impl Threads {
    /// Runs `body` on a thread that is idle, or on a new one.
    ///
    /// # Errors
    /// The kernel gives no more threads; `body` is dropped.
    pub(crate) fn run(&self, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut body: Body = Box::new(body);
        while let Some(seat) = self.take() {
            match seat.send(body) {
                Ok(()) => return Ok(()),
                Err(back) => body = back.0, // its last request panicked
            }
        }
        self.hire(body)
    }

    fn take(&self) -> Option<SyncSender<Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn hire(&self, first: Body) -> io::Result<()> {
        let (seat, bodies) = sync_channel::<Body>(1);
        let idle = self.clone();
        let work = move || {
            let mut next = Ok(first);
            while let Ok(body) = next {
                body();
                idle.0.lock().unwrap_or_else(PoisonError::into_inner).push(seat.clone());
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
        let crew = Threads::default();
        let (tell, told) = channel();
        let ask = || {
            let tell = tell.clone();
            crew.run(move || tell.send(thread::current().id()).unwrap()).unwrap();
            told.recv().unwrap()
        };
        let first = ask();
        while crew.0.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        assert_eq!(first, ask());
        let (hold, held) = channel::<()>();
        let busy = tell.clone();
        let wait = move || {
            busy.send(thread::current().id()).unwrap();
            held.recv().unwrap_err();
        };
        crew.run(wait).unwrap();
        assert_ne!(told.recv().unwrap(), ask());
        drop(hold);
    }
}
