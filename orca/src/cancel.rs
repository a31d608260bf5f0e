//! Cancellation: a level that can only rise, and a channel per level that closes when the level is
//! reached.
//!
//! Nothing is ever sent, so a receiver is ready only when it is closed. A thread that waits puts
//! the receiver of the level that concerns it into its `select!`. The conductor owns the
//! [`Canceller`]. Dropping it closes every channel, as [`Level::Kill`] does, so it must outlive the
//! threads of a run.

use crossbeam::channel::{Receiver, Sender, bounded};
use std::convert::Infallible;

/// How far the run has been told to stop. Ordered: each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Take no more tests; the running ones go on.
    Drain,
    /// Cut the running tests: TERM, a grace period, KILL.
    Cut,
    /// End everything now.
    Kill,
}

/// The writing end.
pub struct Canceller {
    open: [Option<Sender<Infallible>>; 3],
}

/// The reading end; clone it freely.
#[derive(Clone, Debug)]
pub struct Cancel {
    closed: [Receiver<Infallible>; 3],
}

/// A connected pair.
pub fn channel() -> (Canceller, Cancel) {
    let ((a, x), (b, y), (c, z)) = (bounded(0), bounded(0), bounded(0));
    (Canceller { open: [Some(a), Some(b), Some(c)] }, Cancel { closed: [x, y, z] })
}

impl Canceller {
    /// Raises the level; lowering it is impossible.
    pub fn raise(&mut self, level: Level) {
        for sender in &mut self.open[..=level as usize] {
            *sender = None;
        }
    }
}

impl Cancel {
    /// A receiver that is ready (closed) from the moment `level` is reached.
    pub fn on(&self, level: Level) -> &Receiver<Infallible> {
        &self.closed[level as usize]
    }

    /// Whether `level` has been reached.
    pub fn reached(&self, level: Level) -> bool {
        use crossbeam::channel::TryRecvError::Disconnected;
        matches!(self.on(level).try_recv(), Err(Disconnected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_includes_the_ones_before_it_and_never_falls() {
        let (mut canceller, cancel) = channel();
        assert!(!cancel.reached(Level::Drain));
        canceller.raise(Level::Cut);
        assert!(cancel.reached(Level::Drain) && cancel.reached(Level::Cut));
        assert!(!cancel.reached(Level::Kill));
        canceller.raise(Level::Drain);
        assert!(cancel.reached(Level::Cut));
        canceller.raise(Level::Kill);
        assert!(cancel.reached(Level::Kill));
    }
}
