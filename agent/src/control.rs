//! The control of a running request: its input, a cancel, how much it may print, and the forks that
//! it asks for.

use crate::programs::fork_queue::{Fork, ForkQueue};
use crate::wire::Kind;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// How many chunks of input, each of at most `PAYLOAD_MAX` bytes, may wait for a process that does
/// not read.
const INPUT_CHUNKS: usize = 16;

/// The session's side of a running request. Dropping it kills the request's processes.
pub(crate) struct Control {
    wake: PipeWriter,
    input: SyncSender<ProcessInput>,
    credit: Arc<Credit>,
    forks: Arc<ForkQueue>,
}

/// The request's side of its [`Control`].
pub(crate) struct Orders {
    pub(crate) wake: PipeReader,
    pub(crate) input: Receiver<ProcessInput>,
    pub(crate) credit: Arc<Credit>,
    pub(crate) forks: Arc<ForkQueue>,
}

/// How many bytes may be printed before the host gives more, or [`UNBOUNDED`].
pub(crate) struct Credit(AtomicI64);

/// The credit of a request that may print without end.
pub(crate) const UNBOUNDED: i64 = i64::MAX;

impl Credit {
    fn give(&self, more: u32) {
        let add = |have| Some(if have == UNBOUNDED { more.into() } else { have + i64::from(more) });
        // `add` never refuses.
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    pub(crate) fn take(&self, bytes: usize) {
        let less = |have| (have != UNBOUNDED).then(|| have - bytes as i64);
        // Unbounded credit stays as it is.
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(crate) fn left(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Input of a running request.
pub(crate) enum ProcessInput {
    /// Bytes for its standard input. No bytes close it.
    Bytes(Vec<u8>),
    /// Rows and columns of its terminal.
    Window(u16, u16),
}

/// Makes both sides of the control of one request.
pub(crate) fn control() -> io::Result<(Control, Orders)> {
    let (reader, writer) = io::pipe()?;
    let (sender, receiver) = sync_channel(INPUT_CHUNKS);
    let credit = Arc::new(Credit(AtomicI64::new(UNBOUNDED)));
    let forks = Arc::new(ForkQueue::default());
    let (own_credit, own_forks) = (credit.clone(), forks.clone());
    let control = Control { wake: writer, input: sender, credit: own_credit, forks: own_forks };
    Ok((control, Orders { wake: reader, input: receiver, credit, forks }))
}

impl Control {
    /// Sends TERM to all its processes, and KILL after a grace.
    pub(crate) fn cancel(&self) {
        // A request that is over cannot be cancelled.
        _ = (&self.wake).write_all(b"C");
    }

    /// Lets the request print so many more bytes. After the first call, it may print no more than
    /// it was given.
    pub(crate) fn give_credit(&self, more: u32) {
        self.credit.give(more);
        _ = (&self.wake).write_all(b"K");
    }

    /// Lets the request pass on `fork`.
    pub(crate) fn ask_fork(&self, fork: Fork) {
        self.forks.push(fork);
        _ = (&self.wake).write_all(b"F");
    }

    /// Hands the host's answer to the program that asked for fork `id`, if this request passed it
    /// on. Then the request goes on.
    pub(crate) fn answer_fork(&self, id: u32, kind: Kind, payload: &[u8]) {
        if self.forks.answer(id, kind, payload) {
            _ = (&self.wake).write_all(b"F");
        }
    }

    /// Hands over input. Gives it back if too much input waits already; drops it if the request is
    /// over.
    pub(crate) fn offer(&self, input: ProcessInput) -> Option<ProcessInput> {
        match self.input.try_send(input) {
            Ok(()) => {
                _ = (&self.wake).write_all(b"I");
                None
            }
            Err(TrySendError::Full(input)) => Some(input),
            Err(TrySendError::Disconnected(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_counts_from_the_first_time_it_is_given() {
        let (control, orders) = control().unwrap();
        orders.credit.take(1000);
        assert_eq!(orders.credit.left(), UNBOUNDED);
        control.give_credit(10);
        orders.credit.take(25);
        assert_eq!(orders.credit.left(), -15);
        control.give_credit(16);
        assert_eq!(orders.credit.left(), 1);
    }
}
