//! The user's terminal: its size, raw mode, and its input as a stream that can be stopped.

use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, SetArg, Termios};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

pub use sys::window_size as size;

/// The terminal that output goes to, for questions about it.
pub fn output() -> io::Stdout {
    io::stdout()
}

/// Whether input comes from a terminal and output goes to one.
pub fn is_mine() -> bool {
    use std::io::IsTerminal;
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Raw mode of standard input; dropping it puts the terminal back as it was.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches standard input to raw mode; `None` where it is no terminal.
    pub fn enter() -> Option<RawMode> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, SetArg::TCSADRAIN, &raw).ok()?;
        Some(RawMode { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mending.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// A thread that hands over standard input; dropping it ends the thread, even one that waits for a key.
#[derive(Debug)]
pub struct Input {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Input {
    /// Calls `take` with what is read, and with nothing at its end. The thread ends there or when `take` returns false.
    ///
    /// # Errors
    /// When the host gives no thread or no descriptors.
    pub fn start(mut take: impl FnMut(&[u8]) -> bool + Send + 'static) -> io::Result<Input> {
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().name("input".into()).spawn(move || {
            let stdin = io::stdin();
            let mut buffer = [0; 4096];
            loop {
                let mut fds = [
                    PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
                    PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
                ];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(_) => return,
                }
                if fds[1].any().unwrap_or(true) {
                    return;
                }
                if !fds[0].any().unwrap_or(true) {
                    continue;
                }
                // The descriptor, not the buffered handle, which could keep what poll no longer sees.
                let n = nix::unistd::read(&stdin, &mut buffer).unwrap_or(0);
                if !take(&buffer[..n]) || n == 0 {
                    return;
                }
            }
        })?;
        Ok(Input { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.stop = None; // the other end sees it close
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
