//! The connection to one host: [`Input`] for the one thread that reads, [`Out`] for all threads
//! that write.

use crate::wire::{self, Kind, LINE_MAX, PAYLOAD_MAX};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The reading half, with the bytes that have been read and not used yet.
pub(crate) struct Input {
    from: Arc<OwnedFd>,
    /// The writing half's file. It shows that the host is gone, where reading only shows that the
    /// host sends no more.
    watch: Arc<OwnedFd>,
    buffer: Vec<u8>,
    used: usize,
}

/// The writing half. It sends whole messages, one after the other.
pub(crate) struct Out {
    to: Mutex<Arc<OwnedFd>>,
    /// Held by the next thread that waits to write, so that a flood cannot overtake a waiting
    /// `PONG` again and again.
    turn: Mutex<()>,
}

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its newline.
    Whole(Vec<u8>),
    /// It was longer than [`LINE_MAX`] and has been skipped.
    TooLong,
    /// The host sends no more.
    End,
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// There is input, or its end.
    Input,
    /// The other descriptor is ready.
    Other,
    /// The host is gone.
    Gone,
}

/// Makes the two halves of a connection that reads `from` and writes `to`, which may be one file.
pub(crate) fn halves(from: Arc<OwnedFd>, to: Arc<OwnedFd>) -> (Input, Arc<Out>) {
    let out = Out { to: Mutex::new(to.clone()), turn: Mutex::new(()) };
    (Input { from, watch: to, buffer: Vec::new(), used: 0 }, Arc::new(out))
}

impl Input {
    /// The next line.
    pub(crate) fn line(&mut self) -> Line {
        let mut too_long = false;
        let mut searched = 0;
        loop {
            let fresh = &self.buffer[self.used..];
            if let Some(at) = fresh[searched..].iter().position(|&b| b == b'\n') {
                let line = fresh[..searched + at].to_vec();
                self.used += searched + at + 1;
                let over = too_long || line.len() > LINE_MAX;
                return if over { Line::TooLong } else { Line::Whole(line) };
            }
            searched = fresh.len();
            if searched > LINE_MAX {
                too_long = true;
                searched = 0;
                self.forget();
            }
            if !matches!(self.fill(), Ok(1..)) {
                return Line::End;
            }
        }
    }

    /// Drops the bytes that have been read and not used.
    pub(crate) fn forget(&mut self) {
        self.buffer.clear();
        self.used = 0;
    }

    /// Takes all bytes that are there, and waits for the first one; empty at the end.
    pub(crate) fn take(&mut self) -> io::Result<Vec<u8>> {
        if self.used == self.buffer.len() {
            self.fill()?;
        }
        let taken = self.buffer.split_off(self.used);
        self.forget();
        Ok(taken)
    }

    /// The next byte, which stays where it is; `None` at the end.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        if self.used == self.buffer.len() && !matches!(self.fill(), Ok(1..)) {
            return None;
        }
        self.buffer.get(self.used).copied()
    }

    /// Waits until `other` is readable, until the host is gone or, with `input`, for input.
    pub(crate) fn wait(&self, other: BorrowedFd<'_>, input: bool) -> Wake {
        if input && self.used < self.buffer.len() {
            return Wake::Input;
        }
        let events = if input { PollFlags::POLLIN } else { PollFlags::empty() };
        loop {
            let mut fds = [
                PollFd::new(other, PollFlags::POLLIN),
                PollFd::new(self.watch.as_fd(), PollFlags::empty()),
                PollFd::new(self.from.as_fd(), events),
            ];
            let count = if input { 3 } else { 2 };
            match poll(&mut fds[..count], PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(_) => return Wake::Gone,
                Ok(_) => {}
            }
            let [other, watch, from] = fds.map(|fd| fd.any().unwrap_or(true));
            if other {
                return Wake::Other;
            } else if watch {
                return Wake::Gone;
            } else if input && from {
                return Wake::Input;
            }
        }
    }

    /// Whether the host is gone, now.
    pub(crate) fn gone(&self) -> bool {
        let mut fds = [PollFd::new(self.watch.as_fd(), PollFlags::empty())];
        !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0) | Err(Errno::EINTR))
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + PAYLOAD_MAX, 0);
        let got = read_waiting(self.from.as_fd(), &mut self.buffer[old..]);
        self.buffer.truncate(old + got.as_ref().copied().unwrap_or(0));
        got
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.buffer.len() && self.fill()? == 0 {
            return Ok(0);
        }
        let fresh = &self.buffer[self.used..];
        let count = fresh.len().min(into.len());
        into[..count].copy_from_slice(&fresh[..count]);
        self.used += count;
        Ok(count)
    }
}

