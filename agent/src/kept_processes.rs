//! Processes that outlive their request: those of a test that the host wants to look at, and those
//! of a set-up.

use crate::process_tree::ProcessTree;
use crate::threads::Threads;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long killed processes may take to be gone. After that, one that hangs in the kernel is given
/// up.
pub(crate) const KILL_WAIT: Duration = Duration::from_secs(5);
/// How many bytes are discarded at a time.
const DISCARDED: usize = 4096;

/// Processes that outlive their request. Dropping this kills what is left of them.
pub(crate) struct KeptProcesses {
    processes: ProcessTree,
    /// The agent's ends of their outputs: a process that writes to a pipe without a reader dies.
    outputs: Vec<OwnedFd>,
}

impl KeptProcesses {
    /// The processes of a request that has ended, and its outputs.
    pub(crate) fn new(processes: ProcessTree, outputs: Vec<OwnedFd>) -> Self {
        Self { processes, outputs }
    }

    /// Makes them fit to live as long as the machine: no test that comes later owns them or their
    /// children, and what they print from now on is read and discarded, because a process that
    /// writes to a full pipe waits for ever.
    pub(crate) fn settle(&mut self, threads: &Threads) {
        self.processes.gather();
        let outputs = std::mem::take(&mut self.outputs);
        // Without a thread to read, all that is left is to let go of the outputs.
        _ = threads.run(move || discard(outputs));
    }
}

impl Drop for KeptProcesses {
    fn drop(&mut self) {
        _ = self.processes.end(Instant::now() + KILL_WAIT);
    }
}

/// Reads `outputs`, which do not block, until nobody can write to any of them.
fn discard(mut outputs: Vec<OwnedFd>) {
    let mut buffer = [0; DISCARDED];
    while !outputs.is_empty() {
        let fds = outputs.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        // What interrupts this shows in the reads.
        _ = poll(&mut fds.collect::<Vec<_>>(), PollTimeout::NONE);
        outputs.retain(|fd| {
            matches!(
                nix::unistd::read(fd, &mut buffer),
                Ok(1..) | Err(Errno::EAGAIN | Errno::EINTR)
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::io::{Write, pipe};

    #[test]
    fn outputs_are_read_until_nobody_writes() {
        let pipes = [pipe().unwrap(), pipe().unwrap()];
        let (outputs, mut inputs): (Vec<_>, Vec<_>) =
            pipes.into_iter().map(|(output, input)| (OwnedFd::from(output), input)).unzip();
        for output in &outputs {
            fcntl(output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        }
        let reader = std::thread::spawn(move || discard(outputs));
        for _ in 0..50 {
            inputs.iter_mut().for_each(|input| input.write_all(&[b'x'; 65_536]).unwrap());
            inputs.truncate(inputs.len().max(2) - 1);
        }
        drop(inputs);
        reader.join().unwrap();
    }
}
