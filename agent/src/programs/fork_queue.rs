//! The forks that one test asks for. The host gets one at a time, and the next one after its
//! answer: it freezes the machine in between, and must not miss another one meanwhile.

use super::requests::{self, REQUESTS_MAX};
use crate::wire::Kind;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One fork that a program asks for.
pub(crate) struct Fork {
    /// Stands for it at the host.
    pub(crate) id: u32,
    /// The names of its cases, as the host gets them.
    pub(crate) names: Vec<u8>,
    /// The program, which waits for the answer.
    pub(crate) program: UnixStream,
}

/// The forks of one test that have no answer yet.
#[derive(Default)]
pub(crate) struct ForkQueue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Fork>,
    /// The id of the one that the host has, and its program.
    open: Option<(u32, UnixStream)>,
}

impl ForkQueue {
    /// Adds `fork`, or refuses it.
    pub(crate) fn push(&self, fork: Fork) {
        let mut state = self.lock();
        if state.waiting.len() < REQUESTS_MAX {
            state.waiting.push_back(fork);
        } else {
            requests::refuse(&fork.program, &format!("{REQUESTS_MAX} forks wait already"));
        }
    }

    /// The id and the names of the next one for the host; `None` while the host has one. Programs
    /// that are gone are passed over.
    pub(crate) fn take_next(&self) -> Option<(u32, Vec<u8>)> {
        let mut state = self.lock();
        while state.open.is_none() {
            let fork = state.waiting.pop_front()?;
            if !is_gone(&fork.program) {
                state.open = Some((fork.id, fork.program));
                return Some((fork.id, fork.names));
            }
        }
        None
    }

    /// Whether the host has one that it has not answered.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// Hands the host's answer to the program, if the host has the fork with this id. A program
    /// that is gone is forgotten.
    pub(crate) fn answer(&self, id: u32, kind: Kind, payload: &[u8]) -> bool {
        let open = self.lock().open.take_if(|open| open.0 == id);
        // The program may have been killed meanwhile.
        open.map(|(_, program)| _ = requests::answer(&program, kind, payload)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_gone(program: &UnixStream) -> bool {
    let mut fds = [PollFd::new(program.as_fd(), PollFlags::empty())];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn push(queue: &ForkQueue, id: u32) -> UnixStream {
        let (ours, program) = UnixStream::pair().unwrap();
        queue.push(Fork { id, names: vec![b'a' + id as u8, 0], program });
        ours
    }

    fn answered(program: &mut UnixStream) -> Option<Vec<u8>> {
        wire::read_frame(program).unwrap().map(|frame| frame.payload)
    }

    #[test]
    fn the_host_gets_one_at_a_time() {
        let queue = ForkQueue::default();
        let (mut first, mut second) = (push(&queue, 1), push(&queue, 2));
        assert_eq!(queue.take_next(), Some((1, b"b\0".to_vec())));
        assert!(queue.take_next().is_none() && queue.is_open());
        assert!(!queue.answer(2, Kind::Data, b"early") && !queue.answer(7, Kind::Data, b"unknown"));
        assert!(queue.answer(1, Kind::Data, b"b"));
        assert_eq!(answered(&mut first).unwrap(), b"b");
        assert!(!queue.answer(1, Kind::Data, b"again") && !queue.is_open());
        assert_eq!(queue.take_next().unwrap().0, 2);
        assert!(queue.answer(2, Kind::Reply, b"ERR no"));
        assert_eq!(answered(&mut second).unwrap(), b"ERR no");
    }

    #[test]
    fn a_program_that_is_gone_is_passed_over_or_forgotten() {
        let queue = ForkQueue::default();
        drop(push(&queue, 1));
        let second = push(&queue, 2);
        assert_eq!(queue.take_next().unwrap().0, 2);
        drop(second);
        assert!(queue.answer(2, Kind::Data, b"b") && !queue.is_open());
    }

    #[test]
    fn more_than_may_wait_are_refused() {
        let queue = ForkQueue::default();
        let waiting: Vec<_> = (0..REQUESTS_MAX as u32).map(|id| push(&queue, id)).collect();
        assert_eq!(answered(&mut push(&queue, 99)).unwrap(), b"ERR 64 forks wait already");
        drop(queue);
        assert!(waiting.into_iter().all(|mut program| answered(&mut program).is_none()));
    }
}