impl Out {
    /// Writes all of `bytes`, and waits for the host to take them.
    ///
    /// # Errors
    /// `BrokenPipe` as soon as the host is gone, also while this waits.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.turn().write_all(bytes)
    }

    /// Writes one frame, as [`Out::send`] does.
    pub(crate) fn frame(&self, kind: Kind, id: u32, payload: &[u8]) -> io::Result<()> {
        wire::write_frame(&mut self.turn(), kind, id, payload)
    }

    fn turn(&self) -> Turn<'_> {
        let waiting = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        drop(waiting);
        Turn(to)
    }
}

struct Turn<'a>(MutexGuard<'a, Arc<OwnedFd>>);

impl Write for Turn<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = &*self.0;
        loop {
            let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e.into()),
                Ok(_) => {}
            }
            // A port without a host would drop the bytes, or block until another host comes.
            let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
            if fds[0].revents().is_none_or(|got| got.intersects(gone)) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match nix::unistd::write(file, bytes) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
                Ok(count) => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the bytes that are there into `into`, and waits for the first one, also if the file does
/// not block.
fn read_waiting(from: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut fds = [PollFd::new(from, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
            Ok(_) => {}
        }
        match nix::unistd::read(from, into) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
            Ok(count) => return Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn pair() -> (UnixStream, Input, Arc<Out>) {
        let (host, guest) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        let guest = Arc::new(OwnedFd::from(guest));
        let (input, out) = halves(guest.clone(), guest);
        (host, input, out)
    }

    #[test]
    fn lines_and_the_bytes_after_them() {
        let (mut host, mut input, _out) = pair();
        host.write_all(b"PING\n\nFRAMES\nCrest").unwrap();
        for line in ["PING", "", "FRAMES"] {
            assert_eq!(input.line(), Line::Whole(line.into()));
        }
        let mut rest = [0; 5];
        input.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"Crest");
        drop(host);
        assert_eq!(input.line(), Line::End);
    }

    #[test]
    fn a_line_too_long_is_skipped_in_bounded_memory() {
        let (mut host, mut input, _out) = pair();
        let writer = std::thread::spawn(move || {
            for _ in 0..200 {
                host.write_all(&[b'x'; LINE_MAX]).unwrap();
            }
            host.write_all(b"\nPING\n").unwrap();
        });
        assert_eq!(input.line(), Line::TooLong);
        assert_eq!(input.line(), Line::Whole(b"PING".to_vec()));
        assert!(input.buffer.capacity() <= 4 * LINE_MAX, "{}", input.buffer.capacity());
        writer.join().unwrap();
    }

    #[test]
    fn a_writer_that_waits_learns_that_the_host_is_gone() {
        let (host, _input, out) = pair();
        let writer = std::thread::spawn(move || {
            loop {
                if let Err(e) = out.send(&[0; PAYLOAD_MAX]) {
                    return e.kind();
                }
            }
        });
        let mut fds = [PollFd::new(host.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).unwrap();
        drop(host);
        assert_eq!(writer.join().unwrap(), io::ErrorKind::BrokenPipe);
    }
}
